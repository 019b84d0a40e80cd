from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from autoscaler.core.model import History, Observation
from autoscaler.core.reasons import Reason
from autoscaler.errors import PolicyError
from autoscaler.policy.policy import Bounds, Policy
from autoscaler.policy.schedules import Schedule
from autoscaler.policy_files import loader
from tests.support.deciding import decide
from tests.support.policy_files import fails

if TYPE_CHECKING:
    from pathlib import Path

SAO_PAULO, BERLIN, NEW_YORK = (ZoneInfo(name) for name in ("America/Sao_Paulo", "Europe/Berlin", "America/New_York"))


def moment(text: str, zone: ZoneInfo, fold: int = 0) -> float:
    """The Unix time of a local time; *fold* 1 is its second occurrence."""
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def schedule(start: str, end: str, zone: str = "UTC", **bounds: Any) -> Schedule:
    """A schedule that sets a minimum of 5, or what *bounds* says."""
    return Schedule(name="hours", start=start, end=end, timezone=zone, **(bounds or {"min": 5}))


OFFICE = schedule("0 8 * * mon-fri", "0 18 * * mon-fri", "America/Sao_Paulo")
NIGHT = schedule("0 22 * * *", "0 6 * * *", "Europe/Berlin")


@pytest.mark.parametrize(
    ("at", "active"),
    [
        ("2026-01-05T07:59:59", False),
        ("2026-01-05T08:00:00", True),
        ("2026-01-05T17:59:59", True),
        ("2026-01-05T18:00:00", False),
        ("2026-01-09T12:00:00", True),
        ("2026-01-10T12:00:00", False),
        ("2026-01-11T12:00:00", False),
    ],
)
def test_the_start_is_included_and_the_end_is_not(at: str, *, active: bool) -> None:
    """A schedule is in force from its start, included, until its end, excluded, on the days that it names."""
    assert OFFICE.active(moment(at, SAO_PAULO)) is active


@pytest.mark.parametrize(
    ("at", "active"),
    [
        ("2026-01-05T21:59:00", False),
        ("2026-01-05T22:00:00", True),
        ("2026-01-06T00:00:00", True),
        ("2026-01-06T05:59:59", True),
        ("2026-01-06T06:00:00", False),
    ],
)
def test_overnight(at: str, *, active: bool) -> None:
    """A schedule may begin in the evening and end in the morning."""
    assert NIGHT.active(moment(at, BERLIN)) is active


def test_the_clocks_go_forward() -> None:
    """A start that the change of clocks skips is the moment after it: 02:30 in the night of 29 March is 03:00."""
    early = schedule("30 2 * * *", "0 5 * * *", "Europe/Berlin")
    assert not early.active(moment("2026-03-29T01:59:59", BERLIN))
    assert early.active(moment("2026-03-29T03:00:00", BERLIN))
    assert not early.active(moment("2026-03-29T05:00:00", BERLIN))
    assert NIGHT.active(moment("2026-03-29T05:59:59", BERLIN))
    assert not NIGHT.active(moment("2026-03-29T06:00:00", BERLIN))


def test_the_clocks_go_back() -> None:
    """In the night that has an hour twice a schedule goes on through both, and begins once."""
    early = schedule("30 2 * * *", "0 5 * * *", "America/New_York")
    assert not early.active(moment("2026-11-01T01:30:00", NEW_YORK, fold=0))
    assert not early.active(moment("2026-11-01T01:30:00", NEW_YORK, fold=1))
    assert early.active(moment("2026-11-01T02:30:00", NEW_YORK))
    for fold in (0, 1):
        assert NIGHT.active(moment("2026-10-25T02:30:00", BERLIN, fold=fold))


def test_an_end_that_is_also_a_start_begins_anew() -> None:
    """Where an end and a start fall together the schedule goes on: the start is included."""
    through = schedule("0 8 * * *", "0 8 * * sat")
    assert through.active(moment("2026-01-10T08:00:00", ZoneInfo("UTC")))


REPEATED = """\
interval: {interval}
policies:
  version: 1
  metrics: {{q: {{query: "sum(q{{s=\\"$service\\"}})", kind: total}}}}
  policies:
    - name: hours
      services: [s]
      replicas: {{min: 1, max: 20}}
      schedules: [{{name: g, start: "{start}", end: "{end}", timezone: Europe/Prague, {bounds}}}]
      rules: [{{name: t, metric: q, strategy: target, target: 50}}]
      scale_down: {{cooldown: 0s}}
tests:
  - name: the night in which the hour from 2 to 3 occurs twice
    service: s
    start: {at}
    replicas: {replicas}
    series: {{q: "{load}x1000"}}
    expect: {expect}
"""


