from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from autoscaler.policy_files import yaml_reader
from autoscaler.policy_files.diagnostic import MAX_PROBLEMS, Diagnostic, shown
from autoscaler.policy_files.yaml_document import MAX_BYTES, Document, read
from autoscaler.policy_files.yaml_reader import MAX_DEPTH, MAX_NODES


def problems(text: str | bytes) -> list[str]:
    """What is wrong with *text*, as a person is told."""
    return [str(problem).removeprefix("f:") for problem in read(text, "f").problems]


def test_a_problem_says_where_what_and_what_would_be_right() -> None:
    """Errors are `file:line:column: path: what is wrong (what would be right)`."""
    problem = Diagnostic("web.yml", 3, 7, "policies[0].name", "is empty", "write some text")
    assert str(problem) == "web.yml:3:7: policies[0].name: is empty (write some text)"


def test_a_problem_of_a_whole_file_has_no_line() -> None:
    """Where there is no line to look at, none is made up."""
    assert str(Diagnostic("web.yml", 0, 0, "", "is empty", "write it")) == "web.yml: is empty (write it)"


# Data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("+5", 5),
        ("0", 0),
        ("1.5", 1.5),
        ("01.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("''", ""),
        ("5m", "5m"),
        ("50%", "50%"),
        ("a b", "a b"),
        ("'010'", "010"),
        ('"on"', "on"),
        ("!!str 010", "010"),
        ("! 5", "5"),
        ("!!int '5'", 5),
        ("!!float 5", 5),
        ("!!bool true", True),
        ("!!seq [1]", [1]),
        ("!!map {a: 1}", {"a": 1}),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("[a, [b], {c: d}]", ["a", ["b"], {"c": "d"}]),
        ("\ufeffa: b", {"a": "b"}),
        ("a: b\r\nc: d\r\n", {"a": "b", "c": "d"}),
        ("{a, b}", {"a": None, "b": None}),
        ("1.2.3", "1.2.3"),
        ("127.0.0.1:9595", "127.0.0.1:9595"),
        ("1.2.3_4", "1.2.3_4"),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x b\nc: {*x : 1}", {"a": "b", "c": {"b": 1}}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
        (
            "a: [&x {b: 1}, &y {b: 2, c: 3}]\nd: {<<: [*x, *y]}",
            {"a": [{"b": 1}, {"b": 2, "c": 3}], "d": {"b": 1, "c": 3}},
        ),
        ("'<<': {a: 1}", {"<<": {"a": 1}}),
        ("{1: a, 1.50: b, -2: c, 1e3: d}", {"1": "a", "1.50": "b", "-2": "c", "1e3": "d"}),
        ("{!!int '5': a, !!str 010: b}", {"5": "a", "010": "b"}),
        ("{&x 5: a, b: *x}", {"5": "a", "b": 5}),
        ("{999999999999999998: a, 999999999999999999: b}", {"999999999999999998": "a", "999999999999999999": "b"}),
    ],
)
def test_plain_yaml_is_plain_data(text: str, value: object) -> None:
    """What YAML 1.1 and 1.2 read alike is data; a number in 1.2's core schema is a number, and as a key its text."""
    document = read(text, "f")
    assert document.problems == ()
    assert value == document.data
    assert type(value) is type(document.data)


PLAIN = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\x85\u2028\u2029\ufeff\ufffe\uffff")
DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(PLAIN),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(PLAIN), inner, max_size=5),
    max_leaves=30,
)


@settings(deadline=None)
@given(DATA)
def test_json_is_read_as_what_it_says(data: Any) -> None:
    """Every JSON document is a YAML document that holds the same data."""
    document = read(json.dumps(data, ensure_ascii=False), "f")
    assert document.problems == ()
    assert data == document.data


@settings(deadline=None)
@given(DATA)
def test_what_pyyaml_writes_with_tags_is_read_as_what_it_says(data: Any) -> None:
    """The core tags mean what they say."""
    document = read(yaml.safe_dump(data, default_style='"', allow_unicode=True), "f")
    assert document.problems == ()
    assert data == document.data


