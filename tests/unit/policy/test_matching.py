from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from io import StringIO
from typing import Any

import pytest
import structlog
from rich.console import Console

from autoscaler.core.model import History, Outcome
from autoscaler.core.reasons import Reason
from autoscaler.evaluation.cycle import assign
from autoscaler.policy.matching import ENABLED_LABEL, MAX_LABEL, MIN_LABEL, POLICY_LABEL, Match, Matcher
from autoscaler.policy.metric import Metric, with_built_in
from autoscaler.policy.policy import Policy, PolicySet
from autoscaler.swarm.cluster import STATE_LABEL
from autoscaler.util.deadline import Deadline
from autoscaler.views import render
from autoscaler.views.documents import record_document
from autoscaler.views.logs import configure, log_record
from tests.support.builders import NOW, observation
from tests.support.deciding import decide
from tests.support.world import World, only, said, service_spec

HIGH: dict[str, Any] = {"name": "high", "metric": "cpu", "above": 70, "for": "1m", "add": 1}


def policy(name: str, *services: str, **keys: Any) -> Policy:
    """A policy as a file writes it, for 2 to 5 replicas of *services* unless *keys* say something else."""
    content = {"name": name, "replicas": {"min": 2, "max": 5}, "rules": [HIGH], **keys}
    if services:
        content["services"] = list(services)
    return Policy.model_validate(content, by_alias=True, by_name=False)


def matcher(*policies: Policy, **metrics: Metric) -> Matcher:
    """What finds among *policies*."""
    return Matcher(PolicySet(policies=policies, metrics=with_built_in(metrics)))


RANKS = (
    policy("exact", "web", "self"),
    policy("glob", "web*", "api*", exclude=["*_db"]),
    policy("tier", match_labels={"tier": "front", "zone": ""}),
    policy("wish"),
)


SHORT = {"policy": POLICY_LABEL, "enabled": ENABLED_LABEL, "min": MIN_LABEL, "max": MAX_LABEL}


def found(service: str, **labels: str) -> Match:
    """What applies of `RANKS` to a service with *labels*, those of the autoscaler by their `SHORT` names."""
    return matcher(*RANKS).find(service, {SHORT.get(key, key): value for key, value in labels.items()})


# Which policy


@pytest.mark.parametrize(
    ("service", "labels", "name"),
    [
        ("web", {}, "exact"),
        ("web", {"policy": "wish"}, "exact"),
        ("web", {"policy": "glob"}, "exact"),
        ("web", {"tier": "front", "zone": ""}, "exact"),
        ("api", {}, "glob"),
        ("api", {"policy": "wish"}, "wish"),
        ("api", {"policy": "exact"}, "exact"),
        ("api", {"policy": "tier"}, "tier"),
        ("api_db", {}, ""),
        ("shop", {"tier": "front", "zone": ""}, "tier"),
        ("shop", {"tier": "front", "zone": "", "policy": "wish"}, "wish"),
        ("shop", {"policy": "glob"}, "glob"),
        ("shop", {}, ""),
        ("shop", {"tier": "front"}, ""),
        ("shop", {"tier": "front", "zone": "b"}, ""),
        ("shop", {"tier": "Front", "zone": ""}, ""),
        ("shop", {"zone": ""}, ""),
        ("shop", {"enabled": "true", "policy": "wish"}, "wish"),
    ],
)
def test_an_exact_name_beats_the_service_s_wish_which_beats_globs_and_labels(
    service: str, labels: dict[str, str], name: str
) -> None:
    """The best rank counts; all of `match_labels` must be there, an empty value being one that is there and empty."""
    match = found(service, **labels)
    assert (match.names, match.conflict) == (name, "")
    assert (match.policy is None) is (name == "")


def test_a_policy_without_services_waits_to_be_wished_for() -> None:
    """A named policy without `services` applies to the services whose label names it, and to no other."""
    find = matcher(policy("wish")).find
    assert find("web", {}) == Match()
    assert find("web", {POLICY_LABEL: "wish"}).names == "wish"


def test_a_wish_for_a_policy_that_excludes_the_service_is_told() -> None:
    """`exclude` takes a service out, whatever its label says, with the cure."""
    match = found("api_db", policy="glob")
    assert match.policy is None
    assert match.conflict == (
        "the label autoscaler.policy names glob, which excludes the service (remove the label, or the exclusion)"
    )


