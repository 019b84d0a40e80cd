"""Values and moments as people read them."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite

from autoscaler.util.durations import words

_DAY = 86_400.0
_WHOLE_FROM = 1000


def clock(at: float, now: float) -> str:
    """Return a moment as the clock shows it in UTC; with the date if it is a day or more from *now*."""
    pattern = "%H:%M:%S" if abs(at - now) < _DAY else "%Y-%m-%d %H:%M:%S"
    return datetime.fromtimestamp(at, UTC).strftime(pattern)


def left(until: float, now: float) -> str:
    """Return the time until a moment, and the moment: ``1m15s (08:26:53)``."""
    return f"{words(max(until - now, 0))} ({clock(until, now)})"


def amount(value: float, unit: str = "") -> str:
    """Return a value with its unit, in three digits or whole: ``71.3 %``, ``1834 requests``."""
    if not isfinite(value):
        return "missing"
    number = f"{value:.0f}" if abs(value) >= _WHOLE_FROM else f"{value:.3g}"
    return f"{number} {unit}" if unit else number


def exact(value: float, unit: str = "") -> str:
    """Return a bound with its unit: ``70 %``. Bounds that people wrote have few digits."""
    return f"{value:.4g} {unit}" if unit else f"{value:.4g}"


def sentence(text: str) -> str:
    """Return *text* as one sentence."""
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
