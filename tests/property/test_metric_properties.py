from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from math import ceil, inf, isfinite, nan
from typing import TYPE_CHECKING, Any
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.core.model import Direction, History, Observation, Recommended, ScaleEvent
from autoscaler.core.reasons import Reason
from autoscaler.errors import BackendError, RefusedError, UnreachableError
from autoscaler.metrics.queries import MetricSettings, query_of
from autoscaler.metrics.windows import MetricWindows, Needed
from autoscaler.policy.metric import PROMETHEUS, Metric, with_built_in
from autoscaler.ports import Series
from autoscaler.swarm.cluster import ServiceView, TaskView
from autoscaler.swarm.history import ServiceHistory, look
from autoscaler.util.deadline import Deadline
from tests.support.builders import NOW, STEP, FakeService, observation, steady, window, written
from tests.support.deciding import decide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.core.window import Window
    from autoscaler.policy.guards import Guard
    from autoscaler.policy.policy import Policy
    from autoscaler.ports import Query


MOST = 12
WARMUP = 30
SETTINGS = MetricSettings(scrape_interval=STEP, rate_window=4 * STEP, warmup=WARMUP)

metrics = st.sampled_from(["cpu", "queue", "pool"])
look_backs = st.sampled_from(["0s", "15s", "30s", "50s"])
samples = st.sampled_from([0.0, 5, 10, 29, 31, 50, 69, 71, 95, 120, nan, inf])

# decisions


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    """A rule of any built-in strategy on any metric."""
    rule: dict[str, Any] = {"metric": draw(metrics)}
    change = draw(st.sampled_from([1, 3, "50%"]))
    match draw(st.sampled_from(["high", "low", "target", "table", "steps"])):
        case "high":
            return rule | {"above": draw(st.sampled_from([30, 70])), "for": draw(look_backs), "add": change}
        case "low":
            return rule | {"below": draw(st.sampled_from([30, 70])), "for": draw(look_backs), "remove": change}
        case "target":
            return rule | {"strategy": "target", "target": draw(st.sampled_from([10, 60]))}
        case "table":
            return rule | {"strategy": "table", "table": {0: draw(st.integers(0, MOST)), 60: draw(st.integers(0, 15))}}
        case _:
            exactly = {"exactly": draw(st.integers(0, MOST))}
            return rule | {"strategy": "steps", "below": 60, "for": draw(look_backs), "steps": [exactly]}


@st.composite
def guards(draw: st.DrawFn) -> dict[str, Any]:
    """A guard on any metric."""
    bound = {draw(st.sampled_from(["above", "below"])): draw(st.sampled_from([30, 70]))}
    missing = draw(st.sampled_from([{}, {"on_missing": "block"}, {"on_missing": "allow"}]))
    block = draw(st.sampled_from(["up", "down", "both"]))
    return {"metric": draw(metrics), "for": draw(look_backs), "block": block, **bound, **missing}


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """A policy with guards and a fallback, and whatever else may shape a count."""
    least = draw(st.integers(0, 4))
    most = draw(st.integers(max(1, least), MOST))
    keys: dict[str, Any] = {}
    if draw(st.booleans()):
        keys["fallback"] = {"after": draw(st.sampled_from(["0s", "5m"])), "replicas": draw(st.integers(1, most))}
    if draw(st.booleans()):
        night = {"name": "night", "start": "0 0 * * *", "end": "59 23 * * *", "timezone": "UTC"}
        keys["schedules"] = [{**night, "max": draw(st.integers(1, MOST))}]
    return written(
        *({"name": f"r{index}", **rule} for index, rule in enumerate(draw(st.lists(rules(), min_size=1, max_size=3)))),
        least=least,
        most=most,
        guards=[{"name": f"g{index}", **guard} for index, guard in enumerate(draw(st.lists(guards(), max_size=2)))],
        scale_up={"cooldown": draw(st.sampled_from(["0s", "0s", "3m"]))},
        scale_down={"cooldown": "0s", "stabilization": draw(st.sampled_from(["0s", "0s", "2m"]))},
        paused=draw(st.sampled_from([False, False, False, "up", "down"])),
        **keys,
    )


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """A window with holes and missing tasks, of an average, a maximum or a total."""
    values = draw(
        st.lists(samples, max_size=7)
        | st.lists(st.sampled_from([95.0, 120]), min_size=6, max_size=7)
        | st.lists(st.sampled_from([0.0, 5, 10]), min_size=6, max_size=7)
    )
    held = window(values)
    if draw(st.booleans()):
        tasks = draw(st.lists(st.integers(1, 5), min_size=len(values), max_size=len(values)))
        held = window(values, reporting=tasks, owed=draw(st.integers(0, 5)))
    kinds: list[dict[str, Any]] = [{}, {"averaged": False}, {"averaged": False, "total": True}, {"redistributes": True}]
    kind = draw(st.sampled_from(kinds))
    return replace(held, share=draw(st.sampled_from([1.0, 0.6])), **kind)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Anything that may be seen of a service."""
    requested = draw(st.integers(0, MOST + 3))
    return observation(
        requested,
        windows=draw(st.dictionaries(metrics, windows())),
        running=draw(st.sampled_from([requested, requested, draw(st.integers(0, MOST + 3))])),
        rollout=draw(st.sampled_from([""] * 6 + ["updating"])),
        stuck=draw(st.booleans()),
    )


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Changes, recommendations and judgements before `NOW`."""
    ago = st.sampled_from([0, 15, 100, 200])
    events = [ScaleEvent(NOW - draw(ago), 2, 3)] if draw(st.booleans()) else []
    made = [Recommended(NOW - draw(ago), draw(st.integers(0, MOST)))] if draw(st.booleans()) else []
    return History(tuple(events), tuple(made), draw(st.sampled_from([None, NOW - 299, NOW - 300, NOW - 9999])))