@pytest.mark.parametrize(
    ("wanted", "cure"),
    [
        ("wihs", "did you mean wish?"),
        ("Exact", "did you mean exact?"),
        ("", "the policies are exact, glob, tier, wish"),
        ("zzz", "the policies are exact, glob, tier, wish"),
    ],
)
@pytest.mark.parametrize("service", ["shop", "api", "web"], ids=["nobody's", "a glob's", "named"])
def test_a_wish_for_a_policy_that_is_none_is_told(service: str, wanted: str, cure: str) -> None:
    """What a label says wrongly is reported on that service, also where another rank would find a policy."""
    match = found(service, policy=wanted)
    assert match.policy is None
    assert match.conflict == f"the label autoscaler.policy names {wanted!r}, which is not a policy ({cure})"


OWNERS = [
    ("swarm.cronjob.enable", "swarm-cronjob"),
    ("sablier.enable", "Sablier"),
    ("swarm.autoscaler", "docker-swarm-autoscaler"),
]


@pytest.mark.parametrize(("label", "owner"), OWNERS)
@pytest.mark.parametrize(
    ("service", "labels", "policy_name"),
    [("api", {}, "glob"), ("shop", {"tier": "front", "zone": ""}, "tier")],
    ids=["a glob", "labels"],
)
def test_a_service_that_another_program_scales_is_left_alone(
    label: str, owner: str, service: str, labels: dict[str, str], policy_name: str
) -> None:
    """A glob or `match_labels` does not mean a service that asks another program to scale it: told with the way out."""
    match = matcher(*RANKS).find(service, {label: "true", **labels})

    assert (match.policy, match.names) == (None, policy_name)
    assert match.conflict == (
        f"is scaled by {owner} (label {label}=true), and the policy {policy_name} matches it by a glob or by "
        "match_labels (exclude it, or name it exactly in services to scale it anyway)"
    )


@pytest.mark.parametrize(("label", "owner"), OWNERS)
@pytest.mark.parametrize(
    ("service", "labels", "policy_name"),
    [("web", {}, "exact"), ("api", {POLICY_LABEL: "wish"}, "wish")],
    ids=["an exact name", "the service's wish"],
)
def test_who_names_a_service_that_another_program_scales_means_it(
    label: str, owner: str, service: str, labels: dict[str, str], policy_name: str
) -> None:
    """An exact name, or the service's own label, is the operator's word: the policy applies, and the doubt is told."""
    match = matcher(*RANKS).find(service, {label: "true", **labels})

    assert (match.policy is not None, match.names, match.conflict) == (True, policy_name, "")
    assert match.doubt == (
        f"is scaled by {owner} (label {label}=true), and the autoscaler changes its count too "
        f"(take it out of the policy {policy_name}, or remove that label)"
    )


@pytest.mark.parametrize("value", ["false", "", "0", "no"])
@pytest.mark.parametrize(("label", "owner"), OWNERS)
def test_a_label_of_another_program_that_says_no_means_nothing(label: str, owner: str, value: str) -> None:
    """Only a label that says yes asks another program; a service that no policy matches is nobody's concern."""
    find = matcher(*RANKS).find

    assert (find("api", {label: value}).names, find("api", {label: value}).doubt) == ("glob", "")
    assert find("api_db", {label: "true"}) == Match()
    assert find("api", {label: "true", ENABLED_LABEL: "false"}) == Match()
    assert owner in find("api", {label: "TRUE"}).conflict


def test_two_matches_of_equal_rank_are_told() -> None:
    """Globs and `match_labels` are one rank; the cure is another rank."""
    match = found("api", tier="front", zone="")
    assert match == Match(
        None, "glob, tier", "matched by the policies glob, tier (name the service in one of them, or exclude it)"
    )


def test_of_a_thousand_matches_a_few_are_named() -> None:
    """A message is for people."""
    match = matcher(*(policy(f"p{index}", "*") for index in range(1000))).find("web", {})
    assert match.names == "p0, p1, p2, p3, p4 and 995 more"
    assert len(match.conflict) < 200


@pytest.mark.parametrize(
    ("labels", "name"),
    [({}, ""), ({"tier": "front", "zone": ""}, ""), ({POLICY_LABEL: "wish"}, "wish"), ({POLICY_LABEL: "glob"}, "glob")],
)
def test_globs_and_labels_never_mean_the_autoscaler_itself(labels: dict[str, str], name: str) -> None:
    """Only its exact name, or its own label, does."""
    match = matcher(*RANKS).find("webself", labels, own=True)
    assert (match.names, match.conflict, match.policy is None) == (name, "", name == "")
    assert matcher(*RANKS).find("self", labels, own=True).names == "exact"


