"""Globs of two policies that match the same services."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase, translate
from functools import cache
from typing import TYPE_CHECKING

from autoscaler.policy.policy import is_glob
from autoscaler.policy_files.diagnostic import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.policy_files.diagnostic import Diagnostic
    from autoscaler.policy_files.drafts import Draft


def overlaps(drafts: list[Draft]) -> Iterator[Diagnostic]:
    """Yield a problem for each glob that is within a glob of another policy, unless `exclude` separates them.

    The problem names a service that both match. Other globs may match the same service, too. That is found at an
    evaluation, which does not scale a service in conflict.
    """
    named = {service for draft in drafts for _, service in draft.services if not is_glob(service)}
    told: set[tuple[int, int]] = set()
    budget = iter(range(_MOST_COMPARISONS))
    candidates = _by_prefix(drafts)
    for draft in drafts:
        for index, pattern in draft.globs():
            for other, containing in _containing(draft, pattern, candidates, budget):
                example = _matched_by_both(pattern, draft, other, named)
                if example is not None and (id(other), id(draft)) not in told:
                    told.add((id(draft), id(other)))
                    yield _overlap(draft, (index, pattern), (other, containing), example)
                    break


def _overlap(draft: Draft, own: tuple[int, str], others: tuple[Draft, str], example: str) -> Diagnostic:
    index, pattern = own
    other, containing = others
    what = (
        f"the glob {shown(pattern)} and the glob {shown(containing)} of the policy {other.label} "
        f"both match {shown(example)}, for example"
    )
    cure = f"add exclude: [{shown(pattern)}] there" if pattern != containing else "keep it in one of the two"
    return draft.problem(("services", index), what, cure)


def _by_prefix(drafts: list[Draft]) -> dict[str, list[tuple[Draft, str]]]:
    """Return all globs by their plain beginning. A glob that contains another begins with a part of its beginning."""
    globs: dict[str, list[tuple[Draft, str]]] = {}
    for draft in drafts:
        for _, pattern in draft.globs():
            globs.setdefault(_prefix(pattern), []).append((draft, pattern))
    return globs


def _containing(
    draft: Draft, pattern: str, candidates: dict[str, list[tuple[Draft, str]]], budget: Iterator[int]
) -> Iterator[tuple[Draft, str]]:
    """Yield the globs of other policies that seem to contain *pattern*, by probes, until the *budget* is spent."""
    prefix, probes = _prefix(pattern), _probes(pattern)
    for length in range(len(prefix) + 1) if probes else ():
        for other, larger in candidates.get(prefix[:length], ()):
            if next(budget, None) is None:
                return
            if other is not draft and all(_matches(larger, probe) for probe in probes):
                yield other, larger


_MOST_COMPARISONS = 1_000_000
"""About one second's work. Only sets of thousands of globs that begin alike need more; evaluations check those."""
_FILLINGS = ("", "x", "q7-z")
_CANDIDATES = "xaq07-_.ABCDEFGHIJKLMNOPRSTUVWXYZbcdefghijklmnoprstuvwyz12345689"
_TOKEN = re.compile(r"\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


def _prefix(pattern: str) -> str:
    """Return the plain text at the beginning of *pattern*."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0]


def _probes(pattern: str) -> list[str]:
    """Return a few names that *pattern* matches."""
    probes = []
    for filling in _FILLINGS:
        parts = [_filled(token, filling) for token in _TOKEN.findall(pattern)]
        if None not in parts:
            probes.append("".join(part for part in parts if part))
    return [probe for probe in dict.fromkeys(probes) if probe and _matches(pattern, probe)]


def _filled(token: str, filling: str) -> str | None:
    """Return a text that the glob's *token* matches; None if none is found."""
    if token == "*":  # noqa: S105 - a part of a glob
        return filling
    if len(token) == 1 and token != "?":  # noqa: S105 - likewise
        return token
    return next((letter for letter in _CANDIDATES if fnmatchcase(letter, token)), None)


def _matched_by_both(pattern: str, smaller: Draft, larger: Draft, named: set[str]) -> str | None:
    """Return a name that *pattern* matches, that neither policy excludes and no policy names; None if none is found."""
    excluded = (*smaller.exclude, *larger.exclude)
    for probe in reversed(_probes(pattern)):
        if probe not in named and not any(_matches(other, probe) for other in excluded):
            return probe
    return None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def _matches(pattern: str, name: str) -> bool:
    return _compiled(pattern).match(name) is not None
