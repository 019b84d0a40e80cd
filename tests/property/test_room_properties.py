from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.core.model import History, Observation
from autoscaler.core.reasons import Reason
from tests.support.builders import NOW, observation, steady, written
from tests.support.deciding import decide

if TYPE_CHECKING:
    from autoscaler.policy.policy import Policy

HIGH: dict[str, Any] = {"name": "cpu-high", "metric": "cpu", "above": 70, "add": 1}
LOW: dict[str, Any] = {"name": "cpu-low", "metric": "cpu", "below": 30, "remove": 1}
TABLE: dict[str, Any] = {"name": "size", "metric": "queue", "strategy": "table", "table": {0: 1, 10: 4, 20: 9}}


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Policies that give back, or not, with all that may hold or raise a count."""
    least = draw(st.integers(1, 4))
    rules = draw(st.lists(st.sampled_from([HIGH, LOW, TABLE]), min_size=1, unique_by=lambda rule: rule["name"]))
    return written(
        *rules,
        least=least,
        most=draw(st.sampled_from([12, 12, least])),
        scale_up={"give_back": draw(st.sampled_from(["5m", "5m", "1h"]))},
        paused=draw(st.sampled_from([False, False, False, False, "up", "down", True])),
    )


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Services some of whose replicas run, some start, and some have no node."""
    requested = draw(st.integers(2, 12))
    unplaced = draw(st.lists(st.sampled_from([600, 300, 299, 20]), min_size=1, max_size=requested))
    starting = draw(st.sampled_from([0, 0, 0, 0, 1]))
    running = max(0, requested - len(unplaced) - starting)
    windows = {
        metric: steady(draw(st.sampled_from([5.0, 15.0, 50.0, 90.0])))
        for metric in draw(st.sets(st.sampled_from(["cpu", "queue"])))
    }
    return observation(
        requested,
        running=running,
        windows=windows,
        stuck=bool(unplaced),
        pending="pending" if running < requested else "",
        unplaced_since=tuple(sorted(NOW - seconds for seconds in unplaced)),
        rollout=draw(st.sampled_from(["", "", "", "", "a rolling update is paused"])),
    )


HISTORIES = st.builds(
    History,
    asked=st.sampled_from([0, 1, 2, 3, 6, None]),
    gave_back=st.sampled_from([None, NOW - 900.0, NOW - 299.0, NOW + 60.0]),
)


@given(policies(), observations(), HISTORIES)
def test_giving_back_takes_nothing_that_runs_or_was_asked_for(
    policy: Policy, seen: Observation, history: History
) -> None:
    """Where replicas are given back, all that wait are, and none that run, are asked for, or are the least."""
    decision = decide(policy, seen, history)
    if not decision.gives_back:
        return
    patience = policy.scale_up.give_back
    assert patience is not None
    bounds = policy.bounds(seen.at)
    assert all(seen.at - since >= patience for since in seen.unplaced_since)
    assert decision.desired < seen.requested
    assert decision.desired <= seen.running, "none is left that Swarm would never try again"
    assert decision.desired >= min(seen.running, bounds.max)
    assert decision.desired >= min(history.asked if history.asked is not None else seen.requested, bounds.max)
    assert decision.desired >= bounds.min
    assert not seen.rollout
    assert policy.paused in (False, "up")


@given(policies(), observations(), HISTORIES)
def test_missing_data_neither_cause_nor_prevent_it(policy: Policy, seen: Observation, history: History) -> None:
    """With no sample at all the count falls only as giving back or the maximum demand, and then by as much."""
    blind = observation(
        seen.requested,
        running=seen.running,
        stuck=seen.stuck,
        pending=seen.pending,
        unplaced_since=seen.unplaced_since,
        rollout=seen.rollout,
    )
    decision = decide(policy, blind, history)

    if decision.desired < seen.requested:
        assert decision.gives_back or seen.requested > policy.bounds(seen.at).max
    calm = observation(
        seen.requested,
        windows={"cpu": steady(50), "queue": steady(50)},
        running=seen.running,
        stuck=seen.stuck,
        pending=seen.pending,
        unplaced_since=seen.unplaced_since,
        rollout=seen.rollout,
    )
    only_thresholds = policy.model_copy(update={"rules": tuple(rule for rule in policy.rules if rule.name != "size")})
    if only_thresholds.rules:
        there, missing = decide(only_thresholds, calm, history), decide(only_thresholds, blind, history)
        assert (there.desired, there.gives_back) == (missing.desired, missing.gives_back)


@given(policies(), observations(), HISTORIES)
def test_without_the_key_the_decision_is_as_ever(policy: Policy, seen: Observation, history: History) -> None:
    """A policy without `give_back` decides as if nothing were known of room."""
    plain = policy.model_copy(update={"scale_up": policy.scale_up.model_copy(update={"give_back": None})})
    decision = decide(plain, seen, history)

    assert not decision.gives_back
    assert Reason.NO_ROOM not in {why.reason for why in decision.reasons}


@given(policies(), observations(), HISTORIES)
def test_no_rule_adds_soon_after_giving_back(policy: Policy, seen: Observation, history: History) -> None:
    """For the policy's time after giving back only the bounds raise the count."""
    decision = decide(policy, seen, history)
    patience = policy.scale_up.give_back
    assert patience is not None
    if history.gave_back is not None and seen.at - history.gave_back < patience:
        assert decision.desired <= max(seen.requested, policy.bounds(seen.at).min)
