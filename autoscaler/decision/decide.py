"""The decision: a pure function of policy, observation, history and recommendations, as a pipeline of named steps.

    rules → resolve → stabilization → limits → flap guard → cooldown → room → restore → fallback → bounds → gates

Each step takes a count and returns a count, with the reason if it changed or held it. The decision keeps them all.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from autoscaler.core.model import Decision, TakenStep
from autoscaler.core.reasons import Reason
from autoscaler.decision import explain
from autoscaler.decision.behaviour import cool_down, guard_against_flapping, limit, stabilize
from autoscaler.decision.due import bound, fall_back, restore
from autoscaler.decision.gates import gate, stand_by
from autoscaler.decision.give_back import release_unplaced, unplaced_too_long, wait_for_room
from autoscaler.decision.ineffective import next_streak, stop_if_ineffective, without_last
from autoscaler.decision.resolve import blame_pending, resolve, winner_of
from autoscaler.decision.steps import Case, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoscaler.core.model import History, Observation, Recommendation
    from autoscaler.policy.policy import Policy

    _Steps = tuple[tuple[str, Callable[[Case, int], Step]], ...]

_OF_RULES: _Steps = (
    ("stabilization", stabilize),
    ("limits", limit),
    ("flap_guard", guard_against_flapping),
    ("cooldown", cool_down),
    ("room", wait_for_room),
)
"""The steps that a count wanted by rules goes through, in this order."""
_INSISTING: _Steps = (
    ("restore", restore),
    ("fallback", fall_back),
    ("bounds", bound),
)
"""The steps that ask for a count independently of the rules, in this order."""


def decide(
    policy: Policy, observation: Observation, history: History, recommendations: tuple[Recommendation, ...]
) -> Decision:
    """Return the count that *policy* resolves to for the observed service, with every reason that shaped it.

    *recommendations* holds one for each rule of the policy, in its order; it is empty while a schedule lets the service
    sleep. The same arguments give the same decision. The count is lowered only if no rule lacks data, if the maximum
    demands it, or if Swarm finds no room for added replicas.
    """
    requested, streak = observation.requested, history.streak
    bounds = policy.bounds(observation.at)
    rules = () if bounds.asleep else policy.rules
    asked = tuple(
        stop_if_ineffective(rule, item, streak, requested) for rule, item in zip(rules, recommendations, strict=True)
    )
    winner = winner_of(asked, requested)
    case = Case(policy, observation, history, bounds, asked, winner)
    resolved = blame_pending(case, resolve(asked, winner, requested))
    wanted = {"resolve": resolved, **_pace(case, resolved.count)}
    insisted, due = _insist(case, _left(wanted)), _insist(case, requested)
    gated = gate(case, _left(insisted), _left(due))
    held = any(step.held for step in (*wanted.values(), *insisted.values(), gated))
    hindered = any(item.lacks_data or item.reason is Reason.INEFFECTIVE for item in asked)
    gated = stand_by(observation, gated, held=held or hindered)

    # If a gate left only what is due, the due steps shaped the number.
    last = due if gated.count not in (_left(insisted), requested) else insisted
    shaped = [step for step in (*wanted.values(), *last.values(), gated) if step.why is not None]
    gives_back = "room" in last and last["room"].why is not None and gated.count < requested
    return Decision(
        service=observation.service,
        policy=policy.name,
        at=observation.at,
        requested=requested,
        running=observation.running,
        desired=gated.count,
        recommended=resolved.count,
        streak=without_last(streak) if gives_back else next_streak(winner, asked, streak, requested, gated.count),
        primary=explain.primary(case, shaped),
        reasons=explain.reasons(case, shaped),
        recommendations=asked,
        path=_path(winner, requested, wanted, insisted, gated),
        held=gated.count == requested and (hindered or any(step.held for step in shaped)),
        unplaced=len(observation.unplaced_since),
        gives_back=gives_back,
        minimum=bounds.min,
        maximum=bounds.max,
    )


def _pace(case: Case, count: int) -> dict[str, Step]:
    """Return what each step of the rules leaves of *count*.

    At a bound that *count* is beyond they have nothing to hold, because the bound does. It is then the reason.
    """
    if case.bounds.clamp(count) == case.requested:
        return {name: Step(count) for name, _ in _OF_RULES}
    return _walk(case, _OF_RULES, count)


def _walk(case: Case, steps: _Steps, count: int) -> dict[str, Step]:
    """Return the result of each step, by name. The first takes *count*, the others the count of the previous one."""
    taken: dict[str, Step] = {}
    for name, step in steps:
        taken[name] = step(case, count)
        count = taken[name].count
    return taken


def _left(taken: dict[str, Step]) -> int:
    """Return the count that the last step taken left."""
    return next(reversed(taken.values())).count


def _insist(case: Case, count: int) -> dict[str, Step]:
    """Return the steps from *count* on that do not depend on the rules: room, and what is due.

    The step `room` is among them only if replicas have waited too long for a node.
    """
    waiting = 0 if case.bounds.asleep else unplaced_too_long(case.policy, case.observation)
    if not waiting:
        return _walk(case, _INSISTING, count)
    released = release_unplaced(case, count, waiting, least=_left(_walk(case, _INSISTING, 0)))
    return {"room": released, **_walk(case, _INSISTING, released.count)}


def _path(
    winner: Recommendation | None, requested: int, wanted: dict[str, Step], insisted: dict[str, Step], gated: Step
) -> tuple[TakenStep, ...]:
    """Return the count after each step. A hold by `room` is kept if no replica is released after it."""
    rules = requested if winner is None or winner.replicas is None else winner.replicas
    taken = {**wanted, **{name: step for name, step in insisted.items() if name != "room" or step.why is not None}}
    steps = (_taken(name, step) for name, step in taken.items())
    return _untouched("rules", rules), *steps, _taken("gates", gated)


def _taken(name: str, step: Step) -> TakenStep:
    return _untouched(name, step.count) if step.why is None else TakenStep(name, step.count, step.why)


@lru_cache(maxsize=4096)  # nearly all steps of a thousand decisions leave one of the same few counts alone
def _untouched(name: str, count: int) -> TakenStep:
    return TakenStep(name, count)