def test_what_is_the_autoscaler_s_own_service_may_become_known_later() -> None:
    """An answer for a service is not kept for when it turns out to be the autoscaler's own."""
    find = matcher(policy("all", "*")).find
    assert find("autoscaler", {}).names == "all"
    assert find("autoscaler", {}, own=True) == Match()
    assert find("autoscaler", {}).names == "all"


# Taking out


@pytest.mark.parametrize("service", ["web", "api", "shop"])
@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"policy": "wish"},
        {"policy": "nonsense"},
        {"min": "x", "max": "-1"},
        {"autoscaler.whatever": "x"},
        {"tier": "front", "zone": ""},
    ],
)
def test_a_service_that_is_not_enabled_is_nobody_s(service: str, labels: dict[str, str]) -> None:
    """`autoscaler.enabled=false` beats everything, and nothing is told of the other labels."""
    assert found(service, enabled="false", **labels) == Match()


@pytest.mark.parametrize("value", ["", "no", "False", "FALSE", "0", "true ", "off", "fasle", "\nfalse"])
def test_only_false_takes_a_service_out_and_only_true_leaves_it_in(value: str) -> None:
    """Anything else is told, and the service is left as it is meanwhile."""
    match = found("web", enabled=value)
    assert match.policy is None
    assert match.conflict == f'the label autoscaler.enabled is {value!r} (write "true" or "false")'


# Labels that mean nothing


@pytest.mark.parametrize(
    ("label", "cure"),
    [
        ("autoscaler.polcy", "did you mean autoscaler.policy?"),
        ("autoscaler.enable", "did you mean autoscaler.enabled?"),
        ("autoscaler.replica.min", "did you mean autoscaler.replicas.min?"),
        ("autoscaler.Policy", "did you mean autoscaler.policy?"),
        ("autoscaler.", f"the labels are {', '.join(SHORT.values())}"),
        ("autoscaler.cooldown", f"the labels are {', '.join(SHORT.values())}"),
    ],
)
@pytest.mark.parametrize("service", ["web", "shop"], ids=["named", "nobody's"])
def test_a_label_of_ours_that_means_nothing_is_told(service: str, label: str, cure: str) -> None:
    """With the nearest that means something; nothing is silent."""
    match = found(service, **{label: "x"})
    assert match.policy is None
    assert match.conflict == f"the label {label!r} means nothing ({cure})"


@pytest.mark.parametrize(
    "label", ["autoscaler", "autoscalers.policy", "swarm.autoscaler", "com.autoscaler.policy", "Autoscaler.policy"]
)
def test_other_people_s_labels_are_none_of_our_business(label: str) -> None:
    """Only what begins with `autoscaler.` speaks to the autoscaler."""
    assert found("web", **{label: "x"}) == Match(RANKS[0], "exact")
    assert found("shop", **{label: "x"}) == Match()


@pytest.mark.parametrize("state", ["", "{}", '{"v":1,"replicas":3,"changes":[]}', "nonsense"])
def test_the_autoscaler_s_own_state_is_never_unknown(state: str) -> None:
    """The history label that a scale leaves is no wish, also where a policy matches by it."""
    assert found("web", **{STATE_LABEL: state}) == Match(RANKS[0], "exact")
    assert found("shop", **{STATE_LABEL: state}) == Match()
    odd = matcher(policy("odd", match_labels={STATE_LABEL: "x"}), policy("web", "web"))
    assert odd.find("web", {STATE_LABEL: state}).names == "web"


def test_a_label_that_a_policy_matches_by_means_something() -> None:
    """Whatever it begins with; and the labels that mean something may be matched by, too."""
    find = matcher(
        policy("tier", match_labels={"autoscaler.tier": "web"}), policy("in", match_labels={ENABLED_LABEL: "true"})
    ).find
    assert find("web", {"autoscaler.tier": "web"}).names == "tier"
    assert find("api", {"autoscaler.tier": "api"}) == Match()
    assert find("shop", {ENABLED_LABEL: "true"}).names == "in"


@pytest.mark.parametrize(
    ("labels", "given"),
    [
        ({"min": "2"}, "autoscaler.replicas.min"),
        ({"max": "2", "min": "1"}, "autoscaler.replicas.max, autoscaler.replicas.min"),
        ({"enabled": "true"}, "autoscaler.enabled"),
    ],
)
def test_a_service_that_wants_something_of_nobody_is_told(labels: dict[str, str], given: str) -> None:
    """A label that counts on a policy where none applies says what is missing."""
    assert found("shop", **labels).conflict == (
        f"has the label {given}, and no policy matches it (add the label autoscaler.policy=NAME)"
    )


