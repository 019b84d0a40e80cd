from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.core.model import BY_DEPLOY, BY_OPERATOR, Outcome, Recommendation, ScaleEvent, Why
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Evaluation, Problem, Record
from autoscaler.journal.chronicle import Chronicle, changed_by
from autoscaler.journal.happening import Beat, Happening, HappeningKind
from tests.support.builders import NOW
from tests.support.world import decided

if TYPE_CHECKING:
    from collections.abc import Mapping

STEP = 15.0


def record(
    at: float,
    outcome: Outcome = Outcome.HELD,
    reason: Reason = Reason.COOLING_DOWN,
    value: float | None = 80,
    **more: Any,
) -> Record:
    """A record of `web`, whose rule `cpu-high` saw *value*."""
    told = (Recommendation("cpu-high", Reason.ABOVE_THRESHOLD, 6, value),)
    decision = decided(Why(reason, "wants 6", "cpu-high"), desired=3, recommendations=told)
    return Record(replace(decision, at=at, recommended=6), outcome, **more)


def document(made: Record) -> Mapping[str, Any]:
    """A document of a decision."""
    return {"at": made.decision.at}


def evaluation(*records: Record, **more: Any) -> Evaluation:
    """An evaluation that ends with these records."""
    return Evaluation(records[0].decision.at if records else NOW, records, **more)


def told(chronicle: Chronicle, *evaluations: Evaluation) -> list[Happening]:
    """What is new with all of the *evaluations*."""
    return [each for item in evaluations for each in chronicle.evaluated(item)[0]]


def test_a_run_of_holds_is_told_when_it_begins_and_when_it_ends() -> None:
    """A service that is held five times in a row for one reason is one happening with its first and last evaluation."""
    chronicle = Chronicle(document)
    held = [evaluation(record(NOW + STEP * index, value=80 + index)) for index in range(5)]
    calm = evaluation(record(NOW + 75, Outcome.UNCHANGED, Reason.NO_BREACH))

    begun, ended, after = told(chronicle, *held, calm)

    assert (begun.kind, begun.at, begun.ongoing, begun.document) == (HappeningKind.HOLD, NOW, True, {"at": NOW})
    assert (begun.facts["reason"], begun.facts["wants"], begun.facts["before"]) == ("cooling_down", 6, 3)
    assert (ended.key, ended.until, ended.times, ended.ongoing) == (begun.key, NOW + 60, 5, False)
    assert ended.values == {"cpu-high": (80, 84)}
    assert (after.kind, after.at, after.begun) == (HappeningKind.UNCHANGED, NOW + 75, 6)


@pytest.mark.parametrize(
    "other",
    [
        record(NOW, reason=Reason.TASKS_PENDING),
        record(NOW, Outcome.UNCHANGED),
        replace(record(NOW), decision=replace(record(NOW).decision, requested=4)),
        replace(record(NOW), decision=replace(record(NOW).decision, recommended=5)),
        replace(record(NOW), decision=replace(record(NOW).decision, policy="other")),
    ],
)
def test_another_reason_or_count_is_another_run(other: Record) -> None:
    """A run has one outcome, reason, rule, policy and set of counts."""
    chronicle = Chronicle(document)

    begun, ended, second = told(chronicle, evaluation(record(NOW - STEP)), evaluation(other))

    assert (begun.at, ended.at, second.at) == (NOW - STEP, NOW - STEP, NOW)


def test_a_service_that_an_evaluation_leaves_out_ends_its_run() -> None:
    """A run has no gaps: a service that was not decided on begins another run later."""
    chronicle = Chronicle(document)

    begun, ended, again = told(chronicle, evaluation(record(NOW)), evaluation(), evaluation(record(NOW + 2 * STEP)))

    assert (begun.at, ended.until, ended.ongoing) == (NOW, NOW, False)
    assert (again.at, again.begun) == (NOW + 2 * STEP, 3)


def test_a_lost_swarm_interrupts_no_run() -> None:
    """While Swarm does not answer nothing is decided: runs go on afterwards, and the beat stays that of before."""
    chronicle = Chronicle(document)
    lost = Evaluation(NOW + STEP, problems=(Problem("swarm", "refused"),))

    chronicle.evaluated(evaluation(record(NOW)))
    new, beat = chronicle.evaluated(lost)
    later, latest = chronicle.evaluated(evaluation(record(NOW + 2 * STEP)))

    assert (new, beat) == ([], Beat(NOW, 1))
    assert (later, latest) == ([], Beat(NOW + 2 * STEP, 2))


def test_a_missing_value_is_in_no_range() -> None:
    """The range of a rule's values leaves out evaluations without one."""
    chronicle = Chronicle(document)
    runs = [evaluation(record(NOW + STEP * index, value=value)) for index, value in enumerate([None, 80, None, 70])]

    *_, ended = told(chronicle, *runs, evaluation())

    assert ended.values == {"cpu-high": (70, 80)}