def blocks(guard: Guard, direction: Direction, held: Window | None) -> bool:
    """Whether the guard forbids the direction, restated."""
    if guard.block not in (direction.value, "both"):
        return False
    if held is None or held.lacking(guard.for_) is not None:
        return guard.on_missing == "block" if guard.on_missing else direction is Direction.DOWN
    beyond = held.span(guard.for_)
    return all(value > guard.above if guard.above is not None else value < (guard.below or 0) for value in beyond)


def due(policy: Policy, seen: Observation, history: History) -> int:
    """What is to be had whatever the rules say: the bounds, and the fallback where every rule is blind."""
    count = seen.requested
    if policy.fallback is not None and history.judged_at is not None:
        blind = all(said.lacks_data for said in decide(policy, seen, history).recommendations)
        if blind and seen.at - history.judged_at >= policy.fallback.after:
            count = max(count, policy.fallback.replicas)
    return policy.bounds(seen.at).clamp(count)


def lacks(policy: Policy, seen: Observation) -> bool:
    """Whether any rule's window is not complete with all its tasks."""
    held = [(rule, seen.windows.get(rule.metric)) for rule in policy.rules]
    return any(each is None or each.lacking(rule.look_back) is not None for rule, each in held)


@given(policies(), observations(), histories())
def test_never_past_a_guard(policy: Policy, seen: Observation, history: History) -> None:
    """While a guard blocks a direction, the count goes no further that way than bounds and fallback demand."""
    decision = decide(policy, seen, history)

    for guard in policy.guards:
        held = seen.windows.get(guard.metric)
        if blocks(guard, Direction.UP, held):
            assert decision.desired <= max(seen.requested, due(policy, seen, history))
        if blocks(guard, Direction.DOWN, held):
            assert decision.desired >= min(seen.requested, due(policy, seen, history))


@given(policies(), observations(), histories())
def test_a_guard_only_takes_back(policy: Policy, seen: Observation, history: History) -> None:
    """A guard brings no change of its own: the count lies between what it were without guards and what is due."""
    free = decide(policy.model_copy(update={"guards": ()}), seen, history)
    decision = decide(policy, seen, history)

    told = Reason.GUARD in [why.reason for why in decision.reasons]
    if told:
        assert decision.desired == due(policy, seen, history)
        nearest = sorted((free.desired, due(policy, seen, history), seen.requested))
        assert nearest[0] <= decision.desired <= nearest[2]
        assert any(blocks(each, way, seen.windows.get(each.metric)) for each in policy.guards for way in Direction)
    else:
        assert decision.desired == free.desired


@given(policies(), observations(), histories(), st.data())
def test_losing_a_guards_data_never_shrinks(
    policy: Policy, seen: Observation, history: History, data: st.DataObject
) -> None:
    """A guard that loses its data lets a service shrink only where its `on_missing` says so."""
    watched = [guard for guard in policy.guards if guard.on_missing != "allow" and guard.block != "up"]
    if not watched:
        return
    lost = data.draw(st.sampled_from(watched)).metric
    left = {name: held for name, held in seen.windows.items() if name != lost}

    decision = decide(policy, replace(seen, windows=left), history)

    assert decision.desired >= min(seen.requested, policy.bounds(seen.at).max)


@given(policies(), observations(), histories())
def test_the_fallback_never_lowers(policy: Policy, seen: Observation, history: History) -> None:
    """With a fallback the count is never lower than without, and another one only where every rule is blind."""
    without = decide(policy.model_copy(update={"fallback": None}), seen, history)
    decision = decide(policy, seen, history)

    assert decision.desired >= without.desired
    if decision.judged or history.judged_at is None:
        assert decision == without
    if decision.desired > without.desired:
        assert policy.fallback is not None
        assert decision.desired <= policy.fallback.replicas
        assert Reason.FALLBACK in [why.reason for why in decision.reasons]


