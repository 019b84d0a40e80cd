"""A check as a value, and the examination of an installation by all of them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from autoscaler.doctor.facts import Installation

T = TypeVar("T")

_SHOWN = 3
PAGE = "docs/doctor.md"
"""The page with a section for each check."""


class Grade(StrEnum):
    """The result of a check, the worst last but for what was not looked at."""

    GOOD = "good"
    HINT = "hint"
    WARNING = "warning"
    FAILURE = "failure"
    SKIPPED = "skipped"
    """The check was not looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The reason why a check is not good."""

    grade: Grade
    seen: tuple[str, ...]
    """The observations, quoted from the real answers, a sentence each."""
    cure: str
    """A command, or the line to change."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """The reason why a check cannot be judged."""

    reason: str


Verdict = Finding | Unseen | None
"""The judgement of a check; None if all is good."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is true of a good installation."""

    code: str
    """Stable: `D-` and words."""
    category: str
    statement: str
    """The sentence that is true if all is good."""
    why: str
    """What goes wrong otherwise, in one sentence."""
    cure: str
    """What usually helps; a finding names its own cure."""
    judge: Callable[[Installation], Verdict]
    needs: tuple[str, ...] = ()
    """The codes of the checks without which this one cannot be judged; they come earlier."""

    @property
    def anchor(self) -> str:
        """Return the place in the documents that explains the check."""
        return f"{PAGE}#{self.code.lower()}"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What became of one check."""

    check: Check
    grade: Grade
    seen: tuple[str, ...] = ()
    cure: str = ""
    reason: str = ""
    """Why the check was not looked at."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What became of all checks, in their order."""

    results: tuple[CheckResult, ...] = field(default=())

    def of(self, *grades: Grade) -> list[CheckResult]:
        """Return the results with one of *grades*, the worst first."""
        order = [Grade.FAILURE, Grade.WARNING, Grade.HINT, Grade.GOOD, Grade.SKIPPED]
        found = [result for result in self.results if result.grade in grades]
        return sorted(found, key=lambda result: order.index(result.grade))

    def count(self, grade: Grade) -> int:
        """Return the number of checks with this grade."""
        return sum(result.grade is grade for result in self.results)

    def bad(self, *, strict: bool) -> bool:
        """Return whether something fails; if *strict*, warnings count too."""
        return bool(self.count(Grade.FAILURE) or (strict and self.count(Grade.WARNING)))


def examine(installation: Installation, checks: Sequence[Check]) -> Examination:
    """Judge the *checks*. A check whose needs are not met is skipped, and names the first of them."""
    known = {check.code: check for check in checks}
    results: dict[str, CheckResult] = {}

    def look(check: Check) -> CheckResult:
        if check.code not in results:
            unmet = next((need for code in check.needs if not _met(need := look(known[code]))), None)
            results[check.code] = _judged(check, installation) if unmet is None else _without(check, unmet)
        return results[check.code]

    return Examination(tuple(look(check) for check in checks))


def _judged(check: Check, installation: Installation) -> CheckResult:
    verdict = check.judge(installation)
    if isinstance(verdict, Unseen):
        return CheckResult(check, Grade.SKIPPED, reason=verdict.reason)
    if verdict is None:
        return CheckResult(check, Grade.GOOD)
    cure = check.cure if not verdict.cure or verdict.cure.endswith("?") else verdict.cure  # a question is not a cure
    return CheckResult(check, verdict.grade, verdict.seen, cure)


def _without(check: Check, unmet: CheckResult) -> CheckResult:
    """Return the result of a *check* that needs one which is not good; the first cause is named."""
    reason = f"needs {unmet.check.code}" if unmet.grade is Grade.FAILURE else unmet.reason
    return CheckResult(check, Grade.SKIPPED, reason=reason)


def _met(result: CheckResult) -> bool:
    return result.grade not in {Grade.FAILURE, Grade.SKIPPED}


# What judges are written with


def judged(
    pick: Callable[[Installation], T | None], unseen: str
) -> Callable[[Callable[[T, Installation], Verdict]], Callable[[Installation], Verdict]]:
    """Return a decorator for judges of one fact: without that fact the check is not looked at, because of *unseen*."""

    def decorate(judge: Callable[[T, Installation], Verdict]) -> Callable[[Installation], Verdict]:
        def whole(installation: Installation) -> Verdict:
            fact = pick(installation)
            return Unseen(unseen) if fact is None else judge(fact, installation)

        return whole

    return decorate


def failure(seen: str | Iterable[str], cure: str) -> Finding:
    """Return a failure."""
    return Finding(Grade.FAILURE, _lines(seen), cure)


def warning(seen: str | Iterable[str], cure: str) -> Finding:
    """Return a warning."""
    return Finding(Grade.WARNING, _lines(seen), cure)


def hint(seen: str | Iterable[str], cure: str) -> Finding:
    """Return a hint."""
    return Finding(Grade.HINT, _lines(seen), cure)


def listed(messages: Iterable[str], grade: Grade, cure: str = "") -> Finding | None:
    """Return a finding from messages of ours that end with their cure in brackets; None if there are none.

    The *cure* is for those without one.
    """
    parts = [apart(message) for message in messages]
    if not parts:
        return None
    if len(parts) == 1:
        return Finding(grade, (parts[0][0],), parts[0][1] or cure)
    return Finding(grade, tuple(f"{seen} ({own or cure})" for seen, own in parts), "correct each of them as it says")


def told(message: str, grade: Grade = Grade.FAILURE) -> Finding:
    """Return a finding from a message of ours, which ends with its cure in brackets."""
    seen, cure = apart(message)
    return Finding(grade, (seen,), cure)


def apart(message: str) -> tuple[str, str]:
    """Return *message* and the cure that it ends with in brackets, apart: ``it is away (start it)``."""
    named = re.fullmatch(r"(.*\))( \[[a-z-]+\])", message, re.DOTALL)  # a warning of the lint ends with its id
    seen, cure = _apart(named[1] if named else message)
    seen += named[2] if named else ""
    meant = re.fullmatch(r"did you mean ([^?]+)\?", cure)
    return seen, f"write {meant[1]}" if meant else cure


def _apart(message: str) -> tuple[str, str]:
    if not message.endswith(")"):
        before, semicolon, cure = message.rpartition("; ")
        return (before, cure) if semicolon else (message, "")
    depth = 0
    for index in range(len(message) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(message[index], 0)
        if not depth:
            return message[:index].rstrip(), message[index + 1 : -1]
    return message, ""


def _lines(seen: str | Iterable[str]) -> tuple[str, ...]:
    return (seen,) if isinstance(seen, str) else tuple(seen)


def shown(lines: Sequence[str], most: int = _SHOWN) -> list[str]:
    """Return the first of *lines*, at *most* so many, and how many more there are."""
    more = len(lines) - most
    return [*lines[:most], *([f"and {more} more (--output json has all)"] if more > 0 else [])]
