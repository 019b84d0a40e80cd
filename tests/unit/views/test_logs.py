from __future__ import annotations

import json
import logging
import re
import sys
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
import structlog

from autoscaler.core.lacks import Lack, Link
from autoscaler.core.model import BY_DEPLOY, BY_OPERATOR, Outcome, Recommendation, ScaleEvent, Why
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Problem, Record
from autoscaler.evaluation.journal import EndedHold
from autoscaler.views.logs import (
    configure,
    consequence_of,
    log_adopted,
    log_hold_end,
    log_lacks,
    log_problems,
    log_record,
)
from tests.support.world import decided

SECRET = "hunter2"  # noqa: S105 - nobody's password


class Terminal(StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def record(outcome: Outcome = Outcome.APPLIED, **more: Any) -> Record:
    """A decision of a rule to go from 3 replicas to 4."""
    why = Why(Reason.ABOVE_THRESHOLD, "cpu 85 %, above 70 %", "cpu-high")
    told = (Recommendation("cpu-high", Reason.ABOVE_THRESHOLD, 4, 85.0), Recommendation("cpu-low", Reason.NO_DATA))
    return Record(decided(why, running=2, desired=4, recommendations=told), outcome, **more)


def lines(stream: StringIO) -> list[dict[str, Any]]:
    """The JSON objects of the stream's lines."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def logged(*records: tuple[Record, bool], level: str = "debug") -> list[dict[str, Any]]:
    """What is logged of *records*, each news or not."""
    stream = StringIO()
    configure("json", level, stream)
    for item, news in records:
        log_record(structlog.get_logger(), item, news=news)
    return lines(stream)


def test_a_decision_is_one_line_of_facts() -> None:
    """A decision is one line: a constant event, and what was decided and why as fields."""
    (line,) = logged((record(detail="read back"), True))

    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "service_evaluated",
        "level": "info",
        "service": "web",
        "policy": "shop",
        "outcome": "applied",
        "requested": 3,
        "running": 2,
        "desired": 4,
        "reason": "above_threshold",
        "rule": "cpu-high",
        "why": "cpu 85 %, above 70 %",
        "reasons": ["above_threshold"],
        "values": {"cpu-high": 85.0, "cpu-low": None},
        "lacking": {"cpu-low": ""},
        "detail": "read back",
    }


@pytest.mark.parametrize(
    ("outcome", "news", "level"),
    [
        (Outcome.APPLIED, True, "info"),
        (Outcome.DRY_RUN, True, "info"),
        (Outcome.DRY_RUN, False, "debug"),
        (Outcome.HELD, True, "info"),
        (Outcome.HELD, False, "debug"),
        (Outcome.UNCHANGED, True, "debug"),
        (Outcome.UNCHANGED, False, "debug"),
        (Outcome.FAILED, True, "warning"),
        (Outcome.UNKNOWN, True, "warning"),
        (Outcome.CONFLICT, True, "warning"),
    ],
)
def test_news_is_told_aloud(outcome: Outcome, *, news: bool, level: str) -> None:
    """News is at info, what went wrong a warning; what is unchanged or no news is at debug."""
    assert [line["level"] for line in logged((record(outcome), news))] == [level]


def test_the_end_of_a_hold_is_one_line() -> None:
    """The end of a hold says for how long the service was held for its reason, and what is so now."""
    held, over = record(Outcome.HELD), record(Outcome.UNCHANGED)
    stream = StringIO()
    configure("json", "info", stream)

    log_hold_end(structlog.get_logger(), EndedHold(held, held.decision.at - 60), over)

    (line,) = lines(stream)
    assert (line["event"], line["level"], line["service"]) == ("hold_ended", "info", "web")
    assert (line["held_for"], line["held_seconds"]) == (held.decision.primary.reason, 60)
    assert line["reason"] == over.decision.primary.reason


@pytest.mark.parametrize(("reason", "by"), [(BY_OPERATOR, "operator"), (BY_DEPLOY, "deploy"), ("", "unknown")])
def test_a_change_by_somebody_else_is_one_line(reason: str, by: str) -> None:
    """A change of the count by an operator or a deploy has a line of its own, which says by whom."""
    made = record(Outcome.HELD)
    event = ScaleEvent(made.decision.at - 5, 3, 7, by_others=True, reason=reason)
    stream = StringIO()
    configure("json", "info", stream)

    log_adopted(structlog.get_logger(), replace(made, adopted=(event,)))

    (line,) = lines(stream)
    assert (line["event"], line["before"], line["after"], line["by"]) == ("count_changed_externally", 3, 7, by)
    assert line["seconds_ago"] == 5


def test_the_level_is_the_least_that_is_written() -> None:
    """At `info` nothing of debug is written, at `error` nothing of a decision."""
    told = [(record(Outcome.UNCHANGED), True), (record(Outcome.FAILED), True)]

    assert [line["level"] for line in logged(*told, level="info")] == ["warning"]
    assert logged(*told, level="error") == []


@pytest.mark.parametrize(("outcome", "count"), [(Outcome.APPLIED, 1), (Outcome.DRY_RUN, 0), (Outcome.CONFLICT, 0)])
def test_a_lost_rollback_point_is_a_warning_of_its_own(outcome: Outcome, count: int) -> None:
    """A scale that took the manual rollback point away says so, and what it means; one that was not made does not."""
    told = logged((record(outcome, rollback_warning="it undoes the scale"), True))

    warnings = [line for line in told if line["event"] == "rollback_point_replaced"]
    assert len(warnings) == count
    assert all((line["service"], line["consequence"]) == ("web", "it undoes the scale") for line in warnings)


@pytest.mark.parametrize(
    ("problem", "events", "names"),
    [
        (Problem("swarm", "no quorum"), ["swarm_lost", "swarm_recovered"], "metric"),
        (Problem("prometheus", "refused"), ["prometheus_lost", "prometheus_recovered"], "metric"),
        (Problem("query", "bad_data", "memory"), ["query_failed", "query_recovered"], "metric"),
        (Problem("service", "a defect", "web"), ["service_failed", "service_recovered"], "service"),
        (Problem("clock", "40s behind"), ["clock_skew_found", "clock_skew_ended"], "metric"),
        (Problem("no_data", "no series", "web"), ["data_missed", "data_found"], "service"),
        (Problem("no_data", "no service has data"), ["data_missed", "data_found"], "service"),
        (Problem("write", "a proxy refused it"), ["write_refused", "write_accepted"], "service"),
    ],
)
def test_a_problem_is_told_when_it_begins_and_when_it_ends(problem: Problem, events: list[str], names: str) -> None:
    """The beginning is a warning with its detail and what it means, the end is good news; both name what it is of."""
    stream = StringIO()
    configure("json", "info", stream)

    log_problems(structlog.get_logger(), [problem], [])
    log_problems(structlog.get_logger(), [], [problem])

    began, ended = lines(stream)
    assert [began["event"], ended["event"]] == events
    assert [began["level"], ended["level"]] == ["warning", "info"]
    assert began["detail"] == problem.detail
    assert began["consequence"]
    assert {line.get(names, "") for line in (began, ended)} == {problem.subject}


def test_data_that_lack_for_many_services_name_the_metric() -> None:
    """A problem of many services names the metric, and another cause of the same problem is a warning of its own."""
    stream = StringIO()
    configure("json", "info", stream)

    log_problems(structlog.get_logger(), [Problem("no_data_cause", "no label", "metric cpu")], [])

    (line,) = lines(stream)
    assert (line["event"], line["level"], line["metric"]) == ("data_lack_changed", "warning", "cpu")


def test_new_lacks_are_one_line_for_each_cause() -> None:
    """The services with the same cause share a line, which has cause and cure; many services are counted."""
    stream = StringIO()
    configure("json", "info", stream)
    lacks = [Lack(f"s{n:02}", "cpu", Link.SELECTOR, "no series has it", "correct it") for n in range(12)]

    log_lacks(structlog.get_logger(), [*lacks, Lack("web", "cpu", Link.SERVICE, "no series names it", "wait")])

    first, second = lines(stream)
    assert (first["event"], first["level"], first["link"]) == ("data_lack_found", "info", "selector")
    assert (first["count"], len(first["services"]), first["cure"]) == (12, 10, "correct it")
    assert (second["services"], second["cause"]) == (["web"], "no series names it")


def test_auto_is_json_off_a_terminal_and_console_on_one() -> None:
    """`auto` writes for people where they look, and for programs elsewhere."""
    file, terminal = StringIO(), Terminal()

    for stream in (file, terminal):
        configure("auto", "info", stream)
        structlog.get_logger().info("daemon_started", policies=3)

    assert lines(file)[0]["policies"] == 3
    assert not terminal.getvalue().startswith("{")
    assert "\x1b[" in terminal.getvalue()


def test_there_is_no_colour_off_a_terminal() -> None:
    """Console lines in a file have no escape codes."""
    stream = StringIO()
    configure("console", "info", stream)

    structlog.get_logger().warning("swarm_lost", detail="no quorum")

    assert "swarm_lost" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_the_libraries_log_to_the_same_place_in_the_same_form() -> None:
    """A library's warning is a line like ours, its traceback included; what chatty ones say of routine is left out."""
    stream = StringIO()
    configure("json", "debug", stream)

    logging.getLogger("aiohttp.server").error("Error handling %s", "request", exc_info=_failure())
    logging.getLogger("apscheduler").info("Added job")

    (line,) = lines(stream)
    assert (line["event"], line["level"]) == ("Error handling request", "error")
    assert line["exception"][0]["exc_type"] == "ValueError"


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("make", [StringIO, Terminal])
def test_a_traceback_tells_no_local_variable(log_format: Any, make: type[StringIO]) -> None:
    """A defect is logged whole, but for the values of local variables: one may be a secret."""
    stream = make()
    configure(log_format, "info", stream)

    structlog.get_logger().error("evaluation_failed", exc_info=_failure())

    assert "ValueError" in stream.getvalue()
    assert "_failure" in stream.getvalue()
    assert SECRET not in stream.getvalue()


def test_lines_go_to_the_standard_error_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without another stream, lines go to standard error as it is when logging is configured."""
    stream = StringIO()
    monkeypatch.setattr(sys, "stderr", stream)

    configure("json", "info")
    structlog.get_logger().info("daemon_started")

    assert [line["event"] for line in lines(stream)] == ["daemon_started"]


def people(stream: StringIO) -> list[str]:
    """The lines of the stream without the time of day at their beginning, which each has."""
    found = [re.fullmatch(r"(\d\d:\d\d:\d\d  )?(.*)", line) for line in stream.getvalue().splitlines()]
    return [line[2] for line in found if line]


def test_people_read_a_decision_as_the_demo_prints_it() -> None:
    """On the console a decision is time, service, count, outcome, reason, rule and the facts."""
    stream = StringIO()
    configure("console", "info", stream)

    log_record(structlog.get_logger(), record(), news=True)
    log_record(structlog.get_logger(), record(Outcome.FAILED, detail="the proxy refused it"), news=True)

    assert re.match(r"\d\d:\d\d:\d\d  web  3 → 4  applied", stream.getvalue())
    assert people(stream) == [
        "web  3 → 4  applied  above_threshold [cpu-high]  cpu 85 %, above 70 %",
        "warning: web  3 → 4  failed  above_threshold [cpu-high]  cpu 85 %, above 70 %; the proxy refused it",
    ]


def test_people_read_facts_in_words() -> None:
    """On the console facts stand in their order as words, not as Python writes them, and sentences come last."""
    stream = StringIO()
    configure("console", "info", stream)
    log = structlog.get_logger()

    log.info("daemon_started", mode="live", role=None, policies=3, listen=("127.0.0.1", 9602), interval=15.0, odd=[])
    log_problems(log, [Problem("query", "HTTP 400", "rps")], [])
    log.error("policies_refused", problems=["a.yml:1:1: wrong", "b.yml: missing"], consequence="revision r1 stays")
    log.info("measured", values={"cpu-high": 39.93050917232268, "cpu-low": None}, deep=0.000123456)

    assert people(stream) == [
        "daemon_started  mode live, policies 3, listen 127.0.0.1:9602, interval 15",
        f"warning: query_failed  metric rps: HTTP 400; {consequence_of('query')}",
        "error: policies_refused: revision r1 stays",
        "    a.yml:1:1: wrong",
        "    b.yml: missing",
        "measured  values cpu-high 39.93, deep 0.0001235",
    ]


def test_programs_read_the_main_facts_first() -> None:
    """In JSON time, level, event and service come first, and values are rounded as people read them."""
    (line,) = logged((_precise(), True))
    stream = StringIO()
    configure("json", "info", stream)
    structlog.get_logger().info("measured", values={"a": 39.93050917232268, "b": 0.0012345678, "c": None})

    assert list(line)[:5] == ["timestamp", "level", "event", "service", "policy"]
    assert line["values"]["cpu-high"] == 85.12
    assert lines(stream)[0]["values"] == {"a": 39.93, "b": 0.001235, "c": None}


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_terminal_breaks_lines_between_words(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """On a terminal a long line goes on below, indented, and no word is broken."""
    monkeypatch.setenv("COLUMNS", str(width))
    stream = Terminal()
    configure("console", "info", stream)
    sentence = " ".join(f"word{number}" for number in range(60))

    structlog.get_logger().warning("swarm_lost", detail=sentence)

    shown = re.sub(r"\x1b\[\d*m", "", stream.getvalue()).splitlines()
    assert all(len(line) <= width for line in shown)
    assert all(line.startswith("    ") for line in shown[1:])
    assert " ".join(shown).split()[3:] == sentence.split()


def _precise() -> Record:
    told = (Recommendation("cpu-high", Reason.ABOVE_THRESHOLD, 4, 85.123456),)
    return Record(decided(Why(Reason.ABOVE_THRESHOLD), desired=4, recommendations=told), Outcome.APPLIED)


def _failure() -> ValueError:
    password = "".join(reversed("2retnuh"))  # so that no source line shows it
    try:
        int(password[:0])
    except ValueError as error:
        return error
    raise AssertionError
