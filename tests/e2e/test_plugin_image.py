"""The image with a plugin in it, made as docs/plugins.md says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.lab import python_base
from tests.e2e.lab.images import BASE

if TYPE_CHECKING:
    from tests.e2e.lab import Engine

pytestmark = [pytest.mark.e2e, pytest.mark.one_release(reason="the image is built on every engine by other tests")]

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "autoscaler-peak"
PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]


def test_a_plugin_in_the_image(engine: Engine, tmp_path: Path) -> None:
    """Two lines of Dockerfile and the folder that pip fills: the image's user runs the plugin's strategy."""
    python_base(engine, BASE)
    engine.build(ROOT, "registry.example/swarm-autoscaler:0.1.0")
    context = tmp_path / EXAMPLE.name
    shutil.copytree(EXAMPLE, context, ignore=shutil.ignore_patterns("__pycache__", "build"))
    installed = [*PIP, "--no-deps", "--no-build-isolation", "--target", str(context / "build"), str(context)]
    subprocess.run(installed, check=True)  # noqa: S603 - our own command
    engine.build(context, "swarm-autoscaler:peak")
    policies = tmp_path / "policies"
    shutil.copytree(EXAMPLE / "policies", policies)
    for path in (tmp_path, policies, *policies.rglob("*")):
        path.chmod(0o755)
    run = ("run", "--rm", "--read-only", "--network", "none", "--volume", f"{policies}:/policies:ro")
    said = engine.docker(*run, "swarm-autoscaler:peak", "test", "/policies/tests/shop.yml")
    assert "3 passed, 0 failed" in said
