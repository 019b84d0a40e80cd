"""`autoscaler doctor` on a real engine, cAdvisor and Prometheus: broken for real, and cured as it says."""

from __future__ import annotations

import json
import re
import shlex
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from autoscaler.adapters.docker.probe import EngineProbe
from autoscaler.adapters.system_clock import SystemClock
from autoscaler.doctor.engine_facts import CALLS
from autoscaler.doctor.facts import Subject
from autoscaler.util.deadline import Deadline
from tests.e2e.daemon import command
from tests.e2e.lab import CAdvisor, Prometheus, start_load, wait_for
from tests.e2e.lab.ports import free_port
from tests.e2e.lab.process import Child
from tests.support.lab import entered
from tests.support.stack import SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.daemon import Daemon
    from tests.e2e.lab import Engine, Load

pytestmark = pytest.mark.e2e

PROXY = Path(__file__).parent / "standins" / "socket_proxy.py"
SERVICE = "doctor_web"
POLICIES = """
version: 1
policies:
  - name: shop
    services: [doctor_web]
    replicas: {min: 1, max: 4}
    rules:
      - {name: cpu-high, metric: cpu, above: 70, for: 3s, add: 1}
      - {name: cpu-low, metric: cpu, below: 30, for: 5s, remove: 1}
    scale_up: {cooldown: 1m}
    scale_down: {cooldown: 2m}
"""
SETTLED: list[Prometheus] = []
"""The Prometheus with complete windows of the service; empty after its configuration changed."""
ONCE = pytest.mark.one_release(reason="what it holds is decided without the engine")


@dataclass
class Lab:
    """A healthy installation, and what is changed about it."""

    engine: Engine
    prometheus: Prometheus
    load: Load
    directory: Path

    @property
    def policies(self) -> Path:
        """The policy file."""
        return self.directory / "policies.yml"

    def doctor(self, *arguments: str, **env: str) -> dict[str, Any]:
        """What `autoscaler doctor` says as a document."""
        given = {"AUTOSCALER_LISTEN": "127.0.0.1:9"} | env  # nobody listens there
        url = given.pop("AUTOSCALER_PROMETHEUS_URL", self.prometheus.url)
        done = command(self.engine, url, self.policies, "doctor", "--output", "json", *arguments, **given)
        document: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == document["exit_code"], done.stderr
        return document

    def finding(self, code: str, *arguments: str, **env: str) -> dict[str, Any]:
        """What became of one check, once it is known."""
        return next(check for check in self.doctor(*arguments, **env)["checks"] if check["code"] == code)

    def wait_finding(self, code: str, result: str, **env: str) -> dict[str, Any]:
        """What became of one check once it has this result."""
        return wait_for(
            f"{code} to be {result}",
            lambda: found if (found := self.finding(code, **env))["result"] == result else None,
        )


@pytest.fixture(scope="module")
def load(engine: Engine) -> Iterator[Load]:
    """A service whose tasks have a limit."""
    with ExitStack() as stack:
        stack.callback(engine.remove_service, SERVICE)
        yield start_load(engine, SERVICE, replicas=2)


@pytest.fixture
def lab(engine: Engine, prometheus: Prometheus, load: Load, tmp_path: Path) -> Iterator[Lab]:
    """The installation, with complete windows."""
    made = Lab(engine, prometheus, load, tmp_path)
    made.policies.write_text(POLICIES)
    load.set(cpu=50)
    if prometheus not in SETTLED:
        wait_for("the windows to fill", lambda: made.finding("D-WINDOW")["result"] == "good")
        SETTLED.append(prometheus)
    before = (dict(prometheus.targets), set(prometheus.honors), dict(prometheus.relabelings))
    yield made
    if before != (prometheus.targets, prometheus.honors, prometheus.relabelings):
        prometheus.targets, prometheus.honors, prometheus.relabelings = before
        prometheus.reload()
        SETTLED.clear()


