"""What happened as lines of text, made from the API's documents alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from autoscaler.journal.happening import HappeningKind
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import tzinfo

    Item = Mapping[str, Any]

_TO = "\N{EN DASH}"
_TIMES = "\N{MULTIPLICATION SIGN}"
_LONGEST_SERVICE = 40
_SPAN = len(f"08:25:38{_TO}08:26:38")
_OF_THE_PROCESS = frozenset({HappeningKind.STARTED, HappeningKind.STOPPED})
_QUIET = frozenset({HappeningKind.STOPPED})
"""Kinds that have no line of their own: a gap tells them."""


def history_lines(
    happenings: Sequence[Item], *, since: float, kept_since: float | None, zone: tzinfo | None = UTC
) -> list[str]:
    """Return a line for each of the *happenings*, in the order of time, and one for each gap between two processes.

    Times are those of *zone*; None is the machine's own. A line with the date stands before the first line of each day.
    """
    ordered = sorted(happenings, key=lambda item: (item["at"], item["kind"] != HappeningKind.STARTED))
    width = min(max((len(item["service"] or "") for item in ordered), default=0), _LONGEST_SERVICE)
    lines = list(_beginning(ordered, since, kept_since, zone))
    day = ""
    for at, text in sorted(
        [*_lines(ordered, width, zone), *_gaps(ordered, zone)],
        key=lambda entry: entry[0],
    ):
        today = f"{datetime.fromtimestamp(at, zone):%Y-%m-%d}"
        if today != day:
            lines.append(today)
            day = today
        lines.append(text)
    return lines


def _beginning(ordered: Sequence[Item], since: float, kept_since: float | None, zone: tzinfo | None) -> Iterator[str]:
    if kept_since is None:
        yield "Nothing has happened yet."
    elif kept_since > since:
        yield f"Nothing is known of the time before {datetime.fromtimestamp(kept_since, zone):%Y-%m-%d %H:%M:%S}."
    if kept_since is not None and all(item["kind"] in _OF_THE_PROCESS for item in ordered):
        yield "Nothing happened in this time."


def _lines(ordered: Sequence[Item], width: int, zone: tzinfo | None) -> Iterator[tuple[float, str]]:
    for item in ordered:
        if item["kind"] not in _QUIET:
            said = _SAID[HappeningKind(item["kind"])](item)
            yield item["at"], f"{_span(item, zone):{_SPAN}}  {item['service'] or '':{width}}  {said}".rstrip()


def _span(item: Item, zone: tzinfo | None) -> str:
    """Return the time, or from when to when with a dash between; nothing is behind the dash if it goes on."""
    began = f"{datetime.fromtimestamp(item['at'], zone):%H:%M:%S}"
    if item["kind"] in {HappeningKind.STARTED, HappeningKind.CHANGE}:
        return began
    if item["ongoing"]:
        return f"{began}{_TO}"
    if item["until"] == item["at"]:
        return began
    days = int(item["until"] - item["at"]) // (24 * 3600)
    return f"{began}{_TO}{datetime.fromtimestamp(item['until'], zone):%H:%M:%S}{f' +{days}d' if days else ''}"


def _gaps(ordered: Sequence[Item], zone: tzinfo | None) -> Iterator[tuple[float, str]]:
    """Tell when the autoscaler did not run: from the last evaluation of one process to the start of the next one."""
    starts = [item for item in ordered if item["kind"] == HappeningKind.STARTED]
    stops = [item["at"] for item in ordered if item["kind"] == HappeningKind.STOPPED]
    for index, item in enumerate(starts):
        following = starts[index + 1]["at"] if index + 1 < len(starts) else None
        ended = item["until"]
        stopped = [at for at in stops if item["at"] <= at and (following is None or at <= following)]
        if item["ongoing"] or (following is None and not stopped):
            continue
        ended = max([ended, *stopped[-1:]])
        how = "it was stopped" if stopped else "it ended without notice: killed, or its machine was lost"
        began = f"{datetime.fromtimestamp(ended, zone):%H:%M:%S}"
        if following is None:
            yield ended, f"{began}{_TO}{'':{_SPAN - len(began) - 1}}  not running ({how})"
        else:
            span = f"{began}{_TO}{datetime.fromtimestamp(following, zone):%H:%M:%S}"
            yield ended, f"{span}  not running for {words(max(1, following - ended))} ({how})"


def _change(item: Item) -> str:
    facts = item["facts"]
    outcome = facts.get("outcome", "applied")
    parts = [
        f"{facts['before']} → {facts['after']}",
        f"{outcome} {_TIMES}{item['times']}" if item["times"] > 1 else outcome,
    ]
    parts.append(f"by {facts['by']}")
    if facts.get("reason") and facts["reason"] != facts["by"]:
        parts.append(_reason(facts))
    parts += [facts[key] for key in ("why", "detail") if facts.get(key)]
    return "  ".join(parts)


def _run(item: Item) -> str:
    facts = item["facts"]
    word = "held" if item["kind"] == HappeningKind.HOLD else "unchanged"
    return "  ".join(
        filter(None, (f"{word} {_TIMES}{item['times']} at {facts['before']}", _reason(facts), facts.get("why")))
    )


def _reason(facts: Mapping[str, Any]) -> str:
    return f"{facts['reason']} [{facts['rule']}]" if facts.get("rule") else str(facts["reason"])


def _problem(item: Item) -> str:
    facts = item["facts"]
    subject = f" {facts['subject']}" if facts.get("subject") and facts["subject"] != item["service"] else ""
    return f"problem {facts['problem']}{subject}: {facts['detail']}"


def _pause(item: Item) -> str:
    service = item["service"]
    return f"pause: {str(item['facts']['detail']).removeprefix(f'{service}: ')}"


def _policies(item: Item) -> str:
    facts = item["facts"]
    if facts["refused"]:
        return f"policies refused, {facts['revision']} stays in force: {'; '.join(facts['problems'])}"
    return f"policies loaded: revision {facts['revision']}, {facts['policies']} policies"


def _leader(item: Item) -> str:
    facts = item["facts"]
    if facts["role"] == "leader":
        return "leader"
    return f"standby; the leader is {facts['holder']}" if facts["holder"] else "standby; no leader is known"


def _started(item: Item) -> str:
    facts = item["facts"]
    return " ".join(filter(None, ("started", facts.get("version"), facts.get("mode"))))


_SAID = {
    HappeningKind.CHANGE: _change,
    HappeningKind.HOLD: _run,
    HappeningKind.UNCHANGED: _run,
    HappeningKind.PROBLEM: _problem,
    HappeningKind.PAUSE: _pause,
    HappeningKind.POLICIES: _policies,
    HappeningKind.LEADER: _leader,
    HappeningKind.STARTED: _started,
}
