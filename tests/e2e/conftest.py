"""The lab for every end-to-end test: one engine, one cAdvisor and one Prometheus for the session."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

from tests.e2e.daemon import Daemon
from tests.e2e.lab import CAdvisor, Engine, Load, Prometheus, Release, missing, selected, start_load
from tests.support.lab import entered, unavailable

_numbers = itertools.count(1)


IMAGES = ("test_stack", "test_image", "test_plugin_image")
"""The modules whose tests share the built image."""
LONGEST = (
    *IMAGES,
    "test_crashes",
    "test_swarm_contract",
    "test_scaling",
    "test_pauses",
    "images on another release",
    "test_rollouts",
    "test_nodes",
    "test_lease",
    "test_bad_data",
    "test_deploys",
    "test_faults",
    "test_lab",
    "test_diagnosis",
    "test_socket_proxy",
    "test_room",
    "test_strategies",
    "test_live",
)
"""The modules that take longest, in that order."""


class Scheduler(LoadScopeScheduling):  # type: ignore[misc] # its package ships no type information
    """Keeps the tests of a module together that run on the same release, and those on the built image too.

    Each worker has a lab of its own, and modules share fixtures that are dear to make.
    """

    def _split_scope(self, nodeid: str) -> str:
        module = PurePath(nodeid.partition("::")[0]).stem
        release = next((one.name for one in selected() if f"[{one.name}" in nodeid), "")
        return f"{'images' if module in IMAGES else module} {release}"

    def _reschedule(self, node: Any) -> None:
        """Give a worker its next module when its last test is to begin, and not while it has two left.

        A test may take two minutes, in which another worker is free sooner. A worker begins a test once it knows the
        one after it, so that it waits for a message only.
        """
        if not self.workqueue or self._pending_of(self.assigned_work[node]) <= 1:
            super()._reschedule(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduler:
    """Let pytest-xdist take modules in the order in which they were collected."""
    config.option.loadscopereorder = False
    return Scheduler(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that the workers end at about the same time.

    The image is built on the second engine when it is built on the first: building takes a core, of which the others
    have one left.
    """
    first = selected()[0].name

    def rank(item: pytest.Item) -> int:
        module = item.path.stem
        if module in IMAGES and f"[{first}" not in item.name:
            module = "images on another release"
        return LONGEST.index(module) if module in LONGEST else len(LONGEST)

    items.sort(key=rank)


@pytest.fixture(autouse=True, scope="session")
def _on_each_release(release: Release) -> None:
    """Every test here runs on each release that LAB_ENGINE names."""


@pytest.fixture(scope="session")
def engine(release: Release) -> Iterator[Engine]:
    """A Docker engine, manager of a swarm of one."""
    if reason := missing():
        unavailable(reason)
    with contextlib.ExitStack() as stack:
        yield entered(stack, Engine(release))


@pytest.fixture(scope="session")
def cadvisor(engine: Engine) -> Iterator[CAdvisor]:
    """CAdvisor on the engine's containers."""
    with contextlib.ExitStack() as stack:
        yield entered(stack, CAdvisor(engine))


@pytest.fixture(scope="session")
def prometheus(cadvisor: CAdvisor) -> Iterator[Prometheus]:
    """Prometheus scraping cAdvisor each second as the job `cadvisor`."""
    with contextlib.ExitStack() as stack:
        yield entered(stack, Prometheus({"cadvisor": [cadvisor.address]}, scrape_interval=1))


@pytest.fixture
def service(engine: Engine) -> Iterator[Callable[..., Load]]:
    """Start services with `start_load`'s arguments, the engine aside; they are removed after the test.

    Without a name each gets one of its own, so that no test sees an earlier one's series.
    """
    with contextlib.ExitStack() as stack:

        def start(name: str | None = None, **arguments: Any) -> Load:
            chosen = name or f"load-{next(_numbers)}"
            stack.callback(engine.remove_service, chosen)  # also when it does not start
            return start_load(engine, chosen, **arguments)

        yield start


@pytest.fixture
def start(engine: Engine, prometheus: Prometheus, tmp_path: Path) -> Iterator[Callable[[str], tuple[Daemon, Daemon]]]:
    """Start a leader and then a stand-by on the same policies; both are stopped after the test."""
    with contextlib.ExitStack() as stack:

        def run(policies: str) -> tuple[Daemon, Daemon]:
            (tmp_path / "leader").mkdir()
            leader = stack.enter_context(Daemon(engine, prometheus, tmp_path / "leader", policies))
            holder = leader.wait_event("lease_acquired")["holder"]
            (tmp_path / "standby").mkdir()
            standby = stack.enter_context(Daemon(engine, prometheus, tmp_path / "standby", policies))
            assert standby.wait_event("lease_awaited")["holder"] == holder
            return leader, standby

        yield run
