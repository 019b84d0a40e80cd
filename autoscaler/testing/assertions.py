"""An assertion that says in words what it is about: pytest explains only those in test files."""

from __future__ import annotations


def expect(holds: object, otherwise: str) -> None:
    """Raise AssertionError with what is wrong *otherwise*, unless it *holds*."""
    if not holds:
        raise AssertionError(otherwise)