def stored(engine: Engine) -> str:
    """What Swarm stores of services, configs and secrets, to the byte."""
    documents = {kind: engine._get(f"/{kind}") for kind in ("services", "configs", "secrets")}
    return json.dumps(documents, sort_keys=True)


# healthy


def test_a_healthy_installation_has_no_finding_and_nothing_is_written(lab: Lab) -> None:
    """On the lab's installation every check is good that can be looked at, and Swarm is the same to the byte."""
    before = stored(lab.engine)

    found = lab.doctor()

    assert [check for check in found["checks"] if check["result"] not in {"good", "skipped"}] == []
    assert (found["verdict"], found["exit_code"]) == ("good", 0)
    skipped = {check["code"]: check["reason"] for check in found["checks"] if check["result"] == "skipped"}
    assert {code: reason for code, reason in skipped.items() if "no daemon at" not in reason} == {
        "D-QUERY": "no policy looks at a query of a service"
    }
    assert stored(lab.engine) == before


def test_a_running_daemon(lab: Lab, start: Callable[[str], tuple[Daemon, Daemon]]) -> None:
    """The leader and the standby are found well by their API, with this policy file in force."""
    leader, standby = start(POLICIES)
    for daemon in (leader, standby):
        wait_for("its windows", lambda url=daemon.url: lab.finding("D-PROBLEMS", "--url", url)["result"] == "good")  # type: ignore[misc]
        found = {check["code"]: check for check in lab.doctor("--url", daemon.url)["checks"]}

        codes = ("D-DAEMON", "D-MODE", "D-LEADS", "D-VERSION", "D-REVISION", "D-RELOAD", "D-EVALUATION", "D-PROBLEMS")
        assert {code: found[code]["result"] for code in codes} == dict.fromkeys(codes, "good")

    lab.policies.write_text(POLICIES.replace("max: 4", "max: 5"))
    assert lab.finding("D-REVISION", "--url", leader.url)["result"] == "warning"


# rights


@contextmanager
def proxy(engine: Engine, directory: Path, *, without: str = "") -> Iterator[str]:
    """The stand-in with the stack's own flags but for the part *without*: its address."""
    port = free_port()
    own = (f"-socketpath={engine.socket}", f"-proxyport={port}", "-listenip=127.0.0.1")
    flags = [flag for flag in SERVICES["socket-proxy"]["command"] if flag.startswith("-allow")]
    assert not without or any(without in flag for flag in flags)
    child = Child(
        "socket-proxy",
        [sys.executable, PROXY, *own, *(flag.replace(without, "") if without else flag for flag in flags)],
        directory / "proxy.log",
    )
    try:
        child.wait_ready(lambda: requests.get(f"http://127.0.0.1:{port}/version", timeout=5).ok)
        yield f"tcp://127.0.0.1:{port}"
    finally:
        child.stop()


def test_all_calls_come_through_the_stacks_proxy(lab: Lab) -> None:
    """Behind the proxy with the stack's own flags every call is allowed, and nothing is written."""
    before = stored(lab.engine)
    with proxy(lab.engine, lab.directory) as address:
        found = lab.doctor(AUTOSCALER_DOCKER_HOST=address)

    results = {check["code"]: check["result"] for check in found["checks"]}
    assert {results[code] for code in ("D-READ", "D-WRITE", "D-LEASE", "D-PAUSES")} == {"good"}
    assert stored(lab.engine) == before


@pytest.mark.parametrize(
    ("code", "without", "call", "permission"),
    [
        ("D-WRITE", "services/[a-z0-9]+/update|", "POST /services/ID/update", "SERVICES"),
        ("D-WRITE", "create|", "POST /configs/create", "CONFIGS"),
        ("D-READ", "|nodes", "GET /nodes", "NODES"),
        ("D-LEASE", "|configs/autoscaler-(lease|pauses)", "GET /configs/autoscaler-lease", "CONFIGS"),
    ],
)
def test_rights_at_the_proxy_call_by_call(lab: Lab, code: str, without: str, call: str, permission: str) -> None:
    """A call that the proxy refuses is named with its permission, and nothing is written.

    With the permission the check is good, as behind the stack's own proxy.
    """
    before = stored(lab.engine)
    with proxy(lab.engine, lab.directory, without=without) as address:
        broken = lab.finding(code, AUTOSCALER_DOCKER_HOST=address)

    assert broken["result"] == "failure"
    assert call in broken["seen"][0]
    assert f"{permission}=1" in broken["cure"]
    assert stored(lab.engine) == before


