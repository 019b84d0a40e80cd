from __future__ import annotations

import os
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autoscaler.daemon.reload import Policies
from autoscaler.policy.matching import Matcher
from autoscaler.policy_files import loader
from tests.support.commands import Bounds, Ended, autoscaler, run
from tests.support.hostile_files import ACCEPTED, REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

BOUNDS = Bounds(cpu=20, memory=2**30)
"""What a command may take, under a tool that measures it too."""
ROOT = Path(__file__).parents[2]


def match() -> None:
    """Read the policy file that is the argument, and match services against it."""
    policies = loader.load([Path(sys.argv[1])])
    matcher = Matcher(policies)
    for name in ("web", "a" * 63, "ab" * 31, "w1x", "w4999axayaz"):
        matcher.find(name, {"a": "b"})
    for policy in policies.policies:
        policy.bounds(1_800_000_000.0)


def bounded(*arguments: str, code: Callable[[], None] = autoscaler) -> Ended:
    """`autoscaler ARGUMENTS`, or other *code*, in a process that is ended where it takes more than it may."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AUTOSCALER_")}
    done = run(*arguments, env=env, code=code, bounds=BOUNDS, cwd=ROOT)
    assert done.returncode in {0, 1}, f"ended by {done.returncode}: {done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    return done


@pytest.mark.fault("hostile-files")
@pytest.mark.parametrize("odd", REFUSED)
def test_a_hostile_policy_file_is_refused_in_bounded_time_and_memory(odd: str, tmp_path: Path) -> None:
    """It is refused in words, of which there are not too many."""
    content, said = REFUSED[odd]
    file = tmp_path / "p.yml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())

    done = bounded("check", str(file))

    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr) < 2**20
    assert all(line.startswith(str(tmp_path)) and line.isprintable() for line in done.stderr.splitlines())


@pytest.mark.parametrize("odd", ACCEPTED)
def test_a_large_policy_file_is_read_matched_and_checked_in_bounded_time_and_memory(odd: str, tmp_path: Path) -> None:
    """What is valid costs no more, when it is checked, and when services are matched against it."""
    file = tmp_path / "p.yml"
    file.write_text(ACCEPTED[odd])

    assert bounded("check", str(file)).returncode == 0
    assert bounded(str(file), code=match).returncode == 0


def odd_places(folder: Path) -> dict[str, tuple[Path, str]]:
    """Paths that are no policy files, and what is said of them."""
    for name in ("pipe", "folder.yml", "many", "large", "few"):
        (folder / name).mkdir()
    os.mkfifo(folder / "pipe" / "p.yml")
    (folder / "loop.yml").symlink_to(folder / "loop.yml")
    (folder / "device.yml").symlink_to("/dev/zero")
    (folder / "dangling.yml").symlink_to(folder / "nothing")
    (folder / "folder.yml" / "inner.yml").mkdir()
    for number in range(20_000):
        (folder / "many" / f"{number}.yml").touch()
        (folder / "few" / f"{number}.txt").touch()
    for number in range(10):
        (folder / "large" / f"{number}.yml").write_text("#" * 2**20)
    return {
        "a pipe": (folder / "pipe", "is not a regular file"),
        "a pipe by its name": (folder / "pipe" / "p.yml", "is not a regular file"),
        "a loop of links": (folder / "loop.yml", "cannot be read"),
        "a device": (folder / "device.yml", "is not a regular file"),
        "a link to nothing": (folder / "dangling.yml", "does not exist"),
        "a folder in the place of a file": (folder / "folder.yml", "is not a regular file"),
        "too many files": (folder / "many", "holds 20000 policy files"),
        "too much in all": (folder / "large", "are larger than 8388608 bytes together"),
        "no policy file among many": (folder / "few", "holds no policy file"),
    }


@pytest.mark.fault("hostile-files")
def test_what_is_no_policy_file_is_refused(tmp_path: Path) -> None:
    """Pipes, devices, loops of links and crowds of files are refused at once, and no opening waits."""
    for path, said in odd_places(tmp_path).values():
        done = bounded("check", str(path))
        assert (done.returncode, said in done.stderr) == (1, True), (path, done.stderr[-500:])
        assert bounded("test", str(path)).returncode == 1


def in_brackets(count: int) -> str:
    """A policy file of *count* policies in one pair of brackets: no beginning of it is a valid one."""
    rule = "{name: r, metric: cpu, above: 1, add: 1}"
    each = (f"{{name: p{i}, services: [w{i}], replicas: {{min: 1, max: 9}}, rules: [{rule}]}}" for i in range(count))
    return f"{{version: 1, policies: [{', '.join(each)}]}}\n"


def test_a_file_that_is_written_while_it_is_read_is_one_content_or_refused(tmp_path: Path) -> None:
    """What is read of a file that is written in place all the time is a beginning of one content, never a mixture.

    A beginning of these contents is not a valid file. So each reading is refused or gives the revision of one content.
    Once nobody writes any more, a running program has the last content in force.
    """
    contents = [in_brackets(1), in_brackets(200), "version: 2", ""]
    alone = tmp_path / "alone.yml"
    whole = set()
    for content in contents[:2]:
        alone.write_text(content)
        whole.add(loader.load([alone]).revision)
    file = tmp_path / "p.yml"
    file.write_text(contents[0])
    running = Policies([file])
    running.load()
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            for content in contents:
                file.write_text(content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            done = bounded("check", str(file))
            assert done.returncode == 1 or whole & set(re.findall(r"revision (\w+)", done.stdout)), done
        for _ in range(30):
            running.reload()
            assert running.current.revision in whole
    finally:
        ended.set()
        writer.join()
    file.write_text(contents[1])
    for _ in range(2):
        running.reload()
    assert (len(running.current.policies), running.error) == (200, None)


POLICIES = """
policies:
  version: 1
  policies:
  - {name: a, services: [w], replicas: {min: 1, max: 9}, rules: [{name: r, metric: cpu, above: 1, add: 1}]}
