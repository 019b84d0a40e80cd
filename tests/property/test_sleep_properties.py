from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import example, given
from hypothesis import strategies as st

from autoscaler.core.model import History, Outcome
from autoscaler.core.reasons import Reason
from tests.support.builders import NOW, STEP, observation, steady, written
from tests.support.deciding import decide
from tests.support.world import World, only

if TYPE_CHECKING:
    from autoscaler.core.model import Observation
    from autoscaler.policy.policy import Policy

HIGH: dict[str, Any] = {"name": "high", "metric": "cpu", "above": 70, "add": 2}
LOW: dict[str, Any] = {"name": "low", "metric": "cpu", "below": 30, "remove": 1}
GATES = {Reason.ROLLOUT_IN_PROGRESS, Reason.PAUSED, Reason.SCALED_TO_ZERO}
BOUNDS = [{"min": 0, "max": 0}, {"min": 0, "max": 0}, {"min": 6}, {"max": 3}, {"min": 4, "max": 4}]


@st.composite
def schedules(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Schedules that begin and end in the hour from 08:00, the first of them a sleeping one."""
    bounds = [BOUNDS[0], *draw(st.lists(st.sampled_from(BOUNDS), max_size=2))]
    times = st.lists(st.integers(8, 55), min_size=2, max_size=2, unique=True).map(sorted)
    return [
        {"name": f"s{number}", "start": f"{start} 8 * * *", "end": f"{end} 8 * * *", **given}
        for number, (given, (start, end)) in enumerate((each, draw(times)) for each in bounds)
    ]


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Policies that let their service sleep, with rules or without."""
    return written(
        *draw(st.sampled_from([(), (HIGH, LOW)])),
        least=draw(st.integers(1, 3)),
        most=draw(st.integers(3, 8)),
        schedules=draw(schedules()),
        on_deploy=draw(st.sampled_from(["restore", "accept"])),
        fallback={"after": "3m", "replicas": 3},
    )


EVENTS = st.lists(
    st.tuples(
        st.integers(8, 60),
        st.one_of(
            st.tuples(st.just("scale"), st.integers(0, 5)),
            st.tuples(st.just("deploy"), st.integers(1, 5)),
            st.tuples(st.just("cpu"), st.sampled_from([10, 50, 90])),
            st.tuples(st.sampled_from(["restart", "lose", "find"]), st.just(0)),
        ),
    ),
    max_size=6,
)


@given(policies(), EVENTS)
@example(
    written(least=2, most=2, schedules=[{"name": "s", "start": "10 8 * * *", "end": "20 8 * * *"} | BOUNDS[0]]), []
)
def test_the_count_is_within_the_bounds_in_force_and_an_operator_s_0_stays(
    policy: Policy, events: list[tuple[int, tuple[str, int]]]
) -> None:
    """Whatever others do: outside the gates the bounds hold, and only what somebody else stopped stays stopped."""
    world = World(policy)
    world.service(replicas=3)
    world.settle()
    stopped = False
    for minute in range(8, 61):
        for when, (what, value) in events:
            if when == minute:
                before = world.replicas()
                _do(world, what, value)
                if what in {"scale", "deploy"} and value != before:
                    stopped = value == 0
        world.clock.time += 60 - STEP
        evaluation = world.next()
        record = only(evaluation)
        decision, bounds = record.decision, policy.bounds(record.decision.at)
        assert (decision.primary.reason is Reason.SCALED_TO_ZERO) == (stopped and bounds.min > 0), record
        if decision.primary.reason not in GATES:
            assert world.replicas() == bounds.clamp(world.replicas()), record
        if bounds.asleep and world.replicas() == 0:
            # Nothing is reported of a service that sleeps.
            assert record.outcome is not Outcome.HELD, record
            assert decision.judged


def _do(world: World, what: str, value: int) -> None:
    match what:
        case "scale":
            world.engine.operator_scale("web", value)
        case "deploy":
            world.deploy(replicas=value)
        case "cpu":
            world.load["web", "cpu"] = value
        case "restart":
            world.restart()
        case "lose":
            world.prometheus.lose("web")
        case _:
            world.prometheus.find("web")


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """What may be seen of a service at some minute of that hour, after a deploy or without data, say."""
    requested = draw(st.integers(0, 9))
    cpu = draw(st.sampled_from([None, 5.0, 50.0, 95.0]))
    seen = observation(
        requested,
        running=draw(st.integers(0, requested)),
        windows={} if cpu is None else {"cpu": steady(cpu)},
        at=NOW + draw(st.integers(0, 59)) * 60.0,
    )
    return replace(seen, lowered_from=draw(st.sampled_from([None, 7])), asleep=draw(st.booleans()))


@given(policies(), observations())
def test_a_decision_in_the_night_asks_nobody(policy: Policy, seen: Observation) -> None:
    """Where a schedule lets the service sleep, the count is 0, whatever runs, was deployed, or is known."""
    bounds = policy.bounds(seen.at)
    decision = decide(policy, seen, History(judged_at=seen.at - 3600))
    if bounds.asleep:
        assert (decision.desired, decision.recommendations, decision.held) == (0, (), False)
        assert {why.reason for why in decision.reasons} == {Reason.SCHEDULE_BOUNDS}
    elif decision.primary.reason not in GATES:
        assert decision.desired == bounds.clamp(decision.desired)
