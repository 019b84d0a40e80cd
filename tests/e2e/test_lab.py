"""The lab does what the other end-to-end tests rely on."""

from collections.abc import Callable, Iterator
from functools import partial
from operator import eq
from pathlib import Path

import docker
import pytest
import requests

from tests.e2e.lab import (
    CAdvisor,
    Engine,
    LabError,
    Load,
    Nodes,
    Prometheus,
    Sample,
    chosen,
    free_port,
    load_image,
    python_base,
    start_load,
    wait_for,
)
from tests.e2e.lab.process import run
from tests.e2e.lab.scratch import mounts_below

pytestmark = pytest.mark.e2e

Start = Callable[..., Load]

_SERVICE = "container_label_com_docker_swarm_service_name"
_TASK = "container_label_com_docker_swarm_task_name"


def cpu(load: Load) -> str:
    """PromQL: percent of the CPU limit, per task, over the last 4 s."""
    rate = f'rate(container_cpu_usage_seconds_total{{{_SERVICE}="{load.name}"}}[4s])'
    return f"100 * sum by ({_TASK}) ({rate}) / {load.cpus}"


def memory(load: Load) -> str:
    """PromQL: percent of the memory limit, per task."""
    here = f'{{{_SERVICE}="{load.name}"}}'
    return f"100 * container_memory_working_set_bytes{here} / container_spec_memory_limit_bytes{here}"


def every(count: int, holds: Callable[[float], bool]) -> Callable[[list[Sample]], bool]:
    """Whether there are *count* series and *holds* is true of each one's value."""
    return lambda samples: len(samples) == count and all(holds(sample.value) for sample in samples)


def test_the_engine_manages_a_swarm(engine: Engine) -> None:
    """The engine is the leader of its own swarm."""
    assert engine.client.info()["Swarm"]["ControlAvailable"]
    assert engine.docker("node", "ls", "--format", "{{.ManagerStatus}}").strip() == "Leader"


def test_the_programs_are_those_of_the_release(engine: Engine, prometheus: Prometheus) -> None:
    """20.10 is that engine with Prometheus 2; 28 is that engine or a newer one, with Prometheus 3 or newer."""
    build = requests.get(f"{prometheus.url}/api/v1/status/buildinfo", timeout=60).json()["data"]
    majors = [int(version.split(".")[0]) for version in (engine.client.version()["Version"], build["version"])]
    if chosen().name == "20.10":
        assert majors == [20, 2]
    else:
        assert all(major >= least for major, least in zip(majors, [28, 3], strict=True))


def test_a_services_tasks_reach_prometheus_with_swarms_labels(prometheus: Prometheus, service: Start) -> None:
    """CAdvisor's series carry the names Swarm gave to the service and its tasks."""
    load = service(replicas=2, labels={"autoscaler.enabled": "true"})

    started = prometheus.wait_for(
        f'container_start_time_seconds{{{_SERVICE}="{load.name}"}}', every(2, lambda at: at > 0)
    )

    names = {f"{load.name}.{task['Slot']}.{task['ID']}" for task in load.engine.running_tasks(load.name)}
    assert names == {sample.labels[_TASK] for sample in started}
    assert {"cadvisor"} == {sample.labels["job"] for sample in started}
    assert load.engine.service(load.name)["Spec"]["Labels"] == {"autoscaler.enabled": "true"}


@pytest.mark.one_release(reason="the lab does the same on both")
def test_loads_go_beyond_the_bounds_and_back_while_the_tasks_run_on(prometheus: Prometheus, service: Start) -> None:
    """CPU and memory follow the load that was set, for all tasks or one, and no task is replaced."""
    load = service(replicas=2)
    tasks = load.task_ids

    load.set(cpu=90, mem=90)
    prometheus.wait_for(cpu(load), every(2, lambda percent: 80 < percent < 100))
    prometheus.wait_for(memory(load), every(2, lambda percent: 85 < percent < 98))

    load.set(cpu=20, mem=30)
    prometheus.wait_for(cpu(load), every(2, lambda percent: 10 < percent < 30))
    prometheus.wait_for(memory(load), every(2, lambda percent: 25 < percent < 40))

    load.set(cpu=95, slot=2)
    prometheus.wait_for(cpu(load), lambda samples: sorted(sample.value > 70 for sample in samples) == [False, True])

    load.release(slot=2)
    load.set(cpu=0, mem=0)
    prometheus.wait_for(cpu(load), every(2, lambda percent: percent < 5))
    assert tasks == load.task_ids


def test_prometheus_sees_tasks_come_and_go(prometheus: Prometheus, service: Start) -> None:
    """The number of series follows the number of tasks within seconds, down as well as up."""
    load = service(replicas=1)
    counted = f'count(container_memory_working_set_bytes{{{_SERVICE}="{load.name}"}})'
    prometheus.wait_for(counted, every(1, lambda count: count == 1))

    for replicas in (3, 1):
        spec = load.engine.service(load.name)["Spec"]
        spec["Mode"]["Replicated"]["Replicas"] = replicas
        load.engine.update_service(load.name, spec)
        load.engine.wait_running(load.name, replicas)
        prometheus.wait_for(counted, every(1, partial(eq, replicas)))
        assert replicas == load.replicas


