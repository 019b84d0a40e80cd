from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.policy_files import loader
from autoscaler.policy_files.diagnostic import MAX_PROBLEMS
from autoscaler.policy_files.lint import LintId, queries
from autoscaler.policy_files.lint.played import Effort
from autoscaler.policy_files.yaml_document import read

if TYPE_CHECKING:
    from autoscaler.policy_files.diagnostic import Diagnostic

HIGH = "{name: high, metric: cpu, above: 70, for: 5m, add: 1}"
LOW = "{name: low, metric: cpu, below: 30, for: 10m, remove: 1}"
FLAPPING = LOW.replace("30", "50")
TABLE = "{name: rows, metric: memory, strategy: table, table: {0: 1, 50: 12}}"
TOTAL = "{name: size, metric: q, strategy: target, target: 60}"
QUEUED = "{name: high, metric: q, above: 70, for: 1m, add: 1}"
OFFICE = 'start: "0 8 * * mon-fri", end: "0 18 * * mon-fri"'


def a_file(
    *rules: str, replicas: str = "{min: 1, max: 10}", more: tuple[str, ...] = (), metrics: tuple[str, ...] = ()
) -> list[str]:
    """Return the lines of a file with one policy, each part on a line of its own."""
    return [
        "version: 1",
        *(["metrics:"] if metrics else []),
        *(f"  {each}" for each in metrics),
        "policies:",
        *a_policy("a", *rules, replicas=replicas, more=more),
    ]


