from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.policy.promql import any_of, for_service, is_sum, longest_range, mentions_service, problem_of
from tests.support.promql_texts import NASTY, RIGHT

WRONG = [
    pytest.param("sum(a", "lacks a ) (close the bracket)", id="an open bracket"),
    pytest.param("sum(a{b='c'}[5m)", "query's ) at character 16 does not close a bracket", id="brackets that cross"),
    pytest.param("sum(a))", "query's ) at character 7 does not close a bracket", id="a bracket too many"),
    pytest.param(
        "a) or (vector(1)", "query's ) at character 2 does not close a bracket", id="brackets the wrong way round"
    ),
    pytest.param('a{b="c}', 'quote " at character 5 is not closed', id="an open quote"),
    pytest.param("a{b='c}", "quote ' at character 5 is not closed", id="an open single quote"),
    pytest.param("a{b=`c}", "quote ` at character 5 is not closed", id="an open backquote"),
    pytest.param('a{b="c\n"}', 'quote " at character 5 is not closed', id="a quote across lines"),
    pytest.param('a{b="\\"}', 'quote " at character 5 is not closed', id="an escaped quote closes nothing"),
    pytest.param('a{b="\\\n"}', 'quote " at character 5 is not closed', id="an escape across lines"),
    pytest.param("(a # )", "lacks a ) (close the bracket)", id="a comment closes nothing"),
    pytest.param("a # it's\r{", "lacks a } (close the bracket)", id="a comment ends with its line, be it a CR"),
    pytest.param("a{b=$service}", '$ outside of quotes at character 5 (write "$service", in quotes)', id="unquoted"),
    pytest.param("rate(a[$__rate_interval])", "$ outside of quotes at character 8", id="a dashboard's interval"),
    pytest.param('a{b="${service}"}', "${service} at character 5 is not a variable", id="braces"),
    pytest.param('a{b="$services"}', "$services at character 5 is not a variable", id="a longer word"),
    pytest.param('a{b="$service_name"}', "$service_name at character 5 is not a variable", id="another word"),
    pytest.param('a{b="$__interval"}', "$__interval at character 5 is not a variable", id="a dashboard's variable"),
    pytest.param('a{b="\\$service"}', "\\$service at character 5 is not a variable", id="an escape"),
    pytest.param(
        'a{b=~"\\\\$service"}', "\\$service at character 6 is not a variable", id="a regular expression's escape"
    ),
    pytest.param("a{b=~`\\$service`}", "\\$service at character 6 is not a variable", id="the same in backquotes"),
    pytest.param("", "is empty", id="nothing"),
    pytest.param(" \n ", "is empty", id="blanks"),
    pytest.param("# sum(a)\n  # b", "is empty", id="nothing but comments"),
]
TEMPLATES = [
    pytest.param('a{b="$service"}', True, id="double quotes"),
    pytest.param("a{b='$service'}", True, id="single quotes"),
    pytest.param("a{b=`$service`}", True, id="backquotes"),
    pytest.param('a{b="x/$service/y"}', True, id="a part of a text"),
    pytest.param("a{b='it\\'s $service'}", True, id="behind an escaped quote"),
    pytest.param("a # it's\n{b='$service'}", True, id="behind a comment with a quote"),
    pytest.param("a{b='#'} # '$service'", False, id="in a comment"),
    pytest.param('a{b="$1"}', False, id="another variable"),
    pytest.param('a{b="$services"}', False, id="a longer word"),
    pytest.param("service", False, id="no variable"),
]
QUOTES = ('"', "'", "`")
texts = st.text(st.characters(codec="utf-8")) | st.text("\"'`\\$#\n.*|[](){}service", max_size=20)
"""Anything that JSON can carry, and much of what PromQL, Go's quotes or regular expressions take notice of."""


def unquoted(query: str) -> str:
    """What the only quoted text of *query*, which ends with it and a closing brace, says to Prometheus (Go's rules)."""
    literal = query[query.index("=") + 1 :].lstrip("~").removesuffix("}")
    body = literal[1:-1]
    if literal[0] == "`":
        assert "`" not in body
        return body
    assert re.fullmatch(rf"(?:[^{literal[0]}\\\n]|\\[\\n{literal[0]}])*", body), body
    return re.sub(r"\\(.)", lambda escape: "\n" if escape[1] == "n" else escape[1], body)


