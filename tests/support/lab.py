"""Which release a test of real parts runs on, and what becomes of it where they cannot be had."""

import contextlib
import os
from collections.abc import Iterator
from typing import NoReturn, TypeVar

import pytest

from tests.e2e.lab import VARIABLE, LabError, Release, selected

T = TypeVar("T")


def entered(stack: contextlib.ExitStack, part: contextlib.AbstractContextManager[T]) -> T:
    """The started part; where it does not start, the test is skipped or fails as `unavailable` says."""
    try:
        return stack.enter_context(part)
    except LabError as error:
        unavailable(str(error))


def unavailable(reason: str) -> NoReturn:
    """Skip the test, or let it fail where REQUIRE_LAB=1 says that there must be a lab."""
    if os.environ.get("REQUIRE_LAB") == "1":
        pytest.fail(f"REQUIRE_LAB=1, but there is no lab: {reason}", pytrace=False)
    pytest.skip(f"no lab: {reason}")


def parametrize_releases(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses the fixture `release` on each that LAB_ENGINE names, less what its markers leave out."""
    if "release" not in metafunc.fixturenames:
        return
    here = selected()
    if metafunc.definition.get_closest_marker("one_release"):
        here = here[:1]
    if only_on := metafunc.definition.get_closest_marker("only_on"):
        here = [one for one in here if one.name in only_on.args]
    metafunc.parametrize("release", here, indirect=True, scope="session", ids=lambda one: one.name)


@pytest.fixture(scope="session")
def release(request: pytest.FixtureRequest) -> Iterator[Release]:
    """The release that the test runs on; what is started meanwhile is of it, in other processes too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, request.param.name)
        yield request.param
