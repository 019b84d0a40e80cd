"""Settings for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

from tests.support.lab import parametrize_releases, release

__all__ = ["pytest_generate_tests", "release"]

pytest_generate_tests = parametrize_releases

# Where a submission is judged the same examples run each time; elsewhere each run looks at others.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("default", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "default")