def test_all_that_is_wrong_with_a_service_is_told_at_once() -> None:
    """In one message, that stays readable however many labels there are."""
    match = found("web", policy="nonsense", min="x", max="y", enabled="z")
    assert match.conflict.count("the label autoscaler.") == 4
    many = found("web", **{f"autoscaler.x{index}": "x" * 1000 for index in range(1000)})
    assert len(many.conflict) < 1000


# Bounds


@pytest.mark.parametrize(
    ("labels", "bounds"),
    [
        ({"min": "3"}, (3, 5)),
        ({"max": "3"}, (2, 3)),
        ({"min": "1", "max": "9"}, (1, 9)),
        ({"min": "5"}, (5, 5)),
        ({"max": "2"}, (2, 2)),
        ({"min": "0003"}, (3, 5)),
        ({"max": "10000"}, (2, 10_000)),
        ({"min": "1", "policy": "wish"}, (1, 5)),
    ],
)
def test_labels_override_the_policy_s_bounds(labels: dict[str, str], bounds: tuple[int, int]) -> None:
    """`autoscaler.replicas.min` and `.max`, each for itself; all else stays the policy's."""
    match = found("web", **labels)
    assert match.conflict == ""
    assert match.policy is not None
    assert (match.policy.replicas.min, match.policy.replicas.max) == bounds
    assert match.policy == RANKS[0].model_copy(update={"replicas": match.policy.replicas})
    assert (RANKS[0].replicas.min, RANKS[0].replicas.max) == (2, 5)


WRONG_NUMBERS = [
    "",
    " 3",
    "3 ",
    "3\n",
    "-1",
    "+3",
    "3.0",
    "1e1",
    "٣",
    "0x3",
    "true",
    "three",
    "10001",
    "999999",
    "9" * 5000,
]


