"""The contract of all strategies, those of plugins included. Subclass it in a test, and name the strategy."""

from __future__ import annotations

from itertools import pairwise, product
from math import nan
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationError

from autoscaler.core.model import History, Observation
from autoscaler.decision.decide import decide
from autoscaler.decision.recommend import recommend_all
from autoscaler.plugins.entry_points import problems_of_strategy
from autoscaler.plugins.isolation import flaw
from autoscaler.policy.policy import Policy, Replicas
from autoscaler.strategies.base import LONGEST_LOOK_BACK
from autoscaler.strategies.registry import is_built_in
from autoscaler.testing.assertions import expect
from autoscaler.testing.builders import NOW, STEP, rule, rule_input, window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from autoscaler.core.model import Recommendation
    from autoscaler.core.window import Window
    from autoscaler.strategies import Rule, RuleInput

_LEVELS = (-5.0, 0.0, 0.001, 0.5, 1.0, 7.0, 29.0, 30.0, 31.0, 50.0, 69.0, 70.0, 71.0, 100.0, 500.0, 1e4, 1e6)
_COUNTS = ((1, 1), (2, 2), (3, 3), (10, 10), (500, 500), (5, 3), (3, 5), (3, 0), (0, 0))
"""Requested and running replicas."""
_MOST_SAMPLES = 60
"""The most samples of a window. Windows of longer look-backs have wider steps."""
_MOST = 10_000
_FEWEST_WITH_A_HOLE = 3


class StrategyContract:
    """The contract. A subclass names its `strategy` and gives `rules` as a policy file writes them.

    Every rule is shown windows of many shapes and levels, over its own look-back, at many replica counts.
    """

    strategy: ClassVar[type[Rule]]
    rules: ClassVar[Sequence[Mapping[str, Any]]]
    """Rules of the strategy with all keys, `name`, `metric` and `strategy` included; one for each way it works."""
    monotone: ClassVar[bool] = True
    """True if more load never makes the strategy ask for fewer replicas; write False if it may."""
    levels: ClassVar[Sequence[float]] = ()
    """Values of the metric that matter to the rules. They are tried in addition to the usual ones."""

    def test_it_can_be_plugged_in(self) -> None:
        """The autoscaler accepts the class as the strategy that its rules name."""
        if not is_built_in(self.strategy):
            for keys in self.rules:
                problems = list(problems_of_strategy(keys["strategy"], self.strategy))
                expect(not problems, "; ".join(problems))

    def test_its_rules_are_read_as_a_policy_file_writes_them(self) -> None:
        """The rules are valid, and one with a key that the strategy does not know is not."""
        expect(self.rules, "there is no rule to judge by (give rules: [{name: …, metric: …, strategy: …}])")
        for keys in self.rules:
            rule(self.strategy, keys)
            try:
                rule(self.strategy, {**keys, "unknown_key": 1})
            except ValidationError:
                continue
            raise AssertionError(f"{self.strategy.__name__} takes keys that it does not know (leave extra as it is)")

    def test_it_says_how_far_it_looks_back(self) -> None:
        """A look-back is in whole seconds, at most 30 days, and always the same for one rule."""
        for each in self._rules():
            again = type(each).model_validate(each)
            fits = type(each.look_back) is int and 0 <= each.look_back <= LONGEST_LOOK_BACK
            expect(fits and each.look_back == again.look_back, f"{each!r} looks back {each.look_back!r} seconds")

    def test_it_has_an_opinion_of_every_complete_window(self) -> None:
        """For all windows and counts, the strategy raises nothing, and its answer is valid."""
        for each, shown in self._signals():
            _sound(each, shown, each.recommend)

    def test_the_same_signal_gives_the_same_opinion(self) -> None:
        """An opinion only depends on the input and the rule's keys, not on earlier questions."""
        asked = [(each, shown, each.recommend(shown)) for each, shown in self._signals()]
        for each, shown, before in reversed(asked):
            now = each.recommend(shown)
            expect(now == before, f"{_told(each, shown)}: first {before}, then {now}")

    def test_when_it_is_does_not_matter(self) -> None:
        """The same samples a week later give the same opinion, because times of day belong to schedules."""
        for each, shown in self._signals():
            later = window(
                shown.window.values,
                step=shown.window.step,
                end=shown.window.end + 7 * 86_400,
                reporting=shown.window.reporting,
                total=shown.window.total,
            )
            before = each.recommend(shown)
            now = each.recommend(rule_input(later, requested=shown.requested, running=shown.running))
            expect(now == before, f"{_told(each, shown)}: first {before}, a week later {now}")

    def test_data_that_lack_never_lower_the_count(self) -> None:
        """If samples or tasks are missing, the decision keeps the count or raises it."""
        for each in self._rules():
            policy = _policy_of(each)
            for lacking, (requested, running) in product(self._lacking(each), _COUNTS):
                seen = {} if lacking is None else {each.metric: lacking}
                observation = Observation("web", float(NOW), requested, running, seen)
                decision = decide(policy, observation, History(), recommend_all(policy, observation))
                what = f"{requested} → {decision.desired} replicas ({decision.primary.detail})"
                expect(decision.desired >= requested, f"{each!r}: {what} on {lacking}")

    def test_what_is_certain_of_partial_data_is_sound(self) -> None:
        """If only some tasks report, the strategy raises nothing, and its answer is valid or None."""
        for each in self._rules():
            for level, requested in product(self._levels(), (2, 5)):
                length = _length(each)
                seen = window([level] * length, step=_step(each), reporting=requested - 1, owed=requested)
                shown = rule_input(seen, requested=requested)
                _sound(each, shown, each.recommend_on_partial, none=True)

    def test_more_load_never_asks_for_fewer(self) -> None:
        """Of two windows with a count, one nowhere below the other, the higher gets at least as many replicas."""
        if not self.monotone:
            return
        for each in self._rules():
            for make in _shapes(each):
                opinions = ((shown, each.recommend(shown).replicas) for shown in map(make, self._levels()))
                asked = [(shown, count) for shown, count in opinions if count is not None]
                for (low, fewer), (high, more) in pairwise(asked):
                    what = f"{fewer} replicas on {_samples(low)}, {more} on {_samples(high)}"
                    expect(fewer <= more, f"{_told(each, low)}: {what} (or say monotone = False)")

    def _rules(self) -> list[Rule]:
        return [rule(self.strategy, keys) for keys in self.rules]

    def _levels(self) -> list[float]:
        return sorted({*_LEVELS, *self.levels})

    def _signals(self) -> Iterator[tuple[Rule, RuleInput]]:
        for each in self._rules():
            for make, level in product(_shapes(each), self._levels()):
                yield each, make(level)

    def _lacking(self, each: Rule) -> Iterator[Window | None]:
        """Return windows that are not sufficient; None stands for no window at all."""
        yield None
        length, step = _length(each), _step(each)
        for level in self._levels():
            yield window([nan] * length, step=step)
            yield window([level] * (length - 1) + [nan], step=step)
            yield window([level] * length, step=step, reporting=1, owed=3)
            if length > _FEWEST_WITH_A_HOLE:
                yield window([level] + [nan] * (length - 2) + [level], step=step)
                yield window([nan] * (length - 1) + [level], step=step)


