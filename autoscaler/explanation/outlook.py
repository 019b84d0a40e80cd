"""The next change in each direction: when it can come at the earliest, and what must happen for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, TypeAlias

from autoscaler.core.explanation import Chance, Condition
from autoscaler.core.model import Direction
from autoscaler.core.reasons import Reason
from autoscaler.decision.ineffective import HELPED
from autoscaler.explanation.assumptions import ABOVE, AT, BELOW, Assumed, asked, candidates
from autoscaler.explanation.play import Play
from autoscaler.strategies import Threshold
from autoscaler.strategies.registry import is_built_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from autoscaler.core.model import Decision, Observation
    from autoscaler.explanation.play import Played
    from autoscaler.explanation.situation import Situation
    from autoscaler.strategies import Rule

_ORDINARY = frozenset(
    {
        Reason.NO_BREACH,
        Reason.WITHIN_TOLERANCE,
        Reason.ABOVE_TARGET,
        Reason.BELOW_TARGET,
        Reason.ABOVE_THRESHOLD,
        Reason.BELOW_THRESHOLD,
        Reason.STEP_MATCHED,
        Reason.TABLE_VALUE,
    }
)
"""Reasons that name what a rule saw, and nothing that keeps the count."""
_MOST_LIFTED = 4
"""The most things that must happen before a change and that are told."""

_Assumption: TypeAlias = dict[str, Assumed]


def chances(situation: Situation) -> tuple[Chance, ...]:
    """Return the next change up and the next one down."""
    reason = situation.decision.primary.reason
    stays_at_0 = reason is Reason.SCALED_TO_ZERO and not situation.policy.schedules  # a minimum of 0 would end that
    if reason is Reason.UNSUPPORTED_MODE or stays_at_0:
        return tuple(Chance(way, obstacle=reason.meaning) for way in Direction)
    return tuple(_Outlook(situation, way).chance() for way in Direction)


@dataclass(frozen=True)
class _Outlook:
    """Looks for the next change in one direction."""

    situation: Situation
    direction: Direction

    def chance(self) -> Chance:
        """Return the next change: the expected one, else the earliest that metrics can bring about."""
        lifted = self.situation
        requires: tuple[str, ...] = ()
        for _ in range(_MOST_LIFTED):
            found, last = _Search(lifted, self.direction).best()
            if found is not None:
                return replace(found, requires=requires)
            lift = None if last is None else _lift(lifted, last, self.direction)
            if lift is None:
                return Chance(
                    self.direction, requires=requires, obstacle=_obstacle(self.situation, last, self.direction)
                )
            lifted, what = lift
            requires = (*requires, what)
        return Chance(self.direction, requires=requires, obstacle="more than one thing keeps the count")


@dataclass(frozen=True)
class _Search:
    """Plays one direction's possible futures."""

    situation: Situation
    direction: Direction

    def best(self) -> tuple[Chance | None, Decision | None]:
        """Return the next change, or None and the last decision of the future that came nearest to one."""
        begins, _ = self.situation.afterwards()
        now = _newest(begins)
        expected, last = self._first(now)
        if expected is not None and self._is_mine(expected):
            return self._expected(expected, begins, now), None
        possible: dict[str, Chance] = {}
        nearest: Decision | None = last
        for rule in self.situation.policy.rules:
            for assumption in self._assumptions(rule, begins, now):
                values = {**now, **{metric: assumed.value for metric, assumed in assumption.items()}}
                found, ended = self._first(values)
                if found is not None and self._is_mine(found):
                    chance = self._possible(found, rule, assumption, begins, now)
                    possible[rule.name] = min(possible.get(rule.name, chance), chance, key=self._rank(now))
                    if isinstance(rule, Threshold):
                        break  # farther beyond its bound it asks for the same, and no sooner
                elif ended is not None and self.asks(ended):
                    nearest = ended
        if not possible:
            return None, nearest
        first, *others = sorted(possible.values(), key=self._rank(now))
        return replace(first, otherwise=tuple(others)), None

    def _rank(self, now: Mapping[str, float]) -> Callable[[Chance], tuple[float, int, float]]:
        """Return the order of chances: the earliest first, then the fewest conditions, then the least change."""
        return lambda chance: (chance.at or inf, len(chance.conditions), self._distance(chance, now))

    def _distance(self, chance: Chance, now: Mapping[str, float]) -> float:
        """Return how far metrics have to move for *chance*. A metric without a value may do as little as possible."""
        up = self.direction is Direction.UP
        conditions = ((each.bound, now.get(each.metric)) for each in chance.conditions)
        return sum((bound if up else -bound) if value is None else abs(bound - value) for bound, value in conditions)

    def asks(self, decision: Decision) -> bool:
        """Return whether a rule asked for a change in this direction."""
        up = self.direction is Direction.UP
        asked = (item.replicas for item in decision.recommendations)
        own = decision.requested
        return any(count is not None and (count > own if up else count < own) for count in asked)

    def _first(self, values: Mapping[str, float]) -> tuple[Played | None, Decision | None]:
        """Return the first evaluation that changes the count, or None and the last decision."""
        last = None
        for played in Play.of(self.situation, values).evaluations():
            last = played.decision
            if last.changes:
                return played, last
        return None, last

    def _is_mine(self, played: Played) -> bool:
        up = played.decision.desired > played.decision.requested
        return up == (self.direction is Direction.UP)

    # Assumptions

    def _assumptions(self, rule: Rule, seen: Observation, now: Mapping[str, float]) -> Iterator[_Assumption]:
        """Yield what metrics may do for *rule* to ask: its own alone, and with those that speak against a change.

        Values that are nearest to the present one come first.
        """
        others = self._others_agree(rule, seen, now)
        up = self.direction is Direction.UP
        value = now.get(rule.metric)

        def distance(assumed: Assumed) -> tuple[bool, float]:
            if value is None:
                return True, assumed.value if up else -assumed.value
            return not _fulfils(value, assumed), abs(assumed.value - value)

        for assumed in sorted(self._asking(rule, seen), key=distance):
            yield {rule.metric: assumed}
            if others:
                yield {rule.metric: assumed, **others}

    def _asking(self, rule: Rule, seen: Observation) -> list[Assumed]:
        """Return the values of the rule's metric for which it asks for a change in this direction."""
        if not is_built_in(type(rule)):
            return []
        up = self.direction is Direction.UP
        found = []
        for assumed in candidates(self.situation.policy, rule.metric, seen):
            count = asked(rule, assumed.value, seen)
            if count is not None and (count > seen.requested if up else count < seen.requested):
                found.append(assumed)
        return found

    def _others_agree(self, rule: Rule, seen: Observation, now: Mapping[str, float]) -> _Assumption:
        """Return values of the other metrics at which nothing speaks against the change; only those that must move."""
        policy = self.situation.policy
        found: _Assumption = {}
        for metric in policy.look_backs:
            if metric == rule.metric:
                continue
            value = now.get(metric)
            if value is not None and self._agrees(metric, value, rule, seen):
                continue
            choices = [
                each
                for each in candidates(policy, metric, seen, far=False)
                if self._agrees(metric, each.value, rule, seen)
            ]
            if choices:
                up = self.direction is Direction.UP
                least = min if value is None and up else max
                middle = least(each.value for each in choices) if value is None else value
                found[metric] = min(choices, key=lambda each: abs(each.value - middle))
        return found

    def _agrees(self, metric: str, value: float, winner: Rule, seen: Observation) -> bool:
        """Return whether neither a rule nor a guard speaks against the change while *metric* is at *value*."""
        policy = self.situation.policy
        for guard in policy.guards:
            if guard.metric == metric and guard.block in {self.direction.value, "both"}:
                beyond = value > guard.above if guard.above is not None else value < (guard.below or 0.0)
                if beyond:
                    return False
        if self.direction is Direction.UP:
            return True
        for rule in policy.rules:
            if rule.metric != metric or not is_built_in(type(rule)):
                continue
            count = asked(rule, value, seen)
            mate = winner.group is not None and rule.group == winner.group
            if (count is None and mate) or (count is not None and count >= seen.requested):
                return False
        return True

    # Chances

    def _expected(self, played: Played, seen: Observation, now: Mapping[str, float]) -> Chance:
        """Return the change that comes if everything stays as it is."""
        decision = played.decision
        winner = decision.primary.rule or next((why.rule for why in decision.reasons if why.rule), None)
        rule = self.situation.policy.rule(winner) if winner else None
        conditions: tuple[Condition, ...] = ()
        if rule is not None and (value := now.get(rule.metric)) is not None:
            window = seen.windows.get(rule.metric)
            conditions = (_staying(rule, value, "" if window is None else window.unit),)
        return Chance(self.direction, played.at, decision.desired, expected=True, conditions=conditions)

    def _possible(
        self, played: Played, rule: Rule, assumption: _Assumption, seen: Observation, now: Mapping[str, float]
    ) -> Chance:
        """Return the change that comes if metrics do as assumed."""
        conditions = [
            self._condition(metric, assumed, rule, seen, now.get(metric)) for metric, assumed in assumption.items()
        ]
        streak = self.situation.history.streak
        if rule.ineffective_after is not None and streak is not None and streak.rule == rule.name:
            helped = Assumed(streak.value * HELPED, BELOW, streak.value * HELPED)
            if streak.steps >= rule.ineffective_after and self.direction is Direction.UP:
                conditions.append(self._condition(rule.metric, helped, rule, seen, now.get(rule.metric)))
        sure = isinstance(rule, Threshold) and played.decision.primary.rule == rule.name
        count = played.decision.desired if sure else None
        return Chance(self.direction, played.at, count, conditions=tuple(conditions))

    def _condition(
        self, metric: str, assumed: Assumed, rule: Rule, seen: Observation, value: float | None
    ) -> Condition:
        policy = self.situation.policy
        looks = {each.name: each.look_back for each in policy.rules if each.metric == metric}
        looks |= {guard.name: 0 for guard in policy.guards if guard.metric == metric}
        name = rule.name if rule.metric == metric else next(iter(looks))
        window = seen.windows.get(metric)
        already = value is not None and _fulfils(value, assumed)
        unit = "" if window is None else window.unit
        return Condition(metric, name, assumed.side, assumed.bound, unit, looks[name], already)


