"""An assertion with a message, because pytest only explains those in test files."""

from __future__ import annotations


def expect(holds: object, otherwise: str) -> None:
    """Raise AssertionError with the message *otherwise*, unless the condition *holds*."""
    if not holds:
        raise AssertionError(otherwise)
