"""The lab for every end-to-end test: one engine, one cAdvisor and one Prometheus for the session."""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

import pytest

from tests.e2e.lab import CAdvisor, Engine, LabError, Load, Prometheus, missing, start_load

T = TypeVar("T")

_numbers = itertools.count(1)


def _entered(stack: contextlib.ExitStack, part: contextlib.AbstractContextManager[T]) -> T:
    """The started part; without it the test is skipped, or fails where REQUIRE_LAB=1 says that there must be a lab."""
    try:
        return stack.enter_context(part)
    except LabError as error:
        _unavailable(str(error))


def _unavailable(reason: str) -> NoReturn:
    if os.environ.get("REQUIRE_LAB") == "1":
        pytest.fail(f"REQUIRE_LAB=1, but there is no lab: {reason}", pytrace=False)
    pytest.skip(f"no lab: {reason}")


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A Docker engine, manager of a swarm of one."""
    if reason := missing():
        _unavailable(reason)
    with contextlib.ExitStack() as stack:
        yield _entered(stack, Engine())


@pytest.fixture(scope="session")
def cadvisor(engine: Engine) -> Iterator[CAdvisor]:
    """CAdvisor on the engine's containers."""
    with contextlib.ExitStack() as stack:
        yield _entered(stack, CAdvisor(engine))


@pytest.fixture(scope="session")
def prometheus(cadvisor: CAdvisor) -> Iterator[Prometheus]:
    """Prometheus scraping cAdvisor each second as the job `cadvisor`."""
    with contextlib.ExitStack() as stack:
        yield _entered(stack, Prometheus({"cadvisor": [cadvisor.address]}, scrape_interval=1))


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
