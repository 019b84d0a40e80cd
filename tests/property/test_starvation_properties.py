"""The law of starvation: what a starved task uses is no calm, which holds removals by cpu and nothing else."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from typing import TYPE_CHECKING, Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from autoscaler.core.model import History, Observation
from autoscaler.core.reasons import Reason
from autoscaler.metrics.queries import BUSY, WAITS
from autoscaler.metrics.sample_cache import SampleCache
from autoscaler.metrics.starvation import Starvation, looks_back
from autoscaler.ports import Series
from autoscaler.swarm.cluster import ServiceView, TaskView
from autoscaler.swarm.placement import NodeView
from tests.support.builders import NOW, STEP, observation, window, written
from tests.support.deciding import decide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.policy.policy import Policy

settings.register_profile("shared-cores", deadline=None)
settings.load_profile("shared-cores")

RATE = 4 * STEP
ROWS = 12
NODES = ("id1", "id2", "id3")
STRATEGIES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"below": 30, "remove": 1},
        {"below": 60, "for": "1m", "remove": "50%"},
        {"below": 40, "for": "1m", "at_least": "50%", "remove": 2},
        {"above": 70, "for": "30s", "add": 1},
        {"strategy": "target", "target": 60},
        {
            "strategy": "steps",
            "below": 50,
            "steps": [{"upper": -20, "remove": 2}, {"lower": -20, "upper": 0, "remove": 1}],
        },
        {"strategy": "table", "table": {0: 1, 20: 2, 60: 5}},
    ]
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """A policy of rules on cpu, and perhaps one on memory, with all that acts beside rules."""
    rules = [{**rule, "metric": "cpu"} for rule in draw(st.lists(STRATEGIES, min_size=1, max_size=3))]
    rules += [{**rule, "metric": "memory"} for rule in draw(st.lists(STRATEGIES, max_size=1))]
    least = draw(st.integers(0, 4))
    keys: dict[str, Any] = {}
    if draw(st.booleans()):
        keys["schedules"] = [
            {"name": "s", "start": "0 0 * * *", "end": "0 23 * * *", "timezone": "UTC", "min": draw(st.integers(1, 6))}
        ]
    if draw(st.booleans()):
        keys["scale_up"] = {"give_back": "1m"}
    named = [{"name": f"r{number}", **rule} for number, rule in enumerate(rules)]
    return written(*named, least=least, most=draw(st.integers(max(1, least), 9)), flap_guard=False, **keys)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Any load, with replicas that find no room, or that a deploy took."""
    values = st.floats(0, 150)
    kinds = st.lists(values, min_size=ROWS, max_size=ROWS) | values.map(lambda value: [value] * ROWS)
    requested = draw(st.integers(1, 9))
    waiting = draw(st.integers(0, 1))
    seen = observation(
        requested,
        windows={metric: window(draw(kinds)) for metric in ("cpu", "memory")},
        running=requested - waiting,
        unplaced_since=(NOW - 100.0,) * waiting,
    )
    return replace(seen, lowered_from=draw(st.sampled_from([None, 5])))


def starved(on: str, back: int, share: float, kind: str) -> tuple[Starvation, ServiceView]:
    """What is known of the service `web`, one of whose nodes was last starved *back* steps ago."""
    tasks = tuple(TaskView(node, "running", 0.0, on_ready_node=True, node=node) for node in NODES)
    view = ServiceView("web", "web", 1, "replicated", len(tasks), 0.0, 0.0, tasks=tasks)
    values = [share if row == ROWS - 1 - back else nan for row in range(ROWS)]
    cache = SampleCache(STEP, ROWS)
    key = f"{kind} {on} a:8080 web"
    first = NOW - (ROWS - 1) * STEP
    cache.merge({key: Series(values)}, first, NOW)
    starvation = Starvation(RATE)
    starvation.note(cache, NOW, {"web": view}, [NodeView(node, node) for node in NODES], float(NOW))
    return starvation, view


def doubted(seen: Observation, starvation: Starvation, view: ServiceView) -> Observation:
    """*seen* as an evaluation sees it that knows of starvation."""
    cpu = seen.windows["cpu"]
    doubt = starvation.doubt(view, cpu)
    assert doubt is not None
    windows: Mapping[str, Any] = {**seen.windows, "cpu": replace(cpu, doubts=(*cpu.doubts, doubt))}
    return replace(seen, windows=windows)


@given(policies(), observations(), st.sampled_from(NODES), st.sampled_from([BUSY, WAITS]), st.floats(0.1, 1.1))
def test_no_removal_by_cpu_on_a_starved_node_and_all_else_as_without(
    policy: Policy, seen: Observation, node: str, kind: str, share: float
) -> None:
    """Whatever the values say, no rule removes; every count that is not lower than what is asked for stays the same.

    What is due besides the rules, bounds, schedules, restores, replicas given back, is what it is without any rule.
    """
    assume(looks_back(policy) is not None)
    without = decide(policy, seen, History())

    decision = decide(policy, doubted(seen, *starved(node, 0, share, kind)), History())

    assert decision.recommended >= seen.requested
    if without.recommended >= seen.requested:
        assert (decision.desired, decision.primary) == (without.desired, without.primary)
    else:
        silent = decide(policy, replace(seen, windows={}), History())
        assert decision.desired == silent.desired
        assert Reason.STARVED in {why.reason for why in decision.reasons}


@given(policies(), observations(), st.integers(0, ROWS - 1))
def test_a_window_is_doubted_as_long_as_a_sample_of_it_tells_of_a_starved_moment(
    policy: Policy, seen: Observation, back: int
) -> None:
    """A sample tells of one rate window before it: a rule that looks back no further than that judges freely."""
    assume(looks_back(policy) is not None)
    without = decide(policy, seen, History())
    assume(without.recommended < seen.requested)
    furthest = max(rule.look_back for rule in policy.rules if rule.metric == "cpu")

    decision = decide(policy, doubted(seen, *starved(NODES[0], back, 1.0, BUSY)), History())

    held = Reason.STARVED in {why.reason for why in decision.reasons}
    assert held is (furthest + RATE > back * STEP)
    assert decision.recommended == (seen.requested if held else without.recommended)
