from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from autoscaler.cli.commands.terminal import show
from autoscaler.core.lacks import Lack, Link
from autoscaler.core.model import Outcome, Why
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Problem, Record
from autoscaler.core.window import Window
from autoscaler.evaluation.survey import Survey
from autoscaler.swarm.capacity import Capacity, ServiceCapacity
from autoscaler.util.amounts import Amount
from autoscaler.views import render
from tests.support.builders import NOW, STEP
from tests.support.world import decided

if TYPE_CHECKING:
    from rich.console import RenderableType

HIGH = Why(Reason.ABOVE_THRESHOLD, "cpu 85 %, above 70 %", "cpu-high")
CALM = Why(Reason.NO_BREACH, "cpu 50 %")
ROLLING = Why(Reason.ROLLOUT_IN_PROGRESS, "a rolling update is in progress")


def record(why: Why, outcome: Outcome, desired: int = 3, service: str = "web", **more: Any) -> Record:
    """A decision on a service of 3 replicas."""
    decision = decided(why, service=service, desired=desired, held=outcome is Outcome.HELD)
    return Record(decision, outcome, **more)


UP = record(HIGH, Outcome.DRY_RUN, 4)
UNCHANGED = record(CALM, Outcome.UNCHANGED, service="api")
HELD = record(ROLLING, Outcome.HELD, service="search")


def printed(what: RenderableType, width: int = 120) -> list[str]:
    """The lines that a console of this width shows."""
    stream = StringIO()
    Console(file=stream, width=width, highlight=False).print(what)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_row_has_every_fact_of_a_decision() -> None:
    """A row of the table says service, replicas and where they go, bounds, reason, values, rule and the facts."""
    decision = replace(UP.decision, minimum=2, maximum=6, running=2)
    windows = {"cpu": Window(NOW, STEP, (60.0, 85.4), unit="%"), "rps": Window(NOW, STEP, (1.234,))}
    heading, row = printed(render.table([replace(UP, decision=decision, windows=windows)]))

    assert heading.split() == ["SERVICE", "REPLICAS", "MIN", "MAX", "REASON", "VALUES", "WHY"]
    assert row == f"web      3 → 4 (2 run)    2    6  above_threshold  cpu 85 %  rps 1.23  [cpu-high] {HIGH.detail}"


@given(
    width=st.integers(40, 200),
    sentence=st.lists(st.text("abcdefgh%", min_size=1, max_size=20), min_size=1, max_size=60).map(" ".join),
    services=st.lists(st.text("abc_", min_size=1, max_size=12), min_size=1, max_size=4),
)
def test_no_width_breaks_a_word(width: int, sentence: str, services: list[str]) -> None:
    """Whatever the width, each word of a table is whole, and no line is longer than the console."""
    records = [record(Why(Reason.NO_BREACH, sentence), Outcome.HELD, service=service) for service in services]
    lines = printed(render.table(records), width)

    assert all(len(line) <= width for line in lines)
    found = " ".join(lines).split()
    for name in services:
        position = found.index(name)
        del found[position]
    for word in sentence.split() * len(services):
        found.remove(word)


