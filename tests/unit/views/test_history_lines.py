from __future__ import annotations

from typing import Any

import pytest

from autoscaler.views.history_lines import history_lines

EIGHT = 1_800_000_000 // 86_400 * 86_400 + 8 * 3600
"""Eight o'clock, UTC."""
DASH, TIMES = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"


def item(
    kind: str, at: float, until: float | None = None, service: str | None = "shop_web", **more: Any
) -> dict[str, Any]:
    """A happening as the API has it; what is left over are its facts."""
    given = {"ongoing": False, "times": 1}
    given |= {name: more.pop(name) for name in tuple(more) if name in given}
    return {"kind": kind, "at": EIGHT + at, "until": EIGHT + (at if until is None else until), "service": service} | {
        **given,
        "facts": more,
    }


def lines(*happenings: dict[str, Any], since: float = 0.0, kept_since: float | None = 0.0) -> list[str]:
    """The lines, without those of the date and of the beginning."""
    text = history_lines(happenings, since=since, kept_since=kept_since)
    return [line for line in text if not line.startswith(("2027", "Nothing"))]


HELD = item("hold", 15, 75, times=5, before=4, reason="cooling_down", rule="cpu-high", why="wants 6; cooldown 1m30s")


def test_a_run_of_holds_is_one_line() -> None:
    """A run of holds is one line with its first and last evaluation and how many there were."""
    assert lines(HELD) == [
        f"08:00:15{DASH}08:01:15  shop_web  held {TIMES}5 at 4  cooling_down [cpu-high]  wants 6; cooldown 1m30s"
    ]


def test_what_goes_on_has_no_end() -> None:
    """Behind the dash of a run that goes on stands nothing."""
    assert lines(HELD | {"ongoing": True})[0].startswith(f"08:00:15{DASH}          shop_web  held")


def test_a_run_of_more_than_a_day_says_so() -> None:
    """The end of a run on another day has the number of days."""
    assert lines(HELD | {"until": EIGHT + 86_400 + 75})[0].startswith(f"08:00:15{DASH}08:01:15 +1d  shop_web")


@pytest.mark.parametrize(
    ("happening", "line"),
    [
        (
            item("change", 0, before=3, after=4, by="rule", reason="above_threshold", rule="cpu", why="cpu 100 %"),
            "08:00:00           shop_web  3 → 4  applied  by rule  above_threshold [cpu]  cpu 100 %",
        ),
        (
            item("change", 0, before=3, after=4, by="operator", reason="operator", rule=""),
            "08:00:00           shop_web  3 → 4  applied  by operator",
        ),
        (
            item(
                "change",
                0,
                60,
                times=3,
                outcome="failed",
                before=3,
                after=4,
                by="bounds",
                reason="below_min",
                detail="no",
            ),
            f"08:00:00           shop_web  3 → 4  failed {TIMES}3  by bounds  below_min  no",
        ),
        (
            item("problem", 0, 60, None, problem="query", subject="cpu", detail="bad_data"),
            f"08:00:00{DASH}08:01:00    problem query cpu: bad_data",
        ),
        (
            item("problem", 0, 60, problem="service", subject="shop_web", detail="a defect"),
            f"08:00:00{DASH}08:01:00  shop_web  problem service: a defect",
        ),
        (
            item("pause", 0, 60, detail="shop_web: up paused by ana"),
            f"08:00:00{DASH}08:01:00  shop_web  pause: up paused by ana",
        ),
        (
            item("policies", 0, service=None, revision="abc", policies=2, refused=False, problems=[]),
            "08:00:00             policies loaded: revision abc, 2 policies",
        ),
        (
            item("policies", 0, service=None, revision="abc", policies=2, refused=True, problems=["a.yml:1:1: no"]),
            "08:00:00             policies refused, abc stays in force: a.yml:1:1: no",
        ),
        (item("leader", 0, service=None, role="leader", holder="m1"), "08:00:00             leader"),
        (
            item("leader", 0, service=None, role="standby", holder="m2"),
            "08:00:00             standby; the leader is m2",
        ),
        (
            item("leader", 0, service=None, role="standby", holder=""),
            "08:00:00             standby; no leader is known",
        ),
        (
            item("started", 0, 600, None, ongoing=True, version="0.1.0", mode="live"),
            "08:00:00             started 0.1.0 live",
        ),
    ],
)
def test_each_kind_has_its_line(happening: dict[str, Any], line: str) -> None:
    """Each kind of happening is one line: when, to which service, and what."""
    assert lines(happening) == [line]


def test_gaps_are_shown() -> None:
    """The time between two processes is a line, which says whether the first one was stopped or killed."""
    killed = item("started", 0, 600, None, version="1", mode="live")
    stopped = item("started", 900, 1200, None, version="1", mode="live")
    last = item("started", 1800, 2000, None, ongoing=True, version="1", mode="live")

    assert lines(killed, stopped, item("stopped", 1205, None, None), last) == [
        "08:00:00             started 1 live",
        f"08:10:00{DASH}08:15:00  not running for 5m (it ended without notice: killed, or its machine was lost)",
        "08:15:00             started 1 live",
        f"08:20:05{DASH}08:30:00  not running for 9m55s (it was stopped)",
        "08:30:00             started 1 live",
    ]


def test_each_day_has_its_date() -> None:
    """A line with the date stands before the first line of each day."""
    text = history_lines([HELD, HELD | {"at": EIGHT + 86_400, "until": EIGHT + 86_400}], since=0, kept_since=0)

    assert [line for line in text if line.startswith("20")] == ["2027-01-15", "2027-01-16"]


def test_nothing_is_told_as_nothing() -> None:
    """An empty history says whether nothing happened or nothing is known."""
    assert history_lines([], since=5.0, kept_since=None) == ["Nothing has happened yet."]
    assert history_lines([], since=5.0, kept_since=0.0) == ["Nothing happened in this time."]
    assert history_lines([HELD], since=0.0, kept_since=EIGHT)[0] == (
        "Nothing is known of the time before 2027-01-15 08:00:00."
    )
