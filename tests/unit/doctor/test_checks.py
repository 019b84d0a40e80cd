from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.doctor.catalogue import CHECKS
from autoscaler.doctor.checks import (
    Check,
    CheckResult,
    Examination,
    Finding,
    Grade,
    Unseen,
    apart,
    examine,
    failure,
    listed,
    shown,
)
from autoscaler.doctor.facts import GivenSettings, Installation
from autoscaler.settings import Settings

if TYPE_CHECKING:
    from autoscaler.doctor.checks import Verdict

EMPTY = Installation(0.0, GivenSettings())
BY_CODE = {check.code: check for check in CHECKS}


def check(code: str, verdict: Verdict, *needs: str) -> Check:
    """A check with this judgement."""
    return Check(code, "things", f"{code} is well", "it matters", "do it", lambda _: verdict, needs)


# the catalogue


def test_there_are_more_than_twenty_five_checks() -> None:
    """Codes are stable names, each given once."""
    assert len(BY_CODE) == len(CHECKS) >= 25
    assert all(code.startswith("D-") and code.isupper() for code in BY_CODE)


@pytest.mark.parametrize("one", CHECKS, ids=lambda one: one.code)
def test_each_check_speaks_in_sentences(one: Check) -> None:
    """The statement and the cure are sentences; the reason is a clause. What a check needs is a check, too."""
    assert one.statement[0].isupper()
    assert not one.statement.endswith(".")
    assert not one.why.endswith(".")
    assert one.cure.endswith(".")
    assert set(one.needs) <= BY_CODE.keys()


def test_nothing_is_good_that_was_not_looked_at() -> None:
    """With valid settings and nothing else known, only the checks of the settings are good."""
    known = replace(EMPTY, given=GivenSettings(Settings()))

    assert [result.check.code for result in examine(known, CHECKS).of(Grade.GOOD)] == ["D-SETTINGS", "D-SECRETS"]


# the examination


@given(st.lists(st.sampled_from([None, failure("it is broken", "mend it"), Unseen("it is dark")]), max_size=6))
def test_a_check_is_skipped_where_one_that_it_needs_is_not_met(verdicts: list[Verdict]) -> None:
    """In a chain of needs everything behind the first failure or skip is skipped, and names the cause."""
    checks = [
        check(f"D-{number}", verdict, *([f"D-{number - 1}"] if number else []))
        for number, verdict in enumerate(verdicts)
    ]

    grades = [result.grade for result in examine(EMPTY, checks).results]

    broken = next((number for number, verdict in enumerate(verdicts) if verdict is not None), len(verdicts))
    assert grades[:broken] == [Grade.GOOD] * broken
    assert grades[broken + 1 :] == [Grade.SKIPPED] * len(grades[broken + 1 :])


def test_the_cause_of_a_skip_is_the_first_failure() -> None:
    """What is skipped because of a skipped check names the check that fails."""
    found = examine(EMPTY, [check("D-A", failure("gone", "")), check("D-B", None, "D-A"), check("D-C", None, "D-B")])

    assert [result.reason for result in found.results] == ["", "needs D-A", "needs D-A"]


def test_a_question_is_not_a_cure() -> None:
    """Where a message only asks back, the cure of the check itself is shown."""
    (result,) = examine(EMPTY, [check("D-A", Finding(Grade.FAILURE, ("gone",), "is it there?"))]).results

    assert result.cure == "do it"


@pytest.mark.parametrize(
    ("grades", "bad", "strictly_bad"),
    [
        ([Grade.GOOD, Grade.HINT, Grade.SKIPPED], False, False),
        ([Grade.GOOD, Grade.WARNING], False, True),
        ([Grade.FAILURE], True, True),
    ],
)
def test_what_fails(grades: list[Grade], bad: bool, strictly_bad: bool) -> None:  # noqa: FBT001 - a table
    """Failures count; warnings count if strict; hints and what was not looked at never do."""
    found = Examination(tuple(CheckResult(CHECKS[0], grade) for grade in grades))

    assert (found.bad(strict=False), found.bad(strict=True)) == (bad, strictly_bad)


# messages


@pytest.mark.parametrize(
    ("message", "seen", "cure"),
    [
        ("it is away (start it)", "it is away", "start it"),
        ("it is away (start it (now))", "it is away", "start it (now)"),
        ("it is away; start it", "it is away", "start it"),
        ("no web (did you mean shop_web?)", "no web", "write shop_web"),
        ("web.yml:3: unused (remove it) [unused-metric]", "web.yml:3: unused [unused-metric]", "remove it"),
        ("it is away", "it is away", ""),
        ("unbalanced)", "unbalanced)", ""),
    ],
)
def test_a_message_and_its_cure(message: str, seen: str, cure: str) -> None:
    """Messages end with their cure in brackets; a near name is one to write."""
    assert apart(message) == (seen, cure)


@given(st.text(max_size=30))
def test_any_message_comes_apart(message: str) -> None:
    """No message is lost, whatever it is made of."""
    seen, _ = apart(message)

    assert message.startswith(seen[:1])


def test_several_messages_keep_their_own_cures() -> None:
    """One message has its cure as the finding's; several have each their own beside them."""
    one, two = listed(["a (b)"], Grade.WARNING), listed(["a (b)", "c"], Grade.WARNING, "d")

    assert one == Finding(Grade.WARNING, ("a",), "b")
    assert two is not None
    assert two.seen == ("a (b)", "c (d)")
    assert listed([], Grade.WARNING) is None


def test_only_the_first_observations_are_shown() -> None:
    """A finding about a thousand services shows three, and says how many there are."""
    assert shown(["a", "b", "c"]) == ["a", "b", "c"]
    assert shown([str(number) for number in range(1000)])[3] == "and 997 more (--output json has all)"