"""
TEST = "tests:\n- {name: t, service: w, replicas: 1, series: {cpu: SERIES}, expect: [{at: AT, replicas: 1}]MORE}\n"
TESTS = {
    "a long series": (
        TEST.replace("SERIES", '"80x999999999"').replace("AT", "0s").replace("MORE", ""),
        "more than 100000",
    ),
    "a series of many items": (
        TEST.replace("SERIES", '"' + "1x99999 " * 9000 + '"').replace("AT", "0s").replace("MORE", ""),
        "more than 100000 samples",
    ),
    "a far expectation": (
        TEST.replace("SERIES", '"1"').replace("AT", "366d").replace("MORE", ""),
        "more than 100000 intervals away",
    ),
    "a start long ago": (
        TEST.replace("SERIES", '"1"').replace("AT", "0s").replace("MORE", ", start: 0001-01-01T00:00:00Z"),
        "no time from 1980",
    ),
    "a number of many digits": (
        TEST.replace("SERIES", '"' + "9" * 400 + '"').replace("AT", "0s").replace("MORE", ", start: 9999999"),
        "is the number 9999999",
    ),
    "many events": (
        TEST.replace("SERIES", '"1"')
        .replace("AT", "0s")
        .replace("MORE", ", events: [" + "{at: 0s, scale: 5}," * 40_000 + "]"),
        "FAIL t",
    ),
    "many tests": (
        "tests:\n"
        + "- {name: t, service: w, replicas: 1, series: {cpu: '1'}, expect: [{at: 0s, replicas: 1}]}\n" * 9000,
        "t",
    ),
}


@pytest.mark.parametrize("odd", TESTS)
def test_a_hostile_file_of_policy_tests_ends_in_bounded_time_and_memory(odd: str, tmp_path: Path) -> None:
    """Series without end, far expectations and crowds of events or tests are refused, or run, within the bounds."""
    text, said = TESTS[odd]
    file = tmp_path / "t.yml"
    file.write_text(POLICIES + text)

    done = bounded("test", str(file))

    assert said in done.stderr + done.stdout