@pytest.mark.parametrize("value", WRONG_NUMBERS, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize(("key", "least"), [("min", 0), ("max", 1)])
def test_a_bound_is_a_whole_number_that_a_policy_could_say(key: str, least: int, value: str) -> None:
    """Anything else is told with the numbers that it may be, and nothing is made of it."""
    match = found("web", **{key: value})
    assert (match.policy, match.names) == (None, "exact")
    assert match.conflict.startswith(f"the label autoscaler.replicas.{key} is '")
    assert match.conflict.endswith(f" (write a whole number from {least} to 10000)")
    assert len(match.conflict) < 160


def test_a_label_cannot_stop_a_service_for_good() -> None:
    """Max 0 is refused as it is in a policy."""
    assert found("web", max="0").conflict == (
        "the label autoscaler.replicas.max is '0' (write a whole number from 1 to 10000)"
    )


@pytest.mark.parametrize(
    ("labels", "said"),
    [({"min": "6"}, "min 6, greater than max 5"), ({"max": "1"}, "min 2, greater than max 1")],
)
def test_bounds_that_cross_are_told(labels: dict[str, str], said: str) -> None:
    """Which ones, and what to correct, the policy's own bounds included."""
    match = found("web", **labels)
    assert match.policy is None
    assert match.conflict == (
        f"its labels and the policy exact give {said} "
        "(correct the labels autoscaler.replicas.min and autoscaler.replicas.max)"
    )


QUEUE = Metric(query="sum(queue)", kind="total")
WAKES = {"name": "wake", "metric": "queue", "above": 0, "add": 1}


@pytest.mark.parametrize(
    ("rules", "least", "applies"),
    [
        ([HIGH], 2, False),
        ([HIGH, WAKES], 2, True),
        ([{**WAKES, "metric": "cpu"}], 2, False),
        ([{"name": "down", "metric": "queue", "below": 1, "remove": 1}], 2, False),
        ([{"name": "down", "metric": "queue", "strategy": "target", "target": 5}], 2, True),
        ([HIGH], 0, True),
    ],
    ids=["cpu", "queue", "cpu only", "only removes", "total", "the policy says so itself"],
)
def test_a_label_cannot_put_a_service_to_sleep_that_nothing_could_wake(
    rules: list[dict[str, Any]], least: int, *, applies: bool
) -> None:
    """Min 0 with no rule that could wake the service is an error in a policy file; a label says it no better."""
    one = policy("web", "web", rules=rules, replicas={"min": least, "max": 5})
    match = matcher(one, queue=QUEUE).find("web", {MIN_LABEL: "0"})
    if applies:
        assert match.policy is not None
        assert match.policy.replicas.min == 0
    else:
        assert match.conflict == (
            "the label autoscaler.replicas.min is 0, and no rule of the policy web could wake the service "
            "(write 1, or add a rule with a metric that has data without tasks)"
        )


def test_schedules_move_the_bounds_that_labels_give() -> None:
    """While a schedule is active its bounds are in force; else the labels'."""
    night = {"name": "night", "start": "0 1 * * *", "end": "0 2 * * *", "min": 1}
    match = matcher(policy("web", "web", schedules=[night])).find("web", {MIN_LABEL: "4"})
    assert match.policy is not None
    midnight = NOW // 86_400 * 86_400
    assert [match.policy.bounds(midnight + minutes * 60).min for minutes in (59, 60, 119, 120)] == [4, 1, 1, 4]


def test_a_fallback_never_passes_the_max_of_a_label() -> None:
    """The policy's fallback of 5 is 3 where the label allows no more."""
    match = matcher(policy("web", "web", fallback={"after": "5m", "replicas": 5})).find("web", {MAX_LABEL: "3"})
    assert match.policy is not None
    decision = decide(match.policy, observation(2), History(judged_at=NOW - 3600))
    assert decision.desired == 3
    assert Reason.FALLBACK in [why.reason for why in decision.reasons]


# Remembering


def test_other_labels_at_the_next_evaluation_give_another_answer() -> None:
    """What was found is remembered by the labels that were looked at."""
    find = matcher(*RANKS).find
    for labels in ({}, {MIN_LABEL: "3"}, {MIN_LABEL: "4"}, {MIN_LABEL: "x"}, {POLICY_LABEL: "wish"}, {}):
        assert find("api", labels) == matcher(*RANKS).find("api", labels)
    for labels in ({"tier": "front"}, {"tier": "front", "zone": ""}, {"zone": ""}):
        assert find("shop", labels) == matcher(*RANKS).find("shop", labels)


def test_labels_that_nobody_looks_at_are_not_remembered() -> None:
    """A build number, or the state that each scale writes, is no new question."""
    one = matcher(*RANKS)
    for build in range(100):
        one.find("web", {"build": str(build), STATE_LABEL: str(build), "com.docker.stack.image": f"web:{build}"})
    assert len(one._found) == 1


def test_what_is_remembered_is_bounded() -> None:
    """Services come and go for months, and labels change."""
    one = matcher(*RANKS)
    most = 0
    for index in range(45_000):
        one.find(f"web-{index}", {})
        most = max(most, len(one._found))
    assert most == 20_000


def test_a_thousand_wishes_for_nothing_are_answered_in_bounded_work() -> None:
    """The nearest name is looked for once per wish, and for a hundred of them."""
    one = matcher(*(policy(f"policy-{index}") for index in range(200)))
    answers = [one.find(f"s{index}", {POLICY_LABEL: f"polcy-{index}"}).conflict for index in range(300)]
    assert answers[42].endswith("not a policy (did you mean policy-42?)")
    assert answers[299].endswith("(the policies are policy-0, policy-1, policy-2, policy-3, policy-4 and 195 more)")
    assert len(one._hints) == 100


# In the world


def world(**labels: str) -> World:
    """A busy service `odd` with *labels* between two others, warm, under one policy."""
    world = World(policy("shop", "*"))
    for name in ("api", "odd", "web"):
        world.service(name, cpu=85, labels=labels if name == "odd" else None)
    world.settle()
    return world


WRONG: list[dict[str, str]] = [
    {MIN_LABEL: "many"},
    {MIN_LABEL: "9"},
    {MAX_LABEL: "0"},
    {MIN_LABEL: "0"},
    {POLICY_LABEL: "nonsense"},
    {ENABLED_LABEL: "perhaps"},
    {"autoscaler.polcy": "shop"},
    {"autoscaler.\x1b[31m\n[red]\u202e": "x"},
    {POLICY_LABEL: "\x1b[2J[bold]\r\n" + "x" * 10_000},
]


@pytest.mark.parametrize("labels", WRONG, ids=lambda labels: ascii(labels)[:40])
def test_a_wrong_label_leaves_that_one_service_untouched_and_no_other(labels: dict[str, str]) -> None:
    """`policy_conflict` on the service, with the cure; the others are scaled as if it were not there."""
    one = world(**labels)
    records = {record.decision.service: record for record in one.next().records}

    assert {name: said(record) for name, record in records.items()} == {
        "odd": (Outcome.HELD, Reason.POLICY_CONFLICT, 3, 3),
        "api": (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4),
        "web": (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4),
    }
    assert records["odd"].decision.running == 3
    assert one.replicas("odd") == 3
    assert one.state("odd") is None
    assert records["odd"].decision.primary.detail.endswith(")")


@pytest.mark.parametrize("labels", WRONG[-2:], ids=["name", "value"])
def test_a_hostile_label_is_shown_as_what_it_is(labels: dict[str, str]) -> None:
    """No control character reaches a terminal, no markup is obeyed, no line is broken, nothing is endless."""
    (record,) = [each for each in world(**labels).next().records if each.decision.service == "odd"]
    detail = record.decision.primary.detail
    assert detail.isprintable()
    assert len(detail) < 300

    stream = StringIO()
    Console(file=stream, width=400, force_terminal=True, color_system=None).print(render.plan([record], []))
    assert detail in stream.getvalue()
    assert all(line.isprintable() for line in stream.getvalue().splitlines())
    assert render.line(record).isprintable()

    assert json.loads(json.dumps(record_document(record)))["primary"] == {
        "reason": "policy_conflict",
        "rule": None,
        "detail": detail,
    }
    for log_format in ("console", "json"):
        stream = StringIO()
        configure(log_format, "info", stream)
        log_record(structlog.get_logger(), record, news=True)
        (line,) = stream.getvalue().splitlines()
        assert line.isprintable()
        assert "policy_conflict" in line


def label_it(label: str, value: str, spec: dict[str, Any]) -> None:
    """Give the service the label, as `docker service update --label-add` does."""
    spec["Labels"][label] = value


def test_labels_may_be_corrected_while_the_daemon_runs() -> None:
    """A `docker service update --label-add` counts at the next evaluation, in either direction."""
    one = world(**{MAX_LABEL: "x"})
    for label, value, expected in (
        (MAX_LABEL, "3", (Outcome.HELD, Reason.AT_MAX)),
        (MAX_LABEL, "3 ", (Outcome.HELD, Reason.POLICY_CONFLICT)),
        (MAX_LABEL, "4", (Outcome.APPLIED, Reason.ABOVE_THRESHOLD)),
        (ENABLED_LABEL, "false", None),
    ):
        one.engine.change_service("odd", partial(label_it, label, value))
        records = {record.decision.service: record for record in one.next().records}
        assert (said(records["odd"])[:2] if "odd" in records else None) == expected


def test_a_service_without_labels_in_a_set_without_globs_is_nothing_to_tell_of() -> None:
    """Of a service that nobody means there is no record."""
    one = World(policy("web", "web"))
    one.service("web")
    one.service("db", labels={"com.docker.stack.namespace": "shop"})
    assert only(one.evaluate()).decision.service == "web"


def test_a_service_that_wears_a_wrong_label_is_told_of_whatever_its_mode() -> None:
    """A global service has no count to tell of."""
    one = World(policy("web", "web"))
    spec = {**service_spec("agent", 1, {MIN_LABEL: "2"}), "Mode": {"Global": {}}}
    one.engine.create_service(spec)
    cluster = one.cycle.swarm.read(Deadline(10))

    assigned, untouched = assign(Matcher(one.policies), cluster, NOW)

    assert assigned == []
    assert {record.decision.service: said(record) for record in untouched} == {
        "agent": (Outcome.HELD, Reason.POLICY_CONFLICT, 0, 0),
        "web": (Outcome.HELD, Reason.SERVICE_NOT_FOUND, 0, 0),
    }


@pytest.mark.parametrize(
    ("labels", "reasons"),
    [
        ({}, []),
        ({POLICY_LABEL: "shop"}, ["shop"]),
        ({MIN_LABEL: "2"}, [Reason.POLICY_CONFLICT]),
        ({POLICY_LABEL: "shop", ENABLED_LABEL: "false"}, []),
    ],
)
def test_the_autoscaler_s_own_service_in_an_evaluation(labels: dict[str, str], reasons: list[str]) -> None:
    """It may wish for a policy, as any service may, and is told of what it says wrongly."""
    one = World(policy("shop", "*"))
    one.service("autoscaler", labels=labels)
    cluster = replace(one.cycle.swarm.read(Deadline(10)), own_service="autoscaler")

    assigned, untouched = assign(Matcher(one.policies), cluster, NOW)

    assert [item.policy.name for item in assigned] + [each.decision.primary.reason for each in untouched] == reasons