@given(policies(), observations(), histories())
def test_never_lowered_without_complete_data(policy: Policy, seen: Observation, history: History) -> None:
    """The count falls only with complete data of every rule, or to the maximum in force."""
    decision = decide(policy, seen, history)

    if decision.desired < seen.requested and lacks(policy, seen):
        assert decision.desired == policy.bounds(seen.at).max


@given(policies(), observations(), histories())
def test_in_bounds(policy: Policy, seen: Observation, history: History) -> None:
    """Where no gate is closed the count ends within the bounds in force, guards, fallback and missing data included."""
    seen = replace(seen, rollout="", requested=max(seen.requested, min(1, policy.replicas.min)))
    policy = policy.model_copy(update={"paused": False})
    bounds = policy.bounds(seen.at)

    assert bounds.min <= decide(policy, seen, history).desired <= bounds.max


@given(policies(), observations(), histories())
def test_deterministic(policy: Policy, seen: Observation, history: History) -> None:
    """The same inputs give the same decision."""
    assert decide(policy, seen, history) == decide(*deepcopy((policy, seen, history)))


# time and the fallback

TICKS = 40


@given(
    st.lists(st.booleans(), min_size=TICKS, max_size=TICKS),
    st.sets(st.integers(0, TICKS - 1), max_size=3),
    st.sampled_from([0, STEP, 4 * STEP]),
)
def test_the_fallback_comes_when_its_time_is_over(seen_at: list[bool], restarts: set[int], after: int) -> None:
    """Whatever data come and go, the fallback comes exactly when no rule could judge for its time, as far as known."""
    high = {"name": "high", "metric": "cpu", "above": 90, "for": "30s", "add": 1}
    policy = written(high, fallback={"after": f"{after}s", "replicas": 5})
    memory: ServiceHistory | None = None
    known = 0
    for tick, data in enumerate(seen_at):
        at = float(NOW + tick * STEP)
        service = FakeService(3, NOW - 86_400)
        if tick in restarts:
            memory = None
        if memory is None:
            known = tick
        memory, _ = look(service.view(), memory, at)
        decision = decide(policy, observation(3, at=at, windows={"cpu": steady(50)} if data else {}), memory.history)
        memory = memory.with_decision(decision, 0)

        if data:
            known = tick
        assert decision.desired == (5 if not data and (tick - known) * STEP >= after else 3)


# windows


@dataclass
class Truth:
    """A metric source whose every sample tells what was asked, and when it is of."""

    errors: dict[str, BackendError] = field(default_factory=dict)
    """What the query for a service raises; a query for all by its expression."""
    tasks: Mapping[int, int] = field(default_factory=dict)
    """How many tasks report at a time; none at all others."""

    def clock_offset(self, now: float, deadline: Deadline) -> float:  # noqa: ARG002 - the port's signature
        """No offset."""
        return 0.0

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> dict[str, Series]:  # noqa: ARG002 - the port's signature
        """The truth at each step."""
        for key in (query.service, query.expression):
            if key in self.errors:
                raise self.errors[key]
        times = range(start, end + 1, step)
        whose = ("web", "api") if query.by else (query.service,)
        counts = [self.tasks.get(at, 0) for at in times] if query.counts_tasks else None
        return {service: Series([truth(query, service, at) for at in times], counts) for service in whose}


def truth(query: Query, service: str, at: int) -> float:
    """A number that no other query, service or time has."""
    return float(at * 1000 + crc32(f"{query.expression} {query.by} {service}".encode()) % 1000)


def view(name: str, *since: float) -> ServiceView:
    """A service whose tasks run since these moments."""
    tasks = tuple(TaskView(f"{name}{number}", "running", at, on_ready_node=True) for number, at in enumerate(since))
    return ServiceView(name, name, 1, "replicated", len(tasks), NOW - 86_400, NOW - 86_400, tasks=tasks)


KINDS: list[dict[str, Any]] = [
    {"query": "sum by (svc) (a)", "by": "svc"},
    {"query": "sum by (svc) (b)", "by": "svc"},
    {"query": "sum by (svc) (a)", "by": "svc", "step": "30s"},
    {"query": "sum by (svc) (a)", "by": "svc", "offset": "40s"},
    {"query": 'sum(a{svc="$service"})'},
    {"query": 'sum(a{svc="$service"})', "step": "1m", "offset": "10s"},
    {"query": "sum(a)"},
]
happenings = st.tuples(
    st.sampled_from(KINDS),
    st.sampled_from(["0s", "30s", "2m"]),
    st.sets(st.sampled_from(["web", "api", "db"]), min_size=1),
    st.sampled_from([0, 7, STEP, STEP, STEP, 4 * STEP, 600, -STEP, -600]),
    st.sampled_from([None, None, None, RefusedError("no"), UnreachableError("away")]),
    st.sampled_from(["web", "sum by (svc) (a)", "sum(a)"]),
)