# the chain of data


@ONCE
def test_a_wrong_selector(lab: Lab) -> None:
    """A selector that fits nothing is named with what the series have, and that is the cure."""
    broken = lab.finding("D-SELECTOR", AUTOSCALER_METRIC_SELECTOR='job="cadvisr"')

    assert broken["result"] == "failure"
    right = broken["cure"].rpartition("the series have ")[2].split(" or ")[0]
    assert lab.finding("D-SELECTOR", AUTOSCALER_METRIC_SELECTOR=right)["result"] == "good"


@ONCE
def test_a_task_label_that_is_dropped(lab: Lab) -> None:
    """Without the label of tasks the check of that link fails; kept, it is good."""
    label = "container_label_com_docker_swarm_task_name"
    lab.prometheus.relabelings = {"cadvisor": [{"regex": label, "action": "labeldrop"}]}
    lab.prometheus.reload()

    broken = lab.finding("D-TASK-LABEL", AUTOSCALER_TASK_LABEL="container_label_task")

    assert broken["result"] == "failure"
    assert "container_label_task" in broken["seen"][0]
    lab.prometheus.relabelings = {}
    lab.prometheus.reload()
    assert lab.finding("D-TASK-LABEL")["result"] == "good"


@ONCE
def test_samples_that_cadvisor_dates(lab: Lab) -> None:
    """`honor_timestamps: true` is named, and `false` is the cure."""
    with ExitStack() as stack:
        seldom = entered(stack, CAdvisor(lab.engine, housekeeping=10))
        other = entered(stack, Prometheus({"cadvisor": [seldom.address]}, scrape_interval=1))
        other.honors = {"cadvisor"}
        other.reload()
        env = {"AUTOSCALER_PROMETHEUS_URL": other.url}

        broken = lab.wait_finding("D-TIMESTAMPS", "failure", **env)

        assert "honor_timestamps: false" in broken["cure"]
        other.honors = set()
        other.reload()
        lab.wait_finding("D-TIMESTAMPS", "good", **env)


@ONCE
def test_a_prometheus_that_scrapes_no_cadvisor(lab: Lab, cadvisor: CAdvisor) -> None:
    """Without any series of cAdvisor its link is named; once Prometheus scrapes it, it is good."""
    with ExitStack() as stack:
        other = entered(stack, Prometheus({}, scrape_interval=1))
        env = {"AUTOSCALER_PROMETHEUS_URL": other.url}

        broken = lab.finding("D-METRIC", **env)

        assert broken["result"] == "failure"
        assert "Prometheus has no series" in broken["seen"][0]
        other.targets = {"cadvisor": [cadvisor.address]}
        other.reload()
        lab.wait_finding("D-METRIC", "good", **env)


# scrapes


@ONCE
def test_a_target_that_is_down(lab: Lab) -> None:
    """A target of cAdvisor's job that is down is named with its error; taken out, the check is good."""
    address = f"127.0.0.1:{free_port()}"
    before = dict(lab.prometheus.targets)
    lab.prometheus.targets = {"cadvisor": [*before["cadvisor"], address]}
    lab.prometheus.reload()

    broken = lab.wait_finding("D-TARGETS", "warning")

    assert broken["seen"][0].startswith(f"{address} is down: ")
    assert "take the target out of the scrape job" in broken["cure"]
    lab.prometheus.targets = before
    lab.prometheus.reload()
    lab.wait_finding("D-TARGETS", "good")


