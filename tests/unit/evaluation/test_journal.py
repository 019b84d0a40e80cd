from __future__ import annotations

from dataclasses import replace

import pytest

from autoscaler.core.model import Decision, Outcome, Why
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Evaluation, Problem, Record
from autoscaler.evaluation.journal import EndedHold, Journal

LOST = Problem("prometheus", "connection refused")


def record(outcome: Outcome, reason: Reason = Reason.NO_BREACH, service: str = "web", requested: int = 3) -> Record:
    """A record of *service* for a reason."""
    why = Why(reason)
    return Record(Decision(service, "web", 0.0, requested, requested, requested, why, (why,)), outcome)


def test_a_held_decision_is_news_once() -> None:
    """A decision held again for the same reason at the same count is not news, so the log has one line for it."""
    journal = Journal()
    held = record(Outcome.HELD, Reason.ROLLOUT_IN_PROGRESS)
    assert [journal.add(held), journal.add(held), journal.add(held)] == [True, False, False]


@pytest.mark.parametrize(
    "other",
    [
        record(Outcome.HELD, Reason.TASKS_PENDING),
        record(Outcome.UNCHANGED, Reason.NO_BREACH),
        record(Outcome.HELD, Reason.ROLLOUT_IN_PROGRESS, requested=4),
    ],
)
def test_another_reason_or_count_is_news(other: Record) -> None:
    """A decision held for another reason, or at another count, is news again."""
    journal = Journal()
    journal.add(record(Outcome.HELD, Reason.ROLLOUT_IN_PROGRESS))
    assert journal.add(other)


def test_every_applied_change_is_news() -> None:
    """A change that was carried out is news however alike the one before was."""
    journal = Journal()
    applied = record(Outcome.APPLIED, Reason.ABOVE_THRESHOLD)
    assert [journal.add(applied), journal.add(applied)] == [True, True]


def test_a_repeated_proposal_is_neither_news_nor_counted() -> None:
    """A dry-run's proposal that is made again within its cooldown is not logged and not counted again."""
    journal = Journal()
    proposal = record(Outcome.DRY_RUN, Reason.BELOW_MIN)
    assert [journal.add(proposal), journal.add(replace(proposal, repeated=True))] == [True, False]
    assert journal.snapshot().decisions == {("web", Outcome.DRY_RUN): 1}


def at(when: float, made: Record) -> Record:
    """The same record at another time."""
    return replace(made, decision=replace(made.decision, at=when))


def test_the_end_of_a_hold_is_known_with_its_beginning() -> None:
    """A hold that ends without a change is over once, and says since when it lasted for its reason."""
    journal, ended = Journal(), []
    cooling, blocked = record(Outcome.HELD, Reason.COOLING_DOWN), record(Outcome.HELD, Reason.TASKS_PENDING)
    calm = record(Outcome.UNCHANGED)

    for made in (at(0, cooling), at(15, blocked), at(30, blocked), at(45, calm), at(60, calm)):
        ended.append(journal.hold_ended_by(made))
        journal.add(made)

    assert ended == [None, None, None, EndedHold(at(30, blocked), 15), None]


def test_a_change_ends_a_hold_without_a_line_of_its_own() -> None:
    """The line of the change says that the hold is over."""
    journal = Journal()
    journal.add(record(Outcome.HELD, Reason.COOLING_DOWN))

    assert journal.hold_ended_by(record(Outcome.APPLIED, Reason.ABOVE_THRESHOLD)) is None


def test_a_problem_begins_once_and_ends_once() -> None:
    """A backend that stays away is told of when it goes and when it comes back, not in between."""
    journal = Journal()
    lost, back = Evaluation(0.0, problems=(LOST,)), Evaluation(15.0)
    changes = [journal.close(evaluation) for evaluation in (lost, lost, back, back)]
    assert changes == [([LOST], []), ([], []), ([], [LOST]), ([], [])]


@pytest.mark.fault("quorum-lost")
def test_a_silent_swarm_that_says_why_it_is_lost_is_told_of_again() -> None:
    """A manager that loses its leader hangs first and says so later: the cause is told of once, whatever hangs then."""
    journal = Journal()
    silent, clear = Problem("swarm", "no answer in time", silent=True), Problem("swarm", "the Swarm has no leader")
    told = [journal.close(Evaluation(0.0, problems=(each,))) for each in (silent, silent, clear, silent, clear)]

    assert told == [([silent], []), ([], []), ([replace(clear, kind="swarm_cause")], []), ([], []), ([], [])]
    assert journal.snapshot().problems == (clear,)
    assert journal.close(Evaluation(0.0)) == ([], [clear])


def test_data_that_lack_for_another_cause_are_told_of_again() -> None:
    """A problem of missing data that goes on for another cause is news once, and no end of the problem."""
    journal = Journal()
    one, other = Problem("no_data", "no series", cause="cpu:metric"), Problem("no_data", "no label", cause="cpu:label")
    told = [journal.close(Evaluation(0.0, problems=(each,))) for each in (one, one, other, other)]

    assert told == [([one], []), ([], []), ([replace(other, kind="no_data_cause")], []), ([], [])]
    assert journal.close(Evaluation(0.0)) == ([], [other])


@pytest.mark.parametrize(
    ("before", "after"),
    [("no_data", "swarm"), ("no_data", "prometheus"), ("write", "swarm")],
)
def test_what_was_not_looked_at_is_not_over(before: str, after: str) -> None:
    """While a backend does not answer, the problems that only its answer ends go on."""
    journal = Journal()
    problem, lost = Problem(before, "x"), Problem(after, "gone")
    journal.close(Evaluation(0.0, problems=(problem,)))
    assert journal.close(Evaluation(15.0, problems=(lost,))) == ([lost], [])
    assert set(journal.snapshot().problems) == {problem, lost}


def test_an_unreachable_swarm_says_nothing_about_prometheus() -> None:
    """While Swarm does not answer nothing is asked of Prometheus, so its problem is not over."""
    journal = Journal()
    swarm = Problem("swarm", "no quorum")
    journal.close(Evaluation(0.0, problems=(LOST,)))
    assert journal.close(Evaluation(15.0, problems=(swarm,))) == ([swarm], [])
    assert set(journal.snapshot().problems) == {LOST, swarm}


def test_what_no_policy_applies_to_any_more_leaves_no_series() -> None:
    """The counts of a service that was removed are forgotten with it."""
    journal = Journal()
    web, api = record(Outcome.HELD), record(Outcome.HELD, service="api")
    journal.add(web)
    journal.add(api)
    journal.close(Evaluation(0.0, records=(web, api)))
    journal.close(Evaluation(15.0, records=(web,)))
    snapshot = journal.snapshot()
    assert (set(snapshot.latest), {service for service, _ in snapshot.held}) == ({"web"}, {"web"})


def test_an_unreachable_swarm_forgets_no_service() -> None:
    """An evaluation that could not read Swarm says nothing about which services there are."""
    journal = Journal()
    journal.add(record(Outcome.HELD))
    journal.close(Evaluation(0.0, problems=(Problem("swarm", "gone"),)))
    assert set(journal.snapshot().latest) == {"web"}


def test_the_notable_records_are_bounded() -> None:
    """At most 20 notable records are kept for a service, the newest."""
    journal = Journal()
    for count in range(50):
        journal.add(record(Outcome.APPLIED, requested=count))
    assert [kept.decision.requested for kept in journal.notable("web")] == list(range(30, 50))
