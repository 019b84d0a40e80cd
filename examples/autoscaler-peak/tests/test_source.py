"""The metric source `numbers`."""

import os
from math import isnan
from pathlib import Path

import pytest

from autoscaler.errors import RefusedError
from autoscaler.ports import Query
from autoscaler.testing import NOW, STEP, MetricSourceContract
from autoscaler.util.deadline import Deadline
from autoscaler_peak.source import Numbers


def write(file: Path, content: str, at: float) -> None:
    """Write the file as if it were *at* now."""
    file.write_text(content)
    os.utime(file, (at, at))


def ask(source: Numbers, file: Path, steps: int = 4) -> list[float | None]:
    """What the source says of the worker at the last *steps*."""
    answer = source.fetch(Query("waiting", str(file), None), NOW - (steps - 1) * STEP, NOW, STEP, Deadline(5))
    return [None if isnan(value) else value for value in answer["shop_worker"].values]


class TestContract(MetricSourceContract):
    """What the autoscaler relies on."""

    query = "waiting.json"
    refused = "missing.json"

    @pytest.fixture
    def source(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Numbers:
        """One whose file was written a minute ago."""
        monkeypatch.chdir(tmp_path)
        write(Path("waiting.json"), '{"shop_worker": 250, "shop_web": 0.5}', NOW - 60)
        return Numbers()


def test_before_it_was_written_nothing_is_known(tmp_path: Path) -> None:
    """A file has no past."""
    write(tmp_path / "waiting.json", '{"shop_worker": 250}', NOW - STEP)
    assert ask(Numbers(), tmp_path / "waiting.json") == [None, None, 250, 250]


def test_what_was_read_is_remembered(tmp_path: Path) -> None:
    """A step that was answered stays answered when the file is written anew."""
    file, source = tmp_path / "waiting.json", Numbers()
    write(file, '{"shop_worker": 250}', NOW - 3 * STEP)
    ask(source, file)
    write(file, '{"shop_worker": 300}', NOW - STEP)
    assert ask(source, file) == [250, 250, 300, 300]


def test_an_old_file_says_nothing(tmp_path: Path) -> None:
    """Who writes the file may have died: its last number does not count for ever."""
    write(tmp_path / "waiting.json", '{"shop_worker": 250}', NOW - 150)
    assert ask(Numbers(), tmp_path / "waiting.json", 10)[-2:] == [None, None]


@pytest.mark.parametrize("content", ["", "[1]", '{"shop_worker": "many"}', '{"shop_worker": null}'])
def test_what_is_no_object_of_numbers_is_refused(tmp_path: Path, content: str) -> None:
    """The message names the file and says what would be right."""
    write(tmp_path / "waiting.json", content, NOW)
    with pytest.raises(RefusedError, match=r"waiting\.json is no JSON object of numbers"):
        ask(Numbers(), tmp_path / "waiting.json")