def test_what_a_program_reads_is_never_wrapped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off a terminal each row is one line, however long its sentence is, and ends with it."""
    monkeypatch.delenv("COLUMNS", raising=False)
    sentence = "word " * 200
    show(render.table([record(Why(Reason.NO_BREACH, f"{sentence}end"), Outcome.HELD)]))

    heading, row = capsys.readouterr().out.splitlines()
    assert heading.endswith("WHY")
    assert row.endswith(f"no_breach          {sentence}end")


@pytest.mark.parametrize("width", [80, 60])
def test_a_narrow_console_cuts_no_reason_and_no_count(width: int) -> None:
    """On a narrow console sentences are folded; reasons and counts are whole."""
    name = "a_stack_with_a_long_name_and_its_service"
    text = "\n".join(printed(render.table([replace(UP, decision=replace(UP.decision, service=name))]), width))

    assert "above_threshold" in text
    assert "3 → 4" in text


def test_names_and_words_are_not_markup() -> None:
    """What others wrote is shown as it is: brackets are no markup."""
    why = Why(Reason.TASKS_PENDING, "starting: [bold]no suitable node[/] [red", "r[1]")

    assert "starting: [bold]no suitable node[/] [red" in printed(render.table([record(why, Outcome.HELD)]))[1]


def test_a_plan_begins_with_what_changes() -> None:
    """In a plan the services that would change come first, and the others by name."""
    rows = printed(render.plan([HELD, UNCHANGED, UP], []))

    assert [line.split()[0] for line in rows[1:4]] == ["web", "api", "search"]
    assert rows[-1] == "3 services: 1 to change, 1 held. This plan changed nothing."


def test_a_plan_names_problems_and_warnings() -> None:
    """A plan says what it met, and which service would lose its rollback point."""
    warned = replace(UP, rollback_warning="it undoes the scale")
    rows = printed(render.plan([warned], [Problem("query", "bad_data", "memory"), Problem("clock", "40s behind")]))

    assert "problem: the query of memory: bad_data" in rows
    assert "problem: clock: 40s behind" in rows
    assert "warning: web: it undoes the scale" in rows
    assert rows[-1] == "1 service: 1 to change, 0 held. This plan changed nothing."


def test_a_plan_names_missing_data() -> None:
    """Each cause of missing data has a line with the services and the cure; what passes only waits."""
    lacks = [Lack(name, "cpu", Link.SERVICE_LABEL, "no series has it", "keep it") for name in ("a", "b", "c", "d", "e")]
    lacks.append(Lack("web", "cpu", Link.WARM_UP, "2 of 2 tasks started 20s ago", "wait", passes=True))
    lacks.append(Lack("web", "queue", Link.SOURCE, "its query has no answer", "see the problem about it"))

    shown = render.plan([], [], lacks=lacks, unmatched=["policy c: the glob shpo_* matches no service"])
    text = "\n".join(printed(shown, 200))

    assert "no data: cpu of a, b, c and 2 other services: no series has it (keep it)" in text
    assert "waits: cpu of web: 2 of 2 tasks started 20s ago (wait)" in text
    assert "warning: policy c: the glob shpo_* matches no service" in text
    assert "no answer" not in text


def test_a_plan_without_services_says_why() -> None:
    """Nothing to show has three causes, and a plan says which."""
    assert printed(render.plan([], [])) == ["No policy matches any service."]
    lost = printed(render.plan([], [Problem("swarm", "no quorum")]))
    assert lost == ["problem: swarm: no quorum", "The plan is not known, because Swarm did not answer."]
    defect = printed(render.plan([], [Problem("service", "a defect", "web")]))
    assert defect == [
        "problem: the service web: a defect",
        "0 services: 0 to change, 0 held. This plan changed nothing.",
    ]


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (UP, "web  3 → 4  dry_run  above_threshold [cpu-high]  cpu 85 %, above 70 %"),
        (HELD, "search  3  held  rollout_in_progress  a rolling update is in progress"),
        (
            replace(UP, outcome=Outcome.UNKNOWN, detail="no answer to the write"),
            "web  3 → 4  unknown  above_threshold [cpu-high]  cpu 85 %, above 70 %; no answer to the write",
        ),
        (
            replace(record(Why(Reason.NO_BREACH), Outcome.FAILED), detail="refused"),
            "web  3  failed  no_breach  refused",
        ),
    ],
)
def test_a_record_on_one_line(item: Record, text: str) -> None:
    """A record on one line says count, outcome, reason and rule, the facts and what went wrong."""
    assert render.line(item) == text


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_style(outcome: Outcome) -> None:
    """Each outcome has a colour of its own kind."""
    assert render.style(record(CALM, outcome))


# room

LARGE = ServiceCapacity(
    "api", "shop", 2, 10, 7, 4, Amount(500_000_000, 2**29), Amount(), 0, "each reserves much", "add nodes"
)
FREE = ServiceCapacity("web", "shop", 2, 5, None, None, Amount(), Amount(10**9, 2**30))
CAPACITY = Capacity(
    nodes=2,
    total=Amount(16 * 10**9, 2**35),
    reserved=Amount(4 * 10**9, 2**33),
    at_maxima=Amount(20 * 10**9, 2**34),
    limits_at_maxima=Amount(24 * 10**9, 2**35),
    closed=("n3",),
    places=(LARGE, FREE),
)


def test_a_plan_says_what_finds_no_room() -> None:
    """A plan adds up CPU and memory, and warns of each maximum that finds no room, with numbers and cure."""
    rows = printed(render.plan([UP], [], CAPACITY), 200)
    sums = [" ".join(row.split()) for row in rows[3:8]]

    assert sums == [
        "CAPACITY CPU MEMORY",
        "2 nodes 16 cores 32 GiB",
        "reserved now 4 cores (25%) 8 GiB (25%)",
        "reserved with every policy at its maximum 20 cores (125%) 16 GiB (50%)",
        "limits with every policy at its maximum 24 cores (150%) 32 GiB (100%)",
    ]
    assert rows[8] == (
        "warning: api: max 10 does not fit: 7 replicas fit with everything else as it is, 4 with all others at their "
        "maximum; each reserves much (add nodes)"
    )
    assert rows[9:11] == [
        "These services reserve nothing, so reservations do not limit their replicas: web.",
        "These nodes accept no tasks now and are not counted: n3.",
    ]
    assert rows[11].startswith("Not all services fit at their maximum at once. This is an estimate")
    assert rows[-1] == "1 service: 1 to change, 0 held. This plan changed nothing."


def test_a_plan_tells_of_replicas_that_swarm_has_forgotten() -> None:
    """Replicas that wait although there is room are told of, with the cure."""
    rows = printed(render.plan([UP], [], replace(CAPACITY, places=(replace(FREE, forgotten=2),))), 200)

    assert (
        "warning: web: 2 replicas wait for a node although there is room; Swarm does not retry replicas that waited "
        "while the count changed (if this lasts, scale down by 2 and up again)"
    ) in rows


def test_a_plan_whose_maxima_fit() -> None:
    """Where all maxima find room a plan warns of none."""
    rows = printed(render.plan([UP], [], replace(CAPACITY, places=(FREE,))), 200)

    assert not [row for row in rows if row.startswith("warning")]
    assert any(row.startswith("All services fit at their maximum at once") for row in rows)


def test_a_survey_has_a_row_of_room_for_each_service() -> None:
    """`check --live` shows for each service how many replicas there are, may be and find room."""
    rows = [" ".join(row.split()) for row in printed(render.survey(Survey(capacity=CAPACITY)), 200)]

    assert "SERVICE REPLICAS MAX FIT NOW FIT WITH OTHERS AT MAX EACH RESERVES LIMITS" in rows
    assert "api 2 10 7 4 0.5 cores and 512 MiB none" in rows
    assert "web 2 5 any any nothing 1 core and 1 GiB" in rows


def test_of_many_names_the_first() -> None:
    """Of many services without a reservation the first are named, and the others counted."""
    many = tuple(replace(FREE, service=f"web{n:02}") for n in range(15))
    rows = printed(render.plan([UP], [], replace(CAPACITY, places=many)), 200)

    assert any(row.endswith("web08, web09 and 5 more.") for row in rows)
