"""The decision: a pure function of policy, observation and history, as a pipeline of named steps.

    rules → resolve → stabilization → limits → flap guard → cooldown → room → restore and fallback → bounds → gates

Each step takes a count and returns a count with the reason it changed or held it, if it did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.core.model import Decision, Direction, Observation, Recommendation, Why
from autoscaler.core.reasons import Reason
from autoscaler.decision.behaviour import Step, cool_down, guard_against_flapping, limit, stabilize
from autoscaler.decision.give_back import release_unplaced, unplaced_too_long, wait_for_room
from autoscaler.decision.ineffective import next_streak, stop_if_ineffective, without_last
from autoscaler.plugins.isolation import judge, judge_on_partial
from autoscaler.strategies import RuleInput
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.core.model import History
    from autoscaler.policy.policy import Bounds, Policy
    from autoscaler.strategies import Rule


def decide(policy: Policy, observation: Observation, history: History) -> Decision:
    """The count that *policy* resolves to for the observed service, with every reason that shaped it.

    Deterministic. The count differs from the requested one only as the rules, the bounds and the gates of SPEC 4 allow:
    it is lowered only where no rule lacks data, the maximum demands it, or Swarm finds no room for what was added.
    """
    bounds = policy.bounds(observation.at)
    requested, streak = observation.requested, history.streak
    recommendations = tuple(
        stop_if_ineffective(rule, recommend(rule, observation), streak, requested) for rule in policy.rules
    )
    resolved, winner = resolve(recommendations, observation.requested)
    stable = stabilize(policy, observation, history, resolved.count)
    limited = limit(policy, observation, history, stable.count)
    guarded = guard_against_flapping(policy, observation, limited.count)
    cooled = cool_down(policy, observation, history, guarded.count)
    waited = wait_for_room(policy, observation, history, cooled.count)
    waiting = unplaced_too_long(policy, observation)

    def insist(count: int) -> list[Step]:
        """What is asked for whatever the rules say, on top of *count*."""
        restored = restore(policy, observation, count)
        safe = fall_back(policy, observation, history, recommendations, restored.count)
        return [restored, safe, bound(bounds, observation, safe.count)]

    def settle(count: int) -> list[Step]:
        """*count* less what finds no room, and what is insisted on."""
        if not waiting:
            return insist(count)
        given = release_unplaced(observation, history, count, waiting, least=insist(0)[-1].count)
        return [given, *insist(given.count)]

    insisted, due = settle(waited.count), settle(observation.requested)
    count = insisted[-1].count
    gated = gate(policy, observation, recommendations, count, due[-1].count)
    held = any(step.held for step in (resolved, stable, limited, guarded, cooled, waited, *insisted, gated))
    hindered = any(item.lacks_data or item.reason is Reason.INEFFECTIVE for item in recommendations)
    gated = stand_by(observation, gated, held=held or hindered)

    # Where a gate left only what is due, that shaped the number.
    last = due if gated.count not in (count, observation.requested) else insisted
    steps = [resolved, stable, limited, guarded, cooled, waited, *last, gated]
    shaped = [step for step in steps if step.why is not None]
    reasons = dict.fromkeys(_reasons(observation, recommendations, winner, shaped))  # each once
    gives_back = waiting > 0 and last[0].why is not None and gated.count < requested
    streak = (
        without_last(streak) if gives_back else next_streak(winner, recommendations, streak, requested, gated.count)
    )
    return Decision(
        service=observation.service,
        policy=policy.name,
        at=observation.at,
        requested=observation.requested,
        running=observation.running,
        desired=gated.count,
        recommended=resolved.count,
        streak=streak,
        primary=_primary(shaped, winner, recommendations),
        reasons=tuple(reasons),
        recommendations=recommendations,
        held=gated.count == requested and (hindered or any(step.held for step in shaped)),
        unplaced=len(observation.unplaced_since),
        gives_back=gives_back,
    )


def recommend(rule: Rule, observation: Observation) -> Recommendation:
    """What *rule* makes of its window, or that it lacks data, and why."""
    window = observation.windows.get(rule.metric)
    if window is None:
        return Recommendation(rule.name, Reason.NO_DATA, detail=f"{rule.metric} has no samples", group=rule.group)
    rule_input = RuleInput(window, observation.requested, observation.running)
    lacking = window.lacking(rule.look_back)
    if lacking is None:
        opinion = judge(rule, rule_input, observation.at)
        doubt = window.doubt(rule.look_back)
        why = None if doubt is None else Why(doubt.reason, f"{rule.metric}: {doubt.detail}", rule.name)
        return opinion.of_rule(relative=rule.relative, group=rule.group, doubt=why)
    if lacking is Reason.PARTIAL_DATA:
        certain = judge_on_partial(rule, rule_input, observation.at)
        if certain is not None and (certain.lacks_data or (certain.replicas or 0) > observation.requested):
            return certain.of_rule(relative=rule.relative, group=rule.group)
    detail = _lack_in_words(rule, observation, lacking)
    return Recommendation(rule.name, lacking, None, window.newest, detail, group=rule.group)


def resolve(recommendations: tuple[Recommendation, ...], requested: int) -> tuple[Step, Recommendation | None]:
    """The largest count asked for, and the rule that asks for it.

    A reduction needs a rule that wants fewer, none that wants more, and none that lacks data or judges by samples that
    prove no calm, also where that one is silent: it holds the reduction. A rule with a group counts as wanting fewer
    only where all rules of the group do.
    """
    asked = [
        item for item in recommendations if item.replicas is not None and _agreed(item, recommendations, requested)
    ]
    if not asked:
        return Step(requested), None
    winner = max(asked, key=lambda item: item.replicas or 0)
    count = winner.replicas or 0
    if count < requested:
        for item in (winner, *recommendations):
            holding = Why(item.reason, item.detail, item.rule) if item.lacks_data else item.doubt
            if holding is not None:
                return Step(requested, holding, held=True), winner
    return Step(count), winner


def _agreed(item: Recommendation, recommendations: tuple[Recommendation, ...], requested: int) -> bool:
    if item.group is None or item.replicas is None or item.replicas >= requested:
        return True
    group = [other for other in recommendations if other.group == item.group and not other.lacks_data]
    return all(other.replicas is not None and other.replicas < requested for other in group)


def restore(policy: Policy, observation: Observation, count: int) -> Step:
    """Raise *count* to what it was before a deploy lowered it, where the policy does not accept that."""
    before = observation.lowered_from
    if before is None or before <= count or policy.on_deploy == "accept":
        return Step(count)
    detail = f"a deploy lowered {before} → {observation.requested}; {before} are set again"
    return Step(before, Why(Reason.RESTORED_AFTER_DEPLOY, detail))


def fall_back(
    policy: Policy,
    observation: Observation,
    history: History,
    recommendations: tuple[Recommendation, ...],
    count: int,
) -> Step:
    """Raise *count* to the policy's fallback where every rule has lacked data for its time; never lower it."""
    fallback, since = policy.fallback, history.judged_at
    if fallback is None or since is None or not all(item.lacks_data for item in recommendations):
        return Step(count)
    blind = observation.at - since
    if blind < fallback.after or fallback.replicas <= count:
        return Step(count)
    detail = f"no rule has had data for {words(blind)}; falls back to {fallback.replicas} replicas"
    return Step(fallback.replicas, Why(Reason.FALLBACK, detail))


