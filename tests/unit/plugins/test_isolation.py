from __future__ import annotations

import threading
from math import inf, nan
from typing import TYPE_CHECKING, Any, NoReturn, Self

import pytest
from pydantic import ValidationError, model_validator

from autoscaler.core.model import Decision, History, Recommendation
from autoscaler.core.reasons import Reason
from autoscaler.decision.decide import decide as decide_on
from autoscaler.decision.recommend import recommend, recommend_all
from autoscaler.plugins import isolation
from autoscaler.plugins.isolation import PluginGuard, flaw
from autoscaler.strategies import Rule, RuleInput, Threshold
from autoscaler.util.deadline import Deadline
from tests.support.builders import CPU_HIGH, CPU_LOW, NOW, observation, policy, steady, told, window
from tests.support.deciding import decide
from tests.support.foreign_strategy import Foreign, foreign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autoscaler.core.model import Observation
    from autoscaler.policy.policy import Policy

CALM = RuleInput(steady(10), 3, 3)
A_MOMENT = 0.25


GUARD = PluginGuard()
"""As patient as the autoscaler's own."""


def raising(error: BaseException) -> Callable[[Rule, RuleInput], NoReturn]:
    """What raises *error*."""

    def does(_: Rule, __: RuleInput) -> NoReturn:
        raise error

    return does


def giving(**facts: Any) -> Callable[[Rule, RuleInput], Recommendation]:
    """What gives a recommendation, sound but for *facts*."""
    sound = {"rule": "rule", "reason": Reason.BELOW_TARGET, "replicas": 1, "value": 10.0, "seen": "cpu 10, calm"}
    return lambda _, __: Recommendation(**{**sound, **facts})


class Hanging:
    """What does not come back before it is let go, and counts how often it was asked."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked = 0
        self.back = threading.Semaphore(0)

    def __call__(self, rule: Rule, rule_input: RuleInput) -> Recommendation:
        """Wait."""
        self.asked += 1
        self.go.wait(20)
        self.back.release()
        return rule.no_opinion(rule_input)

    def let_go(self) -> None:
        """Come back, and from now on at once."""
        self.go.set()
        assert self.back.acquire(timeout=20)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    """A strategy that hangs until the test is over."""
    hangs = Hanging()
    yield hangs
    hangs.go.set()


@pytest.fixture
def impatient() -> PluginGuard:
    """A guard with less patience than the autoscaler's."""
    return PluginGuard(a_call=A_MOMENT, each=2 * A_MOMENT, together=4 * A_MOMENT)


def detail_of(opinion: Recommendation) -> str:
    """Why the rule lacks data, and nothing else is the matter."""
    assert opinion.reason is Reason.NO_DATA
    assert opinion.replicas is None
    assert opinion.detail.isprintable()
    return opinion.detail


# What is sound


def test_a_sound_opinion_counts() -> None:
    """A plugin's opinion is taken as it is."""
    assert GUARD.judge(foreign(giving()), CALM, NOW) == Recommendation(
        "rule", Reason.BELOW_TARGET, 1, 10.0, "cpu 10, calm"
    )


def test_an_opinion_bears_the_name_of_its_rule() -> None:
    """A plugin does not speak for another rule."""
    assert GUARD.judge(foreign(giving(rule="cpu-high")), CALM, NOW).rule == "rule"


def test_a_whole_value_is_a_number() -> None:
    """What a plugin gives as an int is the same number."""
    value = GUARD.judge(foreign(giving(value=7)), CALM, NOW).value
    assert (value, type(value)) == (7.0, float)


def test_own_strategies_are_asked_in_the_same_thread() -> None:
    """Only other people's code is waited for elsewhere; ours costs no thread."""
    asked: list[str] = []

    class Watching(Threshold):
        def recommend(self, rule_input: RuleInput) -> Recommendation:
            asked.append(threading.current_thread().name)
            return super().recommend(rule_input)

    GUARD.judge(Watching(name="rule", metric="cpu", above=1, add=1), CALM, NOW)
    assert asked != [threading.current_thread().name], "a plugin's subclass of one of ours is a plugin's"
    before = threading.active_count()
    assert GUARD.judge(CPU_HIGH, CALM, NOW).reason is Reason.NO_BREACH
    assert threading.active_count() <= before  # those of earlier tests may end meanwhile


