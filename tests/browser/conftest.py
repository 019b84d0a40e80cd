"""One Chromium for all tests, pages that note what goes wrong in them, and servers to look at."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.station import Station, record
from tests.support.lab import unavailable
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from tests.browser.looking import Look

AUTOSCALER = Path(sys.executable).with_name("autoscaler")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The machine's Chromium."""
    program = shutil.which("chromium")
    if program is None:
        unavailable("there is no program chromium (.ci/install-lab installs it)")
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - it is there, or the tests are skipped
    except ImportError as error:
        unavailable(f"{error} (pip install playwright)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def look(browser: Browser) -> Iterator[Look]:
    """Opens pages; after the test none of them may have met an error or asked another host."""
    from tests.browser.looking import Look  # noqa: PLC0415 - needs playwright

    with Look(browser) as looking:
        yield looking


@pytest.fixture
def station() -> Iterator[Station]:
    """A server with one service that is held."""
    station = Station()
    station.evaluated(record("web"))
    station.start()
    yield station
    station.close()


@pytest.fixture(scope="session")
def demo() -> Iterator[str]:
    """The address of a demo that runs fast: the real daemon, with a history."""
    process = subprocess.Popen(  # noqa: S603 - our own command line
        [AUTOSCALER, "demo", "--listen", "127.0.0.1:0", "--speed", "60"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    try:
        found = next(filter(None, (re.search(r"http://[\d.:]+", line) for line in process.stdout)))
        yield found[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
