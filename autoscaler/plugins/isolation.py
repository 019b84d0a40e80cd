"""Opinions of rules: rules of this package are asked directly; if a plugin fails, only its rule lacks data.

A plugin's strategy may raise, never return, or return nonsense. Then its rule lacks data, which never lowers a count.
The detail says why.
"""

from __future__ import annotations

from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from autoscaler.core.model import Recommendation
from autoscaler.core.reasons import Reason
from autoscaler.errors import DeadlineError
from autoscaler.strategies.registry import is_built_in, name_of
from autoscaler.util.deadline import Deadline
from autoscaler.util.text import describe_error
from autoscaler.util.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from autoscaler.strategies.base import Rule, RuleInput

MOST_REPLICAS = 1_000_000
"""A count that is more than any policy allows."""
LONGEST_DETAIL = 300
"""The most characters of a text in an opinion."""
OWN_REASONS = (
    Reason.ABOVE_TARGET,
    Reason.BELOW_TARGET,
    Reason.WITHIN_TOLERANCE,
    Reason.ABOVE_THRESHOLD,
    Reason.BELOW_THRESHOLD,
    Reason.STEP_MATCHED,
    Reason.TABLE_VALUE,
    Reason.NO_BREACH,
)
"""The reasons that a rule can give. Others are given by later steps, or mean that the rule lacks data."""


def flaw(rule_input: RuleInput, opinion: object) -> str:
    """Return why *opinion* cannot be a rule's on *rule_input*, and what would be right; empty if it can."""
    if type(opinion) is not Recommendation:
        return f"gave {_shown(opinion)}, no Recommendation (return self.asks_for(…) or self.no_opinion(…))"
    return (
        _flaw_of_reason(opinion.reason)
        or _flaw_of_replicas(opinion, rule_input.requested)
        or _flaw_of_value(opinion.value)
        or _flaw_of_text("seen", opinion.seen)
        or _flaw_of_text("bound", opinion.bound)
    )


def _flaw_of_reason(reason: object) -> str:
    if type(reason) is Reason and reason in OWN_REASONS:
        return ""
    given = reason.value if type(reason) is Reason else _shown(reason)
    return f"gave the reason {given}, none of a rule's ({', '.join(OWN_REASONS)})"


def _flaw_of_replicas(opinion: Recommendation, requested: int) -> str:
    replicas, reason = opinion.replicas, opinion.reason
    if reason is Reason.NO_BREACH:
        return (
            "" if replicas is None else f"gave the reason no_breach and {_shown(replicas)} replicas (None goes with it)"
        )
    if type(replicas) is not int or not 0 <= replicas <= MOST_REPLICAS:
        return f"asked for {_shown(replicas)} replicas (an int from 0 to {MOST_REPLICAS})"
    contradicts = {
        Reason.ABOVE_TARGET: replicas < requested,
        Reason.BELOW_TARGET: replicas > requested,
        Reason.WITHIN_TOLERANCE: replicas != requested,
    }
    if contradicts.get(reason, False):
        return f"gave the reason {reason} for {replicas} replicas instead of {requested} (use self.asks_for)"
    return ""


def _flaw_of_value(value: object) -> str:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)):
        return ""
    return f"gave the value {_shown(value)} (a finite number, or None)"


def _flaw_of_text(name: str, text: object) -> str:
    if type(text) is not str:
        return f"gave as {name} {_shown(text)} (a str)"
    if len(text) > LONGEST_DETAIL:
        return f"gave a {name} of {len(text)} characters ({LONGEST_DETAIL} at most)"
    return "" if text.isprintable() else f"gave as {name} {_shown(text)} (one line of printable characters)"


def _shown(value: object) -> str:
    return f"{value!r:.60} of type {type(value).__name__}" if value is not None else "None"


# Asking

_READING = 2.0
"""The most seconds for reading a rule of a plugin's strategy."""
_WORKERS: WeakKeyDictionary[type[Rule], Worker] = WeakKeyDictionary()


def worker_of(rule: type[Rule]) -> Worker:
    """The one thread in which a plugin's strategy runs."""
    worker = _WORKERS.get(rule)
    if worker is None:
        worker = _WORKERS[rule] = Worker(f"the strategy {name_of(rule)}")
    return worker


def read_in_time(rule: type[Rule], read: Callable[[], Any]) -> Any:
    """Return what *read* returns, which runs the code of the strategy; raise DeadlineError if it takes too long."""
    return worker_of(rule).call(read, _READING)


def _recommended(rule: Rule, rule_input: RuleInput) -> object:
    return rule.recommend(rule_input)


