"""Plays the pure decision forward in time, on samples that are assumed.

Nothing but time and the assumed samples changes: nobody else writes, and the tasks that run go on running. Only moments
at which a decision may change are played: those at which a hold ends, a sample leaves a rule's time, or a schedule
begins or ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, inf, isfinite, nan
from typing import TYPE_CHECKING

from autoscaler.core.model import Direction, Recommended
from autoscaler.core.window import Window, full
from autoscaler.decision.decide import decide
from autoscaler.decision.recommend import DIRECTLY, Asker, recommend_all
from autoscaler.policy.schedules import firings
from autoscaler.strategies.registry import is_built_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from autoscaler.core.model import Decision, History, Observation, Recommendation
    from autoscaler.explanation.situation import Situation
    from autoscaler.policy.policy import Policy
    from autoscaler.strategies import Rule, RuleInput

_FIRINGS = 4
"""How many of the next starts and ends of a schedule are played."""
_MOST_TICKS = 2000
"""The most evaluations that are played."""


@dataclass(frozen=True, slots=True)
class _Frozen:
    """Asks this package's rules. A plugin's rule keeps the opinion that it had, because its code may hang."""

    known: Mapping[str, Recommendation]

    def judge(self, rule: Rule, rule_input: RuleInput, at: float) -> Recommendation:
        return DIRECTLY.judge(rule, rule_input, at) if is_built_in(type(rule)) else self._as_before(rule)

    def judge_on_partial(self, rule: Rule, rule_input: RuleInput, at: float) -> Recommendation | None:
        return DIRECTLY.judge_on_partial(rule, rule_input, at) if is_built_in(type(rule)) else self._as_before(rule)

    def _as_before(self, rule: Rule) -> Recommendation:
        return self.known[rule.name]


@dataclass(frozen=True)
class Played:
    """One evaluation that was played."""

    at: float
    decision: Decision


@dataclass(frozen=True)
class Play:
    """The future of a service under one assumption."""

    policy: Policy
    seen: Observation
    """The beginning: what the last evaluation saw, with the count that it left."""
    history: History
    interval: int
    known: tuple[Recommendation, ...]
    values: Mapping[str, float]
    """What each metric is assumed to be from now on; a metric without a value has no further samples."""

    @classmethod
    def of(cls, situation: Situation, values: Mapping[str, float]) -> Play:
        """Return the future of *situation* if metrics have *values*."""
        seen, history = situation.afterwards()
        policy, decision = situation.policy, situation.decision
        return cls(policy, seen, history, situation.interval, decision.recommendations, values)

    def evaluations(self) -> Iterator[Played]:
        """Yield the evaluations that may decide otherwise than the one before, in order."""
        asker = _Frozen({item.rule: item for item in self.known})
        history = self.history
        for tick in self._ticks():
            seen = self._at(tick)
            decision = decide(self.policy, seen, history, self._recommend(seen, asker))
            yield Played(seen.at, decision)
            longest = self.policy.longest_stabilization
            kept = (*history.recommended, Recommended(seen.at, decision.recommended)) if longest else ()
            judged_at = seen.at if decision.judged else history.judged_at
            streak = history.streak if decision.changes else decision.streak
            history = replace(history, recommended=kept, judged_at=judged_at, streak=streak)

    def _recommend(self, seen: Observation, asker: Asker) -> tuple[Recommendation, ...]:
        return recommend_all(self.policy, seen, asker)

    def _at(self, tick: int) -> Observation:
        """Return what the evaluation number *tick* from now sees."""
        at = self.seen.at + tick * self.interval
        settling = self.seen.rollout_until
        rollout = "" if settling is not None and at >= settling else self.seen.rollout
        paused = {way: said for way, said in self.seen.paused.items() if at < self.seen.paused_until.get(way, inf)}
        windows = {}
        for metric in self.policy.look_backs:
            if (window := self._window(metric, at)) is not None:
                windows[metric] = window
        return replace(self.seen, at=at, rollout=rollout, paused=paused, windows=windows, changed_externally="")

    def _window(self, metric: str, at: float) -> Window | None:
        window = self.seen.windows.get(metric)
        value = self.values.get(metric, nan)
        if window is None:
            if not isfinite(value):
                return None
            window = Window(self.interval, int(self.seen.at // self.interval) * self.interval, ())
        step, running = window.step, self.seen.running
        passed = int(at // step) - int(self.seen.at // step)
        most = self.policy.look_backs[metric] // step + 3
        end = window.end + passed * step
        tasks = None if window.reporting is None else (*window.reporting, *(running,) * passed)[-most:]
        owed = None if window.owed is None else (*window.owed, *(0,) * passed)[-most:]
        ran = None if window.running is None else (*window.running, *(float(running),) * passed)[-most:]
        values = (*window.values, *(value,) * passed)[-most:]
        return replace(window, end=end, values=values, reporting=tasks, owed=owed, running=ran)

    # Moments

    def _ticks(self) -> list[int]:
        """Return the numbers of the evaluations to play: each at which something may change, and its neighbours."""
        ticks = {1, 2}
        for moment in self._moments:
            if self.seen.at < moment < inf:
                tick = ceil((moment - self.seen.at) / self.interval)
                ticks |= {tick - 1, tick, tick + 1}
        return sorted(tick for tick in ticks if tick > 0)[:_MOST_TICKS]

    @cached_property
    def _moments(self) -> set[float]:
        seen, history = self.seen, self.history
        opinions = set(self._opinions())
        found = {*opinions, *self._ends_of_holds(), *self._schedules()}
        for way in Direction:
            for rule in (None, *self.policy.rules):
                window = self.policy.stabilization(way, rule)
                found |= {made.at + window for made in history.recommended}
                # What was recommended until an opinion changed counts for the window's length.
                ticks = (ceil((moment - seen.at) / self.interval) for moment in opinions if moment < inf)
                found |= {seen.at + (tick + side) * self.interval + window for tick in ticks for side in (-1, 0, 1)}
                found.add(seen.at + window)
        return found

    def _opinions(self) -> Iterator[float]:
        """Yield the moments at which a rule's or a guard's time loses a sample that differs from those to come."""
        looks = [(rule.metric, rule.look_back) for rule in self.policy.rules]
        looks += [(guard.metric, guard.for_) for guard in self.policy.guards]
        for metric, look_back in set(looks):
            window = self.seen.windows.get(metric)
            step = self.interval if window is None else window.step
            lag = self.seen.at - (window.end if window is not None else self.seen.at)
            moments = {self.seen.at + look_back}
            if window is not None:
                moments |= {moment + look_back for moment in self._leaving(window, metric)}
            for moment in moments:
                yield from (moment + lag + more * step for more in range(-1, 4))

    def _leaving(self, window: Window, metric: str) -> Iterator[float]:
        value = self.values.get(metric, nan)
        owed = window.owed or (0,) * len(window.values)
        tasks = window.reporting or owed
        yield float(window.end - (len(window.values) - 1) * window.step)
        yield from (doubt.until for doubt in window.doubts)
        for row, (sample, count, due) in enumerate(zip(window.values, tasks, owed, strict=True)):
            if sample != value or count < full(due, window.share):
                yield float(window.end - (len(window.values) - 1 - row) * window.step)

    def _ends_of_holds(self) -> Iterator[float]:
        policy, seen, history = self.policy, self.seen, self.history
        for behaviour in (policy.scale_up, policy.scale_down):
            for event in history.events:
                yield event.at + behaviour.cooldown
                yield from (event.at + limit.per for limit in behaviour.limits)
        yield from seen.paused_until.values()
        if seen.rollout_until is not None:
            yield seen.rollout_until
        patience = policy.scale_up.give_back
        if patience is not None:
            yield from (since + patience for since in (*seen.unplaced_since, history.gave_back) if since is not None)
        if policy.fallback is not None:
            yield seen.at + policy.fallback.after
            if history.judged_at is not None:
                yield history.judged_at + policy.fallback.after

    def _schedules(self) -> Iterator[float]:
        for schedule in self.policy.schedules:
            for expression in (schedule.start, schedule.end):
                moment = self.seen.at
                for _ in range(_FIRINGS):
                    moment = firings(expression, schedule.timezone).next(moment)
                    yield moment
