"""Known words that a misspelt one may mean."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST = 60
"""Characters of a word that are compared: the time grows with the product of both lengths."""


def nearest(given: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """Return the *known* word that is most like the *given* one; empty if none is as like as *likeness*, 1 at most."""
    return next(iter(near(given, known, most=1, likeness=likeness)), "")


def near(given: str, known: Iterable[str], *, most: int, likeness: float) -> list[str]:
    """Return the *most* like *known* words, the most like first, that are as like as *likeness*."""
    return get_close_matches(given[:_LONGEST], sorted(known), n=most, cutoff=likeness)
