"""When a lack of data has lasted for too long, and the problems that follow from it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from math import inf, isfinite
from typing import TYPE_CHECKING

from autoscaler.core.lacks import EVERYBODYS, Lack
from autoscaler.core.records import NO_DATA, Problem
from autoscaler.diagnosis.chain import unbroken_since
from autoscaler.util.amounts import plural

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from autoscaler.core.window import Window
    from autoscaler.diagnosis.chain import Gap, Surroundings

LONGEST = 600.0
"""The seconds for which a service may lack data before it is a problem."""
_SHOWN = 3
_MOST_TEXTS = 2
_STRIDE = 4
"""The window steps between two looks back at a window."""


@dataclass(slots=True)
class Lasting:
    """A lack of data that goes on."""

    since: float
    """Unix seconds."""
    filling: float | None = None
    """The first time in this lack from which on no sample was missing; None before."""
    lack: Lack | None = None
    seen: str = ""
    """What the window looked like when the lack was diagnosed; empty if it was not."""
    diagnosed: float = -inf

    def note(self, gap: Gap) -> None:
        """Remember when samples came. That counts once, because samples that come and go are a lack that goes on."""
        if self.filling is None and gap.window is not None and (began := unbroken_since(gap.window)) < inf:
            self.filling = began


def excused(gap: Gap, lasting: Lasting, around: Surroundings) -> bool:
    """Return whether the window may still fill, because the tasks or the samples began so short a time ago."""
    settings = around.settings
    full = gap.longest + 2 * (around.step + settings.scrape_interval)
    started = min((task.since for task in gap.view.tasks if task.running), default=inf)
    if started + max(settings.warmup, 2 * settings.scrape_interval) + full > around.at:
        return True
    return lasting.filling is not None and lasting.filling + full > around.at


def too_long(gap: Gap, lasting: Lasting, around: Surroundings, *, everybody: bool) -> bool:
    """Return whether a lack that is not excused has lasted too long; *everybody* says that all services lack data."""
    lasted = around.at - lasting.since
    of_all = around.settings.warmup + gap.longest + 2 * around.step
    return lasted >= (min(LONGEST, of_all) if everybody else LONGEST)


def seen_lasting(gap: Gap, around: Surroundings, scraped_for: float | None, looked_back: float) -> Lasting:
    """Return since when *gap* lacks data as far as the samples of the last *looked_back* seconds show.

    Prometheus must have scraped something for as long: *scraped_for*, None if that is not known.
    """
    known = min(0.0 if scraped_for is None else scraped_for, looked_back)
    window = gap.window
    if window is None:
        return Lasting(around.at - known)
    lasted = min(_lacking_for(window, gap.look_back), known)
    return Lasting(around.at - lasted, unbroken_since(window) if _stops(window) <= 1 else None)


def _lacking_for(window: Window, look_back: int) -> float:
    """Return the seconds for which the window has lacked data without a break, as far as it reaches."""
    rows = len(window.values)
    for back in range(0, rows, _STRIDE):
        if _earlier(window, back).lacking(look_back) is None:
            return back * window.step
    return rows * window.step


def _earlier(window: Window, back: int) -> Window:
    """Return the window as it was *back* steps ago."""
    if not back:
        return window
    reporting, owed = (None if counts is None else counts[:-back] for counts in (window.reporting, window.owed))
    end = window.end - back * window.step
    return replace(window, end=end, values=window.values[:-back], reporting=reporting, owed=owed)


def _stops(window: Window) -> int:
    """Return how often the samples stop."""
    there = [isfinite(value) for value in window.whole()]
    return sum(now and not after for now, after in pairwise(there))


def problems(lacks: Sequence[Lack], eligible: Collection[str], *, everybody: bool) -> list[Problem]:
    """Return the problems that lasting *lacks* are, the cause before its effects.

    There is one problem if *everybody* lacks data, one for each metric whose link is broken for many services, and one
    for each other service.
    """
    if not lacks:
        return []
    if everybody:
        said = "; ".join(text(group) for group in grouped(lacks)[:_MOST_TEXTS])
        lead = "the only service has no data" if len(eligible) == 1 else "no service has data"
        return [Problem(NO_DATA, f"{lead}: {said}", cause=_cause(lacks))]
    found: dict[str, list[list[Lack]]] = {}
    for group in grouped(lacks):
        if group[0].link in EVERYBODYS or len(group) > _SHOWN:
            found.setdefault(f"metric {group[0].metric}", []).append(group)
        else:
            for lack in group:
                found.setdefault(lack.service, []).append([lack])
    return [_problem(subject, groups) for subject, groups in found.items()]


def _problem(subject: str, groups: Sequence[Sequence[Lack]]) -> Problem:
    said = "; ".join(map(text, groups[:_MOST_TEXTS]))
    return Problem(NO_DATA, said, subject, cause=_cause(lack for group in groups for lack in group))


def grouped(lacks: Iterable[Lack]) -> list[list[Lack]]:
    """Return *lacks* in groups with the same metric and link, those of most services first."""
    ordered = sorted(lacks, key=lambda lack: (lack.metric, lack.link, lack.service))
    groups = [list(group) for _, group in groupby(ordered, key=lambda lack: (lack.metric, lack.link))]
    return sorted(groups, key=len, reverse=True)


def text(group: Sequence[Lack]) -> str:
    """Return one sentence about lacks with the same metric and link."""
    names = [lack.service for lack in group]
    if len(names) > _SHOWN:
        which = f"{', '.join(names[:_SHOWN])} and {plural(len(names) - _SHOWN, 'other service')}"
    else:
        which = ", ".join(names)
    example = "" if len({lack.text for lack in group}) == 1 else f"for {names[0]}, "
    return f"{group[0].metric} of {which}: {example}{group[0].text}"


def _cause(lacks: Iterable[Lack]) -> str:
    return " ".join(sorted({f"{lack.metric}:{lack.link}" for lack in lacks}))
