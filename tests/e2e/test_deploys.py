"""Deploys of a stack that is scaled: its count is repaired, and the version before can come back."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from tests.e2e.daemon import AUTOSCALER, Daemon, command
from tests.e2e.guide import policy
from tests.e2e.lab import Load, wait_for
from tests.e2e.lab.images import load_image
from tests.e2e.lab.process import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.lab import Engine, Prometheus

pytestmark = pytest.mark.e2e

STACK = """
version: "3.8"
services:
  web:
    image: {image}
    entrypoint: [/bin/load]
    environment: {{SLOT: "{{{{.Task.Slot}}}}", VERSION: "{version}"}}
    stop_grace_period: 1s
    volumes:
      - {{type: bind, source: {control}, target: /control, read_only: true}}
      - {{type: tmpfs, target: /held}}
    deploy:
      replicas: {replicas}
      update_config: {{parallelism: 0}}
      resources:
        limits: {{cpus: "0.15", memory: 32M}}
"""
SERVICE = "shop_web"


@pytest.fixture
def deploy(engine: Engine, tmp_path: Path) -> Iterator[Callable[..., Load]]:
    """`docker stack deploy` of a stack of one service; removed after the test."""
    load = Load(engine, SERVICE, cpus=0.15, mib=32)
    file = tmp_path / "stack.yml"

    def run(version: int = 1, replicas: int = 1) -> Load:
        image = load_image(engine)
        file.write_text(STACK.format(image=image, control=load.control, version=version, replicas=replicas))
        engine.docker("stack", "deploy", "--resolve-image", "never", "-c", str(file), "shop")
        return load

    yield run
    # Again where the network went while it was at it: the CLI takes that for a failure.
    wait_for("the stack to be removed", lambda: [engine.docker("stack", "rm", "shop")], interval=1)
    wait_for("the stack's tasks to end", lambda: not engine.client.containers(filters={"name": f"{SERVICE}."}))
    wait_for("its network to go", lambda: not engine.client.networks(names=["shop_default"]))


@contextmanager
def watched(load: Load) -> Iterator[set[int]]:
    """The counts that the service asks for meanwhile, looked at every 50 ms."""
    counts: set[int] = set()
    over = Event()

    def look() -> None:
        while not over.wait(0.05):
            counts.add(load.replicas)

    thread = Thread(target=look)
    thread.start()
    try:
        yield counts
    finally:
        over.set()
        thread.join(10)
        counts.add(load.replicas)


def piped(engine: Engine, autoscaler: str, docker: str, directory: Path) -> None:
    """`autoscaler … | docker …`, as an operator types it."""
    own = {"DOCKER_HOST": engine.socket_url, "AUTOSCALER_DOCKER_HOST": engine.socket_url}
    run(
        "bash",
        "-c",
        f"set -o pipefail; {AUTOSCALER} {autoscaler} | docker {docker}",
        env=own,
        cwd=directory,
        timeout=120,
    )


def version_of(engine: Engine) -> str:
    """Which version the service's tasks are made of."""
    environment: list[str] = engine.service(SERVICE)["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"]
    return next(entry.removeprefix("VERSION=") for entry in environment if entry.startswith("VERSION="))


@pytest.mark.fault("deploy-lowers", "operator-scales")
def test_a_deploy_is_repaired_and_the_version_before_comes_back(
    engine: Engine, prometheus: Prometheus, deploy: Callable[..., Load], tmp_path: Path
) -> None:
    """A stack deploy that lowered the count is repaired, live and after the daemon was down; an operator is respected.

    After the repair `docker service rollback` would undo the repair; `autoscaler rollback` brings the version back.
    """
    load = deploy()
    engine.wait_running(SERVICE, 1)
    load.set(cpu=95)
    with Daemon(engine, prometheus, tmp_path, policy(SERVICE, up="10m", down="10m")) as daemon:
        daemon.wait_event("service_evaluated", service=SERVICE, outcome="applied", desired=2)
        load.set(cpu=50)
        engine.wait_running(SERVICE, 2)

        deploy(version=2)
        assert engine.replicas(SERVICE) == 1
        repaired = daemon.wait_event("service_evaluated", 60, service=SERVICE, reason="restored_after_deploy")
        assert (repaired["requested"], repaired["desired"], repaired["outcome"]) == (1, 2, "applied")
        assert daemon.wait_event("rollback_point_replaced", service=SERVICE)
        assert (load.replicas, version_of(engine)) == (2, "2")

        # A second deploy in the middle of the first one's rollout, which makes Swarm forget the count before.
        deploy(version=3)
        daemon.wait_decision(
            SERVICE, lambda decision: decision.get("primary", {}).get("reason") == "rollout_in_progress"
        )
        deploy(version=4)
        daemon.wait_event("service_evaluated", 60, after=1, service=SERVICE, reason="restored_after_deploy")
        assert (load.replicas, version_of(engine)) == (2, "4")

        daemon.terminate()
        deploy(version=4)
        assert engine.replicas(SERVICE) == 1
        daemon.start()
        daemon.wait_event("service_evaluated", 60, after=2, service=SERVICE, reason="restored_after_deploy")
        assert load.replicas == 2

        daemon.wait_decision(SERVICE, lambda decision: decision.get("primary", {}).get("reason") == "no_breach")
        engine.docker("service", "scale", "--detach", f"{SERVICE}=1")
        adopted = daemon.wait_event("service_evaluated", service=SERVICE, reasons=["changed_externally", "no_breach"])
        assert adopted["desired"] == 1
        assert load.replicas == 1

        deploy(version=4, replicas=0)
        daemon.wait_decision(SERVICE, lambda decision: decision.get("primary", {}).get("reason") == "scaled_to_zero")
        assert load.replicas == 0


