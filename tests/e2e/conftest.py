"""The lab for every end-to-end test: one engine, one cAdvisor and one Prometheus for the session."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.lab import CAdvisor, Engine, Load, Prometheus, Release, missing, start_load
from tests.support.lab import entered, unavailable

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that share images or services and so stay in one worker: together they take longest."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


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
