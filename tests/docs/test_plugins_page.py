"""docs/plugins.md and examples/ say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "autoscaler-peak"
PAGE = (ROOT / "docs" / "plugins.md").read_text()
SHOWN = dict(re.findall(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
"""The page's code blocks that are files, by the path above them."""
TOLD = {"README.md", "autoscaler_peak/__init__.py"}
"""Files that the page does without, or describes in words."""


@pytest.mark.parametrize("path", sorted(SHOWN))
def test_a_file_that_the_page_shows_is_the_examples(path: str) -> None:
    """Who copies the page has the example, which is tested."""
    assert SHOWN[path] == (EXAMPLE / path).read_text()


def test_the_page_shows_the_whole_example() -> None:
    """Nothing is needed that the page does not show."""
    files = {
        str(file.relative_to(EXAMPLE))
        for file in EXAMPLE.rglob("*")
        if file.is_file() and not {"__pycache__", "build", ".pytest_cache"} & set(file.relative_to(EXAMPLE).parts)
    }
    assert files == SHOWN.keys() | TOLD
