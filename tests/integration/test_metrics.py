from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from autoscaler.core.instance import Mode
from autoscaler.core.model import Outcome, ScaleEvent
from autoscaler.core.records import PROBLEM_KINDS, Evaluation, Record
from autoscaler.web.telemetry import Telemetry
from tests.support.builders import NOW, STEP
from tests.support.shown import POLICIES, full_journal

if TYPE_CHECKING:
    from autoscaler.evaluation.journal import Journal

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(telemetry: Telemetry) -> Samples:
    """What is exported, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in telemetry.registry.collect()
        for sample in family.samples
    }


def of(found: Samples, name: str) -> dict[tuple[str, ...], float]:
    """The samples of one metric by the values of their labels, in the order of the labels' names."""
    return {tuple(value for _, value in labels): sample for (each, labels), sample in found.items() if each == name}


def exported(journal: Journal, *, mode: Mode = Mode.LIVE, leads: bool = True) -> Samples:
    """What an autoscaler with this journal exports."""
    return samples(Telemetry(journal, lambda: True, lambda: leads, mode=mode, policies=lambda: POLICIES))


def test_the_first_evaluation_has_every_fact_of_a_service() -> None:
    """Counts before and within bounds, rule bounds, holds, their ends and changes are there from the beginning."""
    found = exported(full_journal())

    for name, value in {"recommended": 5, "min": 2, "max": 6, "requested": 3}.items():
        assert of(found, f"autoscaler_{name}_replicas")["api",] == value
    assert of(found, "autoscaler_rule_bound") == {
        (rule, service, side): bound
        for service in ("api", "web")
        for rule, side, bound in (("cpu-high", "above", 70), ("cpu-low", "below", 30))
    }
    assert of(found, "autoscaler_hold") == {("cooling_down", "api"): 1}
    assert of(found, "autoscaler_hold_ends_timestamp_seconds") == {("api",): NOW + 60}
    assert of(found, "autoscaler_last_change_timestamp_seconds") == {("web",): NOW}
    assert of(found, "autoscaler_scaled_total") == {
        ("up", "cpu-high", "web"): 1,
        ("down", "cpu-low", "web"): 0,
        ("up", "", "web"): 0,
        ("down", "", "web"): 0,
        ("up", "cpu-high", "api"): 0,
        ("down", "cpu-low", "api"): 0,
        ("up", "", "api"): 0,
        ("down", "", "api"): 0,
    }
    assert of(found, "autoscaler_decisions_total")["failed", "web"] == 0
    assert of(found, "autoscaler_prometheus_queries_total") == {("success",): 0, ("refused",): 0, ("unreachable",): 0}


@pytest.mark.parametrize(
    ("mode", "leads", "leader", "services"),
    [
        (Mode.LIVE, True, 1, True),
        (Mode.LIVE, False, 0, False),
        (Mode.DRY_RUN, False, 0, True),
    ],
)
def test_a_standby_has_no_series_by_service(mode: Mode, *, leads: bool, leader: int, services: bool) -> None:
    """A standby exports mode, role and health; a leader and a dry-run export the services too."""
    found = exported(full_journal(), mode=mode, leads=leads)

    assert any("service" in dict(labels) for _, labels in found) is services
    assert of(found, "autoscaler_mode") == {("live",): mode is Mode.LIVE, ("dry_run",): mode is Mode.DRY_RUN}
    assert of(found, "autoscaler_leader") == {(): leader}
    assert of(found, "autoscaler_problems") == {**{(kind,): 0 for kind in PROBLEM_KINDS}, ("query",): 1}
    assert of(found, "autoscaler_last_evaluation_timestamp_seconds") == {(): NOW}


def test_changes_are_counted_by_direction_and_rule() -> None:
    """Each applied change counts once; a change in a dry-run, and one that failed, do not."""
    journal = full_journal()
    (up,) = (record for record in latest(journal) if record.outcome is Outcome.APPLIED)
    down = replace(up, decision=replace(up.decision, desired=2, primary=replace(up.decision.primary, rule=None)))
    for number, record in enumerate(
        (up, down, replace(up, outcome=Outcome.DRY_RUN), replace(up, outcome=Outcome.FAILED))
    ):
        evaluated(journal, record, NOW + (number + 1) * STEP)

    found = {key: count for key, count in of(exported(journal), "autoscaler_scaled_total").items() if count}

    assert found == {("up", "cpu-high", "web"): 2, ("down", "", "web"): 1}


def test_a_service_that_is_gone_leaves_no_series() -> None:
    """A service that no policy applies to any more has no bounds, holds and changes either."""
    journal = full_journal()
    (up,) = (record for record in latest(journal) if record.outcome is Outcome.APPLIED)
    evaluated(journal, replace(up, outcome=Outcome.UNCHANGED, last_change=ScaleEvent(NOW, 3, 4)), NOW + STEP)

    assert {dict(labels)["service"] for _, labels in exported(journal) if "service" in dict(labels)} == {"web"}


def evaluated(journal: Journal, record: Record, at: float) -> None:
    """An evaluation has left this behind."""
    record = replace(record, decision=replace(record.decision, at=at))
    journal.add(record)
    journal.close(Evaluation(at, (record,)))


def latest(journal: Journal) -> list[Record]:
    """The newest records."""
    return list(journal.snapshot().latest.values())