@pytest.mark.fault("rollback-point")
@pytest.mark.one_release(reason="the tests of rollouts bring versions back on both")
def test_the_version_before_the_deploy_after_a_scale(
    engine: Engine, prometheus: Prometheus, deploy: Callable[..., Load], tmp_path: Path
) -> None:
    """`docker service rollback` after a scale undoes the scale; `autoscaler rollback` restores the version before.

    A stack file with the live counts filled in makes no dip at all.
    """
    load = deploy()
    engine.wait_running(SERVICE, 1)
    deploy(version=2)
    load.set(cpu=95)
    with Daemon(engine, prometheus, tmp_path, policy(SERVICE, up="10m", down="10m")) as daemon:
        daemon.wait_event("service_evaluated", 60, service=SERVICE, outcome="applied", desired=2)
        load.set(cpu=50)
        assert version_of(engine) == "2"

        with watched(load) as counts:
            piped(engine, "stack-file stack.yml --stack shop", "stack deploy --resolve-image never -c - shop", tmp_path)
        assert (counts, version_of(engine)) == ({2}, "2")
        deploy(version=3)
        daemon.wait_event("service_evaluated", 60, service=SERVICE, reason="restored_after_deploy")

        done = command(engine, prometheus.url, daemon.policies, "rollback", SERVICE)

        assert done.returncode == 0, done.stderr
        assert "its 2 replicas stay" in done.stdout
        assert (load.replicas, version_of(engine)) == (2, "2")
        wait_for("the rollout", lambda: engine.rollout(SERVICE) == "completed")
        engine.wait_running(SERVICE, 2)

    again = command(engine, prometheus.url, daemon.policies, "rollback", "nobody")
    assert (again.returncode, again.stdout) == (1, "")
    assert "Swarm has no service 'nobody'" in again.stderr


INHERITING = """
version: 1
policies:
  - name: worker
    services: [shop_worker]
    replicas: {min: 3, max: 6}
    rules: [{name: cpu-high, metric: cpu, above: 90, add: 1}]
"""
MORE = 'version: "3.8"\nservices: {worker: {environment: {MORE: "1"}}}\n'


def test_a_service_that_inherits_its_count_makes_no_dip(
    engine: Engine, prometheus: Prometheus, deploy: Callable[..., Load], tmp_path: Path
) -> None:
    """The live count of a service with `<<: *web` comes into a `deploy` of its own, and `web` keeps its count.

    Several files get a last one with the counts, which Docker takes from standard input.
    """
    load, worker = deploy(), Load(engine, "shop_worker", cpus=0.15, mib=32)
    file = tmp_path / "stack.yml"
    file.write_text(f"{file.read_text().replace('  web:', '  web: &web')}  worker:\n    <<: *web\n")
    (tmp_path / "more.yml").write_text(MORE)
    (tmp_path / "policies.yml").write_text(INHERITING)
    engine.docker("stack", "deploy", "--resolve-image", "never", "-c", str(file), "shop")
    engine.wait_running("shop_worker", 1)
    wait_for(
        "the scale to 3",
        lambda: (
            command(engine, prometheus.url, tmp_path / "policies.yml", "run", "--once").returncode == 0
            and worker.replicas == 3
        ),
        60,
    )
    engine.wait_running("shop_worker", 3)

    with watched(worker) as counts:
        piped(engine, "stack-file stack.yml --stack shop", "stack deploy --resolve-image never -c - shop", tmp_path)
        several = "-c stack.yml -c more.yml"
        piped(
            engine,
            f"stack-file {several} --stack shop",
            f"stack deploy --resolve-image never {several} -c - shop",
            tmp_path,
        )
    assert (counts, load.replicas) == ({3}, 1)
    environment = engine.service("shop_worker")["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"]
    assert "MORE=1" in environment