# Places


def test_every_node_has_its_line_and_column() -> None:
    """Line and column are counted from 1, of a key or of its value."""
    document = read("version: 1\npolicies:\n  - name: a\n    rules:\n    - {metric: cpu,  add: 1}\n", "f")
    assert document.place() == (1, 1)
    assert document.place(("version",)) == (1, 10)
    assert document.place(("policies", 0, "name")) == (3, 11)
    assert document.place(("policies", 0, "name"), of_key=True) == (3, 5)
    assert document.place(("policies", 0, "rules", 0, "add")) == (5, 27)
    assert document.place(("policies", 0, "rules", 0, "add"), of_key=True) == (5, 22)


def test_what_is_not_there_is_told_at_the_nearest_node_above() -> None:
    """A missing key has no place of its own."""
    document = read("a:\n  b: {c: 1}\n", "f")
    assert document.place(("a", "b", "x", 5, "y")) == (2, 6)
    assert document.place(("a", "b", "x"), of_key=True) == (2, 6)


def test_what_an_alias_or_a_merge_brings_stands_where_it_is_written() -> None:
    """That is where it can be corrected."""
    document = read("a: &x {b: 1}\nc: *x\nd: {<<: *x}\n", "f")
    assert (1, 11) == document.place(("c", "b")) == document.place(("d", "b"))


def test_a_part_of_a_document_has_its_own_paths_and_the_places_of_the_whole() -> None:
    """A policy file inside a test file is told of at its place in the test file."""
    part = read("a: 1\nb:\n  c: [5]\n", "f").part("b")
    assert part.data == {"c": [5]}
    assert str(part.problem(("c", 0), "is wrong", "cure")) == "f:3:7: b.c[0]: is wrong (cure)"
    assert read("a: 1", "f").part("b").data is None


def test_an_odd_key_is_quoted_in_a_path() -> None:
    """A path is one line, whatever the keys are."""
    document = read('{"a b": {"c\\n": [1]}}', "f")
    assert document.problem(("a b", "c\n", 0), "x", "y").path == '["a b"]["c\\n"][0]'


# Problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3", '3:1: a: the key "a" is given twice, first in line 1, column 1 (keep one of the two)'),
        ("{a: {b: 1, b: 2}}", '1:12: a.b: the key "b" is given twice, first in line 1, column 6 (keep one of the two)'),
        ("a: &x b\nc: {b: 1, *x : 2}", '2:11: c.b: the key "b" is given twice, first in line 2, column 5 (keep one of'),
        (
            "{1: a, 1.0: b}",
            '1:8: ["1.0"]: the key "1.0" is given twice, first in line 1, column 2 (keep one of the two)',
        ),
        ("{1.50: a, 1.5: b}", '1:11: ["1.5"]: the key "1.5" is given twice, first in line 1, column 2'),
        ("{1: a, '1': b}", '1:8: 1: the key "1" is given twice, first in line 1, column 2'),
        ("{0: a, -0.0: b}", '1:8: ["-0.0"]: the key "-0.0" is given twice, first in line 1, column 2'),
        (
            "{010: a}",
            '1:2: 010: "010" is octal in YAML 1.1 and decimal in YAML 1.2 (write "010" in quotes for the text)',
        ),
        ("<<: {a: 1}\n<<: {b: 1}", '2:1: ["<<"]: the key "<<" is given twice, first in line 1, column 1 (keep one'),
        (
            "a: on",
            '1:4: a: "on" is a truth value in YAML 1.1 and text in YAML 1.2 (write true for the truth value, or "o',
        ),
        (
            "a: No",
            '1:4: a: "No" is a truth value in YAML 1.1 and text in YAML 1.2 (write false for the truth value, or',
        ),
        ("a: [y]", '1:5: a[0]: "y" is a truth value in YAML 1.1 and text in YAML 1.2 (write true for the truth value'),
        (
            "on: a",
            '1:1: on: "on" is a truth value in YAML 1.1 and text in YAML 1.2 (write "on" in quotes for the text)',
        ),
        ("a: 1:30", '1:4: a: "1:30" is a number to the base of 60 in YAML 1.1 and text in YAML 1.2 (write a duration'),
        ("a: 1:30:00.5", '1:4: a: "1:30:00.5" is a number to the base of 60 in YAML 1.1'),
        (
            "a: 010",
            '1:4: a: "010" is octal in YAML 1.1 and decimal in YAML 1.2 (write 10 for the number, or "010" in qu',
        ),
        ("a: -07", '1:4: a: "-07" is octal in YAML 1.1 and decimal in YAML 1.2 (write -7 for the number'),
        ("a: 0o17", '1:4: a: "0o17" is a number in disguise (write the number in decimal, or "0o17" in quotes'),
        ("a: 0x1F", '1:4: a: "0x1F" is a number in disguise'),
        ("a: 0b11", '1:4: a: "0b11" is a number in disguise'),
        (
            "a: 1_000",
            '1:4: a: "1_000" is a number in YAML 1.1 and text in YAML 1.2 (write 1000 for the number, or "1_00',
        ),
        ("a: 1_0.5", '1:4: a: "1_0.5" is a number in YAML 1.1 and text in YAML 1.2 (write 10.5 for the number'),
        ("a: 2026-01-05", '1:4: a: "2026-01-05" is a date in YAML 1.1 and text in YAML 1.2 (write "2026-01-05" in qu'),
        ("a: 2026-01-05T08:00:00Z", '1:4: a: "2026-01-05T08:00:00Z" is a date in YAML 1.1 and text in YAML 1.2'),
        (
            "a: 12345678901234567890",
            '1:4: a: "12345678901234567890" is too long a number (write "12345678901234567890"',
        ),
        (".inf: a", '1:1: [".inf"]: the key is the number inf, not text (write ".inf", in quotes)'),
        ("true: a", '1:1: true: the key is the truth value true, not text (write "true", in quotes)'),
        ("~: a", '1:1: ["~"]: the key is nothing, not text (write "~", in quotes)'),
        ("?\n: a", '1:2: ["?"]: the key is nothing, not text (give it a name)'),
        ("[a]: b", '1:1: ["?"]: the key is not text (give it a name in plain text; text with { or [ goes into quotes)'),
        ("? {a: b}\n: c", '1:3: ["?"]: the key is not text'),
        ("a: &x [1]\n*x : 2", '2:1: ["?"]: the key is not text'),
        (
            "a: *b",
            "1:4: a: the alias *b refers to nothing (mark that part with &b before, or write the text in quotes)",
        ),
        ("a: &b [*b]", "1:8: a[0]: the alias *b stands inside what it refers to (write the part out)"),
        ("<<: 5", '1:1: ["<<"]: << merges something that is not a mapping (name a mapping: <<: *anchor)'),
        ("a: 1\n---\nb: 2", "2:1: a second document begins here (give each document a file of its own)"),
        ("a: !x 1", '1:4: a: has the tag "!x" (remove the tag: only plain YAML is read here)'),
        ("!!python/name:os.system {}", '1:1: has the tag "tag:yaml.org,2002:python/name:os.system" (remove the tag'),
        ("a: !!set {}", '1:4: a: has the tag "tag:yaml.org,2002:set" (remove the tag: only plain YAML is read here)'),
        ("a: !!int x", '1:4: a: "x" is not what its tag !!int says (remove the tag)'),
        (
            "a:\n\tb: 1",
            "2:1: is not valid YAML: found character that cannot start any token (indent with spaces, never with tabs)",
        ),
        (
            "a: @b",
            (
                "1:4: is not valid YAML: "
                "found character that cannot start any token (write text that begins with @ in quotes)"
            ),
        ),
        (
            "a: b: c",
            (
                "1:5: is not valid YAML: "
                'mapping values are not allowed in this context (put each "key: value" on a line of'
            ),
        ),
        (
            "a: [1",
            (
                "1:6: is not valid YAML: "
                "did not find expected ',' or ']' while parsing a flow sequence that begins in line 1"
            ),
        ),
        (
            "a: {b: 1 c: 2}",
            "1:11: is not valid YAML: did not find expected ',' or '}' while parsing a flow mapping that begins",
        ),
        ("- a\nb: c", "2:1: is not valid YAML: did not find expected '-' indicator"),
        (
            "a: 'b",
            (
                "1:6: is not valid YAML: "
                "found unexpected end of stream while scanning a quoted scalar that begins in line 1, c"
            ),
        ),
        ('a: "\\q"', "1:5: is not valid YAML: found unknown escape character"),
        (
            "services: [*]",
            "1:13: is not valid YAML: did not find expected alphabetic or numeric character while scanning an alias",
        ),
        ("a: \x07", '1:4: has the control character U+0007 (remove it, or write "\\x..", in double quotes)'),
        (b"a: 1\nb: \xff", "2:4: is not UTF-8 text (save the file with the encoding UTF-8)"),
        ("a: 1".encode("utf-16"), "1:1: is not UTF-8 text (save the file with the encoding UTF-8)"),
    ],
)
def test_what_is_wrong_is_told_at_its_place_with_the_cure(text: str | bytes, problem: str) -> None:
    """Duplicate keys, YAML 1.1 surprises and syntax errors are errors; nothing is silent."""
    found = problems(text)
    assert len(found) == 1
    assert problem == found[0][: len(problem)]


