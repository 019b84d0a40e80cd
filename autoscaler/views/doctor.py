"""An examination as text for people and as a JSON document for programs. Pure."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from autoscaler.doctor.checks import Grade, shown
from autoscaler.util.amounts import plural
from autoscaler.util.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.doctor.checks import CheckResult, Examination

WIDTH = 80
_whole = with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))
_MARKS = {Grade.FAILURE: "✗", Grade.WARNING: "!", Grade.HINT: "·", Grade.GOOD: "✓", Grade.SKIPPED: "-"}
_STYLES = {Grade.FAILURE: "red", Grade.WARNING: "yellow", Grade.HINT: "cyan", Grade.GOOD: "green", Grade.SKIPPED: ""}
_INDENT = "  "
_LABEL = 6


@_whole
class CheckDocument(TypedDict):
    """A check and what became of it."""

    code: str
    category: str
    statement: str
    """The sentence that is true if all is good."""
    result: Grade
    seen: list[str]
    """The observations; empty if all is good."""
    why: str
    """What goes wrong otherwise."""
    cure: str
    """A command, or the line to change; empty if all is good."""
    reason: str
    """Why the check was skipped."""
    help: str
    """The place in the documents."""


@_whole
class CountsDocument(TypedDict):
    """How many checks have each result."""

    good: int
    hint: int
    warning: int
    failure: int
    skipped: int


@_whole
class ExaminationDocument(TypedDict):
    """What `autoscaler doctor` found."""

    verdict: Literal["good", "bad"]
    """`bad` if the exit code is 1."""
    exit_code: int
    strict: bool
    """Whether warnings count as failures."""
    counts: CountsDocument
    checks: list[CheckDocument]


def examination_document(found: Examination, *, strict: bool) -> ExaminationDocument:
    """Return the examination as a JSON object."""
    bad = found.bad(strict=strict)
    return {
        "verdict": "bad" if bad else "good",
        "exit_code": int(bad),
        "strict": strict,
        "counts": {
            "good": found.count(Grade.GOOD),
            "hint": found.count(Grade.HINT),
            "warning": found.count(Grade.WARNING),
            "failure": found.count(Grade.FAILURE),
            "skipped": found.count(Grade.SKIPPED),
        },
        "checks": [_document(result) for result in found.results],
    }


def _document(result: CheckResult) -> CheckDocument:
    check = result.check
    return {
        "code": check.code,
        "category": check.category,
        "statement": check.statement,
        "result": result.grade,
        "seen": list(result.seen),
        "why": check.why,
        "cure": result.cure,
        "reason": result.reason,
        "help": check.anchor,
    }


def examination_lines(found: Examination, *, strict: bool, verbose: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the lines for people, each with its style; at most 80 characters wide but for what cannot be broken."""
    findings = found.of(Grade.FAILURE, Grade.WARNING, Grade.HINT)
    for result in findings:
        yield from finding_lines(result)
    if verbose:
        for result in found.of(Grade.GOOD):
            yield _line(result, f"{result.check.statement}"), _STYLES[Grade.GOOD]
    skipped = found.of(Grade.SKIPPED)
    if skipped and verbose:
        for result in skipped:
            yield from _wrapped(_line(result, f"not looked at: {result.reason}"), " " * 4, "dim")
    elif skipped:
        yield from _wrapped(f"Not looked at: {_grouped(skipped)}", _INDENT, "dim")
    yield verdict(found, strict=strict), "bold"


def finding_lines(result: CheckResult) -> Iterator[tuple[str, str]]:
    """Yield the lines of one finding: the statement that is not true, what was seen, why it matters, and the cure."""
    style = _STYLES[result.grade]
    yield _line(result, result.check.statement), f"bold {style}"
    for seen in shown(result.seen):
        yield from _labelled("seen", seen)
    yield from _labelled("why", result.check.why)
    if result.cure:
        yield from _labelled("cure", result.cure)
    yield from _labelled("help", result.check.anchor)


def verdict(found: Examination, *, strict: bool) -> str:
    """Return the last line: the counts, and what the exit code means."""
    bad = found.bad(strict=strict)
    counts = ", ".join(
        plural(count, what)
        for count, what in (
            (found.count(Grade.FAILURE), "failure"),
            (found.count(Grade.WARNING), "warning"),
            (found.count(Grade.HINT), "hint"),
        )
        if count
    )
    good = f"{found.count(Grade.GOOD)} of {len(found.results)} checks are good"
    because = "something fails" if found.count(Grade.FAILURE) else "warnings count with --strict"
    meaning = f"exit code 1: {because}" if bad else "exit code 0: nothing fails"
    return f"{'; '.join(filter(None, (counts, good)))} ({meaning})."


def _line(result: CheckResult, said: str) -> str:
    return printable(f"{_MARKS[result.grade]} {result.check.code}: {said}")


def _grouped(skipped: list[CheckResult]) -> str:
    """Return the skipped checks by the reason that they share."""
    groups: dict[str, list[str]] = {}
    for result in skipped:
        groups.setdefault(result.reason, []).append(result.check.code)
    return "; ".join(
        f"{codes[0] if len(codes) == 1 else f'{len(codes)} checks'} ({reason})" for reason, codes in groups.items()
    )


def _labelled(label: str, text: str) -> Iterator[tuple[str, str]]:
    start = f"{_INDENT}{label:<{_LABEL}}"
    return _wrapped(start + printable(text), " " * len(start), "dim" if label in {"why", "help"} else "")


def _wrapped(text: str, indent: str, style: str) -> Iterator[tuple[str, str]]:
    for line in textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False):
        yield line, style
