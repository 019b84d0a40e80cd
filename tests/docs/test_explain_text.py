from __future__ import annotations

from pathlib import Path

from tests.support.situations import GOLDEN

DECISIONS = Path(__file__).parents[2] / "docs" / "decisions.md"


def test_the_example_is_what_explain_prints() -> None:
    """The page on decisions shows an explanation as the command prints it."""
    assert (GOLDEN / "cooling_down.txt").read_text() in DECISIONS.read_text()
