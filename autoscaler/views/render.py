"""Records as text for people: a table, or a line if there is no terminal. Pure: it builds what rich prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from autoscaler.core.lacks import Link
from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from autoscaler.diagnosis.lasting import grouped, text
from autoscaler.util.amounts import cores, memory, plural
from autoscaler.util.durations import words
from autoscaler.util.text import printable
from autoscaler.views.grid import Grid, GridRow
from autoscaler.views.problems import problem_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from autoscaler.core.lacks import Lack
    from autoscaler.core.records import Problem, Record
    from autoscaler.evaluation.survey import Reading, Survey
    from autoscaler.swarm.capacity import Capacity, ServiceCapacity
    from autoscaler.util.amounts import Amount

_MOST_NAMES = 10
_WHOLE = 10
"""Values from here on are shown without decimals."""
_MOST_LINES = 20
STYLES = {
    Outcome.APPLIED: "bold green",
    Outcome.DRY_RUN: "bold cyan",
    Outcome.UNCHANGED: "dim",
    Outcome.HELD: "yellow",
    Outcome.CONFLICT: "red",
    Outcome.UNKNOWN: "red",
    Outcome.FAILED: "bold red",
}


def count(record: Record) -> str:
    """Return the replica count and its change: ``3 → 4``, or ``3`` if it stays."""
    decision = record.decision
    return f"{decision.requested} → {decision.desired}" if decision.changes else str(decision.requested)


def style(record: Record) -> str:
    """Return the colour of the record's outcome, as rich names it."""
    return STYLES[record.outcome]


def table(records: Sequence[Record]) -> Grid:
    """Return a table with a row per service: replicas, bounds, reason, values, and the facts in words."""
    return Grid(
        ("SERVICE", "REPLICAS", "MIN", "MAX", "REASON", "VALUES", "WHY"),
        [
            GridRow(
                (
                    _text(record.decision.service),
                    _text(_counts(record), style(record)),
                    _text(_bound(record.decision.minimum)),
                    _text(_bound(record.decision.maximum)),
                    _text(record.decision.primary.reason.value, style(record)),
                    _text(_values(record)),
                ),
                _text(_with_rule(record)),
            )
            for record in records
        ],
        right=frozenset({"MIN", "MAX"}),
    )


def _counts(record: Record) -> str:
    """Return the count and its change, with the running replicas if they are not as many: ``3 → 4 (2 run)``."""
    decision = record.decision
    running = "" if decision.running == decision.requested else f" ({decision.running} run)"
    return f"{count(record)}{running}"


def _bound(bound: int | None) -> str:
    return "" if bound is None else str(bound)


def _values(record: Record) -> str:
    """Return the newest value of each metric: ``cpu 83 %  memory 41 %``."""
    newest = ((name, window.newest, window.unit) for name, window in record.windows.items())
    return "  ".join(f"{name} {short(value)} {unit}".rstrip() for name, value, unit in newest if value is not None)


def short(value: float) -> str:
    """Return a value in short: without decimals from 10 on."""
    return f"{value:.0f}" if abs(value) >= _WHOLE else f"{value:.3g}"


def _with_rule(record: Record) -> str:
    rule = record.decision.primary.rule
    return f"[{rule}] {_why(record)}" if rule else _why(record)


def plan(  # noqa: PLR0913, PLR0917 - what a plan shows
    records: Sequence[Record],
    problems: Sequence[Problem],
    capacity: Capacity | None = None,
    paused: Sequence[str] = (),
    in_force: Sequence[str] = (),
    lacks: Sequence[Lack] = (),
    unmatched: Sequence[str] = (),
) -> RenderableType:
    """Return what an evaluation would do: the table, the problems, the warnings, and a sentence that sums up.

    The sums of *capacity* follow, if they are given, with a warning for each maximum that does not fit. Each pause in
    *paused* and each cooldown *in_force* has a line, and so has each cause of missing data in *lacks* and each part of
    the policies that is *unmatched*.
    """
    parts: list[RenderableType] = []
    ordered = sorted(records, key=lambda record: (not record.decision.changes, record.decision.service))
    if ordered:
        parts.append(table(ordered))
        parts.append(Text())
    parts.extend(_text(said, "dim") for said in some(in_force))
    parts.extend(_text(f"problem: {problem_line(problem)}", "bold red") for problem in problems)
    parts.extend(missing_data(lacks))
    parts.extend(_text(f"warning: {said}", "yellow") for said in unmatched)
    parts.extend(_text(f"paused: {said}", "yellow") for said in paused)
    parts.extend(
        _text(f"warning: {record.decision.service}: {record.rollback_warning}", "yellow")
        for record in ordered
        if record.rollback_warning
    )
    if capacity is not None and capacity.places:
        parts += [*_sums(capacity), Text()]
    parts.append(_text(_summary(records, problems), "bold"))
    return Group(*parts)