@pytest.mark.parametrize(
    "case",
    [
        {
            "start": "30 2 * * *",
            "end": "45 3 * * *",
            "bounds": "min: 6",
            "interval": "15m",
            "at": "2026-10-25T00:00:00Z",
            "replicas": 1,
            "load": 10,
            "expect": {"30m": 6, "1h": 6, "1h15m": 6, "2h30m": 6, "2h45m": 1},
        },
        {
            "start": "0 2 * * *",
            "end": "0 6 * * *",
            "bounds": "min: 6",
            "interval": "15s",
            "at": "2026-10-25T00:55:00Z",
            "replicas": 6,
            "load": 10,
            "expect": {"0s": 6, "4m": 6, "4m45s": 6, "5m": 6, "10m": 6, "1h5m": 6},
        },
        {
            "start": "0 22 * * *",
            "end": "30 2 * * *",
            "bounds": "max: 4",
            "interval": "15s",
            "at": "2026-10-25T00:25:00Z",
            "replicas": 4,
            "load": 500,
            "expect": {"4m45s": 4, "5m": 10, "34m": 10, "35m": 10, "1h": 10, "1h10m": 10},
        },
        {
            "start": "0 * * * *",
            "end": "30 * * * *",
            "bounds": "min: 6",
            "interval": "15m",
            "at": "2026-10-25T00:00:00Z",
            "replicas": 1,
            "load": 10,
            "expect": {"0s": 6, "15m": 6, "30m": 1, "45m": 1, "1h": 6, "1h15m": 6, "1h30m": 1, "2h": 6},
        },
    ],
    ids=["starts-in-it", "starts-with-it", "ends-in-it", "every-hour"],
)
def test_the_hour_that_occurs_twice(tmp_path: Path, case: dict[str, Any]) -> None:
    """Bounds neither end nor come back in the second of two equal hours, nor in the minute before it."""
    expect = [f"{{at: {at}, replicas: {replicas}}}" for at, replicas in case["expect"].items()]
    text = REPEATED.format(**case | {"expect": f"[{', '.join(expect)}]"})
    assert fails(tmp_path, text, "") == []


def policy(*schedules: dict[str, Any], low: int = 3, high: int = 10) -> Policy:
    """A policy with schedules that are always in force but for a minute of New Year."""
    always = {"start": "1 0 1 1 *", "end": "0 0 1 1 *"}
    rule = {"name": "cpu-high", "metric": "cpu", "above": 70, "add": 1}
    return Policy.model_validate(
        {
            "name": "web",
            "services": ["web"],
            "replicas": {"min": low, "max": high},
            "rules": [rule],
            "schedules": [{"name": f"s{number}"} | always | given for number, given in enumerate(schedules)],
        }
    )


AT = moment("2026-06-01T12:00:00", ZoneInfo("UTC"))


@pytest.mark.parametrize(
    ("schedules", "expected"),
    [
        ([], Bounds(3, 10)),
        ([{"min": 5, "max": 12}], Bounds(5, 12, "s0", "s0")),
        ([{"min": 5}], Bounds(5, 10, "s0", "")),
        ([{"max": 8}], Bounds(3, 8, "", "s0")),
        ([{"min": 12}], Bounds(12, 12, "s0", "")),
        ([{"min": 5}, {"min": 7}], Bounds(7, 10, "s1", "")),
        ([{"max": 9}, {"max": 6}], Bounds(3, 6, "", "s1")),
        ([{"min": 7}, {"max": 6}, {"max": 8}], Bounds(7, 8, "s0", "s2")),
        ([{"min": 7}, {"max": 6}], Bounds(7, 10, "s0", "")),
        ([{"max": 2}], Bounds(3, 10)),
    ],
)
def test_overlapping_schedules(schedules: list[dict[str, Any]], expected: Bounds) -> None:
    """Of several in force the largest min and the smallest max that is not below it, and it is known which won."""
    assert policy(*schedules).bounds(AT) == expected


def test_a_schedule_raises_and_lowers_without_any_data() -> None:
    """Schedules move the bounds, and bounds are corrected whatever the data say or fail to say."""
    nothing_known = Observation("web", AT, 3, 3)
    raised = decide(policy({"min": 5, "max": 12}), nothing_known, History())
    assert (raised.desired, raised.primary.reason) == (5, Reason.SCHEDULE_BOUNDS)
    assert "s0" in raised.primary.detail
    lowered = decide(policy({"max": 4}), Observation("web", AT, 9, 9), History())
    assert (lowered.desired, lowered.primary.reason) == (4, Reason.SCHEDULE_BOUNDS)


def test_a_schedule_waits_for_a_rollout() -> None:
    """Nothing passes a gate it must not pass: a schedule waits while a rollout runs."""
    decision = decide(policy({"min": 5}), Observation("web", AT, 3, 3, rollout="updating"), History())
    assert (decision.desired, decision.primary.reason) == (3, Reason.ROLLOUT_IN_PROGRESS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": "0 8 * *"},
        {"start": "0 25 * * *"},
        {"start": "0 0 31 2 *"},
        {"start": "* * * * * *"},
        {"timezone": "Mars/Olympus"},
        {"timezone": "../etc/passwd"},
        {"end": "0 8 * * *"},
        {"min": None},
        {"min": 9, "max": 2},
        {"max": 0, "min": None},
        {"max": 0},
        {"colour": "blue"},
    ],
)
def test_a_schedule_that_means_nothing_is_an_error(wrong: dict[str, Any]) -> None:
    """A schedule that can never be, ends when it begins, or changes nothing is refused."""
    good = {"name": "hours", "start": "0 8 * * *", "end": "0 18 * * *", "min": 5}
    assert Schedule.model_validate(good)
    with pytest.raises(ValidationError):
        Schedule.model_validate(good | wrong)


def test_a_wrong_schedule_is_told_at_its_place(tmp_path: Path) -> None:
    """Errors in schedules have file, line, column and a cure as all others."""
    file = tmp_path / "p.yml"
    file.write_text(
        "version: 1\npolicies:\n  - name: web\n    services: [web]\n    replicas: {min: 1, max: 3}\n"
        "    rules: [{name: a, metric: cpu, above: 70, add: 1}]\n"
        '    schedules: [{name: day, start: "0 8 * * *", end: "0 18 * *", min: 2}]\n'
    )
    with pytest.raises(PolicyError) as told:
        loader.load([file])
    assert f"{file}:7:" in str(told.value)
    assert "five fields" in str(told.value)
