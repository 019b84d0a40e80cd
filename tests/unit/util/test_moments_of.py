from __future__ import annotations

from datetime import UTC, datetime

import pytest

from autoscaler.util.moments import moment_of

NOW = datetime(2027, 1, 15, 8, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("08:25", datetime(2027, 1, 15, 8, 25, tzinfo=UTC)),
        ("8:25:07", datetime(2027, 1, 15, 8, 25, 7, tzinfo=UTC)),
        ("09:00", datetime(2027, 1, 14, 9, 0, tzinfo=UTC)),
        ("15m", datetime(2027, 1, 15, 8, 15, tzinfo=UTC)),
        ("2027-01-15T08:25", datetime(2027, 1, 15, 8, 25, tzinfo=UTC)),
        ("2027-01-15 09:25+01:00", datetime(2027, 1, 15, 8, 25, tzinfo=UTC)),
        (str(NOW - 60), datetime(2027, 1, 15, 8, 29, tzinfo=UTC)),
    ],
)
def test_moments_that_people_write(text: str, expected: datetime) -> None:
    """A time of day is the last such time, a duration is that long ago, and dates without a zone are UTC."""
    assert moment_of(text, NOW) == expected.timestamp()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("25:00", "is not a time"),
        ("yesterday", "is not a time"),
        ("15", "is not a time"),
        ("2027-13-01T00:00", "is not a time"),
        ("2027-01-16T00:00", "is in the future"),
    ],
)
def test_what_is_not_a_moment_of_the_past(text: str, wrong: str) -> None:
    """Anything else is refused, with what would be right."""
    with pytest.raises(ValueError, match=f"{wrong} \\(write a time of day like 08:25"):
        moment_of(text, NOW)