def a_policy(
    name: str, *rules: str, replicas: str = "{min: 1, max: 10}", more: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Return the lines of a policy, each part on a line of its own."""
    return (
        f"  - name: {name}",
        f"    services: [{name}]",
        f"    replicas: {replicas}",
        *(f"    {each}" for each in more),
        *(["    rules:"] if rules else []),
        *(f"      - {rule}" for rule in rules),
    )


def schedule(text: str) -> tuple[str, ...]:
    """Return the lines of one schedule."""
    return ("schedules:", f"  - {{name: s, {text}}}")


RAISED: dict[LintId, list[str]] = {
    LintId.UNUSED_METRIC: a_file(HIGH, LOW, metrics=("spare: {query: sum(x)}",)),
    LintId.PROMQL: a_file(QUEUED, metrics=("q: {query: rate(x)}",)),
    LintId.SHORT_WINDOW: a_file(HIGH.replace("5m", "20s"), LOW),
    LintId.SUM_AS_AVERAGE: a_file(TOTAL, metrics=("q: {query: sum(x)}",)),
    LintId.WRITTEN_COOLDOWN: a_file(
        TOTAL, more=("scale_up:", "  cooldown: 1m"), metrics=("q: {query: sum(x), kind: total}",)
    ),
    LintId.RANGE_BEYOND_COOLDOWN: a_file(QUEUED, metrics=("q: {query: 'sum(rate(x[9m]))', kind: total}",)),
    LintId.LIMIT_BEYOND_HISTORY: a_file(
        HIGH,
        LOW,
        replicas="{min: 3, max: 60}",
        more=("scale_up: {cooldown: 1m, limits: [{replicas: 40, per: 30m}]}",),
    ),
    LintId.FLAPS: a_file(HIGH, FLAPPING),
    LintId.OVERRULED_RULE: a_file(HIGH, HIGH.replace("high", "again"), LOW),
    LintId.BLOCKED_RULE: a_file(HIGH, LOW, more=("guards:", "  - {name: g, metric: cpu, above: 60, block: up}")),
    LintId.FORBIDDEN_RULE: a_file(HIGH, LOW, more=("scale_down: {select: disabled}",)),
    LintId.GROUP_OF_ONE: a_file(HIGH, LOW.replace("}", ", group: idle}")),
    LintId.GROUP_NEVER_REMOVES: a_file(HIGH.replace("}", ", group: g}"), LOW.replace("}", ", group: g}")),
    LintId.BELOW_ZERO: a_file(HIGH, LOW.replace("30", "0")),
    LintId.FIXED_COUNT: a_file(HIGH, LOW, replicas="{min: 3, max: 3}"),
    LintId.BEYOND_MAX: a_file(TABLE),
    LintId.ONE_COUNT_TABLE: a_file(TABLE, replicas="{min: 12, max: 20}"),
    LintId.IDLE_FALLBACK: a_file(HIGH, LOW, more=("fallback: {after: 5m, replicas: 1}",)),
    LintId.NO_RULES: a_file(more=(*schedule(f"{OFFICE}, max: 2"), "fallback: {after: 5m, replicas: 3}")),
    LintId.RARE_SCHEDULE: a_file(HIGH, LOW, more=schedule('start: "0 0 * 2 mon#5", end: "0 0 1 3 *", max: 9')),
    LintId.ENDLESS_SCHEDULE: a_file(HIGH, LOW, more=schedule('start: "0 * * * *", end: "0 18 * * *", max: 9')),
    LintId.MAX_BELOW_MIN: a_file(HIGH, LOW, replicas="{min: 3, max: 9}", more=schedule(f"{OFFICE}, max: 2")),
    LintId.RAISED_NEVER_LOWERED: a_file(HIGH, more=schedule(f"{OFFICE}, min: 6")),
}


def warned(lines: list[str]) -> list[Diagnostic]:
    """Return the warnings about a valid file of these *lines*."""
    loaded, problems = loader.from_document(read("\n".join(lines) + "\n", "a.yml"))
    assert problems == []
    assert loaded is not None
    return loaded.warnings(15)


def kinds(found: list[Diagnostic]) -> list[tuple[str, str]]:
    """Return the ids of warnings and the parts that they are about."""
    return [(each.id, each.path) for each in found]


def with_comment(lines: list[str], line: int, comment: str) -> list[str]:
    """Return *lines* with a *comment* at the end of one, counted from 1."""
    return [f"{text}  {comment}" if number == line else text for number, text in enumerate(lines, 1)]


def test_every_warning_that_can_be_ignored_is_tried_here() -> None:
    """The cases below are all ids, but for those that cannot be ignored."""
    assert set(RAISED) == {each for each in LintId if each.can_be_ignored}


@pytest.mark.parametrize("id_", RAISED)
def test_each_warning_shows_its_id_at_its_end(id_: LintId) -> None:
    """`check` prints the id of a warning in brackets behind it."""
    (found,) = warned(RAISED[id_])
    assert found.id == id_
    assert str(found).endswith(f") [{id_}]")


@pytest.mark.parametrize("id_", RAISED)
def test_a_comment_on_the_line_or_before_it_silences_the_warning(id_: LintId) -> None:
    """A warning is ignored on the line that it names, on the line before, and on that of its policy or metric."""
    lines = RAISED[id_]
    (found,) = warned(lines)
    comment = f"# autoscaler ignore: {id_}"
    assert warned(with_comment(lines, found.line, comment)) == []
    assert warned([*lines[: found.line - 1], comment, "", *lines[found.line - 1 :]]) == []
    part = lines.index("policies:") + 2 if found.path.startswith("policies") else found.line
    assert warned(with_comment(lines, part, comment)) == []


@pytest.mark.parametrize("id_", RAISED)
def test_a_comment_about_something_else_silences_nothing(id_: LintId) -> None:
    """Another id at the place, and the id at another place, are unused, and the warning stays."""
    lines = RAISED[id_]
    other = next(each for each in RAISED if each is not id_)
    (found,) = warned(lines)
    assert [each.id for each in warned(with_comment(lines, found.line, f"# autoscaler ignore: {other}"))] == [
        id_,
        LintId.UNUSED_IGNORE,
    ]
    assert [each.id for each in warned(with_comment(lines, 1, f"# autoscaler ignore: {id_}"))] == [
        id_,
        LintId.UNUSED_IGNORE,
    ]


def test_several_ids_are_separated_by_commas() -> None:
    """Each id of a comment counts by itself."""
    lines = a_file(HIGH.replace("5m", "20s"), FLAPPING, FLAPPING.replace("name: low", "name: again"))
    assert {each.id for each in warned(lines)} == {"short-window", "flaps", "overruled-rule"}
    comment = "# autoscaler ignore: flaps, overruled-rule,short-window"
    assert warned(with_comment(lines, 3, comment)) == []


def test_an_unused_ignore_is_told_where_it_stands() -> None:
    """The warning names the comment's line, the id and the line that the comment is about."""
    lines = ["# autoscaler ignore: flaps, promql", *a_file(HIGH, LOW)]
    assert [str(each) for each in warned(lines)] == [
        (
            f"a.yml:1:1: there is no warning {id_} to ignore in line 2 "
            "(remove the id, or put the comment on the line that the warning names) [unused-ignore]"
        )
        for id_ in ("flaps", "promql")
    ]


@pytest.mark.parametrize(
    ("ids", "what"),
    [
        ("flap", '"flap" is not the id of a warning that can be ignored (did you mean "flaps"? the ids are: '),
        ("", "names no id (the ids are: "),
        ("Flaps", '"Flaps" is not the id'),
        ("flaps because we know", '"flaps because we know" is not the id'),
        *((str(each), f'"{each}" is not the id') for each in LintId if not each.can_be_ignored),
    ],
)
def test_an_unknown_id_is_told(ids: str, what: str) -> None:
    """A word that is not an id is a warning with the nearest id; warnings about comments cannot be ignored."""
    found = warned(with_comment(a_file(HIGH, LOW), 4, f"# autoscaler ignore: {ids}"))
    assert [each.id for each in found] == [LintId.UNKNOWN_IGNORE]
    assert str(found[0]).startswith("a.yml:4:20: ")
    assert what in str(found[0])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("'# autoscaler ignore: flaps'", id="quoted"),
        pytest.param('"x # autoscaler ignore: flaps"', id="double-quoted"),
        pytest.param("x# autoscaler ignore:flaps", id="no comment without a blank"),
        pytest.param("|\n        # autoscaler ignore: flaps\n        x", id="block"),
    ],
)
def test_what_is_within_a_text_is_not_a_comment(text: str) -> None:
    """A value that holds the words of a comment ignores nothing, and is not an unused ignore."""
    document = read(f"metrics:\n  q:\n    query: {text}\n", "a.yml")
    assert document.problems == ()
    assert document.comments == ()


