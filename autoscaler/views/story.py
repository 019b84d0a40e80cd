"""The text of one explanation: at most 16 lines of 100 columns, made from the document alone.

So the API's answer and the journal's entry give the same text.
"""

from __future__ import annotations

from datetime import UTC, datetime
from textwrap import wrap
from typing import TYPE_CHECKING

from autoscaler.core.model import Direction, Outcome
from autoscaler.explanation.words import amount, clock, exact
from autoscaler.util.amounts import plural
from autoscaler.util.durations import words
from autoscaler.util.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from autoscaler.views.explanations import (
        ConditionDocument,
        ExplainedRuleDocument,
        ExplainedStepDocument,
        ExplanationDocument,
        NextChangeDocument,
        OtherWayDocument,
    )

WIDTH = 100
"""The most columns of the text."""
MOST_LINES = 16
_MARGIN = 11
_HEADER: tuple[str, ...] = ("rule", "saw", "bound", "asks for", "since", "samples")
_MOST_RULES = 4
_MOST_CHANGES = 2
_MOST_WAYS = 2
"""The most rules that may bring a change and that are named."""


def render_story(
    document: ExplanationDocument, *, now: float | None = None, role: str = "", remarks: Sequence[str] = ()
) -> str:
    """Return the explanation as plain text of at most 100 columns and 16 lines.

    *now* gives the age of the evaluation. *role* says who explains, for example ``live, leader``. Each of *remarks* is
    a line at the end.
    """
    head = [*_paragraph("", f"{document['service']}: {_loud(document['verdict'])}", 3), *_facts(document, now, role)]
    table = _table(document["rules"])
    tail = [
        *_labelled("the count", _path(document["steps"]), 2),
        *_next(document),
        *_data(document),
        *_labelled("sooner", [document["sooner"]] if document["sooner"] and not document["lacks"] else [], 1),
        *_labelled("before", _before(document), 1),
        *(_cut(remark) for remark in remarks),
    ]
    sections = [head, table, tail]
    spare = MOST_LINES - sum(map(len, sections))
    if spare < 0:
        sections[1] = _shortened(table, len(table) + spare)
    gap = [""] if spare >= len([part for part in sections if part]) - 1 else []
    lines: list[str] = []
    for section in filter(None, sections):
        lines += [*(gap if lines else []), *section]
    return "\n".join(printable(line).rstrip() for line in lines[:MOST_LINES])


def _loud(verdict: str) -> str:
    first, _, rest = verdict.partition(" ")
    return f"{first.upper()} {rest}" if first in {"held", "scaled"} else verdict