def bound(bounds: Bounds, observation: Observation, count: int) -> Step:
    """Correct *count* into the bounds in force."""
    wanted = f"wants {count}, " if count != observation.requested else f"{count} is "
    if count < bounds.min:
        return _at_bound(
            bounds.min, Reason.TOO_FEW_REPLICAS, f"{wanted}below min {bounds.min}", bounds.min_by, observation
        )
    if count > bounds.max:
        return _at_bound(
            bounds.max, Reason.TOO_MANY_REPLICAS, f"{wanted}above max {bounds.max}", bounds.max_by, observation
        )
    return Step(count)


def _at_bound(count: int, reason: Reason, detail: str, schedule: str, observation: Observation) -> Step:
    if schedule:
        reason, detail = Reason.SCHEDULE_BOUNDS, f"{detail} of the schedule {schedule}"
    return Step(count, Why(reason, detail), held=observation.requested == count)


def gate(
    policy: Policy, observation: Observation, recommendations: tuple[Recommendation, ...], count: int, due: int
) -> Step:
    """Hold what must not happen now: everything at a closed gate, and of what rules want beyond what is *due*, more.

    A guard forbids changes its way, and tasks that do not run yet forbid an increase. A rule that asks for so many more
    waits for all replicas to run; one that asks for a count only while they are stuck, for the count already takes the
    running ones into account.
    """
    bounds = policy.bounds(observation.at)
    requested = observation.requested
    for closed in _closed_gates(policy, bounds, observation, count):
        if count != requested or closed.reason in _STANDING:
            return Step(requested, closed, held=True)
    if count != due:
        direction = Direction.UP if count > due else Direction.DOWN
        for guard in policy.guards:
            if said := guard.blocks(direction, observation.windows.get(guard.metric)):
                return Step(due, Why(Reason.GUARD, f"wants {count}; {said}"), held=due == requested)
    counted = max((item.replicas or 0 for item in recommendations if not item.relative), default=0)
    passes = max(due, bounds.clamp(0 if observation.stuck else counted))
    if count > passes and observation.running < requested:
        detail = f"wants {count}; {observation.running} of {requested} replicas run"
        if observation.pending:
            detail += f": {observation.pending}"
        return Step(passes, Why(Reason.TASKS_PENDING, detail), held=True)
    return Step(count)