@pytest.mark.parametrize("requested", [2, 3, 4])
def test_asking_for_a_count_gives_the_reason_that_fits(requested: int) -> None:
    """The helper of plugin authors makes a sound recommendation of any count."""
    rule_input = RuleInput(steady(10), requested, 3)
    opinion = GUARD.judge(foreign(lambda rule, seen: rule.asks_for(seen, 3, "three")), rule_input, NOW)
    expected = {2: Reason.ABOVE_TARGET, 3: Reason.WITHIN_TOLERANCE, 4: Reason.BELOW_TARGET}[requested]
    assert opinion == Recommendation("rule", expected, 3, 10.0, "cpu 10 %", "three")


# Raising


@pytest.mark.fault("plugin-broken")
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (ValueError(), "ValueError"),
        (ValueError("two\nlines \x1b[31mred"), "ValueError: two lines �[31mred"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (MemoryError(), "MemoryError"),
        (GeneratorExit(), "GeneratorExit"),
    ],
)
def test_raising(error: BaseException, words: str) -> None:
    """A strategy that raises, whatever it is, lacks data, and the detail says strategy, rule, error and line."""
    detail = detail_of(GUARD.judge(foreign(raising(error)), CALM, NOW))
    start = f"the strategy foreign of the rule rule raised {words}, in {__name__}, line "
    assert detail.startswith(start)
    assert detail.removeprefix(start).isdigit()


def test_an_endless_recursion() -> None:
    """A strategy that calls itself for ever has raised."""

    def deeper(rule: Rule, rule_input: RuleInput) -> Recommendation:
        return deeper(rule, rule_input)

    assert "raised RecursionError" in detail_of(GUARD.judge(foreign(deeper), CALM, NOW))


def test_an_error_that_cannot_say_what_it_is() -> None:
    """An exception that raises when it is asked what it says has raised."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise SystemExit

    assert "raised MuteError, in" in detail_of(GUARD.judge(foreign(raising(MuteError())), CALM, NOW))


def test_a_long_error_is_cut() -> None:
    """What a plugin says fits a log line."""
    assert len(detail_of(GUARD.judge(foreign(raising(ValueError("x" * 10_000))), CALM, NOW))) < 400


# Nonsense


class Odd(Recommendation):
    """A recommendation of a plugin's making."""


class Rude:
    """What cannot even be shown."""

    def __repr__(self) -> str:
        """Nothing."""
        raise ValueError("not telling")


@pytest.mark.fault("plugin-broken")
@pytest.mark.parametrize(
    ("gives", "words"),
    [
        (lambda *_: None, "gave None, no Recommendation"),
        (lambda *_: 3, "gave 3 of type int, no Recommendation"),
        (lambda *_: Odd("rule", Reason.NO_BREACH), "no Recommendation"),
        (lambda *_: Rude(), "raised ValueError: not telling"),
        (giving(replicas=2.0), "asked for 2.0 of type float replicas (an int from 0 to 1000000)"),
        (giving(replicas=True), "asked for True of type bool replicas"),
        (giving(replicas="2"), "asked for '2' of type str replicas"),
        (giving(replicas=-1), "asked for -1 of type int replicas"),
        (giving(replicas=10**7), "asked for 10000000 of type int replicas"),
        (giving(replicas=nan), "asked for nan of type float replicas"),
        (giving(replicas=None), "asked for None replicas"),
        (giving(reason="below_target"), "gave the reason 'below_target' of type str, none of a rule's"),
        (giving(reason=None), "gave the reason None, none of a rule's"),
        (giving(reason=Reason.NO_DATA, replicas=None), "gave the reason no_data, none of a rule's"),
        (giving(reason=Reason.STABILIZED), "gave the reason stabilized, none of a rule's"),
        (giving(reason=Reason.PAUSED), "gave the reason paused, none of a rule's"),
        (giving(reason=Reason.NO_BREACH), "gave the reason no_breach and 1 of type int replicas (None goes with it)"),
        (giving(reason=Reason.ABOVE_TARGET), "gave the reason above_target for 1 replicas instead of 3"),
        (giving(reason=Reason.BELOW_TARGET, replicas=4), "gave the reason below_target for 4 replicas instead of 3"),
        (giving(reason=Reason.WITHIN_TOLERANCE), "gave the reason within_tolerance for 1 replicas instead of 3"),
        (giving(value="10"), "gave the value '10' of type str (a finite number, or None)"),
        (giving(value=nan), "gave the value nan of type float"),
        (giving(value=inf), "gave the value inf of type float"),
        (giving(value=True), "gave the value True of type bool"),
        (giving(value=10**400), "raised OverflowError"),
        (giving(seen=None), "gave as seen None (a str)"),
        (giving(seen=b"calm"), "gave as seen b'calm' of type bytes (a str)"),
        (giving(seen="x" * 301), "gave a seen of 301 characters (300 at most)"),
        (giving(bound="x" * 301), "gave a bound of 301 characters (300 at most)"),
        (giving(bound="two\nlines"), "gave as bound 'two\\nlines' of type str (one line of printable characters)"),
    ],
)
def test_nonsense(gives: Callable[[Rule, RuleInput], Any], words: str) -> None:
    """What is no recommendation of a rule's is lacking data, and the detail says what would be right."""
    detail = detail_of(GUARD.judge(foreign(gives), CALM, NOW))
    assert detail.startswith("the strategy foreign of the rule rule ")
    assert words in detail


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_a_rules_own_or_refused(reason: Reason) -> None:
    """A plugin cannot give the reasons of the steps that follow the rules, nor say that it lacks data."""
    opinion = Recommendation("rule", reason, None if reason is Reason.NO_BREACH else 3)
    assert (flaw(CALM, opinion) == "") == (reason in isolation.OWN_REASONS)


