"""An examination as text for people and as a JSON document for programs. Pure."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Literal

from typing_extensions import TypedDict

from autoscaler.doctor.checks import Grade, shown
from autoscaler.util.amounts import plural
from autoscaler.util.text import printable
from autoscaler.views.documents import documented

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.doctor.checks import CheckResult, Examination
    from autoscaler.doctor.walk import Walk

WIDTH = 80
_MARKS = {Grade.FAILURE: "✗", Grade.WARNING: "!", Grade.HINT: "·", Grade.GOOD: "✓", Grade.SKIPPED: "-"}
_STYLES = {Grade.FAILURE: "red", Grade.WARNING: "yellow", Grade.HINT: "cyan", Grade.GOOD: "green", Grade.SKIPPED: ""}
_INDENT = "  "
_FINDING_LINES = 7
"""The most lines of a finding, if its texts allow it: three of them, and three more lines, fit on a screen of 24."""
_SKIPPED_LINES = 2
_MOST_RULES = 6
"""The most observations of a link in a walk: a policy rarely has more rules."""
_LABEL = 6


@documented
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


@documented
class CountsDocument(TypedDict):
    """How many checks have each result."""

    good: int
    hint: int
    warning: int
    failure: int
    skipped: int


@documented
class WalkedLinkDocument(TypedDict):
    """A link of the chain between a service and its next change."""

    statement: str
    """The sentence that is true if the link holds."""
    result: Grade
    """`good` if the link holds."""
    seen: list[str]
    cure: str
    code: str
    """The check that failed, if the link is broken because of one; else empty."""
    help: str


@documented
class WalkDocument(TypedDict):
    """The walk along the chain of one service. It ends at the first broken link."""

    service: str
    outcome: str
    """The answer in one sentence."""
    links: list[WalkedLinkDocument]


@documented
class ExaminationDocument(TypedDict):
    """What `autoscaler doctor` found."""

    verdict: Literal["good", "bad"]
    """`bad` if the exit code is 1."""
    exit_code: int
    strict: bool
    """Whether warnings count as failures."""
    counts: CountsDocument
    checks: list[CheckDocument]
    walk: WalkDocument | None
    """null if no service was named. If one was, the exit code is about its chain."""


def examination_document(found: Examination, walked: Walk | None = None, *, strict: bool) -> ExaminationDocument:
    """Return the examination as a JSON object."""
    bad = (walked or found).bad(strict=strict)
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
        "walk": None if walked is None else _walk_document(walked),
    }


def _walk_document(walked: Walk) -> WalkDocument:
    return {
        "service": walked.service,
        "outcome": walked.outcome,
        "links": [
            {
                "statement": link.statement,
                "result": link.grade,
                "seen": list(link.seen),
                "cure": link.cure,
                "code": link.code,
                "help": link.help,
            }
            for link in walked.links
        ],
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
        yield from _short(f"Not looked at: {_grouped(skipped)}")
    yield verdict(found, strict=strict), "bold"


def _short(text: str) -> list[tuple[str, str]]:
    """Return two lines at most."""
    lines = list(_wrapped(printable(text), _INDENT, "dim"))
    if len(lines) > _SKIPPED_LINES:
        cut = f"{_INDENT}… (--verbose shows all)"
        lines = [*lines[: _SKIPPED_LINES - 1], (cut, "dim")]
    return lines


def finding_lines(result: CheckResult) -> list[tuple[str, str]]:
    """Return the lines of one finding: the statement that is not true, what was seen, why it matters, and the cure.

    Three findings fit on a screen, so only as much is quoted as there is room for.
    """
    head = f"{_line(result, result.check.statement)} ({result.check.anchor})"
    lines = list(_wrapped(head, " " * 4, f"bold {_STYLES[result.grade]}"))
    rest = [*_labelled("why", result.check.why), *_labelled("cure", result.cure)]
    for most in (3, 2, 1):
        seen = [line for each in shown(result.seen, most) for line in _labelled("seen", each)]
        if len(lines) + len(seen) + len(rest) <= _FINDING_LINES:
            break
    else:
        more = f" (and {len(result.seen) - 1} more)" if len(result.seen) > 1 else ""
        seen = list(_labelled("seen", result.seen[0] + more))
    return [*lines, *seen, *rest]


def walk_lines(walked: Walk, *, strict: bool) -> Iterator[tuple[str, str]]:
    """Yield the lines of a walk for people, each with its style."""
    for link in walked.links:
        style = _STYLES[link.grade]
        code = f"{link.code}: " if link.code else ""
        good = link.grade is Grade.GOOD
        yield from _wrapped(
            printable(f"{_MARKS[link.grade]} {code}{link.statement}{'' if good else f' ({link.help})'}"),
            " " * 4,
            style if good else f"bold {style}",
        )
        for seen in shown(link.seen, _MOST_RULES):
            yield from _labelled("seen", seen)
        if link.cure:
            yield from _labelled("cure", link.cure)
    meaning = _meaning(walked.broken.grade if walked.broken else Grade.GOOD, strict=strict)
    yield from _wrapped(printable(f"{walked.outcome} ({meaning})."), "", "bold")


def verdict(found: Examination, *, strict: bool) -> str:
    """Return the last line: the counts, and what the exit code means."""
    counts = ", ".join(
        plural(count, what)
        for count, what in (
            (found.count(Grade.FAILURE), "failure"),
            (found.count(Grade.WARNING), "warning"),
            (found.count(Grade.HINT), "hint"),
        )
        if count
    )
    good = f"{found.count(Grade.GOOD)} of {len(found.results)} good"
    worst = next((grade for grade in (Grade.FAILURE, Grade.WARNING) if found.count(grade)), Grade.GOOD)
    return f"{', '.join(filter(None, (counts, good)))} ({_meaning(worst, strict=strict)})."


def _meaning(worst: Grade, *, strict: bool) -> str:
    """Return what the exit code means if this is the *worst* grade."""
    if worst is Grade.FAILURE:
        return "exit code 1: something fails"
    if worst is Grade.WARNING:
        return "exit code 1: warnings count with --strict" if strict else "exit code 0: only --strict counts warnings"
    return "exit code 0: nothing fails"


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
    return _wrapped(start + printable(text), " " * len(start), "dim" if label == "why" else "")


def _wrapped(text: str, indent: str, style: str) -> Iterator[tuple[str, str]]:
    for line in textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False):
        yield line, style
