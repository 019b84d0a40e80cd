"""Random cases of a decision: policies that mix all strategies and behaviours, anything that is seen, any past."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from autoscaler.core.model import History, Observation, Recommended, ScaleEvent
from tests.support.builders import NOW, observation, window, written

if TYPE_CHECKING:
    from autoscaler.core.window import Window
    from autoscaler.policy.policy import Policy

MOST = 12
METRICS = ("cpu", "memory", "queue")

metrics = st.sampled_from(METRICS)
look_backs = st.sampled_from(["0s", "15s", "30s", "50s"])
changes: st.SearchStrategy[int | str] = st.sampled_from([1, 2, 5, "20%", "50%", "100%"])
samples = st.sampled_from([0.0, 10, 29, 31, 50, 59, 61, 69, 71, 95, 120, nan, inf])


# Policies that mix all strategies and behaviours


def windowed(draw: st.DrawFn) -> dict[str, Any]:
    """What a rule that looks back is written with."""
    lasting = draw(look_backs)
    return {"metric": draw(metrics), "for": lasting}


@st.composite
def adding(draw: st.DrawFn) -> dict[str, Any]:
    """A threshold or steps that add replicas above a bound, the more the further."""
    rule = windowed(draw) | {"above": draw(st.sampled_from([30, 60, 70, 90]))}
    if draw(st.booleans()):
        at_least = {"at_least": draw(st.sampled_from(["50%", "80%", "100%"]))} if rule["for"] != "0s" else {}
        return rule | at_least | {"add": draw(changes)}
    first, second, third = sorted(draw(st.lists(st.integers(1, 6), min_size=3, max_size=3)))
    steps = [{"upper": 5, "add": first}, {"lower": 5, "upper": 25, "add": second}, {"lower": 25, "add": third}]
    return rule | {"strategy": "steps", "steps": steps}


@st.composite
def removing(draw: st.DrawFn) -> dict[str, Any]:
    """A threshold or steps that remove replicas below a bound, the more the further."""
    rule = windowed(draw) | {"below": draw(st.sampled_from([20, 30, 50, 70]))}
    if draw(st.booleans()):
        return rule | {"remove": draw(changes)}
    far, near = sorted(draw(st.lists(st.integers(1, 6), min_size=2, max_size=2)), reverse=True)
    return rule | {"strategy": "steps", "steps": [{"upper": -15, "remove": far}, {"lower": -15, "remove": near}]}


@st.composite
def counting(draw: st.DrawFn) -> dict[str, Any]:
    """A target, or a table whose counts rise and that says something of every value from 0 on."""
    if draw(st.booleans()):
        tolerance = draw(st.sampled_from(["0%", "10%", "50%"]))
        return {
            "metric": draw(metrics),
            "strategy": "target",
            "target": draw(st.sampled_from([0.1, 30, 60])),
            "tolerance": tolerance,
        }
    values = sorted(draw(st.sets(st.integers(1, 130), max_size=4)))
    counts = sorted(draw(st.lists(st.integers(0, MOST + 3), min_size=len(values) + 1, max_size=len(values) + 1)))
    return {"metric": draw(metrics), "strategy": "table", "table": dict(zip([0, *values], counts, strict=True))}


@st.composite
def exact(draw: st.DrawFn) -> dict[str, Any]:
    """Steps to an exact count."""
    rule = windowed(draw) | {"strategy": "steps", "steps": [{"exactly": draw(st.integers(0, MOST))}]}
    return rule | ({"above": 60} if draw(st.booleans()) else {"below": 40})


@st.composite
def behaviours(draw: st.DrawFn) -> dict[str, Any]:
    """Cooldown, stabilization, limits and their selection in one direction."""
    one = st.one_of(
        st.fixed_dictionaries({"replicas": st.integers(1, 5), "per": st.sampled_from(["15s", "1m", "2m"])}),
        st.fixed_dictionaries(
            {"percent": st.sampled_from([10, 50, 100, 200]), "per": st.sampled_from(["15s", "1m", "2m"])}
        ),
    )
    return {
        "cooldown": draw(st.sampled_from(["0s", "0s", "1m", "3m"])),
        "stabilization": draw(st.sampled_from(["0s", "0s", "30s", "2m"])),
        "limits": draw(st.lists(one, max_size=3)),
        "select": draw(st.sampled_from(["max", "max", "min", "disabled"])),
    }


@st.composite
def mixed(draw: st.DrawFn, /, rules: st.SearchStrategy[list[dict[str, Any]]], **keys: Any) -> Policy:
    """A policy of these *rules* under any behaviour."""
    named = [{"name": f"r{index}", **rule} for index, rule in enumerate(draw(rules))]
    least = keys.pop("least", None)
    least = draw(st.integers(0, 4)) if least is None else least
    most = keys.pop("most", None) or draw(st.integers(max(1, least), MOST))
    return written(
        *named,
        least=least,
        most=most,
        scale_up=draw(behaviours()),
        scale_down=draw(behaviours()),
        flap_guard=draw(st.booleans()),
        paused=draw(st.sampled_from([False, False, False, True, "up", "down"])),
        **keys,
    )


def grouped(rule: dict[str, Any], group: str | None) -> dict[str, Any]:
    """*rule* in a group, where one is given."""
    return rule | ({"group": group} if group else {})


any_rule = st.builds(grouped, adding() | removing() | counting() | exact(), st.sampled_from([None, None, "a", "b"]))
policies = mixed(st.lists(any_rule, min_size=1, max_size=4))
one_removes = st.tuples(st.lists(adding(), max_size=2), removing()).map(lambda both: [*both[0], both[1]])
some_count = st.tuples(st.lists(adding(), max_size=2), st.lists(counting(), min_size=1, max_size=3)).map(
    lambda both: [*both[0], *both[1]]
)
monotone_policies = mixed(one_removes | some_count)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """A window of any length, with holes, of an average or a total, that may count its tasks."""
    values = draw(
        st.lists(samples, max_size=6)
        | st.lists(st.sampled_from([95.0, 120]), min_size=5, max_size=6)
        | st.lists(st.sampled_from([0.0, 10, 15]), min_size=5, max_size=6)
    )
    tasks = draw(st.none() | st.lists(st.integers(3, 5), min_size=len(values), max_size=len(values)))
    total = draw(st.booleans())
    held = window(values, reporting=tasks, owed=draw(st.sampled_from([None, None, 5])))
    return replace(held, redistributes=draw(st.booleans()), total=total, averaged=not total)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Anything that may be seen of a service."""
    return observation(
        draw(st.integers(0, MOST + 4)),
        windows=draw(st.fixed_dictionaries({}, optional={metric: windows() for metric in METRICS})),
        running=draw(st.integers(0, MOST + 4)),
        mode=draw(st.sampled_from(["replicated"] * 9 + ["global"])),
        rollout=draw(st.sampled_from([""] * 5 + ["a rolling update is in progress"])),
        stuck=draw(st.booleans()),
    )


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Changes and recommendations around `NOW`."""
    ages = st.sampled_from([-30, 0, 14, 15, 59, 60, 100, 119, 120, 400])
    made = draw(st.lists(st.tuples(ages, st.integers(0, MOST)), max_size=5))
    changed = draw(st.lists(st.tuples(ages, st.integers(0, 6), st.integers(0, 6)), max_size=4))
    events = {ScaleEvent(NOW - ago, before, after) for ago, before, after in changed if before != after}
    return History(tuple(sorted(events)), tuple(sorted(Recommended(NOW - ago, count) for ago, count in made)))
