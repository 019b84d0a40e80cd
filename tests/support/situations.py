"""Situations that an explanation must make clear, one for each reason and each gate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoscaler.core.model import BY_OPERATOR, Direction, History, Outcome, Recommended, ScaleEvent, ScaleUpStreak
from autoscaler.core.reasons import Reason
from autoscaler.core.window import Doubt
from autoscaler.explanation.explain import explain
from autoscaler.explanation.situation import Situation
from autoscaler.policy.places import Places
from autoscaler.views.explanations import explanation_document
from autoscaler.views.story import render_story
from tests.support.builders import MISSING, NOW, STEP, observation, steady, window, written
from tests.support.deciding import decide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.core.model import Observation
    from autoscaler.core.window import Window
    from autoscaler.policy.policy import Policy
    from autoscaler.views.explanations import ExplanationDocument

HIGH = {"name": "cpu-high", "metric": "cpu", "above": 70, "for": "45s", "add": 2}
LOW = {"name": "cpu-low", "metric": "cpu", "below": 25, "for": "3m", "remove": 1}
MEMORY = {"name": "memory-high", "metric": "memory", "above": 80, "for": "1m", "add": 1}
TARGET = {"name": "cpu-target", "metric": "cpu", "strategy": "target", "target": 50}
STEPS = {
    "name": "queue-steps",
    "metric": "queue",
    "strategy": "steps",
    "above": 100,
    "for": "30s",
    "steps": [{"upper": 100, "add": 1}, {"lower": 100, "add": 3}],
}
TABLE = {"name": "queue-table", "metric": "queue", "strategy": "table", "table": {0: 2, 100: 4, 500: 6}}
PLACES = Places(
    "/policies/shop.yml",
    {
        "": 14,
        "replicas/min": 16,
        "replicas/max": 17,
        "rules": 18,
        "rules/cpu-high": 19,
        "rules/cpu-low": 20,
        "rules/memory-high": 21,
        "scale_up/cooldown": 23,
        "scale_down/cooldown": 25,
        "schedules/night": 27,
        "guards": 29,
    },
)
GROWN = History(
    (
        ScaleEvent(NOW - 900, 2, 3, by_others=True, reason=BY_OPERATOR),
        ScaleEvent(NOW - 105, 3, 4, reason="above_threshold", rule="cpu-high"),
    )
)
NEW = History()
NIGHT = {"name": "night", "start": "0 0 * * *", "end": "0 12 * * *"}


def shop(*rules: Mapping[str, Any], **keys: Any) -> Policy:
    """The policy of a shop, with three rules by default."""
    keys = {"least": 2, "most": 6, **keys}
    return written(*(rules or (HIGH, LOW, MEMORY)), **keys).model_copy(update={"name": "checkout"})


def at(cpu: float | Window = 50, memory: float | Window = 41, *, count: int = 4, **facts: Any) -> Observation:
    """The shop with these values for the last minutes."""
    windows = {"cpu": _window(cpu, "the limit of 0.5 cores"), "memory": _window(memory, "256 MiB")}
    seen = observation(count, windows=windows | facts.pop("more", {}), **facts)
    return replace(seen, service="shop_checkout")


def _window(value: float | Window, base: str) -> Window:
    shown = value if not isinstance(value, (int, float)) else steady(value, 20)
    return replace(shown, base=base, redistributes=base.startswith("the limit"))


def rising(*values: float) -> Window:
    """A window that was low and then had *values*."""
    return window((10.0,) * (20 - len(values)) + values)


def situation(
    policy: Policy, seen: Observation, history: History = NEW, outcome: Outcome | None = None, standby: str = ""
) -> Situation:
    """What is known after the decision on that; a change is applied unless told otherwise."""
    seen = replace(seen, standby=standby)
    decision = decide(policy, seen, history)
    if outcome is None:
        outcome = Outcome.APPLIED if decision.changes else Outcome.HELD if decision.held else Outcome.UNCHANGED
    return Situation(policy, seen, history, decision, outcome, STEP, PLACES)


QUEUE = {"queue": replace(steady(150, 20), unit="jobs", total=True)}
COOL = {"scale_up": {"cooldown": "3m"}, "scale_down": {"cooldown": "5m"}}

SITUATIONS: dict[str, Situation] = {
    "above_threshold": situation(shop(**COOL), at(rising(95, 98, 99, 100))),
    "above_threshold_dry_run": situation(shop(**COOL), at(100), outcome=Outcome.DRY_RUN),
    "below_threshold": situation(shop(**COOL), at(10)),
    "above_target": situation(shop(TARGET), at(80)),
    "below_target": situation(shop(TARGET), at(20)),
    "within_tolerance": situation(shop(TARGET), at(52)),
    "step_matched": situation(shop(STEPS, LOW), at(50, more=QUEUE)),
    "table_value": situation(shop(TABLE), at(50, count=3, more=QUEUE)),
    "no_breach": situation(shop(**COOL), at(50), GROWN),
    "no_breach_rising": situation(shop(**COOL), at(rising(95, 98))),
    "no_breach_without_rules": situation(written(least=2, most=6, schedules=[{**NIGHT, "max": 3}]), at(count=3)),
    "no_data": situation(shop(), replace(at(), windows={})),
    "stale_data": situation(shop(LOW), at(window((10.0,) * 19 + (MISSING,)))),
    "partial_data": situation(shop(LOW), at(replace(steady(10, 20), reporting=(3,) * 20, owed=(4,) * 20))),
    "window_incomplete": situation(shop(LOW), at(window((10.0,) * 5))),
    "starved": situation(
        shop(LOW), at(replace(steady(10, 20), doubts=(Doubt(Reason.STARVED, NOW + 1, "its node has no CPU to spare"),)))
    ),
    "stabilized": situation(
        shop(LOW, scale_down={"stabilization": "5m"}), at(10), History(recommended=(Recommended(NOW - 100, 4),))
    ),
    "step_limited": situation(shop(HIGH, scale_up={"limits": [{"replicas": 1, "per": "2m"}]}), at(100), GROWN),
    "step_limited_disabled": situation(shop(HIGH, scale_up={"select": "disabled"}), at(100)),
    "would_flap": situation(shop(HIGH, {**LOW, "below": 60}), at(58)),
    "cooling_down": situation(shop(**COOL), at(rising(95, 98, 99, 100)), GROWN),
    "cooling_down_to_remove": situation(shop(**COOL), at(10), GROWN),
    "below_min": situation(shop(), at(50, count=1)),
    "above_max": situation(shop(), at(50, count=8)),
    "at_min": situation(shop(), at(10, count=2)),
    "at_max": situation(shop(), at(100, count=6)),
    "schedule_bounds_max": situation(shop(schedules=[{**NIGHT, "max": 4}]), at(100)),
    "schedule_bounds_min": situation(shop(schedules=[{**NIGHT, "min": 4}]), at(10)),
    "schedule_bounds_asleep": situation(
        shop(schedules=[{**NIGHT, "min": 0, "max": 0}]), replace(at(count=0), asleep=True, windows={})
    ),
    "paused": situation(
        shop(**COOL),
        replace(
            at(100),
            paused={Direction.UP: "paused by ana@m1 since 2027-01-15 07:50 UTC until 2027-01-15 08:10 UTC"},
            paused_until={Direction.UP: NOW + 600},
        ),
    ),
    "paused_without_end": situation(
        shop(), replace(at(100), paused={Direction.UP: "paused by ana@m1 since 2027-01-15 07:50 UTC: database moves"})
    ),
    "paused_by_policy": situation(shop(paused=True), at(100)),
    "rollout_in_progress": situation(shop(), at(100, rollout="a rolling update is in progress")),
    "rollout_settling": situation(
        shop(), replace(at(100), rollout="deployed 10s ago, settles for 30s", rollout_until=NOW + 20)
    ),
    "tasks_pending": situation(
        shop(), at(100, running=3, pending="no suitable node (insufficient resources on 3 nodes) since 40s")
    ),
    "tasks_pending_none_runs": situation(
        shop(), replace(at(running=0, pending="no suitable node since 40s"), windows={})
    ),
    "no_room": situation(shop(scale_up={"give_back": "10m"}), at(100), History(gave_back=NOW - 60)),
    "no_room_given_back": situation(
        shop(scale_up={"give_back": "10m"}),
        replace(at(50, running=3, pending="no suitable node"), unplaced_since=(NOW - 700.0,)),
        replace(GROWN, asked=2),
    ),
    "guard": situation(
        shop(guards=[{"name": "database", "metric": "db", "above": 80, "block": "up"}]),
        at(100, more={"db": steady(95)}),
    ),
    "not_leader": situation(shop(), at(100), standby="the lease is held by autoscaler.1"),
    "not_leader_calm": situation(shop(), at(50), standby="the lease is held by autoscaler.1"),
    "ineffective": situation(
        shop({**HIGH, "ineffective_after": 3}), at(100), History(streak=ScaleUpStreak("cpu-high", 3, 98.0))
    ),
    "scaled_to_zero": situation(shop(), at(count=0)),
    "restored_after_deploy": situation(shop(), replace(at(50, count=2), lowered_from=5)),
    "changed_externally": situation(
        shop(**COOL), replace(at(100, changed_externally="somebody else set 3 → 4")), GROWN
    ),
    "fallback": situation(
        shop(fallback={"after": "5m", "replicas": 6}), replace(at(), windows={}), History(judged_at=NOW - 400)
    ),
    "unsupported_mode": situation(shop(), at(100, mode="global")),
    "write_conflict": situation(shop(), at(100), outcome=Outcome.CONFLICT),
    "write_failed": situation(shop(), at(100), outcome=Outcome.FAILED),
    "write_unknown": situation(shop(), at(100), outcome=Outcome.UNKNOWN),
}
"""By its name."""
GOLDEN = Path(__file__).parents[1] / "golden" / "explanations"


def document_of(name: str) -> ExplanationDocument:
    """The explanation of the situation *name* as a document."""
    return explanation_document(explain(SITUATIONS[name]))


def text_of(document: ExplanationDocument) -> str:
    """The text of an explanation, six seconds after the evaluation, as a live leader tells it."""
    return render_story(document, now=document["at"] + 6, role="live, leader") + "\n"


def json_of(document: ExplanationDocument) -> str:
    """The document as JSON."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all golden files: `python -m tests.support.situations`."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for old in GOLDEN.iterdir():
        old.unlink()
    for name in SITUATIONS:
        document = document_of(name)
        (GOLDEN / f"{name}.txt").write_text(text_of(document))
        (GOLDEN / f"{name}.json").write_text(json_of(document))


if __name__ == "__main__":
    main()