class TestProblem:
    @pytest.mark.parametrize("query", RIGHT)
    def test_right_queries(self, query: str) -> None:
        """A query whose quotes and brackets are closed, and which names no unknown variable, has no problem."""
        assert problem_of(query) is None

    @pytest.mark.parametrize(("query", "said"), WRONG)
    def test_wrong_queries(self, query: str, said: str) -> None:
        """What is wrong is told with its place, and with the cure in parentheses."""
        problem = problem_of(query)
        assert problem is not None
        assert said in problem
        assert problem.endswith(")")

    @pytest.mark.parametrize(
        "query",
        [
            pytest.param('"' + '\\"' * 500_000, id="escaped quotes and no end"),
            pytest.param('"$service"' * 100_000, id="quoted texts"),
            pytest.param('=~ "$service"' * 100_000, id="matchers"),
            pytest.param(("=~" + " " * 1000) * 1000, id="matchers of nothing"),
            pytest.param("(" * 1_000_000, id="open brackets"),
            pytest.param("()" * 500_000, id="brackets"),
            pytest.param('"' + "\\" * 1_000_001, id="backslashes"),
            pytest.param('"' + "$__" * 300_000 + '"', id="dollars"),
            pytest.param("#" * 1_000_000, id="a comment"),
            pytest.param("'\n" * 500_000, id="open quotes"),
        ],
    )
    def test_a_query_takes_time_in_proportion_to_its_length(self, query: str) -> None:
        """No query, however made, keeps the autoscaler busy: with each of these, what is not linear never ends."""
        problem_of(query)
        assert mentions_service(query) == ("$service" in query)
        assert for_service(query, "web") == query.replace("$service", "web")