def survey(found: Survey) -> RenderableType:
    """Return a table of metrics and services (value, age, reporting tasks), and what cannot be checked."""
    parts: list[RenderableType] = []
    if found.readings:
        grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for header in ("METRIC", "SERVICE", "POLICY"):
            grid.add_column(header, overflow="fold")
        for header in ("VALUE", "AGE", "TASKS"):
            grid.add_column(header, justify="right")
        grid.add_column("REMARK", overflow="fold", ratio=1)
        for reading in found.readings:
            grid.add_row(*_reading(reading))
        parts += [grid, Text()]
    parts += [_text(f"problem: {problem_line(problem)}", "bold red") for problem in found.problems]
    parts += missing_data(found.lacks)
    parts += [_text(f"untouched: {line(record)}", "yellow") for record in found.untouched]
    parts += [_text(f"warning: {said}", "yellow") for said in (*found.nothing_matched, *found.doubtful)]
    if found.asleep:
        parts.append(
            _text(
                f"These services are asleep by a schedule, so their data are not checked: {_listed(found.asleep)}.",
                "dim",
            )
        )
    if found.unmatched:
        parts.append(_text(f"No policy applies to: {', '.join(found.unmatched)}", "dim"))
    if found.scrape_interval is not None:
        parts.append(_text(f"Prometheus scrapes cAdvisor every {words(found.scrape_interval)}."))
    parts += [_text(f"remark: {remark}", "yellow") for remark in found.remarks]
    if found.capacity is not None and found.capacity.places:
        parts += [Text(), _places(found.capacity.places), Text(), *_sums(found.capacity), Text()]
    if found.readings:
        parts.append(_text(_conclusion(found), "bold"))
    return Group(*parts)


def _conclusion(found: Survey) -> str:
    """Return how many readings were checked, and whether all have data."""
    lacking = {(each.metric, each.service) for each in found.readings if each.lack}
    lacking |= {(each.metric, each.service) for each in found.lacks if not each.passes}
    what = "All have data."
    if lacking:
        what = f"{plural(len(lacking), 'lacks', 'lack')} data."
    elif nothing := len(found.nothing_matched) + sum(_is_missing(record) for record in found.untouched):
        entries = plural(nothing, "entry", "entries")
        what = f"None lacks data, but {entries} of the policies {'matches' if nothing == 1 else 'match'} no service."
    return f"Checked {plural(len(found.readings), 'reading')}, one for each metric of a service. {what}"


def _is_missing(record: Record) -> bool:
    return record.decision.primary.reason is Reason.SERVICE_NOT_FOUND


def missing_data(lacks: Sequence[Lack]) -> list[Text]:
    """Return a line for each cause of missing data, with the services that it concerns and the cure.

    A source that does not answer has no line, because it is a problem.
    """
    lacks = [lack for lack in lacks if lack.link is not Link.SOURCE]
    return [
        _text(f"waits: {text(group)}", "dim") if group[0].passes else _text(f"no data: {text(group)}", "yellow")
        for group in grouped(lacks)[:_MOST_LINES]
    ]


def _reading(reading: Reading) -> tuple[Text, ...]:
    value = "" if reading.value is None else f"{reading.value:.4g}{f' {reading.unit}' if reading.unit else ''}"
    tasks = "" if reading.reporting is None else f"{reading.reporting} of {reading.running}"
    remark = _text(reading.lack, "bold red") if reading.lack else _text(f"of {reading.base}" if reading.base else "")
    age = "" if reading.age is None else words(reading.age)
    cells = (reading.metric, reading.service, reading.policy, value, age, tasks)
    return (*map(_text, cells), remark)


def _text(said: str, style: str = "") -> Text:
    """Return a text, also one of others, in printable form: without markup, escape sequences and line breaks."""
    return Text(printable(said), style)