def test_tasks_that_fail_on_start_are_told_with_their_reason(engine: Engine, service: Start) -> None:
    """A command that fails is seen as failed tasks, and waiting for such tasks says why."""
    load = service(command=["/bin/sh", "-c", "exit 7"], wait=False)

    failed = wait_for(
        "a failed task",
        lambda: [task for task in engine.tasks(load.name) if task["Status"]["State"] == "failed"],
    )

    assert failed[0]["Status"]["Err"] == "task: non-zero exit (7)"
    with pytest.raises(LabError, match=r"waited 0 s for 5 running tasks of .*non-zero exit \(7\)"):
        engine.wait_running(load.name, 5, timeout=0)


def leftovers(engine: Engine, directory: Path) -> Iterator[str]:
    """What of an engine is still there."""
    yield from (f"mount {point}" for point in mounts_below(directory))
    yield from (line for line in run("ps", "-eo", "pid,args").splitlines() if str(directory) in line)
    yield from (line for line in run("ip", "-brief", "link").splitlines() if line.startswith(f"{engine.network.link}@"))
    yield from (line for line in run("iptables", "--list-rules").splitlines() if f"{engine.network.link} " in line)
    if directory.exists():
        yield f"directory {directory}"


@pytest.mark.one_release(reason="the lab does the same on both")
def test_an_engine_stops_hangs_starts_again_and_leaves_nothing(engine: Engine) -> None:
    """A second engine goes with its socket, comes back with its services, hangs when paused, and leaves nothing."""
    with Engine() as second:
        assert engine.socket_url != second.socket_url
        directory = second.directory
        load = start_load(second, "idle", labels={"kept": "yes"})

        second.stop()
        assert not second.socket.exists()
        second.start()
        second.wait_running(load.name, 1)
        assert second.service(load.name)["Spec"]["Labels"] == {"kept": "yes"}

        impatient = docker.APIClient(base_url=second.socket_url, version=second.client.api_version, timeout=1)
        with second.paused(), pytest.raises(requests.ReadTimeout):
            impatient.ping()
        assert impatient.ping()
        impatient.close()

    assert list(leftovers(second, directory)) == []


@pytest.mark.one_release(reason="the lab does the same on both")
def test_an_engine_interrupted_in_its_work_leaves_nothing() -> None:
    """Ctrl-C while the engine hangs still takes everything down."""
    engine = Engine()
    with pytest.raises(KeyboardInterrupt), engine:  # noqa: PT012 -- the interrupt comes from within, as Ctrl-C does
        directory = engine.directory
        start_load(engine, "idle")
        engine.pause()
        raise KeyboardInterrupt

    assert list(leftovers(engine, directory)) == []


@pytest.mark.one_release(reason="the lab does the same on both")
def test_managers_interrupted_while_they_are_parted_leave_nothing() -> None:
    """Ctrl-C while one manager hangs and another one is parted from it still takes everything down."""
    nodes = Nodes()
    with pytest.raises(KeyboardInterrupt), nodes:  # noqa: PT012 -- the interrupt comes from within, as Ctrl-C does
        directories = [engine.directory for engine in nodes.engines]
        for engine in nodes.engines:
            load_image(engine)
        start_load(nodes.engines[0], "idle", replicas=3)
        nodes.engines[1].pause()
        nodes.cut(nodes.engines[2])
        raise KeyboardInterrupt

    for engine, directory in zip(nodes.engines, directories, strict=True):
        assert list(leftovers(engine, directory)) == []


def test_prometheus_has_what_was_backfilled_and_keeps_it_over_a_restart() -> None:
    """Samples of the past can be queried at their times, before and after a restart."""
    samples = "# TYPE load gauge\n" + "".join(f"load 7{n} {1_700_000_000 + 15 * n}\n" for n in range(4)) + "# EOF\n"
    with Prometheus(openmetrics=samples) as prometheus:
        assert prometheus.query("load", at=1_700_000_030)[0].value == 72

        prometheus.stop()
        with pytest.raises(requests.ConnectionError):
            prometheus.query("load")
        prometheus.start()

        assert prometheus.query("sum_over_time(load[1m])", at=1_700_000_050)[0].value == 70 + 71 + 72 + 73


@pytest.mark.one_release(reason="the lab does the same on both")
def test_prometheus_takes_up_other_targets(cadvisor: CAdvisor) -> None:
    """A reload makes Prometheus scrape what `targets` says now."""
    nobody = f"127.0.0.1:{free_port()}"
    with Prometheus({"cadvisor": [nobody]}, scrape_interval=0.5) as prometheus:
        prometheus.wait_for("up", every(1, lambda up: up == 0))

        prometheus.targets["cadvisor"] = [cadvisor.address]
        prometheus.reload()

        prometheus.wait_for(f'up{{instance="{cadvisor.address}"}}', every(1, lambda up: up == 1))


@pytest.mark.one_release(reason="the lab does the same on both")
def test_an_image_is_built_with_a_package_from_the_registry(engine: Engine, tmp_path: Path) -> None:
    """`pip install` works in `docker build` on the stand-in for the Python base image."""
    python_base(engine, "local/python:3.11")
    (tmp_path / "Dockerfile").write_text("FROM local/python:3.11\nRUN pip install click && python -c 'import click'\n")

    engine.build(tmp_path, "local/with-click:1")

    assert "local/with-click:1" in engine.client.images(name="local/with-click")[0]["RepoTags"]
