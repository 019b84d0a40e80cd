from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
from pydantic import ValidationError

from autoscaler.policy.file import PolicyFile
from autoscaler.policy.matching import Match, Matcher
from autoscaler.policy.policy import Bounds, Policy, PolicySet, is_glob
from autoscaler.strategies import Rule, Threshold, strategy

RULE: dict[str, Any] = {"name": "cpu-high", "metric": "cpu", "above": 70, "for": "5m", "add": 1}


def policy(name: str, *services: str, **more: Any) -> Policy:
    """A policy for *services*, valid but for what *more* says."""
    content = {"name": name, "services": services, "replicas": {"min": 1, "max": 5}, "rules": [RULE]}
    return Policy.model_validate({**content, **more})


def test_a_policy_of_the_specification_is_read() -> None:
    """The specification's example is read with its values as seconds and numbers."""
    backend = policy("backend", "advtom_backend", scale_up={"cooldown": "5m"})
    assert (backend.scale_up.cooldown, backend.rules[0].look_back) == (300, 300)
    assert isinstance(backend.rules[0], Threshold)


def test_cooldowns_are_three_minutes_up_and_five_down_by_default() -> None:
    """Defaults: cooldown 3m up and 5m down."""
    assert (policy("a", "b").scale_up.cooldown, policy("a", "b").scale_down.cooldown) == (180, 300)


def found(service: str, *patterns: str, exclude: list[str] | None = None) -> bool:
    """Whether a policy for *patterns* applies to *service*."""
    policies = PolicySet(policies=(policy("a", *patterns, exclude=exclude or []),))
    return Matcher(policies).find(service, {}).policy is not None


@pytest.mark.parametrize(
    ("service", "applies"),
    [("web", True), ("web_1", True), ("web_db", False), ("api", False), ("webhook", False), ("", False)],
)
def test_names_and_globs_match_but_what_is_excluded(service: str, *, applies: bool) -> None:
    """`exclude` takes a service out of the globs."""
    assert found(service, "web", "web_*", exclude=["*_db"]) is applies


def test_a_service_named_exactly_stays_whatever_is_excluded() -> None:
    """What a policy names is meant, be it matched by an exclusion for its globs."""
    assert found("web_db", "web_db", "web_*", exclude=["*_db"])


def test_globs_tell_upper_from_lower_case() -> None:
    """Docker's service names do, too."""
    assert not found("web_1", "Web_*")


@pytest.mark.parametrize("pattern", ["*a*b*", "[ab]*", "[!x]?b", "*", "a?b", "[", "a[b"])
def test_globs_mean_what_the_shell_means(pattern: str) -> None:
    """Several stars, sets and unclosed brackets match as `fnmatch` says."""
    for name in ("ab", "aab", "azb", "xab", "a", "", "[", "a[b", "zaxbz"):
        expected = fnmatchcase(name, pattern) if is_glob(pattern) else name == pattern
        assert found(name, pattern) is expected


def test_an_exact_name_beats_globs() -> None:
    """The policy of the best rank applies; several of one rank are a conflict."""
    exact, wide, wider = policy("exact", "web_1"), policy("wide", "web_*"), policy("wider", "*")
    policies = PolicySet(policies=(wide, exact, wider))
    find = Matcher(policies).find
    assert find("web_1", {}) == Match(exact, "exact")
    assert find("web_2", {}).names == "wide, wider"
    assert find("web_2", {}).policy is None
    assert find("web_2", {}).conflict.startswith("matched by the policies wide, wider")
    assert find("db", {}) == Match(wider, "wider")
    assert {"web_1": exact} == policies.named


def test_no_policy_matches_a_service_nobody_means() -> None:
    """A service that no policy matches is left as it is."""
    assert Matcher(PolicySet(policies=(policy("a", "web"),))).find("db", {}) == Match()


@pytest.mark.parametrize(("pattern", "expected"), [("web", False), ("web_*", True), ("we?", True), ("w[eb]", True)])
def test_a_glob_has_a_star_a_question_mark_or_a_bracket(pattern: str, *, expected: bool) -> None:
    """Names or globs."""
    assert expected is is_glob(pattern)


@pytest.mark.parametrize(("count", "clamped"), [(0, 2), (2, 2), (3, 3), (4, 4), (9, 4)])
def test_bounds_are_both_included(count: int, clamped: int) -> None:
    """The count nearest to the wanted one that lies within the bounds."""
    assert clamped == Bounds(2, 4).clamp(count)


@pytest.mark.parametrize(
    ("replicas", "message"),
    [
        ({"min": 3, "max": 2}, r"min 3 is greater than max 2 \(swap them\?\)"),
        ({"min": 0, "max": 0}, r"max 0 would stop the service for good"),
        ({"min": -1, "max": 2}, "greater than or equal to 0"),
        ({"min": 1, "max": 10_001}, "less than or equal to 10000"),
        ({"min": 1.0, "max": 2}, "valid integer"),
        ({"min": True, "max": 2}, "valid integer"),
        ({"min": "1", "max": 2}, "valid integer"),
    ],
)
def test_impossible_bounds_are_refused(replicas: dict[str, Any], message: str) -> None:
    """Min > max is an error."""
    with pytest.raises(ValidationError, match=message):
        policy("a", "b", replicas=replicas)


@pytest.mark.parametrize("version", [True, 1.0, "1", 2, 0, None])
def test_the_version_is_the_number_1(version: object) -> None:
    """`true` equals 1 in Python, and is no version."""
    with pytest.raises(ValidationError, match="version"):
        PolicyFile.model_validate({"version": version, "policies": [policy("a", "b").model_dump(by_alias=True)]})


@pytest.mark.parametrize("name", ["", "-a", "a-", "a b", "a" * 64, "ä", "a\n"])
def test_a_policy_name_is_a_plain_word(name: str) -> None:
    """It becomes a label, a field of logs and a part of addresses."""
    with pytest.raises(ValidationError, match="name"):
        policy(name, "b")


def test_a_policy_is_frozen_and_its_content_is_what_it_is_compared_by() -> None:
    """Values: the same content is the same policy."""
    assert policy("a", "b") == policy("a", "b")
    with pytest.raises(ValidationError, match="frozen"):
        policy("a", "b").name = "c"  # type: ignore[misc]  # that it may not is the point


def test_a_strategy_is_registered_once() -> None:
    """Two strategies of one name would make policies mean what import order says."""
    with pytest.raises(ValueError, match="registered twice"):
        strategy("threshold")(type("Other", (Rule,), {}))