def _places(places: Iterable[ServiceCapacity]) -> Table:
    """Return a row per service with a policy: its present replicas, its maximum, and the replicas that fit."""
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    grid.add_column("SERVICE", overflow="fold")
    for header in ("REPLICAS", "MAX", "FIT NOW", "FIT WITH OTHERS AT MAX"):
        grid.add_column(header, justify="right")
    grid.add_column("EACH RESERVES", overflow="fold")
    grid.add_column("LIMITS", overflow="fold")
    for place in places:
        colour = "" if place.fits else "yellow"
        fitting = ("any" if count is None else str(count) for count in (place.now, place.with_others))
        counts = (str(place.requested), str(place.maximum), *fitting)
        limits = str(place.limits) if place.limits.nano_cpus or place.limits.memory else "none"
        grid.add_row(*map(_text, (place.service, *counts, str(place.reserves), limits)), style=colour)
    return grid


def _sums(capacity: Capacity) -> Iterator[RenderableType]:
    """Yield the capacity, the reservations and the limits, and a warning for each maximum that does not fit."""
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for header in ("CAPACITY", "CPU", "MEMORY"):
        grid.add_column(header, no_wrap=True)
    grid.add_row(plural(capacity.nodes, "node"), cores(capacity.total.cores), memory(capacity.total.memory))
    for label, amount in (
        ("reserved now", capacity.reserved),
        ("reserved with every policy at its maximum", capacity.at_maxima),
        ("limits with every policy at its maximum", capacity.limits_at_maxima),
    ):
        grid.add_row(label, *_shares(amount, capacity.total))
    yield grid
    for place in capacity.places:
        if not place.fits:
            yield _text(f"warning: {place_line(place)}", "yellow")
        if place.forgotten:
            waits = plural(place.forgotten, "replica waits", "replicas wait")
            why = "Swarm does not retry replicas that waited while the count changed"
            cure = f"if this lasts, scale down by {place.forgotten} and up again"
            said = f"{place.service}: {waits} for a node although there is room; {why} ({cure})"
            yield _text(f"warning: {said}", "yellow")
    without = [place.service for place in capacity.places if not (place.reserves.nano_cpus or place.reserves.memory)]
    if without:
        yield _text(f"These services reserve nothing, so reservations do not limit their replicas: {_listed(without)}.")
    if capacity.closed:
        yield _text(f"These nodes accept no tasks now and are not counted: {_listed(capacity.closed)}.")
    which = "All" if capacity.fits else "Not all"
    fits = f"{which} services fit at their maximum at once"
    yield _text(f"{fits}. This is an estimate: Swarm spreads tasks, which may leave the free room in smaller pieces.")


def _listed(names: Sequence[str]) -> str:
    """Return *names* in one text; only the first if there are many."""
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def place_line(place: ServiceCapacity) -> str:
    """Return why the maximum of a service does not fit, with the numbers and the cure."""
    now = "any number fits" if place.now is None else plural(place.now, "replica fits", "replicas fit")
    return (
        f"{place.service}: max {place.maximum} does not fit: {now} with everything else as it is, {place.with_others} "
        f"with all others at their maximum; {place.obstacle} ({place.cure})"
    )


def _shares(amount: Amount, total: Amount) -> tuple[str, str]:
    """Return CPU and memory, each with its share of the whole."""
    pairs = (
        (cores(amount.cores), amount.nano_cpus, total.nano_cpus),
        (memory(amount.memory), amount.memory, total.memory),
    )
    cpu, held = (f"{text} ({part / whole:.0%})" if whole else text for text, part, whole in pairs)
    return cpu, held


def some(lines: Sequence[str]) -> list[str]:
    """Return *lines*; only the first if there are many."""
    more = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], *([f"and {more} more like these"] if more > 0 else [])]


def line(record: Record) -> str:
    """Return a record on one line: service, count, outcome, reason and the facts."""
    decision = record.decision
    rule = f" [{decision.primary.rule}]" if decision.primary.rule else ""
    return (
        f"{decision.service}  {count(record)}  {record.outcome.value}  {decision.primary.reason.value}{rule}"
        f"  {_why(record)}"
    )


def _why(record: Record) -> str:
    detail = record.decision.primary.detail
    return f"{detail}; {record.detail}" if record.detail and detail else detail or record.detail


def _summary(records: Iterable[Record], problems: Sequence[Problem]) -> str:
    decided = list(records)
    changes = sum(record.decision.changes for record in decided)
    held = sum(record.outcome is Outcome.HELD for record in decided)
    if any(problem.kind == "swarm" for problem in problems):
        return "The plan is not known, because Swarm did not answer."
    if not decided and not any(problem.kind == "service" for problem in problems):
        return "No policy matches any service."
    return f"{plural(len(decided), 'service')}: {changes} to change, {held} held. This plan changed nothing."