# Hanging


@pytest.mark.fault("plugin-broken")
def test_hanging(impatient: PluginGuard, hanging: Hanging) -> None:
    """A strategy that does not come back lacks data; it is not asked again before it has."""
    rule = foreign(hanging)
    assert detail_of(impatient.judge(rule, CALM, NOW)).endswith("did not come back within 0.25 s")
    assert "has not come back from an earlier call" in detail_of(impatient.judge(rule, CALM, NOW))
    assert "has not come back from an earlier call" in detail_of(impatient.judge(rule, CALM, NOW + 15))
    assert hanging.asked == 1


def test_a_strategy_that_has_come_back_is_asked_again(impatient: PluginGuard, hanging: Hanging) -> None:
    """At the next evaluation; in the same one it was given its chance."""
    rule = foreign(hanging)
    impatient.judge(rule, CALM, NOW)
    hanging.let_go()
    while "has not come back" in detail_of(impatient.judge(rule, CALM, NOW)):
        pass  # its thread is about to leave its answer
    assert detail_of(impatient.judge(rule, CALM, NOW)).endswith("did not come back in time for another service")
    assert impatient.judge(rule, CALM, NOW + 15).reason is Reason.NO_BREACH
    assert hanging.asked == 2


def test_a_hanging_strategy_costs_an_evaluation_one_wait(impatient: PluginGuard, hanging: Hanging) -> None:
    """A thousand services do not wait for it a thousand times: it is asked about one of them."""
    rule, timer = foreign(hanging), Deadline(20)
    for _ in range(1000):
        detail_of(impatient.judge(rule, CALM, NOW))
    assert hanging.asked == 1
    assert timer.remaining() > 10


def test_one_that_hangs_does_not_delay_another(impatient: PluginGuard, hanging: Hanging) -> None:
    """Each strategy has a thread of its own."""
    impatient.judge(foreign(hanging), CALM, NOW)
    assert impatient.judge(foreign(giving()), CALM, NOW).reason is Reason.BELOW_TARGET


def test_a_slow_strategy_uses_up_its_time() -> None:
    """One that always comes back just in time does not hold the evaluation for so long for each service."""
    waiting = threading.Event()

    def slow(rule: Rule, rule_input: RuleInput) -> Recommendation:
        waiting.wait(0.03)
        return rule.no_opinion(rule_input)

    patience = PluginGuard(a_call=20, each=0.1)
    rule = foreign(slow)

    def ask(turn: float) -> Recommendation:
        return patience.judge(rule, CALM, turn)

    opinions = [ask(NOW) for _ in range(10)]
    judged = [opinion.lacks_data for opinion in opinions].index(True)
    assert judged <= 4
    assert all(opinion.lacks_data for opinion in opinions[judged:])