@given(st.lists(happenings, min_size=1, max_size=12))
def test_whatever_happens_a_window_shows_the_truth_or_nothing(story: list[Any]) -> None:
    """Through reloads, outages, services that come and go and clocks that jump no sample is ever taken for another.

    Where the clocks were set back nothing is new until they are beyond the newest sample that was seen.
    """
    source = Truth()
    held = MetricWindows({PROMETHEUS: source}, SETTINGS, STEP)
    now, seen = float(NOW), -inf
    for keys, lasting, services, passed, error, where in story:
        now += passed
        known = with_built_in({"load": Metric.model_validate(keys)})
        policy = written({"name": "r", "metric": "load", "above": 1, "for": lasting, "add": 1})
        source.errors = {where: error} if error else {}
        needed = [Needed(view(name, NOW - 9999.0), policy) for name in sorted(services)]

        problems = held.refresh(needed, known, now, Deadline(60))

        metric = known["load"]
        for item in needed:
            name = item.view.name
            query = query_of("load", metric, SETTINGS, name)
            shown, _ = held.of(item.view, policy, known)
            if "load" not in shown:
                assert problems or (metric.by and name == "db")
                continue
            one = shown["load"]
            times = range(one.end - (len(one.values) - 1) * one.step, one.end + 1, one.step)
            if seen - now > 2:  # a clock is known to about a second
                assert problems
                assert one.newest is None
            if one.newest is not None or not problems:
                assert now - metric.offset - one.step < one.end <= now - metric.offset
            whose = "" if metric.one_value else name
            for at, value in zip(times, one.values, strict=True):
                assert not isfinite(value) or value == truth(query, whose, at)
            if not problems:
                assert one.lacking(policy.rules[0].look_back) is None
                seen = max(seen, one.end + metric.offset)


@given(
    st.lists(st.integers(0, 4), min_size=12, max_size=12),
    st.lists(st.integers(0, 12 * STEP + WARMUP), min_size=1, max_size=4),
    st.sampled_from(["0s", "15s", "40s", "2m"]),
    st.sampled_from(["100%", "80%", "50%"]),
    st.sampled_from(["0s", "15s", "45s"]),
)
def test_a_sample_is_whole_when_the_tasks_that_owe_it_report(
    reporting: list[int], ages: list[int], offset: str, share: str, lasting: str
) -> None:
    """Restated on times: a sample counts when so many tasks are behind it as ran warm at its time, or that part.

    To remove one, as many must be behind the newest as ran at all: it may be a young one that reports.
    """
    metric = Metric.model_validate(
        {"query": "load", "by": "svc", "task": "pod", "offset": offset, "reporting": share, "kind": "total"}
    )
    end = (NOW - metric.offset) // STEP * STEP
    times = [end - ago * STEP for ago in reversed(range(len(reporting)))]
    source = Truth(tasks=dict(zip(times, reporting, strict=True)))
    policy = written({"name": "r", "metric": "load", "below": 1e15, "for": lasting, "remove": 1})
    known = with_built_in({"load": metric})
    service = view("web", *(float(NOW - age) for age in ages))
    held = MetricWindows({PROMETHEUS: source}, SETTINGS, STEP)
    held.refresh([Needed(service, policy)], known, NOW, Deadline(60))
    shown, _ = held.of(service, policy, known)

    decision = decide(policy, observation(len(ages), windows=shown), History())

    whole = {}
    for at, count in zip(times, reporting, strict=True):
        owed = sum(NOW - age + WARMUP <= at for age in ages)
        whole[at] = count >= ceil(round(owed * metric.reporting, 6))
    look_back = policy.rules[0].look_back
    oldest = next((at for at in (end - look_back, end - look_back - STEP) if whole[at]), None)
    complete = whole[end] and oldest is not None
    if complete and oldest is not None:
        between = range(oldest, end, STEP)
        complete = all(whole[at] or whole[at + STEP] for at in between)
    ran = sum(NOW - age <= end for age in ages)
    certain = reporting[-1] >= ceil(round(ran * metric.reporting, 6))
    opinion = decision.recommendations[0]
    assert (not opinion.lacks_data and opinion.doubt is None) == (complete and certain)
    assert complete or decision.desired == len(ages)
