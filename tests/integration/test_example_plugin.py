"""The example plugin as somebody else's package: installed, without the network, and used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml

from autoscaler.adapters.system_clock import SystemClock
from autoscaler.metrics.queries import SERVICE_LABEL, STAT_LABEL, TASKS, VALUE
from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.testing import ManualClock
from tests.support.builders import STEP
from tests.support.engine_server import EngineServer
from tests.support.prometheus_server import PrometheusServer, Served
from tests.support.world import FaultyEngine, service_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "autoscaler-peak"
POLICY = EXAMPLE / "policies" / "shop.yml"
POLICY_TESTS = EXAMPLE / "policies" / "tests" / "shop.yml"
AUTOSCALER = Path(sys.executable).with_name("autoscaler")
PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
PATIENCE = 600.0


def run(
    *command: str | Path, folder: Path | None = None, plugins: Path | None = None, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What a command prints in a process of its own, with the plugins of a folder and no settings of the machine's."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AUTOSCALER_", "PYTEST_", "PYTHON", "DOCKER_"))
    }
    if plugins is not None:
        environment["PYTHONPATH"] = str(plugins)
    return subprocess.run(  # noqa: S603 - our own commands
        list(map(str, command)),
        cwd=folder,
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1"} | dict(more or {}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the example is installed as docs/plugins.md says."""
    copy = tmp_path_factory.mktemp("source") / EXAMPLE.name
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("plugins")
    installed = run(*PIP, "--no-deps", "--no-build-isolation", "--target", target, copy)
    assert installed.returncode == 0, installed.stderr
    return target


def test_its_policy_is_valid(plugins: Path) -> None:
    """`check` knows the strategy and its keys, and the metric source."""
    result = run(AUTOSCALER, "check", POLICY, plugins=plugins)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Valid: 1 policy with 2 rules (")


def test_its_policy_is_invalid_without_it() -> None:
    """Where the package is not installed, strategy and source are unknown words, each told at its place."""
    result = run(AUTOSCALER, "check", POLICY)
    assert result.returncode == 1
    problems = result.stderr.splitlines()
    assert len(problems) == 3
    assert sum('.strategy: unknown strategy "peak" (known strategies: ' in problem for problem in problems) == 2
    assert sum("metrics.waiting.source: " in problem and '"numbers"' in problem for problem in problems) == 1


def test_a_wrong_key_of_it_is_told_like_any_other(plugins: Path, tmp_path: Path) -> None:
    """A plugin's fields are validated as the autoscaler's own are: file, line, column, what is wrong, what is right."""
    policy = tmp_path / "shop.yml"
    policy.write_text(POLICY.read_text().replace("over: 5m}", "ovr: 5m}", 1))
    result = run(AUTOSCALER, "check", policy, plugins=plugins)
    assert result.returncode == 1
    (problem,) = result.stderr.splitlines()
    assert problem.startswith(f"{policy}:12:")
    assert 'did you mean "over"?' in problem


def test_its_policy_tests_pass(plugins: Path) -> None:
    """`test` decides by the plugin's strategy, also on a metric of the plugin's source."""
    result = run(AUTOSCALER, "test", POLICY_TESTS, plugins=plugins)
    assert result.returncode == 0, result.stdout
    assert "3 passed, 0 failed" in result.stdout


def test_the_schema_describes_it(plugins: Path) -> None:
    """Editors complete and explain the plugin's keys, and accept its policy."""
    schema = json.loads(run(AUTOSCALER, "schema", plugins=plugins).stdout)
    peak = schema["$defs"]["Peak"]
    assert peak["description"].startswith("Asks for the count that the highest load of the last while needs")
    assert peak["properties"]["over"]["description"] == "How far back the highest load is looked for."
    assert peak["properties"]["strategy"]["const"] == "peak"
    jsonschema.validate(yaml.safe_load(POLICY.read_text()), schema)


def test_it_holds_the_contracts(plugins: Path, tmp_path: Path) -> None:
    """The example's own tests pass in a folder of their own, against the installed package."""
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    result = run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests", folder=tmp_path, plugins=plugins)
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout


def test_its_source_is_asked_live(plugins: Path, tmp_path: Path) -> None:
    """`plan` reads a number from the plugin's source, and decides on it beside Prometheus' metrics."""
    policy, numbers = tmp_path / "shop.yml", tmp_path / "waiting.json"
    policy.write_text(
        f"""
        version: 1
        metrics: {{waiting: {{source: numbers, query: {numbers}, kind: total}}}}
        policies:
          - name: workers
            services: [shop_worker]
            replicas: {{min: 2, max: 20}}
            rules: [{{name: waiting, metric: waiting, strategy: peak, target: 100, over: 0s}}]
        """
    )
    now = SystemClock().now()
    numbers.write_text('{"shop_worker": 950}')
    os.utime(numbers, (now - 60, now - 60))
    clock = ManualClock(now - 3600)
    engine = SimulatedEngine(clock)
    engine.create_service(service_spec("shop_worker", 4))
    clock.time = now
    with EngineServer(FaultyEngine(engine), tmp_path / "docker.sock") as swarm, PrometheusServer() as prometheus:
        newest = int(now // STEP * STEP)
        steps = dict.fromkeys(range(newest - 40 * STEP, newest + 40 * STEP, STEP), 0.5)
        labels = {SERVICE_LABEL: "shop_worker"}
        prometheus.serve([Served({**labels, STAT_LABEL: part}, steps) for part in (VALUE, TASKS)])
        more = {"AUTOSCALER_DOCKER_HOST": swarm.url, "AUTOSCALER_PROMETHEUS_URL": prometheus.url}
        result = run(*(AUTOSCALER, "plan", "--output", "json", "--policies", policy), plugins=plugins, more=more)
    assert result.returncode == 2, result.stdout + result.stderr
    (service,) = json.loads(result.stdout)["services"]
    assert (service["requested"], service["desired"]) == (4, 10)
    assert "waiting 950" in str(service)