@pytest.mark.parametrize("text", ["services: [*]", "services: [*_web]"])
def test_a_glob_without_quotes_is_told_to_be_quoted(text: str) -> None:
    """A star begins an alias in YAML: the likeliest slip of all."""
    assert "in quotes" in problems(text)[0]


def test_all_problems_are_told_at_once() -> None:
    """All of them at once, up to the point where the text cannot be read any further."""
    found = problems("a: on\nb: 010\na: 1\nc: [\n")
    assert [problem.split(": ")[0] for problem in found] == ["1:4", "2:4", "3:1", "4:5"]


def test_of_a_key_given_twice_the_first_counts() -> None:
    """So that what the second says is not told of as well."""
    assert read("a: 1\na: {b: c}", "f").data == {"a": 1}


def test_dates_may_be_text() -> None:
    """A test file's `start` is a date, and is read as the text it is."""
    document = read("start: 2026-01-05T08:00:00Z", "f", dates_are_text=True)
    assert document.problems == ()
    assert document.data == {"start": "2026-01-05T08:00:00Z"}


def test_a_text_that_cannot_be_read_to_its_end_has_no_data() -> None:
    """Half a file is no file."""
    document = read("a: 1\nb: [", "f")
    assert document.data is None
    assert document.root is None


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n# nothing"])
def test_an_empty_text_has_no_problem_and_no_data(text: str) -> None:
    """What an empty file means is for others to say."""
    document = read(text, "f")
    assert (document.data, document.problems) == (None, ())


# Bounds


def laughs(levels: int) -> str:
    """Aliases that expand to 10 to the power of *levels* nodes."""
    lines = ["a0: &a0 [" + ",".join(["x"] * 10) + "]"]
    lines += [f"a{level}: &a{level} [" + ",".join([f"*a{level - 1}"] * 10) + "]" for level in range(1, levels)]
    return "\n".join(lines)


def test_a_billion_laughs_are_refused() -> None:
    """The nodes are counted with the aliases written out."""
    assert [f"the text has more than {MAX_NODES} nodes, with aliases written out"] == [
        problem.what for problem in read(laughs(9), "f").problems
    ]


def test_a_few_laughs_are_not() -> None:
    """Aliases are there to be used."""
    assert read(laughs(3), "f").problems == ()


def test_merges_are_counted_too() -> None:
    """A mapping merged again and again costs its size each time."""
    keys = ",".join(f"k{number}: 1" for number in range(10_000))
    text = f"a: &a {{{keys}}}\nb: {{<<: [{','.join(['*a'] * 10_000)}]}}"
    assert "more than" in problems(text)[0]