def _fulfils(value: float, assumed: Assumed) -> bool:
    """Return whether *value* lies on the assumed side of the bound."""
    match assumed.side:
        case "above":
            return value > assumed.bound
        case "below":
            return value < assumed.bound
        case "from":
            return value >= assumed.bound
        case _:
            return value <= assumed.bound


def _newest(seen: Observation) -> dict[str, float]:
    """Return the newest value of each metric that has one."""
    values = ((metric, window.newest) for metric, window in seen.windows.items())
    return {metric: value for metric, value in values if value is not None}


def _staying(rule: Rule, value: float, unit: str) -> Condition:
    """Return the condition that *value* stays beyond the bound of *rule*, or stays as it is if it has no one bound."""
    bounds = rule.shown_bounds
    if rule.relative and len(bounds) == 1:
        ((side, bound),) = bounds.items()
        if (value > bound) == (side == ABOVE):
            return Condition(rule.metric, rule.name, side, bound, unit, 0, already=True)
    return Condition(rule.metric, rule.name, AT, value, unit, 0, already=True)


def _lift(situation: Situation, last: Decision, direction: Direction) -> tuple[Situation, str] | None:
    """Return the situation without what kept *last* from a change, and what must happen for that; None if it stays."""
    seen, policy = situation.observation, situation.policy
    match last.primary.reason:
        case Reason.ROLLOUT_IN_PROGRESS:
            seen, what = replace(seen, rollout="", rollout_until=None), "the rollout is over"
        case Reason.PAUSED if policy.paused in {True, direction}:
            policy, what = policy.model_copy(update={"paused": False}), "the policy does not pause it any more"
        case Reason.PAUSED:
            seen, what = replace(seen, paused={}, paused_until={}), "the pause is ended"
        case Reason.NOT_LEADER:
            seen, what = replace(seen, standby=""), "this autoscaler is the leader"
        case Reason.TASKS_PENDING:
            seen = replace(seen, running=seen.requested, pending="", stuck=False, unplaced_since=())
            what = "all replicas run"
        case _:
            return None
    return replace(situation, observation=seen, policy=policy), what


def _obstacle(situation: Situation, last: Decision | None, direction: Direction) -> str:
    """Return why the count cannot change in *direction* by itself."""
    begins, _ = situation.afterwards()
    reason = None if last is None else last.primary.reason
    bounds = situation.policy.bounds(begins.at)
    verb = "adds" if direction is Direction.UP else "removes"
    if direction is Direction.UP and begins.requested >= bounds.max:
        return f"{bounds.max} is the maximum"
    if direction is Direction.DOWN and begins.requested <= bounds.min:
        return f"{bounds.min} is the minimum"
    asks = last is not None and _Search(situation, direction).asks(last)
    if asks and last is not None and reason is not None and reason not in _ORDINARY:
        return last.primary.detail.rpartition("; ")[2] or reason.meaning
    return f"no rule {verb} replicas"