def _recommended_on_partial(rule: Rule, rule_input: RuleInput) -> object:
    opinion = rule.recommend_on_partial(rule_input)
    return rule.no_opinion(rule_input) if opinion is None else opinion


class PluginGuard:
    """Asks rules for their opinions: those of this package directly, those of plugins with a time limit.

    *a_call* is the most seconds of one call of a plugin's strategy. *each* is the most seconds of all calls of one
    strategy in an evaluation, and *together* that of all strategies.

    A call that takes too long is abandoned. Its strategy is not asked again in the same evaluation, nor before the call
    has returned. So a strategy that hangs takes one second of an evaluation of a thousand services, and a slow one at
    most *each*. The limit *together* leaves an evaluation the time to write.
    """

    def __init__(self, *, a_call: float = 1.0, each: float = 2.0, together: float = 4.0) -> None:
        self._a_call = a_call
        self._each = each
        self._together = together
        self._turn: float | None = None
        self._spent: dict[type[Rule], float] = {}
        """The seconds that each strategy used in this turn."""
        self._late: set[type[Rule]] = set()
        """The strategies that did not return in this turn."""

    def judge(self, rule: Rule, rule_input: RuleInput, at: float) -> Recommendation:
        """Return the opinion of *rule* on a sufficient window, or a plugin's lack of data.

        *at* is the time of the decision, by which evaluations are told apart.
        """
        if is_built_in(type(rule)):
            return rule.recommend(rule_input)
        return self._ask(rule, rule_input, at, _recommended)

    def judge_on_partial(self, rule: Rule, rule_input: RuleInput, at: float) -> Recommendation | None:
        """Return what *rule* is certain of although only some tasks report; None if it is certain of nothing."""
        if is_built_in(type(rule)):
            return rule.recommend_on_partial(rule_input)
        opinion = self._ask(rule, rule_input, at, _recommended_on_partial)
        return None if opinion.reason is Reason.NO_BREACH else opinion

    def _ask(
        self, rule: Rule, rule_input: RuleInput, turn: float, question: Callable[[Rule, RuleInput], object]
    ) -> Recommendation:
        """Return the answer of *rule* to the *question*, or its lack of data if that is not an opinion."""
        kind = type(rule)
        if turn != self._turn:
            self._turn = turn
            self._spent.clear()
            self._late.clear()
        spent = self._spent.get(kind, 0.0)
        left = min(self._a_call, self._each - spent, self._together - sum(self._spent.values()))
        worker = worker_of(kind)
        if worker.stuck:
            return _failed(rule, rule_input, "has not come back from an earlier call, and is not called again before")
        if kind in self._late:
            return _failed(rule, rule_input, "did not come back in time for another service")
        if left <= 0:
            whose = "its" if spent >= self._each else "all plugins'"
            return _failed(rule, rule_input, f"is not asked: {whose} time of this evaluation is used up")
        timer = Deadline(left)
        try:
            return worker.call(partial(_answer, rule, rule_input, question), left)
        except DeadlineError:
            self._late.add(kind)
            return _failed(rule, rule_input, f"did not come back within {left:.3g} s")
        finally:
            self._spent[kind] = spent + left - timer.remaining()


def _answer(rule: Rule, rule_input: RuleInput, question: Callable[[Rule, RuleInput], object]) -> Recommendation:
    """Return the answer of *rule* to the *question* as plain values, or its failure; never raise."""
    try:
        opinion = question(rule, rule_input)
        what = flaw(rule_input, opinion)
        if not what and type(opinion) is Recommendation:
            value = None if opinion.value is None else float(opinion.value)
            return Recommendation(rule.name, opinion.reason, opinion.replicas, value, opinion.seen, opinion.bound)
    except BaseException as error:  # noqa: BLE001 - a plugin that calls sys.exit() must not end the daemon
        what = f"raised {describe_error(error)}{_where(type(rule), error.__traceback__)}"
    return _failed(rule, rule_input, what)


def _failed(rule: Rule, rule_input: RuleInput, what: str) -> Recommendation:
    detail = f"the strategy {name_of(type(rule))} of the rule {rule.name} {what}"
    return Recommendation(rule.name, Reason.NO_DATA, None, rule_input.window.newest, detail)


def _where(strategy: type[Rule], traceback: TracebackType | None) -> str:
    """Return the plugin's own innermost line in *traceback*, as ``, in peak.strategy, line 31``."""
    package, place = strategy.__module__.partition(".")[0], ""
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__"))
        if module.partition(".")[0] == package:
            place = f", in {module}, line {traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
