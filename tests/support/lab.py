"""What becomes of a test whose real parts cannot be had."""

import contextlib
import os
from typing import NoReturn, TypeVar

import pytest

from tests.e2e.lab import LabError

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
