"""Settings for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# Where a submission is judged the same examples run each time; elsewhere each run looks at others.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("default", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "default")
