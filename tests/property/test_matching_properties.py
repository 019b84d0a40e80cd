"""Properties of matching: what is true of every service, whatever labels it and the others wear."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.evaluation.cycle import assign
from autoscaler.policy.matching import ENABLED_LABEL, MAX_LABEL, MIN_LABEL, POLICY_LABEL, Match, Matcher
from autoscaler.policy.metric import Metric, with_built_in
from autoscaler.policy.policy import Policy, PolicySet, is_glob
from autoscaler.swarm.cluster import STATE_LABEL, Cluster, ServiceView
from tests.support.builders import NOW

if TYPE_CHECKING:
    from collections.abc import Mapping

RULES: list[list[dict[str, Any]]] = [
    [{"name": "high", "metric": "cpu", "above": 70, "add": 1}],
    [{"name": "wake", "metric": "queue", "above": 0, "add": 1}],
]
SERVICES = ("web", "web_1", "api", "api_db", "shop", "autoscaler")
PATTERNS = ("web", "api", "web*", "*", "*_db", "autoscaler", "s[hx]op")
TIERS = ("web", "", "api")
HOSTILE = st.text(max_size=100) | st.sampled_from(["\x1b[31m", "[red]", "\n", "\u202e", "x" * 5000, "\0"])
NUMBERS = st.integers(-2, 10_002).map(str)
LABELS = st.dictionaries(
    st.sampled_from([POLICY_LABEL, ENABLED_LABEL, MIN_LABEL, MAX_LABEL, STATE_LABEL, "tier", "zone", "autoscaler.x"])
    | HOSTILE
    | HOSTILE.map(lambda text: f"autoscaler.{text}"),
    HOSTILE | NUMBERS | st.sampled_from(["p0", "p1", "p2", "true", "false", *TIERS]),
    max_size=4,
)
GOOD_LABELS = st.fixed_dictionaries(
    {},
    optional={
        POLICY_LABEL: st.sampled_from(["p0", "p1", "p2"]),
        ENABLED_LABEL: st.sampled_from(["true", "false"]),
        MIN_LABEL: st.integers(0, 5).map(str),
        MAX_LABEL: st.integers(1, 9).map(str),
        "tier": st.sampled_from(TIERS),
    },
)
ANY_LABELS = LABELS | GOOD_LABELS


@st.composite
def policy_sets(draw: st.DrawFn) -> PolicySet:
    """Sets of up to three policies of all kinds, in which no two name the same service."""
    policies, named = [], set[str]()
    for index in range(draw(st.integers(1, 3))):
        least = draw(st.integers(0, 3))
        content: dict[str, Any] = {
            "name": f"p{index}",
            "replicas": {"min": least, "max": draw(st.integers(max(1, least), 6))},
            "rules": draw(st.sampled_from(RULES)),
            "exclude": draw(st.lists(st.sampled_from(PATTERNS), max_size=2)),
        }
        patterns = [each for each in draw(st.lists(st.sampled_from(PATTERNS), max_size=3)) if each not in named]
        named.update(each for each in patterns if not is_glob(each))
        if patterns:
            content["services"] = patterns
        elif draw(st.booleans()):
            content["match_labels"] = {"tier": draw(st.sampled_from(TIERS))}
        policies.append(Policy.model_validate(content, by_alias=True, by_name=False))
    return PolicySet(policies=tuple(policies), metrics=with_built_in({"queue": Metric(query="sum(queue)")}))


def cluster(labels: Mapping[str, Mapping[str, str]]) -> Cluster:
    """Services of 3 replicas with *labels*, the autoscaler among them."""
    views = {
        name: ServiceView(name, name, 1, "replicated", 3, created_at=NOW, updated_at=NOW, labels=worn)
        for name, worn in labels.items()
    }
    return Cluster(views, own_service="autoscaler")


def outcome(matcher: Matcher, services: Cluster) -> dict[str, Any]:
    """What each service comes to: a policy, or a record."""
    assigned, untouched = assign(matcher, services, NOW)
    return {item.view.name: item.policy for item in assigned} | {each.decision.service: each for each in untouched}


@given(policy_sets(), st.fixed_dictionaries(dict.fromkeys(SERVICES, ANY_LABELS)), st.sampled_from(SERVICES), ANY_LABELS)
def test_no_label_of_a_service_changes_another(
    policies: PolicySet, labels: dict[str, dict[str, str]], changed: str, others: dict[str, str]
) -> None:
    """What a label says concerns the service that wears it, and no other: with the same Matcher, too."""
    matcher = Matcher(policies)
    before = outcome(matcher, cluster(labels))
    after = outcome(matcher, cluster({**labels, changed: others}))
    assert {name: what for name, what in before.items() if name != changed} == {
        name: what for name, what in after.items() if name != changed
    }


@given(policy_sets(), st.lists(st.tuples(st.sampled_from(SERVICES), ANY_LABELS, st.booleans()), max_size=8))
def test_what_is_remembered_is_what_would_be_found(
    policies: PolicySet, questions: list[tuple[str, dict[str, str], bool]]
) -> None:
    """A Matcher that was asked before answers as one that was not."""
    matcher = Matcher(policies)
    for service, labels, own in questions:
        assert matcher.find(service, labels, own=own) == Matcher(policies).find(service, labels, own=own)


@given(policies=policy_sets(), service=st.sampled_from(SERVICES), labels=ANY_LABELS, own=st.booleans())
def test_a_service_has_a_policy_or_a_reason_that_people_can_read(
    policies: PolicySet, service: str, labels: dict[str, str], *, own: bool
) -> None:
    """A policy within possible bounds, or nothing, or a conflict: one printable line, not too long, with the cure."""
    match = Matcher(policies).find(service, labels, own=own)
    if match.policy is not None:
        assert match.conflict == ""
        assert match.names == match.policy.name
        assert 0 <= match.policy.replicas.min <= match.policy.replicas.max <= 10_000
        assert match.policy.replicas.max >= 1
        mine = policies.by_name[match.names]
        assert match.policy == mine.model_copy(update={"replicas": match.policy.replicas})
        assert match.policy.replicas.min or not mine.replicas.min or policies.can_wake(mine)
    elif match.conflict:
        assert match.conflict.isprintable()
        assert match.conflict.endswith(")")
        assert len(match.conflict) < 2000
    else:
        assert match == Match()


@given(policies=policy_sets(), service=st.sampled_from(SERVICES), labels=ANY_LABELS, own=st.booleans())
def test_nothing_overrules_that_a_service_is_not_enabled(
    policies: PolicySet, service: str, labels: dict[str, str], *, own: bool
) -> None:
    """`autoscaler.enabled=false` takes a service out, whatever else is said of it."""
    assert Matcher(policies).find(service, {**labels, ENABLED_LABEL: "false"}, own=own) == Match()


def ranked(policies: PolicySet, service: str, labels: Mapping[str, str], *, own: bool) -> list[list[Policy]]:
    """The policies that match by name, by the service's wish, and by globs and labels, in this order."""
    by_pattern = [
        policy
        for policy in policies.policies
        if not any(fnmatchcase(service, pattern) for pattern in policy.exclude)
        and (
            any(is_glob(pattern) and fnmatchcase(service, pattern) for pattern in policy.services)
            or (policy.match_labels and policy.match_labels.items() <= labels.items())
        )
    ]
    return [
        [policy for policy in policies.policies if service in policy.services],
        [policy for policy in policies.policies if policy.name == labels.get(POLICY_LABEL)],
        [] if own else by_pattern,
    ]


@settings(max_examples=300)
@given(policies=policy_sets(), service=st.sampled_from(SERVICES), labels=GOOD_LABELS, own=st.booleans())
def test_the_best_rank_that_matches_counts(
    policies: PolicySet, service: str, labels: dict[str, str], *, own: bool
) -> None:
    """An exact name beats the service's wish, which beats globs and labels; two of one rank are a conflict."""
    match = Matcher(policies).find(service, labels, own=own)
    if labels.get(ENABLED_LABEL) == "false" or labels.get(POLICY_LABEL, "p0") not in policies.by_name:
        return
    best = next((rank for rank in ranked(policies, service, labels, own=own) if rank), [])
    if match.policy is not None:
        assert [policy.name for policy in best] == [match.names]
    elif match.conflict:
        wanted = labels.keys() & {POLICY_LABEL, MIN_LABEL, MAX_LABEL, ENABLED_LABEL}
        assert len(best) > 1 or wanted
    else:
        assert best == []