def test_plugins_use_up_their_time_together() -> None:
    """However many strategies are slow, an evaluation goes on."""
    waiting = threading.Event()

    def slow(rule: Rule, rule_input: RuleInput) -> Recommendation:
        waiting.wait(5)
        return rule.no_opinion(rule_input)

    patience = PluginGuard(a_call=20, each=20, together=0.05)

    def ask(turn: float) -> Recommendation:
        return patience.judge(foreign(slow), CALM, turn)

    assert "did not come back" in detail_of(ask(NOW))
    assert detail_of(ask(NOW)).endswith("is not asked: all plugins' time of this evaluation is used up")
    assert "did not come back" in detail_of(ask(NOW + 15))


# Partial data


def partial(value: float) -> Observation:
    """Four of five tasks report."""
    return observation(5, windows={"cpu": window([value] * 8, reporting=[4] * 8, owed=5)})


def test_partial_data_let_a_plugin_add() -> None:
    """What is certain although tasks are missing counts, as for our own strategies."""
    rule = foreign(giving(), on_partial=lambda each, rule_input: each.asks_for(rule_input, 9, "cpu 95, high"))
    assert recommend(rule, partial(95)).replicas == 9


@pytest.mark.parametrize("count", [1, 5])
def test_partial_data_let_no_plugin_remove(count: int) -> None:
    """A plugin that wants fewer while tasks are missing lacks data."""
    rule = foreign(giving(), on_partial=lambda each, rule_input: each.asks_for(rule_input, count, "cpu 5, low"))
    opinion = recommend(rule, partial(5))
    assert (opinion.reason, opinion.replicas) == (Reason.PARTIAL_DATA, None)


def test_a_plugin_without_an_opinion_on_partial_data() -> None:
    """None, or no opinion, is nothing to say: the rule lacks data because tasks are missing."""
    rule_input = RuleInput(steady(10), 3, 3)
    assert GUARD.judge_on_partial(foreign(giving()), rule_input, NOW) is None
    silent = foreign(giving(), on_partial=lambda each, seen: each.no_opinion(seen))
    assert GUARD.judge_on_partial(silent, rule_input, NOW) is None
    assert recommend(silent, partial(5)).reason is Reason.PARTIAL_DATA


def test_a_plugin_that_fails_on_partial_data() -> None:
    """The detail says so, and not only that tasks are missing."""
    opinion = recommend(foreign(giving(), on_partial=raising(ValueError("no"))), partial(5), GUARD)
    assert "raised ValueError: no" in detail_of(opinion)


# Decisions


def decided(*rules: Rule, cpu: float) -> Decision:
    """The decision of a policy of *rules*."""
    own: Policy = policy().model_copy(update={"rules": rules})
    return decide(own, observation(3, windows={"cpu": steady(cpu)}), History(), GUARD)


BROKEN = [raising(ValueError("no")), lambda *_: None, giving(replicas=2.5), giving(reason=Reason.NO_DATA, replicas=1)]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_plugin_costs_its_rule_only(broken: Callable[[Rule, RuleInput], Any]) -> None:
    """Other rules add replicas as ever, and the decision carries what happened to the plugin's."""
    decision = decided(foreign(broken), CPU_HIGH, cpu=90)
    assert (decision.desired, decision.primary.rule) == (4, "cpu-high")
    assert [why.rule for why in decision.reasons if why.reason is Reason.NO_DATA] == ["rule"]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_plugin_shrinks_nothing(broken: Callable[[Rule, RuleInput], Any]) -> None:
    """A rule that could not judge holds a reduction, and the decision says which and why."""
    decision = decided(foreign(broken), CPU_LOW, cpu=10)
    assert (decision.desired, decision.held) == (3, True)
    assert (decision.primary.reason, decision.primary.rule) == (Reason.NO_DATA, "rule")
    assert (Reason.BELOW_THRESHOLD, "cpu-low") in told(decision)
    assert "the strategy foreign of the rule rule" in decision.primary.detail


# What rules say of themselves


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("5m", "the rule looks back '5m' seconds (whole seconds from 0 to 2592000, which are 30d)"),
        (-1, "the rule looks back -1 seconds"),
        (2592001, "the rule looks back 2592001 seconds"),
        (60.0, "the rule looks back 60.0 seconds"),
        (True, "the rule looks back True seconds"),
        (None, "the rule looks back None seconds"),
    ],
)
def test_a_look_back_must_be_known_when_the_rule_is_read(says: Any, words: str) -> None:
    """How far back samples are asked for is an error of the policy file where it is none, or too far."""
    kind = type("Odd", (Foreign,), {"look_back": property(lambda _: says), "__module__": __name__})
    with pytest.raises(ValueError, match="looks back") as raised:
        kind(name="rule", metric="cpu")
    assert words in str(raised.value)