class TestTemplate:
    @pytest.mark.parametrize(("query", "template"), TEMPLATES)
    def test_a_template_names_the_variable_in_quotes(self, query: str, *, template: bool) -> None:
        """`$service` is a variable in quoted text, and nowhere else."""
        assert mentions_service(query) is template

    @pytest.mark.parametrize("quote", QUOTES)
    def test_a_plain_name_stands_as_it_is(self, quote: str) -> None:
        """The name of a service takes the variable's place, each time."""
        query = f"a{{b={quote}x/$service/$service.log{quote}}} # for $service"
        assert for_service(query, "shop_web") == f"a{{b={quote}x/shop_web/shop_web.log{quote}}} # for $service"

    @pytest.mark.parametrize("name", NASTY)
    @pytest.mark.parametrize("quote", QUOTES)
    def test_a_name_stays_the_text_that_it_is(self, quote: str, name: str) -> None:
        """Quoted by the rules of its quotes, no name ends the text that it stands in."""
        assert unquoted(for_service(f"a{{b={quote}$service{quote}}}", name)) == name

    @pytest.mark.parametrize("name", NASTY)
    @pytest.mark.parametrize("quote", QUOTES)
    @pytest.mark.parametrize("between", ["", " ", "\n\t", '# as a (regular) "expression\n', "#\r"])
    def test_a_regular_expression_matches_just_the_name(self, between: str, quote: str, name: str) -> None:
        """After `=~` and `!~`, whatever may stand between, the name is a regular expression that matches it alone."""
        query = for_service(f"a{{b=~{between}{quote}$service{quote}}}", name)
        pattern = unquoted(query.replace(f"=~{between}", "=~", 1))
        assert re.fullmatch(pattern, name)
        assert not re.fullmatch(pattern, "other")
        assert not re.fullmatch(pattern, name.replace(".", "x") + "x")

    def test_each_matcher_for_itself(self) -> None:
        """Only the text that follows a matcher of regular expressions is one."""
        query = 'a{b=~"$service",c="$service",d!~"$service"} / e{f!="$service"} + count_values("$service", g)'
        assert for_service(query, "a.b") == (
            'a{b=~"a\\\\.b",c="a.b",d!~"a\\\\.b"} / e{f!="a.b"} + count_values("a.b", g)'
        )

    def test_a_backquote_cannot_stand_between_backquotes(self) -> None:
        """A name that its quotes cannot hold is an error that says so, with the cure."""
        with pytest.raises(ValueError, match=r"cannot be written between backquotes \(use double quotes"):
            for_service("a{b=`$service`}", "we`b")

    def test_other_backquotes_may_be_there(self) -> None:
        """The error concerns the quotes that the name stands in, and no others."""
        assert for_service('a{b="$service",c=`x`}', "we`b") == 'a{b="we`b",c=`x`}'

    def test_without_a_variable_nothing_changes(self) -> None:
        """A query without the variable is left as it is, whatever it holds."""
        query = 'label_replace(a{x=~"y$",z=\'\\\'\'}, "b", "$1", "c", `(.+)`) # $service'
        assert for_service(query, "web") == query

    @given(texts, st.sampled_from(QUOTES))
    def test_no_name_leaves_its_quotes(self, name: str, quote: str) -> None:
        """Whatever a service is called, the query asks for the label of just that name."""
        template = f"a{{b={quote}$service{quote}}}"
        if quote == "`" and "`" in name:
            with pytest.raises(ValueError, match="backquotes"):
                for_service(template, name)
            return
        assert unquoted(for_service(template, name)) == name

    @given(texts, texts, st.sampled_from(QUOTES[:2]))
    def test_no_name_is_a_pattern(self, name: str, other: str, quote: str) -> None:
        """Whatever a service is called, its regular expression matches its name and no other's."""
        pattern = unquoted(for_service(f"a{{b=~{quote}$service{quote}}}", name))
        assert re.fullmatch(pattern, name)
        assert other == name or not re.fullmatch(pattern, other)

    @given(st.text("\"'`\\$#\n\r=~!ab{}() service"), texts)
    def test_no_query_without_a_problem_changes_its_shape(self, query: str, name: str) -> None:
        """A query in which no problem is found has none either with a name in it."""
        if problem_of(query) is None and "`" not in name and not re.search(r"\$|__", name):
            assert problem_of(for_service(query, name)) is None


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("up", 0),
        ("sum(up)", 0),
        ("rate(a[5m])", 300),
        ("max_over_time(a[5m:])", 300),
        ("max_over_time(rate(a[1m])[5m:15s])", 300),
        ("max_over_time(rate(a[2m])[1h30m:10s])", 5400),
        ("max_over_time(rate(a[2h])[1h:10s])", 7200),
        ("rate(a[90s]) / rate(b[1h30m])", 5400),
        ("a[ 90s ] + b[1d]", 86400),
        ("a[1500ms]", 2),
        ("rate(a[500ms])", 1),
        ("a[300]", 300),
        ("a{b=\"[5m]\", c=~`[1h]`, d='[1d]'}", 0),
        ("a # over [5m]\n", 0),
        ('a{b="["}[5m] offset 1h', 300),
        ("a offset 5m", 0),
        ("rate(a[nonsense])", 0),
        ("last_over_time(a[1w2d])", 777600),
    ],
)
def test_the_longest_range(query: str, seconds: int) -> None:
    """The longest range selector counts, subqueries among them; quoted texts, comments and offsets do not."""
    assert longest_range(query) == seconds


@given(st.text(max_size=40))
def test_any_text_has_a_longest_range(query: str) -> None:
    """A text that is no PromQL has one too, of 0 seconds or more."""
    assert longest_range(query) >= 0


def test_any_of_names() -> None:
    """A regular expression that matches just these names, quoted as they are."""
    assert any_of(["web", 'a.b"c']) == '"a\\\\.b\\"c|web"'


@pytest.mark.parametrize(
    ("query", "whole"),
    [
        ("sum(a)", True),
        (" sum by (b) (rate(a[1m])) ", True),
        ("SUM without (b) (a)", True),
        ("sum(a) by (b)", True),
        ("count(a)", True),
        ("sum(a # the ) of it\n)", True),
        ("sum(a) / count(a)", False),
        ("sum(a) + sum(b)", False),
        ("sum_over_time(a[5m])", False),
        ("avg(a)", False),
        ("100 * sum(a)", False),
        ("sum(a", False),
        ("summary", False),
    ],
)
def test_a_query_that_is_one_sum(query: str, *, whole: bool) -> None:
    """Only a query that is a `sum` or a `count` as a whole is one."""
    assert is_sum(query) == whole
