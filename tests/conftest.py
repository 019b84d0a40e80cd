"""Settings for all tests."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import settings

from tests.support.lab import parametrize_releases, release

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["pytest_generate_tests", "release"]

pytest_generate_tests = parametrize_releases

# Where a submission is judged the same examples run each time; elsewhere each run looks at others.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("default", deadline=None)
# `make quick` names this one, for a look after each edit.
settings.register_profile("quick", deadline=None, max_examples=10)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Commands configure logging for the whole process; the next test finds it as the first one did."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
