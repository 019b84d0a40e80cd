from __future__ import annotations

import json
import logging
from io import StringIO
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from autoscaler import policy_tests
from autoscaler.core.model import Direction, Outcome, Why
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Evaluation, Problem, Record
from autoscaler.evaluation.journal import Journal
from autoscaler.evaluation.survey import Reading, Survey
from autoscaler.util.text import printable
from autoscaler.views import render
from autoscaler.views.logs import configure, log_problems, log_record
from autoscaler.web.telemetry import Telemetry
from tests.support.world import decided

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = [
    "a\nlevel=error event=all_is_lost",
    "a\r\x1b[2K\x1b[1Aweb",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "\x9b31mred",
    "[red]red[/red] [link=http://evil.example]click[/link]",
    "\u202egnp.exe",
    "a\u2028b\u2029c\x85d",
    "\x00\x08\x7f",
    "\ud800",
    '"},{"event":"daemon_stopped"',
    "</script><script>alert(1)</script>",
    "{{config}} ${x} %s %(x)s {0}",
]
"""What may stand in names, labels, and the words of Swarm and Prometheus, and would do something where it is shown."""
ANY = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=[]))


def record(text: str) -> Record:
    """A record in which every text that comes from outside is *text*."""
    why = Why(Reason.TASKS_PENDING, text, text)
    paused = {Direction.UP: text, Direction.DOWN: text}
    decision = decided(why, service=text, held=True)
    return Record(decision, Outcome.FAILED, text, {text: text}, paused, rollback_warning=text)


def log_everything(text: str) -> None:
    """What the daemon logs where everything outside says *text*, and a library that quotes it."""
    log = structlog.get_logger()
    log_record(log, record(text), news=True)
    log_problems(log, [Problem("query", text, text)], [])
    log.error("policies_refused", problems=[text])
    logging.getLogger("library").warning("said %s", text)


@given(ANY)
def test_printable_text_is_printable(text: str) -> None:
    """Nothing is left that is not, what is printable stays, and text that is printable stays as it is."""
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    assert [c for c in text if c.isprintable()] == [c for c in text if c in shown and c.isprintable()]
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


@given(ANY)
@pytest.mark.fault("hostile-text")
def test_no_text_makes_a_line_of_the_log_or_colours_a_terminal(text: str) -> None:
    """On the console each event is one line of printable text, whatever services, Swarm and Prometheus say.

    The problems of policy files have indented lines of their own.
    """
    stream = StringIO()
    configure("console", "debug", stream)

    log_everything(text)

    lines = stream.getvalue().removesuffix("\n").split("\n")
    assert [line.startswith("    ") for line in lines] == [False, False, False, True, False]
    assert all(line.isprintable() for line in lines)


@given(ANY)
def test_no_text_makes_an_object_of_the_log(text: str) -> None:
    """As JSON each event is one line of ASCII that holds the text as it came."""
    stream = StringIO()
    configure("json", "debug", stream)

    log_everything(text)

    lines = stream.getvalue().splitlines()
    assert [json.loads(line)["event"] for line in lines[:3]] == [
        *("service_evaluated", "query_failed", "policies_refused")
    ]
    assert len(lines) == 4
    assert json.loads(lines[0])["service"] == text
    assert stream.getvalue().isascii()


@pytest.mark.parametrize("text", HOSTILE)
def test_no_message_of_an_exception_makes_a_line_of_the_log(text: str) -> None:
    """Every line of a traceback on the console is indented and printable."""
    stream = StringIO()
    configure("console", "debug", stream)

    structlog.get_logger().error("evaluation_failed", exc_info=_raised(text))

    first, *more = stream.getvalue().removesuffix("\n").split("\n")
    assert "evaluation_failed" in first
    assert more
    assert all(line.startswith("  ") and line.isprintable() for line in more)


def printed(renderable: object) -> list[str]:
    """The lines that a terminal is sent, its own colours aside."""
    stream = StringIO()
    console = Console(file=stream, highlight=False, width=500, color_system=None)
    console.print(renderable, soft_wrap=True)
    return stream.getvalue().removesuffix("\n").split("\n")


@given(ANY)
@pytest.mark.fault("hostile-text")
def test_no_text_leaves_its_cell(text: str) -> None:
    """`plan` and `check --live` print each fact where it belongs, without markup and without escape sequences."""
    problem = Problem("query", text, text)
    reading = Reading(text, text, text, 1.0, text, text, lack=text)
    plan = printed(render.plan([record(text)], [problem], paused=[text]))
    survey = printed(render.survey(Survey((reading,), (record(text),), (text,), (problem,))))

    assert all(line.isprintable() for line in (*plan, *survey))
    assert not any(line.startswith(("evil", "level=")) for line in (*plan, *survey))
    if text and len(printable(text)) < 20:  # so that nothing is folded
        assert len(plan) == 7  # a header, the record, an empty line, the problem, the pause, the warning and the sum
        assert len(survey) == 7


def test_no_text_of_a_policy_test_leaves_its_line(tmp_path: Path) -> None:
    """Names in policy tests are the operator's own, and their results are printed as safely."""
    (tmp_path / "t\x1b[31m.yml").write_text(
        """
policies: {version: 1, policies: [{name: a, services: ["*"], replicas: {min: 1, max: 9}, rules: [
  {name: r, metric: cpu, above: 1, add: 1}]}]}
tests:
  - name: "n\\x1b[31m\\nPASS all"
    service: "s\\x1b[31m\\nPASS all"
    replicas: 1
    series: {cpu: "0"}
    expect: [{at: 0s, replicas: 5}]
"""
    )
    (result,) = policy_tests.run_file(tmp_path / "t\x1b[31m.yml")

    lines = printed(result.render())

    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("PASS") for line in lines)


@given(st.sampled_from([text for text in HOSTILE if text != "\ud800"]))
@pytest.mark.fault("hostile-text")
def test_no_name_leaves_its_label(text: str) -> None:
    """In `/metrics` a name is one label's value, whatever it is."""
    journal = Journal()
    journal.add(record(text))
    journal.close(Evaluation(1.0, (record(text),)))
    telemetry = Telemetry(journal, lambda: True)

    families = text_string_to_metric_families(generate_latest(telemetry.registry).decode())
    services = {
        sample.labels["service"] for family in families for sample in family.samples if "service" in sample.labels
    }

    assert services == {text}


def _raised(text: str) -> ValueError:
    try:
        int(f"no number: {text}")
    except ValueError as error:
        error.args = (text,)
        return error
    raise AssertionError