@pytest.mark.parametrize("opening", ["[", "{", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused(opening: str) -> None:
    """The depth is limited before anything recurses."""
    assert f"lists and mappings are nested more than {MAX_DEPTH} deep" in problems(opening * 100_000)[0]


def test_deep_nesting_by_aliases_is_refused() -> None:
    """An alias is as deep as what it refers to."""
    half = "[" * 20 + "]" * 20
    assert problems(f"a: &x {half}") == []
    assert "nested more than" in problems(f"a: &x {half}\nb: {'[' * 20}*x{']' * 20}")[0]


def test_a_large_text_is_refused() -> None:
    """1 MiB a file, counted in bytes."""
    assert problems("#" * MAX_BYTES) == []
    assert f"f: is larger than {MAX_BYTES} bytes (split it into several files)" in str(
        read("#" * (MAX_BYTES + 1), "f").problems[0]
    )
    assert "is larger" in problems("#" + "ä" * (MAX_BYTES // 2))[0]


def test_problems_are_limited_in_number_and_it_is_said() -> None:
    """A thousand are enough to begin with; that there may be more is not silent."""
    found = problems("- on\n" * (MAX_PROBLEMS + 10))
    assert len(found) == MAX_PROBLEMS + 1
    assert "there may be more problems" in found[-1]


def test_messages_are_short_and_on_one_line_whatever_the_text() -> None:
    """A message is a line of a log."""
    for text in (f'"{"x" * 100_000}": 1\n"{"x" * 100_000}": 2', f"a: {'1_' * 400_000}", f"a: {'9' * 900_000}"):
        (found,) = problems(text)
        assert len(found) < 500
    assert shown("a\nb\x00\ud800") == '"a\\nb\\x00\\ud800"'


YAMLISH = st.lists(
    st.sampled_from(
        [*"[]{}:,-?&*!|>'\"%@#\n\t .0123456789abxyn~", "<<", ": ", "- ", "\n  ", "&a ", "*a", "!!", "---\n"]
    )
).map("".join)


@settings(deadline=None)
@given(st.text() | YAMLISH | st.binary())
def test_any_text_is_read(text: str | bytes) -> None:
    """Whatever it is: a document with plain data, or with problems that have a place; never an exception."""
    document = read(text, "f")
    assert isinstance(document, Document)
    for problem in document.problems:
        assert problem.what
        assert problem.cure
        assert "\n" not in str(problem)
        assert problem.line >= 1 or "larger" in problem.what
    json.dumps(document.data)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=YAMLISH)
@example(text='"\\U99999999"')
@example(text="[" * 50_000)
@example(text="a: &x [*x]\nb: on\na: 010\n")
def test_without_libyaml_the_same_is_read(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """PyYAML's parser in Python stands in for libyaml's: the same data, and problems where that one finds some."""
    expected = read(text, "f")
    with monkeypatch.context() as patch:
        patch.setattr(yaml_reader, "LOADER", yaml.SafeLoader)
        document = read(text, "f")
    if not expected.problems and not document.problems:
        assert repr(document.data) == repr(expected.data)
    for problem in document.problems:
        assert problem.cure


@settings(deadline=None)
@given(YAMLISH)
def test_what_both_versions_of_yaml_read_alike_is_read_like_that(text: str) -> None:
    """Where nothing is wrong, the data are PyYAML's, but for numbers that only YAML 1.2 knows."""
    document = read(text, "f", dates_are_text=True)
    if document.problems:
        return
    try:
        expected = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes only text, lists and mappings
    except yaml.YAMLError:
        return  # PyYAML refuses an anchor that is given twice; YAML does not
    if expected is None:
        expected = ""
    assert _texts(expected) == _texts("" if document.data is None else document.data)


def _texts(data: Any) -> Any:
    """The shape of *data*, with every scalar as one mark."""
    if isinstance(data, list):
        return [_texts(item) for item in data]
    if isinstance(data, dict):
        return sorted(str(key) for key in data if key != "<<") if "<<" not in data else "merged"
    return "scalar"
