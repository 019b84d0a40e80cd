from __future__ import annotations

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.daemon.reload import Policies
from autoscaler.errors import PolicyError
from autoscaler.policy_files import loader
from tests.support.policy_sets import entry, policies

OLD = policies(entry("a", "[a]"))
NEW = policies(*(entry(name, f"[{name}]") for name in "abcdef"))
CUTS = st.integers(0, len(NEW.encode()) - 1)


def test_a_beginning_of_a_policy_file_may_be_a_valid_one() -> None:
    """So that what is read of a half-written file is not always refused."""
    assert NEW.startswith(policies(*(entry(name, f"[{name}]") for name in "abc")))


def revision(folder: Path, text: str) -> str:
    """The revision of the set that a file of this text gives."""
    file = folder / "alone.yml"
    file.write_text(text)
    return loader.load([file]).revision


@given(st.lists(CUTS, unique=True))
def test_a_file_that_is_written_in_place_is_in_force_as_a_whole_or_not_yet(cuts: list[int]) -> None:
    """Looks that see a file half-written, each another half, leave the old set in force; the whole one follows."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "p.yml"
        old, new = revision(Path(folder), OLD), revision(Path(folder), NEW)
        file.write_text(OLD)
        running = Policies([file])
        running.load()

        for cut in sorted(cuts):
            file.write_bytes(NEW.encode()[:cut])
            assert not running.reload()
            assert (running.current.revision, running.error) == (old, None)
        file.write_text(NEW)
        assert [running.reload() for _ in range(3)] == [False, True, False]
        assert (running.current.revision, running.error) == (new, None)


@given(st.lists(st.booleans() | CUTS), st.integers(0, 9), st.booleans())
def test_whatever_was_read_of_a_file_it_is_read_whole_in_the_end(
    writes: list[bool | int],
    loaded_at: int,
    forced: bool,  # noqa: FBT001 - Hypothesis gives it
) -> None:
    """A file is read once in each look, so that what was judged is what is compared with what the file says later.

    Each reading may see another state of the file: the old content, the new one or a beginning of it.
    """
    states = [OLD if write is False else NEW if write is True else NEW.encode()[:write].decode() for write in writes]
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        file, left = Path(folder) / "p.yml", iter(states)
        new = revision(Path(folder), NEW)
        file.write_text(NEW)
        patch.setattr(loader, "content_of", lambda _: next(left, NEW).encode())
        running = Policies([file])

        for number in range(len(states)):
            with contextlib.suppress(PolicyError):
                running.load() if number == loaded_at else running.reload(forced=forced)
        for _ in range(2):
            running.reload()
        assert (running.current.revision, running.error) == (new, None)


def test_a_forced_reload_takes_up_what_it_reads(tmp_path: Path) -> None:
    """Who asks for a reload, by SIGHUP or HTTP, says that the files are written: one look is enough."""
    file = tmp_path / "p.yml"
    file.write_text(OLD)
    running = Policies([file])
    running.load()

    file.write_text(NEW)
    assert running.reload(forced=True)

    assert len(running.current.policies) == 6
    assert not running.reload()
