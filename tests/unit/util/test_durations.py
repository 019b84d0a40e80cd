from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.util.durations import parse, words

YEAR = 366 * 86400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("1s", 1),
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("1d12h", 129_600),
        ("1w", 604_800),
        ("1y", 365 * 86400),
        ("366d", YEAR),
        ("1w2d3h4m5s", 788_645),
        ("05m", 300),
    ],
)
def test_a_duration_is_a_prometheus_duration_in_whole_seconds(text: str, seconds: int) -> None:
    """Durations are Prometheus durations (`90s`, `5m`, `1h30m`)."""
    assert seconds == parse(text)


@pytest.mark.parametrize("number", [5, 0, "15"])
def test_a_number_without_a_unit_is_refused_with_the_cure(number: object) -> None:
    """A number could mean seconds or minutes: the message offers both."""
    with pytest.raises(ValueError, match=f"^{number} has no unit \\(write {number}s for seconds or {number}m for min"):
        parse(number)


@pytest.mark.parametrize(
    "given_value",
    [
        *(
            "",
            "s",
            "5",
            "5 m",
            " 5m",
            "5m\n",
            "-5m",
            "+5m",
            "1.5h",
            "500ms",
            "5M",
            "1m1h",
            "5m5m",
            "\u0665m",
            "5min",
            "on",
        ),
        *(None, True, False, 5.0, [], {}, b"5m", "9" * 1000 + "s"),
    ],
)
def test_anything_else_is_no_duration(given_value: object) -> None:
    """What is wrong is said with what would be right, in a message of bounded length."""
    with pytest.raises(ValueError, match=r"(is not a duration|has no unit) \(write .*\)$") as caught:
        parse(given_value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["367d", "2y", "1y2d", "9999999999y", "999999999999s"])
def test_a_duration_is_a_year_at_most(text: str) -> None:
    """A duration that would overflow somewhere is refused where it is read."""
    with pytest.raises(ValueError, match=rf"^{text} is longer than a year \(366d at most\)$"):
        parse(text)


@settings(deadline=None)
@given(st.integers(0, YEAR))
def test_a_duration_in_words_means_the_same_duration(seconds: int) -> None:
    """`words` writes what `parse` reads."""
    assert seconds == parse(words(seconds))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (45, "45s"), (300, "5m"), (5400, "1h30m"), (86461, "1d1m1s"), (59.6, "1m")]
)
def test_words_are_to_the_second(seconds: float, text: str) -> None:
    """Only the units that are not 0 are written."""
    assert text == words(seconds)