def stand_by(observation: Observation, gated: Step, *, held: bool) -> Step:
    """*gated*; where another autoscaler holds the lease nothing at all, and of what is wanted or *held* that reason.

    What no autoscaler could do, whichever holds the lease, is told all the same.
    """
    wanted = gated.count != observation.requested
    impossible = gated.why is not None and gated.why.reason in _STANDING
    if not observation.standby or impossible or not (wanted or held):
        return gated
    detail = f"wants {gated.count}; {observation.standby}" if wanted else observation.standby
    return Step(observation.requested, Why(Reason.NOT_LEADER, detail), held=True)


_STANDING = frozenset({Reason.UNSUPPORTED_MODE, Reason.SCALED_TO_ZERO})
"""Gates that are told of also while nothing would change: the policy does not do its work at all."""


def _closed_gates(policy: Policy, bounds: Bounds, observation: Observation, count: int) -> Iterator[Why]:
    if observation.mode != "replicated":
        yield Why(Reason.UNSUPPORTED_MODE, f"the service's mode is {observation.mode}; only replicated ones are scaled")
    if observation.requested == 0 and bounds.min > 0 and not observation.asleep:
        yield Why(Reason.SCALED_TO_ZERO, "somebody set the service to 0 replicas; scale it to 1 or more to resume")
    if observation.rollout:
        yield Why(Reason.ROLLOUT_IN_PROGRESS, observation.rollout)
    said = paused(policy, observation).get(Direction.UP if count > observation.requested else Direction.DOWN)
    if said:
        yield Why(Reason.PAUSED, f"wants {count}; {said}")


def paused(policy: Policy, observation: Observation) -> dict[Direction, str]:
    """Why changes are paused, by the policy or at run time, in words, by direction; without those that are not."""
    written = f"the policy says paused: {str(policy.paused).lower()}"
    both = {
        each: (written if policy.paused in {True, each} else "", observation.paused.get(each, "")) for each in Direction
    }
    return {each: "; ".join(filter(None, said)) for each, said in both.items() if any(said)}


def _lack_in_words(rule: Rule, observation: Observation, lacking: Reason) -> str:
    window = observation.windows[rule.metric]
    needed = f" of the last {words(rule.look_back)}" if rule.look_back else ""
    match lacking:
        case Reason.PARTIAL_DATA:
            counts = list(zip(window.reporting or (0,), window.owed or (0,), strict=True))
            back, (reporting, owed) = next(
                ((row, pair) for row, pair in enumerate(reversed(counts)) if pair[0] < pair[1]), (0, counts[-1])
            )
            ago = f", {words(back * window.step)} before" if back else ""
            return f"{rule.metric} of {reporting} of {owed} tasks only{ago}"
        case Reason.STALE_DATA:
            return f"{rule.metric} has no sample for the newest window step"
        case Reason.WINDOW_INCOMPLETE:
            present = len(window.span(rule.look_back))
            return f"{rule.metric} has {present} of the {-(-rule.look_back // window.step) + 1} samples{needed}"
        case _:
            return f"{rule.metric} has no samples{needed}"


def _reasons(
    observation: Observation,
    recommendations: tuple[Recommendation, ...],
    winner: Recommendation | None,
    shaped: list[Step],
) -> Iterator[Why]:
    """Every reason that applied, in the order of the pipeline."""
    if observation.changed_externally:
        yield Why(Reason.CHANGED_EXTERNALLY, observation.changed_externally)
    for item in recommendations:
        if item is winner or item.lacks_data or item.replicas is not None:
            yield Why(item.reason, item.detail, item.rule)
    for step in shaped:
        if step.why is not None:
            yield step.why
    if winner is None and not shaped and not any(item.lacks_data for item in recommendations):
        yield _no_breach(recommendations)


def _primary(shaped: list[Step], winner: Recommendation | None, recommendations: tuple[Recommendation, ...]) -> Why:
    """The last step that changed or held the number, else the winning rule's, else a data reason, else no breach."""
    for step in reversed(shaped):
        if step.why is not None:
            rule = step.why.rule or (winner.rule if winner else None)
            return Why(step.why.reason, step.why.detail, rule)
    if winner is not None:
        return Why(winner.reason, winner.detail, winner.rule)
    for item in recommendations:
        if item.lacks_data:
            return Why(item.reason, item.detail, item.rule)
    return _no_breach(recommendations)


def _no_breach(recommendations: tuple[Recommendation, ...]) -> Why:
    """What the rules saw, each metric's value once: ``cpu 60 %, not above 70 % for 5m, not below 30 % for 10m``."""
    seen: dict[str, list[str]] = {}
    for item in recommendations:
        value, _, bound = item.detail.partition(", ")
        if value:
            seen.setdefault(value, []).append(bound)
    return Why(Reason.NO_BREACH, "; ".join(", ".join([value, *filter(None, bounds)]) for value, bounds in seen.items()))
