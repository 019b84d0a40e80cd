"""`autoscaler stack-file` as an operator types it, on an engine that is simulated behind Docker's HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from autoscaler.adapters.system_clock import SystemClock
from autoscaler.cli.main import main
from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.stack_file import STACK_LABEL
from autoscaler.swarm.cluster import STATE_LABEL
from autoscaler.swarm.scale_state import ScaleState
from tests.support.engine_server import EngineServer
from tests.support.world import service_spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

ONE = "services: {web: &web {image: app}, worker: *web}\n"
MORE = "services: {web: {deploy: {replicas: 2}}}\n"
TOLD = "shop_worker: replicas not given → 3\n"


@pytest.fixture(autouse=True)
def _shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A stack of two services, of which the autoscaler has scaled one to 3; and its files."""
    engine = SimulatedEngine(SystemClock())
    stack = {STACK_LABEL: "shop"}
    engine.create_service(service_spec("shop_web", 2, stack))
    engine.create_service(service_spec("shop_worker", 3, stack | {STATE_LABEL: ScaleState(3).encode()}))
    engine.create_service(service_spec("shop_night", 0, stack | {STATE_LABEL: ScaleState(0).encode()}))
    (tmp_path / "one.yml").write_bytes(ONE.encode())
    (tmp_path / "more.yml").write_bytes(MORE.encode())
    monkeypatch.chdir(tmp_path)
    with EngineServer(engine, tmp_path / "docker.sock") as swarm:
        monkeypatch.setenv("AUTOSCALER_DOCKER_HOST", swarm.url)
        yield


def stack_file(*arguments: str, text: str = "") -> Result:
    """What `autoscaler stack-file` prints."""
    return CliRunner().invoke(main, ["stack-file", "--stack", "shop", *arguments], input=text)


@pytest.mark.parametrize("arguments", [("one.yml",), ("-c", "one.yml"), ("--compose-file", "one.yml"), ("-",)])
def test_one_file(arguments: tuple[str, ...]) -> None:
    """It may be given with `-c`, as to Docker, or without, and may come from standard input."""
    result = stack_file(*arguments, text=ONE)

    filled = ONE.replace("*web", "{<<: *web, deploy: {replicas: 3}}")
    assert (result.exit_code, result.stdout, result.stderr) == (0, filled, TOLD)


@pytest.mark.parametrize(
    "arguments",
    [("-c", "one.yml", "-c", "more.yml"), ("one.yml", "more.yml"), ("--override", "one.yml")],
)
def test_the_counts_alone(arguments: tuple[str, ...]) -> None:
    """Several files get one more, which holds the counts, and so does one file with `--override`."""
    result = stack_file(*arguments)

    printed = "services:\n  worker:\n    deploy:\n      replicas: 3\n"
    assert (result.exit_code, result.stdout, result.stderr) == (0, printed, TOLD)


def test_a_count_of_0_alone(tmp_path: Path) -> None:
    """Docker 20.10 merges files so that a 0 is lost: the command says so."""
    (tmp_path / "one.yml").write_text(ONE.replace("web", "night"))

    result = stack_file("--override", "one.yml")

    assert "    deploy:\n      replicas: 0\n" in result.stdout
    assert "shop_night: docker 20.10 ignores the count 0 in a last file (" in result.stderr
    assert "20.10" not in stack_file("one.yml").stderr


def test_without_a_file() -> None:
    """The error says how to give one."""
    result = stack_file()

    assert result.exit_code == 2
    assert "Missing a stack file (give FILE or -c FILE)." in result.stderr


def test_line_breaks_of_windows_stay(tmp_path: Path) -> None:
    """The file is printed byte for byte but for the counts."""
    (tmp_path / "one.yml").write_bytes(b"services:\r\n  worker:\r\n    image: app\r\n")

    printed = stack_file("one.yml").stdout_bytes

    assert printed == b"services:\r\n  worker:\r\n    image: app\r\n    deploy: {replicas: 3}\r\n"