@pytest.mark.parametrize(
    "comment",
    ["# - {name: old} # autoscaler ignore: flaps", "# autoscaler ignores: flaps", "# autoscaler: flaps"],
)
def test_other_comments_mean_nothing(comment: str) -> None:
    """A policy that is commented out, and what only looks similar, ignores nothing."""
    assert [each.id for each in warned(with_comment(a_file(HIGH, FLAPPING), 7, comment))] == ["flaps"]


def test_a_comment_after_the_header_of_a_block_counts() -> None:
    """The line on which a block text begins may end in a comment."""
    lines = a_file(HIGH, LOW)
    block = ["metrics:", "  q:", "    query: |  # autoscaler ignore: unused-metric", "      sum(x)"]
    found = warned([lines[0], *block, *lines[1:]])
    assert [each.id for each in found] == [LintId.UNUSED_METRIC, LintId.UNUSED_IGNORE]
    assert read("\n".join([lines[0], *block, *lines[1:]]), "a.yml").comments[0].line == 4


def test_a_warning_of_the_defaults_is_ignored_at_the_policy() -> None:
    """What a policy takes from the defaults is told, and ignored, on the line of the policy."""
    lines = [
        *a_file(HIGH, "{name: t, metric: cpu, strategy: target, target: 60}"),
        "defaults: {scale_up: {cooldown: 2m}}",
    ]
    (found,) = warned(lines)
    assert warned(with_comment(lines, found.line, "# autoscaler ignore: written-cooldown")) == []


ANY_RULES: Any = st.lists(
    st.sampled_from(
        [
            HIGH,
            LOW,
            FLAPPING,
            HIGH.replace("5m", "20s"),
            LOW.replace("30", "0"),
            LOW.replace("cpu", "memory").replace("}", ", group: g}"),
            TABLE,
            HIGH.replace("cpu", "memory"),
        ]
    ),
    min_size=1,
    max_size=5,
)