def _facts(document: ExplanationDocument, now: float | None, role: str) -> list[str]:
    allowed = f", {document['minimum']} to {document['maximum']} allowed" if document["maximum"] is not None else ""
    written = f" ({document['written']})" if document["written"] else ""
    moment = datetime.fromtimestamp(document["at"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    age = "" if now is None else f", {words(max(now - document['at'], 0))} ago"
    facts = [
        f"{document['requested']} requested, {document['running']} running{allowed}",
        f"policy {document['policy']}{written}",
        f"evaluated {moment}{age}",
        role,
    ]
    return _joined("", [fact for fact in facts if fact], 2)


def _table(rules: Sequence[ExplainedRuleDocument]) -> list[str]:
    if not rules:
        return []
    deciding = sorted(rules, key=lambda rule: (not rule["decides"], rule["asks"] is None and not rule["lack"]))
    for with_base in (True, False):
        rows = [_HEADER, *(_cells(rule, with_base=with_base) for rule in deciding[:_MOST_RULES])]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
        if sum(widths) + 3 * (len(widths) - 1) <= WIDTH:
            break
    for column in (0, 1, 2):  # the widest texts give way
        over = sum(widths) + 3 * (len(widths) - 1) - WIDTH
        if over > 0:
            widths[column] = max(widths[column] - over, 12)
    lines = ["   ".join(_fit(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if len(rules) > _MOST_RULES:
        lines.append(f"and {plural(len(rules) - _MOST_RULES, 'more rule')}, which do not decide")
    return lines


def _cells(rule: ExplainedRuleDocument, *, with_base: bool) -> tuple[str, ...]:
    base = f" of {rule['base']}" if with_base and rule["base"] and rule["saw"] else ""
    saw = f"{rule['metric']} {rule['saw'] or 'missing'}{base}"
    asks = "no data" if rule["lack"] else "-" if rule["asks"] is None else str(rule["asks"])
    since = "-" if rule["since"] is None else clock(rule["since"], rule["since"])
    mark = " or earlier" if rule["since_or_earlier"] and rule["since"] is not None else ""
    samples = f"{rule['samples']} of {rule['expected']}"
    return (rule["rule"], saw, rule["bound"], f"{asks}, decides" if rule["decides"] else asks, since + mark, samples)


def _path(steps: Sequence[ExplainedStepDocument]) -> list[str]:
    """Return how the count came about: the rules' count, and each step that changed or held it."""
    if not steps:
        return []
    shaped = [
        f"{step['count']} by {step['step'].replace('_', ' ')} ({step['reason']})" for step in steps if step["reason"]
    ]
    first = f"{steps[0]['count']} by rules"
    return [" → ".join([first, *shaped]) if shaped else f"{first}, and no step changes it"]


def _next(document: ExplanationDocument) -> Iterator[str]:
    label = "next"
    for chance in document["next"]:
        said = _chance_in_words(chance, document)
        yield from _paragraph(label, f"{chance['direction']:<5} {said}", 2, deeper=6)
        label = ""


def _chance_in_words(chance: NextChangeDocument, document: ExplanationDocument) -> str:
    if chance["at"] is None:
        after = f", also once {' and '.join(chance['requires'])}" if chance["requires"] else ""
        return f"not by itself: {chance['obstacle']}{after}"
    would = "would go " if document["outcome"] == Outcome.DRY_RUN.value else ""
    count = would + _count(chance["count"], chance["direction"])
    begins = words(max(chance["at"] - document["at"], 0))
    condition = _conditions_in_words(
        chance["conditions"], within=None if chance["expected"] else chance["at"] - document["at"]
    )
    conditions = f" if {condition}" if condition else ""
    if chance["requires"]:
        first = f"{count}{conditions}, within {begins} once {' and '.join(chance['requires'])}"
    elif chance["expected"]:
        first = f"{count} at {clock(chance['at'], document['at'])} (in {begins}){conditions}"
    else:
        first = f"not before {clock(chance['at'], document['at'])} (in {begins}), {count}{conditions}"
    ways = [first, *(_other_way(other, chance, document) for other in chance["otherwise"][: _MOST_WAYS - 1])]
    more = len(chance["otherwise"]) - len(ways) + 1
    return ", ".join([*ways, *([f"or by {plural(more, 'other rule')}"] if more > 0 else [])])


def _other_way(other: OtherWayDocument, chance: NextChangeDocument, document: ExplanationDocument) -> str:
    condition = _conditions_in_words(other["conditions"], within=(other["at"] or document["at"]) - document["at"])
    later = other["at"] is not None and other["at"] != chance["at"] and not chance["requires"]
    moment = f" from {clock(other['at'], document['at'])} on" if later and other["at"] is not None else ""
    return f"or {_count(other['count'], chance['direction'])}{moment} if {condition}"


def _count(count: int | None, direction: Direction) -> str:
    if count is not None:
        return f"to {count}"
    return "more replicas" if direction == Direction.UP.value else "fewer replicas"


def _conditions_in_words(conditions: Sequence[ConditionDocument], *, within: float | None) -> str:
    """Return what metrics must do. *within* is the time until the change; None if they must only stay as they are."""
    return " and ".join(_condition_in_words(each, within=within) for each in conditions)


def _condition_in_words(condition: ConditionDocument, *, within: float | None) -> str:
    stays = within is None or condition["already"]
    # If the change may come sooner than the rule's time, the samples of the past count for a part of it.
    lasts = condition["lasting"] and not stays and within is not None and within >= condition["lasting"]
    verb = "stays" if stays else "is"
    bound = exact(condition["bound"], condition["unit"])
    if condition["side"] == "at":
        return f"{condition['metric']} {verb} at {amount(condition['bound'], condition['unit'])}"
    lasting = f" for {words(condition['lasting'])}" if lasts else ""
    side = {"from": "at least", "up to": "at most"}.get(condition["side"], condition["side"])
    return f"{condition['metric']} {verb} {side} {bound}{lasting}"


def _data(document: ExplanationDocument) -> list[str]:
    """Return why data are missing, and the cure: the first broken link of the first lack."""
    if not document["lacks"]:
        return []
    first, *others = document["lacks"]
    more = f"; {plural(len(others), 'more metric lacks', 'more metrics lack')} data" if others else ""
    return _paragraph("data", f"{first['metric']}: {first['cause']} ({first['cure']}){more}", 3, deeper=0)


def _before(document: ExplanationDocument) -> list[str]:
    said = []
    for change in document["before"][:_MOST_CHANGES]:
        why = change["reason"] or ("somebody else" if change["by_others"] else "")
        rule = f" [{change['rule']}]" if change["rule"] else ""
        text = f"{clock(change['at'], document['at'])} {change['before']} → {change['after']} {why}{rule}"
        said.append(text.strip())
    return said


# Lines


def _labelled(label: str, parts: Sequence[str], most: int) -> list[str]:
    return _joined(label, parts, most) if parts else []


def _joined(label: str, parts: Iterable[str], most: int) -> list[str]:
    """Return *parts* with dots between them, broken between parts."""
    lines: list[str] = []
    margin = _MARGIN if label else 0
    for part in parts:
        if lines and len(lines[-1]) + 3 + len(part) <= WIDTH - margin:
            lines[-1] += f" · {part}"
        else:
            lines.append(part)
    return [_cut(f"{label if not row else '':<{margin}}{line}") for row, line in enumerate(lines[:most])]


def _paragraph(label: str, text: str, most: int, *, deeper: int = 0) -> list[str]:
    margin = _MARGIN if label or deeper else 0
    lines = wrap(
        " ".join(text.split(" ")),
        WIDTH - margin,
        subsequent_indent=" " * deeper,
        break_long_words=True,
        break_on_hyphens=False,
    ) or [""]
    if len(lines) > most:
        lines = [*lines[: most - 1], _fit(f"{lines[most - 1]} …", WIDTH - margin).rstrip()]
    return [f"{label if not row else '':<{margin}}{line}" for row, line in enumerate(lines)]


def _shortened(table: list[str], length: int) -> list[str]:
    """Return the header and the first rows of *table*."""
    return table[: max(length, 2)]


def _cut(line: str) -> str:
    return _fit(line, WIDTH).rstrip()


def _fit(text: str, width: int) -> str:
    return f"{text:<{width}}" if len(text) <= width else f"{text[: width - 1]}…"