def test_the_values_of_a_long_run_are_told_now_and_then() -> None:
    """A run that goes on hands out its values once in twenty evaluations, if they have changed."""
    chronicle = Chronicle(document)
    runs = [evaluation(record(NOW + STEP * index, value=min(index, 30))) for index in range(90)]

    _, *updates = told(chronicle, *runs)

    assert [each.values["cpu-high"][1] for each in updates] == [19, 30]
    assert all(each.ongoing and each.document is None for each in updates)


CHANGES = (
    ScaleEvent(NOW - 600, 1, 2, reason="above_threshold", rule="cpu-high"),
    ScaleEvent(NOW - 300, 2, 3, by_others=True, reason=BY_OPERATOR),
    ScaleEvent(NOW - 100, 3, 2, by_others=True, reason=BY_DEPLOY),
    ScaleEvent(NOW - 50, 2, 3, reason="below_min"),
    ScaleEvent(NOW - 20, 3, 4),
)


def test_the_history_begins_with_what_the_label_tells() -> None:
    """Changes that the first look knows from the label are told, with by whom; each of them once."""
    chronicle = Chronicle(document)
    first, second = evaluation(record(NOW, changes=CHANGES)), evaluation(record(NOW + STEP, changes=CHANGES))

    changes = [each for each in told(chronicle, first, second) if each.kind is HappeningKind.CHANGE]

    assert [each.at for each in changes] == [event.at for event in CHANGES]
    assert [each.facts["by"] for each in changes] == ["rule", "operator", "deploy", "bounds", "unknown"]
    assert changes[0].facts["rule"] == "cpu-high"
    assert all(each.until == each.at and not each.ongoing for each in changes)


def test_changes_that_are_too_old_are_not_told() -> None:
    """Changes from before the time that the history is kept for are left to the label."""
    chronicle = Chronicle(document, earliest=NOW - 60)

    new = told(chronicle, evaluation(record(NOW, changes=CHANGES)))

    assert [each.at for each in new if each.kind is HappeningKind.CHANGE] == [NOW - 50, NOW - 20]


def test_a_standby_tells_the_leaders_changes() -> None:
    """A change that another autoscaler made is told by whoever sees it on the label."""
    chronicle = Chronicle(document)
    later = evaluation(record(NOW + STEP, changes=(*CHANGES, ScaleEvent(NOW + 3, 4, 5, reason="above_target"))))

    chronicle.evaluated(evaluation(record(NOW, changes=CHANGES)))
    new = told(chronicle, later)

    assert [(each.at, each.facts["by"]) for each in new] == [(NOW + 3, "rule")]


@pytest.mark.parametrize("reason", list(Reason))
def test_every_change_is_by_somebody(reason: Reason) -> None:
    """Each reason says who made the change."""
    assert changed_by(reason.value) in {"rule", "bounds", "schedule", "restore", "fallback", "no_room"}


def test_a_problem_is_told_when_it_begins_and_when_it_ends() -> None:
    """A problem goes on until it ends; one that is explained later begins again with its cause."""
    chronicle = Chronicle(document)
    silent, cause = Problem("swarm", "no answer", silent=True), Problem("swarm_cause", "no leader")

    (begun,), _ = chronicle.evaluated(Evaluation(NOW, problems=(silent,)), [silent])
    (ended, explained), _ = chronicle.evaluated(Evaluation(NOW + STEP, problems=(silent,)), [cause])
    (over,), _ = chronicle.evaluated(Evaluation(NOW + 2 * STEP), (), [replace(cause, kind="swarm")])

    assert (begun.kind, begun.subject, begun.ongoing) == (HappeningKind.PROBLEM, "swarm", True)
    assert (ended.key, ended.until, ended.ongoing) == (begun.key, NOW + STEP, False)
    assert explained.facts == {"problem": "swarm", "subject": "", "detail": "no leader"}
    assert (over.key, over.until) == (explained.key, NOW + 2 * STEP)


def test_a_pause_is_told_when_it_begins_and_when_it_ends() -> None:
    """A pause belongs to its service, or to none if it is for all."""
    chronicle = Chronicle(document)
    lines = ("web: up paused by ana", "all services: up and down paused by bob")

    begun, _ = chronicle.evaluated(Evaluation(NOW, paused=lines))
    ended, _ = chronicle.evaluated(Evaluation(NOW + STEP, paused=lines[1:]))

    assert sorted((each.service, each.facts["detail"]) for each in begun) == [("", lines[1]), ("web", lines[0])]
    assert [(each.service, each.until, each.ongoing) for each in ended] == [("web", NOW + STEP, False)]


def test_other_policies_end_all_runs() -> None:
    """Policies that were loaded end the runs under the earlier ones; refused ones leave all as it is."""
    chronicle = Chronicle(document)
    chronicle.evaluated(evaluation(record(NOW)))

    (refused,) = chronicle.policies(NOW + 1, "abc", 2, ["web.yml: wrong"])
    ended, loaded = chronicle.policies(NOW + 2, "def", 2)

    assert (refused.facts["refused"], refused.facts["problems"]) == (True, ["web.yml: wrong"])
    assert (ended.until, ended.ongoing) == (NOW, False)
    assert (loaded.kind, loaded.facts["revision"]) == (HappeningKind.POLICIES, "def")