@pytest.mark.parametrize("says", [nan, inf, "70", True])
def test_a_bound_must_be_a_number(says: Any) -> None:
    """What the flap guard compares loads with is an error of the policy file where it is no number."""
    kind = type("Odd", (Foreign,), {"adds_above": property(lambda _: says), "__module__": __name__})
    with pytest.raises(ValueError, match=r"adds replicas above .* \(a finite number, or None\)"):
        kind(name="rule", metric="cpu")


@pytest.mark.parametrize("name", ["look_back", "adds_above"])
@pytest.mark.parametrize("error", [KeyError("x"), TypeError("no"), ZeroDivisionError()])
def test_raising_when_the_rule_is_read(name: str, error: Exception) -> None:
    """A strategy that fails on a rule's keys makes the policy invalid, in words."""

    def fails(_: Rule) -> NoReturn:
        raise error

    kind = type("Odd", (Foreign,), {name: property(fails), "__module__": __name__})
    with pytest.raises(ValueError, match=f"the strategy fails on these keys: {type(error).__name__}"):
        kind(name="rule", metric="cpu")


@pytest.mark.parametrize("error", [SystemExit(1), KeyError("x"), RecursionError()])
def test_a_validator_that_raises_what_no_validator_should(error: BaseException) -> None:
    """It makes the policy invalid, in words; it ends neither `check` nor the daemon."""

    class Odd(Foreign):
        @model_validator(mode="after")
        def _fails(self) -> Self:
            raise error

    with pytest.raises(ValueError, match=f"the strategy fails on these keys: {type(error).__name__}"):
        Odd(name="rule", metric="cpu")


def test_a_validator_that_finds_a_fault_is_quoted() -> None:
    """What a strategy says of its keys by a ValueError is what the operator reads."""

    class Picky(Foreign):
        @model_validator(mode="after")
        def _fails(self) -> Self:
            raise ValueError("the target is odd (give an even one)")

    with pytest.raises(ValidationError) as raised:
        Picky(name="rule", metric="cpu")
    (found,) = raised.value.errors()
    assert found["msg"] == "Value error, the target is odd (give an even one)"


def test_hanging_when_the_rule_is_read(monkeypatch: pytest.MonkeyPatch, hanging: Hanging) -> None:
    """A reload of policies does not hang with it: the set is refused."""
    monkeypatch.setattr(isolation, "_READING", A_MOMENT)

    class Slow(Foreign):
        @classmethod
        def reading(cls, read: Callable[[], Any]) -> Any:
            return isolation.read_in_time(cls, read)

        @property
        def look_back(self) -> int:
            hanging.go.wait(20)
            return 0

    with pytest.raises(ValueError, match=r"Slow did not come back within 0\.25 s while it reads these keys"):
        Slow(name="rule", metric="cpu")
    with pytest.raises(ValueError, match="the strategy Slow has not come back from an earlier call"):
        Slow(name="rule", metric="cpu")


def test_what_a_rule_says_of_itself_is_asked_once() -> None:
    """Decisions run none of a plugin's code but its recommend; a copy with other fields is asked anew."""
    asked: list[int] = []

    class Counting(Foreign):
        over: int = 60

        @property
        def look_back(self) -> int:
            asked.append(self.over)
            return self.over

    rule = Counting(name="rule", metric="cpu")
    assert [rule.look_back, rule.look_back] == [60, 60]
    assert asked == [60]
    assert rule.model_copy(update={"over": 120}).look_back == 120


def test_a_slow_plugin_does_not_make_one_input_two_decisions(impatient: PluginGuard, hanging: Hanging) -> None:
    """A decision depends on the recommendations it is given, and on no clock: a plugin is late outside of it."""
    own: Policy = policy().model_copy(update={"rules": (foreign(hanging), CPU_LOW)})
    seen, history = observation(3, windows={"cpu": steady(10)}), History()
    late = recommend_all(own, seen, impatient)
    hanging.let_go()
    in_time = recommend_all(own, seen, PluginGuard())
    assert [late[0].reason, in_time[0].reason] == [Reason.NO_DATA, Reason.NO_BREACH]
    first = [decide_on(own, seen, history, asked) for asked in (late, in_time)]
    again = [decide_on(own, seen, history, asked) for asked in (late, in_time)]
    assert first == again
    assert [decision.desired for decision in first] == [3, 2]