@settings(deadline=None)
@given(st.lists(ANY_RULES, min_size=1, max_size=3), st.data())
def test_ignoring_an_id_removes_exactly_its_warnings_at_that_place(parts: list[list[str]], data: st.DataObject) -> None:
    """A comment on a policy or a rule silences its id there, and changes no other warning."""
    lines = ["version: 1", "policies:"]
    places: dict[int, str] = {}
    for index, rules in enumerate(parts):
        places[len(lines) + 1] = f"policies[{index}]"
        named = [rule.replace("name: ", f"name: r{number}-") for number, rule in enumerate(rules)]
        lines += a_policy(f"p{index}", *named)
        for number in range(len(rules)):
            places[len(lines) - len(rules) + number + 1] = f"policies[{index}].rules[{number}]"
    before = warned(lines)
    line = data.draw(st.sampled_from(sorted(places)))
    id_ = data.draw(st.sampled_from(sorted({"flaps", *(each.id for each in before)})))

    after = warned(with_comment(lines, line, f"# autoscaler ignore: {id_}"))

    silenced = [each for each in before if each.id == id_ and each.path.startswith(places[line])]
    left = [each for each in before if each not in silenced]
    assert [each for each in after if each.id != LintId.UNUSED_IGNORE] == left
    assert [each.line for each in after if each.id == LintId.UNUSED_IGNORE] == ([] if silenced else [line])


def test_many_unused_ignores_are_cut_off() -> None:
    """The last warning then says so, and no more than the limit are told."""
    found = warned([*a_file(HIGH, LOW), *["# autoscaler ignore: flaps"] * (MAX_PROBLEMS + 5)])
    assert len(found) == MAX_PROBLEMS + 1
    assert [each.id for each in found[-2:]] == [LintId.UNUSED_IGNORE, LintId.INCOMPLETE]


# Queries


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("rat(x[5m])", "unknown function with name 'rat'"),
        ("rate(x)", "expected type matrix in call to function 'rate', got vector"),
        ("x[5m]", "gives a range of samples"),
        ("x[5m:15s]", "gives a range of samples"),
        ("x[999999999999999999999999999999]", "value is either too big or NaN"),
    ],
)
def test_a_query_that_is_not_promql_is_told(query: str, what: str) -> None:
    """A misspelt function, `rate` without a range, and a range without a function are warnings."""
    (found,) = warned(a_file(QUEUED, more=("scale_up: {cooldown: 5m}",), metrics=(f"q: {{query: '{query}'}}",)))
    assert (found.id, found.path) == (LintId.PROMQL, "metrics.q.query")
    assert what in found.what


@pytest.mark.parametrize("query", ["rate(x[2m])", 'up{s="$service"}', "max_over_time(sum(rate(x[1m]))[2m:])"])
def test_a_query_that_is_promql_is_not(query: str) -> None:
    """Ordinary queries, the variable and subqueries give no warning."""
    assert warned(a_file(QUEUED, more=("scale_up: {cooldown: 5m}",), metrics=(f"q: {{query: '{query}'}}",))) == []


def test_without_the_library_queries_are_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, neither a query nor a comment that ignores `promql` gives a warning."""
    monkeypatch.setattr(queries, "INSTALLED", False)
    lines = RAISED[LintId.PROMQL]
    assert warned(lines) == []
    assert warned(with_comment(lines, 3, "# autoscaler ignore: promql")) == []


def test_a_long_query_and_many_queries_are_not_judged() -> None:
    """The library takes a time that grows with the square of the length: what is too long is left out."""
    long = f"rat(x{' ' * queries.LONGEST})"
    assert warned(a_file(QUEUED, metrics=(f"q: {{query: {long}}}",))) == []
    many = [f"m{index}: {{query: 'rat(x){' ' * 1900}'}}" for index in range(15)]
    assert LintId.INCOMPLETE in [each.id for each in warned(a_file(HIGH, LOW, metrics=tuple(many)))]
    assert Effort(0).spend(1) is False
