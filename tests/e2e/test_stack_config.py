"""Docker itself says what stack files mean, before and after `stack-file` filled the counts in."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from autoscaler.stack_file import override, with_counts
from tests.support.lab import unavailable
from tests.support.stack_files import TAKEN, made, with_live

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.lab import Release

pytestmark = [pytest.mark.e2e, pytest.mark.only_on("28", reason="docker stack config is newer than release 20.10")]

FILES = 60


@pytest.fixture
def config(release: Release, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """`docker stack config` of the files with these texts; it needs no engine."""
    if reason := release.missing("docker"):
        unavailable(reason)

    def run(*texts: str) -> dict[str, Any]:
        words: list[str] = []
        for position, text in enumerate(texts):
            file = tmp_path / f"{position}.yml"
            file.write_text(text, newline="")
            words += ["-c", str(file)]
        done = subprocess.run(  # noqa: S603 - the texts are the tests' own
            release.command("docker", "stack", "config", *words),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return with_live(yaml.safe_load(done.stdout), {})

    return run


@pytest.mark.parametrize("seed", range(FILES))
def test_docker_finds_the_counts_and_no_other_difference(config: Callable[..., dict[str, Any]], seed: int) -> None:
    """It does so for the file that is filled in, and for the file as it was with the counts alone as a second one."""
    text, counts = made(seed)
    filled, differing = with_counts(text, counts, "stack.yml")
    expected = with_live(config(text), {name: count for name, (_, count) in differing.items()})

    assert config(filled) == expected
    assert config(text, override([("stack.yml", text)], counts)[0]) == expected


@pytest.mark.parametrize("text", TAKEN.values(), ids=TAKEN)
def test_what_docker_takes_is_filled_in(config: Callable[..., dict[str, Any]], text: str) -> None:
    """Docker reads these files, and finds the new count in them."""
    filled, _ = with_counts(text, {"web": 7}, "stack.yml")
    assert config(filled) == with_live(config(text), {"web": 7})
