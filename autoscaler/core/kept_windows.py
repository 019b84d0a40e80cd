"""Windows that are kept until the next evaluation, packed, because most of them are never looked at again."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from autoscaler.core.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence


class KeptWindows(Mapping[str, Window]):
    """The windows of a service by metric, in about a fifth of their memory. Each look at one unpacks it."""

    __slots__ = ("_packed",)

    def __init__(self, windows: Mapping[str, Window]) -> None:
        self._packed = {metric: _Packed(window) for metric, window in windows.items()}

    def __getitem__(self, metric: str) -> Window:
        return self._packed[metric].unpacked()

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


class _Packed:
    """A window whose samples and counts are numbers side by side, and not objects."""

    __slots__ = ("owed", "reporting", "rest", "running", "values")

    def __init__(self, window: Window) -> None:
        self.values = array("d", window.values)
        self.running = None if window.running is None else array("d", window.running)
        self.reporting = _counts(window.reporting)
        self.owed = _counts(window.owed)
        # By hand: `replace` takes four times as long, and there are thousands of windows at each evaluation.
        self.rest = (
            window.step,
            window.end,
            window.share,
            window.unit,
            window.base,
            window.averaged,
            window.redistributes,
            window.total,
            window.doubts,
        )

    def unpacked(self) -> Window:
        step, end, share, unit, base, averaged, redistributes, total, doubts = self.rest
        return Window(
            step,
            end,
            tuple(self.values),
            None if self.reporting is None else tuple(self.reporting),
            None if self.owed is None else tuple(self.owed),
            share,
            unit,
            base,
            averaged,
            redistributes,
            total,
            doubts,
            None if self.running is None else tuple(self.running),
        )


def _counts(counts: Sequence[int] | None) -> array[int] | None:
    return None if counts is None else array("q", counts)