# What rules are shown


def _step(each: Rule) -> int:
    return STEP * max(1, -(-each.look_back // (STEP * _MOST_SAMPLES)))


def _length(each: Rule) -> int:
    """Return as many samples as the autoscaler has for the rule: both ends, and one that may stand for the oldest."""
    return -(-each.look_back // _step(each)) + 2


def _flat(level: float, length: int) -> list[float]:
    return [level] * length


def _jumping(level: float, length: int) -> list[float]:
    return [level / 2] * (length - 1) + [level]


def _dropping(level: float, length: int) -> list[float]:
    return [level] * (length - 1) + [level / 2]


def _rising(level: float, length: int) -> list[float]:
    return [level * (row + 1) / length for row in range(length)]


def _swinging(level: float, length: int) -> list[float]:
    return [level if row % 2 else level / 4 for row in range(length)]


def _with_a_hole(level: float, length: int) -> list[float]:
    return [nan if row == length // 2 and length >= _FEWEST_WITH_A_HOLE else level for row in range(length)]


def _shapes(each: Rule) -> Iterator[Callable[[float], RuleInput]]:
    """Makers of complete inputs. The window for a higher level is nowhere below that for a lower one."""
    shapes = (_flat, _jumping, _dropping, _rising, _swinging, _with_a_hole)
    for shape, (requested, running), kind in product(shapes, _COUNTS, ("average", "counted", "total")):
        yield _maker(each, shape, (requested, running), kind)


def _maker(
    each: Rule, shape: Callable[[float, int], list[float]], counts: tuple[int, int], kind: str
) -> Callable[[float], RuleInput]:
    requested, running = counts
    reporting = running if kind == "counted" else None

    def make(level: float) -> RuleInput:
        values = shape(level, _length(each))
        seen = window(values, step=_step(each), reporting=reporting, total=kind == "total")
        return rule_input(seen, requested=requested, running=running)

    return make


def _policy_of(each: Rule) -> Policy:
    # Not validated: only strategies that are plugged in are a valid policy's.
    return Policy.model_construct(
        name="contract", services=("web",), replicas=Replicas(min=0, max=_MOST), rules=(each,)
    )


# What they say


def _sound(
    each: Rule, shown: RuleInput, ask: Callable[[RuleInput], Recommendation | None], *, none: bool = False
) -> None:
    try:
        opinion = ask(shown)
    except Exception as error:
        raise AssertionError(f"{_told(each, shown)}: raised {error!r}") from error
    if opinion is not None or not none:
        problem = flaw(shown, opinion)
        expect(not problem, f"{_told(each, shown)}: {problem}")


def _told(each: Rule, shown: RuleInput) -> str:
    return f"{each!r} with {shown.requested} replicas requested, {shown.running} running, on {_samples(shown)}"


def _samples(shown: RuleInput) -> str:
    values: Iterable[str] = (f"{value:g}" for value in shown.window.values[-6:])
    return f"[… {' '.join(values)}]{' in total' if shown.window.total else ''}"
