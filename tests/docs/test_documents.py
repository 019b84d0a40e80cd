"""Documents and code say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autoscaler import loader
from autoscaler.model import Reason
from tests.docs.reference import REFERENCE, reference

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_reference_is_what_the_code_says() -> None:
    """docs/reference.md holds every setting, command, reason and metric as the code has them."""
    assert REFERENCE.read_text() == reference(), "run: python -m tests.docs.reference"


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_meaning(reason: Reason) -> None:
    """Each reason of the closed set has one meaning, and no two have the same."""
    assert [other for other in Reason if other.meaning == reason.meaning] == [reason]


def test_the_policies_that_the_readme_shows_are_valid(tmp_path: Path) -> None:
    """A policy copied from README.md passes `autoscaler check`."""
    shown = [block for block in re.findall(r"^ *```yaml\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)]
    policies = [block for block in shown if "version: 1" in block]
    assert policies
    for number, block in enumerate(policies):
        indent = len(block) - len(block.lstrip(" "))
        file = tmp_path / f"{number}.yml"
        file.write_text("\n".join(line[indent:] for line in block.splitlines()))
        assert loader.load([file]).policies


def test_every_path_that_the_readme_names_exists() -> None:
    """README.md names no file that is not there."""
    named = set(re.findall(r"`((?:docs|policies|deploy|tests)/[\w./-]+)`", README))
    assert {path for path in named if not (ROOT / path).exists()} == set()
