"""Series in promtool's notation."""

from __future__ import annotations

import re
from math import isfinite
from typing import Annotated

from pydantic import PlainValidator

from autoscaler.core.window import MISSING
from autoscaler.policy_files.diagnostic import described, shown

MOST_STEPS = 100_000
"""The most evaluations of a test, and the most samples of a series."""
_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
_ITEM = re.compile(rf"(?P<first>[-+]?{_NUMBER})(?:(?P<change>[-+]{_NUMBER})(?=x))?(?:x(?P<times>[0-9]{{1,9}}))?")
_MISSING_ITEM = re.compile(r"_(?:x(?P<times>[0-9]{1,9}))?")
_MISSING_WORDS = frozenset({"stale", "nan", "inf", "+inf", "-inf"})


def _samples(value: object) -> tuple[float, ...]:
    """Return the samples of a series."""
    if not isinstance(value, str):
        raise ValueError(f'is {described(value)}, not a series (write text in quotes, like "80x40")')
    samples: list[float] = []
    for item in value.split():
        samples.extend(_item_samples(item, MOST_STEPS - len(samples)))
    if not samples:
        raise ValueError('the series is empty (write "80x40", or "_" for a missing sample)')
    return tuple(samples)


def _item_samples(item: str, at_most: int) -> list[float]:
    """Yield the samples of one item of a series. Source: promtool's expanding notation."""
    if item.lower() in _MISSING_WORDS:
        return [MISSING]
    missing, numbers = _MISSING_ITEM.fullmatch(item), _ITEM.fullmatch(item)
    found = missing or numbers
    if found is None:
        raise ValueError(f"{shown(item)} is not an item of a series (write 80, 80x40, 10+5x4, 10-1x4, _, _x3 or stale)")
    times = int(found["times"]) if found["times"] else 0
    count = times if missing and found["times"] else times + 1
    if count > at_most:
        raise ValueError(f"the series has more than {MOST_STEPS} samples (write a shorter one)")
    if numbers is None:
        return [MISSING] * count
    first, change = float(numbers["first"]), float(numbers["change"] or 0)
    samples = [first + change * step for step in range(count)]
    return [sample if isfinite(sample) else MISSING for sample in samples]


Samples = Annotated[tuple[float, ...], PlainValidator(_samples)]
"""A metric's samples, one for each interval from 0 on; a missing one is NaN."""
