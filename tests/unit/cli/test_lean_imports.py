from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "loaded"),
    [("autoscaler.cli.commands.run", "False"), ("autoscaler.cli.commands.plan", "True")],
)
def test_the_daemon_loads_no_tables(module: str, loaded: str) -> None:
    """`run` loads structlog and not rich, which takes memory; a command that prints tables loads both."""
    code = f"import {module}, structlog, sys; print('rich' in sys.modules)"
    result = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == loaded