@ONCE
def test_a_cadvisor_that_two_jobs_scrape(lab: Lab) -> None:
    """Tasks that two jobs scrape are a hint, and the selector of one job is the cure."""
    lab.prometheus.targets = {**lab.prometheus.targets, "again": lab.prometheus.targets["cadvisor"]}
    lab.prometheus.reload()

    broken = lab.wait_finding("D-TWICE", "hint")

    assert "again and cadvisor" in broken["seen"][0]
    selector = re.search(r"AUTOSCALER_METRIC_SELECTOR=('[^']*')", broken["cure"])
    assert selector
    assert lab.finding("D-TWICE", AUTOSCALER_METRIC_SELECTOR=shlex.split(selector[1])[0])["result"] == "good"


@ONCE
def test_another_scrape_interval_than_the_settings_say(lab: Lab) -> None:
    """The real interval is measured, and the setting to write is named."""
    wrong = {"AUTOSCALER_SCRAPE_INTERVAL": "5s", "AUTOSCALER_RATE_WINDOW": "20s"}

    broken = lab.wait_finding("D-SCRAPE", "warning", **wrong)

    assert broken["cure"] == "set AUTOSCALER_SCRAPE_INTERVAL=1s"
    assert lab.finding("D-SCRAPE", **{**wrong, "AUTOSCALER_SCRAPE_INTERVAL": "1s"})["result"] == "good"


# policies and services


@ONCE
def test_a_misspelt_service(lab: Lab) -> None:
    """A name that Swarm does not have fails, with the near one to write."""
    lab.policies.write_text(POLICIES.replace("doctor_web", "doctor_wbe"))

    broken = lab.finding("D-NAMES")

    assert (broken["result"], broken["cure"]) == ("failure", "write doctor_web")
    lab.policies.write_text(lab.policies.read_text().replace("doctor_wbe", broken["cure"].split()[1]))
    assert lab.finding("D-NAMES")["result"] == "good"


@ONCE
def test_fewer_replicas_than_the_minimum(lab: Lab) -> None:
    """A service that is deployed below its minimum is a warning, and the count to write is the cure."""
    lab.policies.write_text(POLICIES.replace("min: 1", "min: 3"))

    broken = lab.finding("D-MINIMUM")

    assert broken["result"] == "warning"
    count = re.search(r"replicas: (\d+)", broken["cure"])
    assert count
    lab.engine.docker("service", "scale", "--detach", f"{SERVICE}={count[1]}")
    assert lab.finding("D-MINIMUM")["result"] == "good"
    lab.engine.docker("service", "scale", "--detach", f"{SERVICE}=2")


def test_two_autoscalers_in_one_swarm(lab: Lab, service: Callable[..., Load]) -> None:
    """Services with the autoscaler's settings are found; two that differ fail, and removing one is the cure."""

    def settings(mode: str) -> Callable[[dict[str, Any]], None]:
        def change(spec: dict[str, Any]) -> None:
            spec["TaskTemplate"]["ContainerSpec"]["Env"] = [f"AUTOSCALER_DRY_RUN={mode}"]

        return change

    service("scaler-a", change=settings("true"), wait=False)
    service("scaler-b", change=settings("false"), wait=False)

    broken = lab.finding("D-ALONE")

    assert broken["result"] == "failure"
    removed = re.search(r"docker service rm (\S+)", broken["cure"])
    assert removed
    lab.engine.remove_service(removed[1])
    assert lab.finding("D-ALONE")["result"] == "good"


# the calls that would write


def test_calls_that_name_nothing_are_refused_by_the_engine(engine: Engine) -> None:
    """The engine itself refuses each call that would write, for a reason that shows that the call came through."""
    before = stored(engine)
    probe = EngineProbe(engine.socket_url, SystemClock())

    replies = {call.request: call.ask(probe, Deadline(30)) for call in CALLS if call.subject is Subject.WRITE}
    probe.close()

    said = {request: (reply.status, reply.message) for request, reply in replies.items()}
    assert all(reply.came_through and reply.error for reply in replies.values()), said
    assert {status for status, _ in said.values()} <= {400, 404}, said
    assert stored(engine) == before
