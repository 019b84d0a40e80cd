from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from autoscaler.cli.demo_display import VirtualClock
from autoscaler.cli.main import main
from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.slow

AUTOSCALER = Path(sys.executable).with_name("autoscaler")
EVENT = re.compile(r"\d\d:\d\d:\d\d  (?P<service>shop_\w+)  \d+( → \d+)?  (?P<outcome>\w+)  (?P<reason>\w+)")


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`autoscaler demo ARGUMENTS` in a pipe."""
    return subprocess.run(  # noqa: S603 - our own command line
        [AUTOSCALER, "demo", *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def test_in_a_pipe_it_prints_a_line_per_event() -> None:
    """Off a terminal the demo prints where its page is, a line per event with its reason, and a summary."""
    result = demo("--for", "6s", "--speed", "100")

    first, page, *lines, last = result.stdout.splitlines()
    found = [EVENT.match(line) for line in lines]
    assert (result.returncode, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    assert first.startswith("A shop of 5 services")
    assert re.fullmatch(r"Open http://127\.0\.0\.1:\d+/ in a browser\.", page)
    assert "of simulated time" in last
    assert all(found), lines
    assert {match["reason"] for match in found if match} <= set(Reason)
    assert {match["outcome"] for match in found if match} <= set(Outcome)
    assert {"above_threshold", "cooling_down"} <= {match["reason"] for match in found if match}


def test_it_needs_no_settings_and_touches_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo runs whatever the environment says: it is a newcomer's first command."""
    monkeypatch.setenv("AUTOSCALER_INTERVALL", "nonsense")
    monkeypatch.setenv("AUTOSCALER_DOCKER_HOST", "unix:///nothing.sock")

    assert demo("--for", "1s").returncode == 0


def test_a_taken_port_is_no_obstacle() -> None:
    """Where its port is taken the demo takes another one: it needs no particular one."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        result = demo("--for", "1s", "--listen", f"127.0.0.1:{other.getsockname()[1]}")

    assert (result.returncode, result.stderr) == (0, "")


def test_on_a_terminal_it_shows_a_live_table() -> None:
    """On a terminal the demo shows a table that it draws anew: services, their replicas as a bar, load and reason."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [AUTOSCALER, "demo", "--for", "3s", "--speed", "300"],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "160"},
        )
        os.close(theirs)
        shown = b""
        try:
            while part := screen.read(65536):
                shown += part
        except OSError:
            pass  # the other end is closed
        assert process.wait(PATIENCE) == 0

    text = shown.decode()
    for part in ("SERVICE", "REPLICAS", "shop_storefront", "█", "cpu ", "open http://127.0.0.1:", "\x1b["):
        assert part in text


def test_ctrl_c_ends_it_well() -> None:
    """Interrupted, the demo ends with its summary and 0."""
    process = subprocess.Popen(  # noqa: S603 - our own command line
        [AUTOSCALER, "demo", "--speed", "300"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first = [process.stdout.readline() for _ in range(2)]
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=PATIENCE)

    assert "A shop of" in first[0]
    assert (process.returncode, errors) == (0, "")
    assert "of simulated time" in rest


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--for", "soon"), "soon"),
        (("--speed", "0"), "0"),
        (("--listen", "9595"), "9595"),
        (("--listen", "192.0.2.1:9595"), "cannot listen on 192.0.2.1"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(arguments: tuple[str, str], told: str) -> None:
    """Options that cannot be are refused in words."""
    result = CliRunner().invoke(main, ["demo", *arguments])

    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code != 0
    assert told in result.stderr
    main.commands["demo"]._help_option = None  # click keeps the first one asked for, and other tests ask otherwise


def test_the_clock_runs_faster_and_skips() -> None:
    """The demo's clock begins on a Monday at eight, runs as fast as told, and can be put forward."""
    clock = VirtualClock(0)
    began = clock.now()

    clock.skip(60)

    assert began % (7 * 86400) == 4 * 86400 + 8 * 3600  # the first day of Unix time was a Thursday
    assert clock.now() == began + 60
    fast = VirtualClock(1e6)
    assert fast.now() > began
