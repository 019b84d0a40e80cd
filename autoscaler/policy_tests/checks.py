"""Problems of tests that are valid by themselves: with each other, with their interval, and with the policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.policy.matching import ENABLED_LABEL, POLICY_LABEL, Match, Matcher
from autoscaler.policy_files.diagnostic import shown
from autoscaler.policy_tests.series import MOST_STEPS
from autoscaler.util.durations import words
from autoscaler.util.suggestions import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from autoscaler.policy.policy import Policy, PolicySet
    from autoscaler.policy_files.diagnostic import Diagnostic
    from autoscaler.policy_files.diagnostic import Path as Way
    from autoscaler.policy_tests.files import PolicyTest, Tested

_SHOWN = 20


def problems(cases: Sequence[PolicyTest], interval: int, policies: PolicySet | None) -> Iterator[Diagnostic]:
    """Yield the problems of *cases*, as far as they are known without the policies if those are invalid."""
    yield from _same_names(cases)
    matcher = None if policies is None else Matcher(policies)
    for case in cases:
        for tested in case.services:
            yield from _off_grid(case, tested, interval)
            yield from _impossible_change(case, tested)
            if matcher is not None:
                yield from _unmatched(case, tested, matcher)
        if policies is not None:
            yield from _odd_series(case, policies)


def _same_names(cases: Sequence[PolicyTest]) -> Iterator[Diagnostic]:
    first: dict[str, PolicyTest] = {}
    for case in cases:
        before = first.setdefault(case.name, case)
        if before is not case:
            what = f"a second test named {shown(case.name)}, after the one in line {before.document.place().line}"
            yield case.document.problem(("name",), what, "give each test a name of its own")


def _off_grid(case: PolicyTest, tested: Tested, interval: int) -> Iterator[Diagnostic]:
    """Yield a problem for each time at which nothing is evaluated."""
    times = [("events", index, event.at) for index, event in enumerate(tested.said.events)]
    times += [("expect", index, expected.at) for index, expected in enumerate(tested.said.expect)]
    for key, index, at in times:
        where = (*tested.way, key, index, "at")
        if at % interval:
            below = at - at % interval
            cure = f"write {words(below)} or {words(below + interval)}"
            yield case.document.problem(where, f"{words(at)} is not a multiple of the interval {words(interval)}", cure)
        if at > interval * MOST_STEPS:
            cure = f"write {words(interval * MOST_STEPS)} at most"
            yield case.document.problem(where, f"{words(at)} is more than {MOST_STEPS} intervals away", cure)


def _impossible_change(case: PolicyTest, tested: Tested) -> Iterator[Diagnostic]:
    change = tested.said.last_change
    if change is not None and change.direction == "up" and tested.said.replicas == 0:
        where = (*tested.way, "last_change", "direction")
        yield case.document.problem(where, "no change upwards leaves 0 replicas", "write direction: down")


def _odd_series(case: PolicyTest, policies: PolicySet) -> Iterator[Diagnostic]:
    """Yield a problem for each unknown metric, and for a series of one service if all share the value."""
    places: list[Way] = [("series", metric) for metric in case.shared]
    places += [(*tested.way, "series", metric) for tested in case.services for metric in tested.said.series]
    for where in places:
        name = str(where[-1])
        metric = policies.metrics.get(name)
        if metric is None:
            cure = f"known metrics: {', '.join(policies.metrics)}"
            yield case.document.problem(where, f"unknown metric {shown(name)}", cure, of_key=True)
        elif metric.one_value and where[0] == "services":
            what = f"{name} has one value, the same for every service"
            yield case.document.problem(where, what, "move it up to the test's series", of_key=True)


def _unmatched(case: PolicyTest, tested: Tested, matcher: Matcher) -> Iterator[Diagnostic]:
    """Yield a problem for each service without a policy, and each rule that the service's policy does not have."""
    match = matcher.find(tested.name, tested.said.labels)
    if match == Match():
        if tested.said.labels.get(ENABLED_LABEL) != "false":
            yield _without_policy(case, tested, matcher.policies)
        return
    if match.policy is None:
        return  # its labels or policies are in conflict, which a test may expect
    rules = [rule.name for rule in match.policy.rules]
    for index, expected in enumerate(tested.said.expect):
        if expected.rule is not None and expected.rule not in rules:
            where = (*tested.way, "expect", index, "rule")
            what = f"the service's policy has no rule {shown(expected.rule)}"
            yield case.document.problem(where, what, f"its rules are {', '.join(rules)}" if rules else "remove rule")


def _without_policy(case: PolicyTest, tested: Tested, policies: PolicySet) -> Diagnostic:
    patterns = [pattern for policy in policies.policies for pattern in policy.services]
    near = nearest(tested.name, patterns)
    hint = f"did you mean {shown(near)}? " if near else ""
    meant = [who for policy in policies.policies for who in _meant(policy)]
    cure = f"{hint}the policies are for {', '.join(meant[:_SHOWN]) or 'no service'}"
    where = tested.way or ("service",)
    return case.document.problem(
        where, f"no policy matches the service {shown(tested.name)}", cure, of_key=bool(tested.way)
    )


def _meant(policy: Policy) -> Iterator[str]:
    """Yield in words the services that the policy is for."""
    yield from map(shown, policy.services)
    if policy.match_labels:
        yield "the labels " + ", ".join(f"{label}={value}" for label, value in policy.match_labels.items())
    elif not policy.services:
        yield f"the label {POLICY_LABEL}={policy.name}"
