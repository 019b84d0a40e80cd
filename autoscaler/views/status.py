"""What `status` says: the daemon, its problems, and one line for each service that needs attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from autoscaler.core.instance import Mode, Role
from autoscaler.core.states import State
from autoscaler.util.amounts import plural
from autoscaler.util.durations import words
from autoscaler.util.text import printable
from autoscaler.views.board import count, load, needs_attention, style_of
from autoscaler.views.grid import Grid, GridRow
from autoscaler.views.moments import clock_face, since

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from autoscaler.views.overview import DaemonDocument, OverviewDocument, ServiceRow

_LATE = 3
"""Intervals after which an evaluation is overdue."""
_STYLES = {Mode.LIVE: "bold green", Mode.DRY_RUN: "bold cyan"}


def status(document: OverviewDocument, now: float | None, *, everything: bool = False) -> RenderableType:
    """Return what people read of the overview at *now*, the daemon's time; *everything* has a line for each service."""
    at = _now(document, now)
    shown = [row for row in document["services"] if everything or needs_attention(row)]
    parts: list[RenderableType] = [*_head(document["daemon"], at), *problem_lines(document, at), Text()]
    if shown:
        parts.append(
            Grid(
                ("SERVICE", "REPLICAS", "MIN", "MAX", "LOAD", "STATE"),
                [_row(row, at) for row in shown],
                right=frozenset({"MIN", "MAX"}),
            )
        )
    parts.append(Text(summary(document, everything=everything), "bold"))
    return Group(*parts)


def needs_an_operator(document: OverviewDocument) -> bool:
    """Return whether a service, a problem or something in the policies needs attention."""
    return any(document[key] for key in ("attention", "problems", "policy_problems", "unmatched"))


def summary(document: OverviewDocument, *, everything: bool = False) -> str:
    """Return the last line: how many services need attention, and how many do not."""
    total = len(document["services"])
    urgent = sum(map(needs_attention, document["services"]))
    if document["daemon"]["last_evaluation"] is None:
        return "No evaluation has ended yet."
    if not total and any(problem["kind"] == "swarm" for problem in document["problems"]):
        return "The services are not known, because Swarm did not answer."
    if not total:
        return "No policy matches any service."
    if not urgent:
        return f"{plural(total, 'service')}, nothing to do."
    if everything:
        needs = plural(urgent, "needs", "need")
        return f"{plural(total, 'service')}: {needs} attention."
    return f"and {total - urgent} more, nothing to do" if total > urgent else f"{plural(total, 'service')} in all"


def headline(daemon: DaemonDocument) -> str:
    """Return mode, role, leader and revision on one line: ``live, leader (one-1)  revision 3f2a``."""
    mode = "live" if daemon["mode"] == Mode.LIVE else "dry-run: nothing is written to Swarm"
    leader = daemon["leader"]
    if daemon["role"] == Role.STANDBY:
        role = f", standby; {leader} leads" if leader else ", standby; nobody leads"
    elif daemon["role"] == Role.LEADER:
        role = f", leader ({leader})" if leader else ", leader"
    else:
        role = ""
    return printable(f"{mode}{role}  revision {daemon['revision'] or 'none'}")


def _now(document: OverviewDocument, now: float | None) -> float:
    daemon = document["daemon"]
    return now if now is not None else daemon["last_evaluation"] or daemon["started"] or 0.0


def _head(daemon: DaemonDocument, now: float) -> Iterator[Text]:
    yield Text(headline(daemon), _STYLES.get(daemon["mode"], "bold"))
    if daemon["role"] == Role.STANDBY:
        yield Text("This autoscaler is on standby: the lines below show what it sees.", "yellow")
    yield Text(
        printable(f"Prometheus {daemon['prometheus']}  Docker {daemon['docker']}  version {daemon['version']}"), "dim"
    )
    yield _evaluated(daemon, now)


def _evaluated(daemon: DaemonDocument, now: float) -> Text:
    started = "" if daemon["started"] is None else f"running {since(daemon['started'], now)}"
    last = daemon["last_evaluation"]
    if last is None:
        return Text(f"not evaluated yet  {started}".rstrip(), "dim")
    age = max(0.0, now - last)
    said = f"evaluated at {clock_face(last)} UTC, {words(age)} ago"
    missed = f"  {plural(daemon['missed_evaluations'], 'evaluation')} missed" if daemon["missed_evaluations"] else ""
    if age > _LATE * daemon["interval"]:
        return Text(f"no evaluation for {words(age)}: the last one was at {clock_face(last)} UTC{missed}", "bold red")
    return Text(f"{said}  every {words(daemon['interval'])}{missed}  {started}".rstrip(), "dim")


def problem_lines(document: OverviewDocument, now: float | None) -> Iterator[Text]:
    """Yield a line for each problem, for each policy file that is refused, and for each pause."""
    now = _now(document, now)
    for problem in document["problems"]:
        began = "" if problem["since"] is None else f" ({since(problem['since'], now)})"
        yield _text(f"problem{began}: {problem['sentence']}; {problem['consequence']}", "bold red")
    for said in document["policy_problems"]:
        yield _text(f"policies refused: {said}", "bold red")
    if document["policy_problems"]:
        yield _text(f"the policies of revision {document['daemon']['revision']} stay in force", "red")
    for said in document["unmatched"]:
        yield _text(f"warning: {said}", "yellow")
    for said in document["paused"]:
        yield _text(f"paused: {said}", "yellow")


def _row(row: ServiceRow, now: float) -> GridRow:
    urgent = needs_attention(row)
    cells = (
        _text(row["service"]),
        _text(count(row), style_of(row)),
        _text("" if row["min"] is None else str(row["min"])),
        _text("" if row["max"] is None else str(row["max"])),
        _text(load(row)),
    )
    return GridRow(cells, _text(state_sentence(row, now), "" if urgent else "dim"))


def state_sentence(row: ServiceRow, now: float) -> str:
    """Return what is to be said of a service, the most urgent first; its reason if it needs no attention."""
    said = [_sentence(state, row, now) for state in State if state in row["states"]]
    return "; ".join(filter(None, said)) or f"{row['reason']}: {row['why']}".removesuffix(": ")


def _sentence(state: State, row: ServiceRow, now: float) -> str:
    lasts = f" {since(row['since'][state], now)}" if state in row["since"] else ""
    waiting = f" for {plural(row['unplaced'], 'replica')}" if row["unplaced"] else ""
    return {
        State.FAILING: f"{row['outcome']}{lasts}: {row['detail'] or row['why']}",
        State.MISCONFIGURED: f"{row['reason']}{lasts}: {row['why']}",
        State.LACKS_DATA: f"lacks data{lasts}: {row['lacking']}",
        State.NO_ROOM: f"no room{waiting}{lasts}",
        State.AT_MAXIMUM: f"at maximum{lasts}, wants {row['recommended']}",
        State.INEFFECTIVE: f"ineffective{lasts}: {row['why']}",
        State.PAUSED: "; ".join(row["paused"]),
    }.get(state, "")


def _text(said: str, style: str = "") -> Text:
    return Text(printable(said), style)
