"""Amounts of CPU and memory, and how people say them and numbers of things."""

from __future__ import annotations

from dataclasses import dataclass

_TWO_DIGITS = 10
_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


@dataclass(frozen=True, slots=True)
class Amount:
    """CPU and memory, exact as Docker has them."""

    nano_cpus: int = 0
    memory: int = 0
    """Bytes."""

    @property
    def cores(self) -> float:
        """The CPU in cores."""
        return self.nano_cpus / 1e9

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.nano_cpus + other.nano_cpus, self.memory + other.memory)

    def __mul__(self, count: int) -> Amount:
        return Amount(self.nano_cpus * count, self.memory * count)

    def __str__(self) -> str:
        """``0.5 cores and 512 MiB``, without what is 0."""
        parts = [cores(self.cores)] if self.nano_cpus else []
        parts += [memory(self.memory)] if self.memory else []
        return " and ".join(parts) or "nothing"


def rounded(value: float) -> float:
    """Return *value* as people read it: with two decimals from 10 on, with four significant digits below."""
    return round(value, 2) if abs(value) >= _TWO_DIGITS else float(f"{value:.4g}")


def plural(number: int, thing: str, things: str = "") -> str:
    """``1 node``, ``3 nodes``; *things* is what more than one are called where that is no mere s more."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"


def cores(amount: float) -> str:
    """``0.5 cores``, ``1 core``."""
    return f"{amount:g} {'core' if amount == 1 else 'cores'}"


def memory(amount: float) -> str:
    """Bytes in the largest unit that leaves something before the point: ``512 MiB``, ``1.5 GiB``."""
    for size, unit in _UNITS:
        if amount >= size:
            return f"{amount / size:.4g} {unit}"
    return f"{amount:g} B"
