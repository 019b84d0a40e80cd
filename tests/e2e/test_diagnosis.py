"""Installations that are broken for real, on one Prometheus that scrapes the same cAdvisor in several ways."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from autoscaler.metrics.queries import SERVICE_LABEL, TASK_LABEL
from tests.e2e.daemon import Daemon, command
from tests.e2e.guide import policy
from tests.e2e.lab import CAdvisor, Load, Prometheus, start_load, wait_for
from tests.e2e.lab.ports import free_port
from tests.e2e.lab.process import Child
from tests.support.stack import SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.lab import Engine

pytestmark = [pytest.mark.e2e, pytest.mark.one_release(reason="the evidence is asked of both Prometheus")]

CPU = "container_cpu_usage_seconds_total"
PROXY = Path(__file__).parent / "standins" / "socket_proxy.py"
RELABELED: dict[str, list[dict[str, object]]] = {
    "nameless": [{"regex": SERVICE_LABEL, "action": "labeldrop"}],
    "taskless": [{"regex": TASK_LABEL, "action": "labeldrop"}],
    "mended": [{"regex": SERVICE_LABEL, "action": "labeldrop"}],
    "startless": [{"source_labels": ["__name__"], "regex": "container_start_time_seconds", "action": "drop"}],
}


@dataclass
class Bench:
    """A service that runs for long, and a Prometheus with a job for each way to break it."""

    engine: Engine
    prometheus: Prometheus
    load: Load
    directory: Path

    def run(self, job: str, *arguments: str, policies: str = "", **env: str) -> tuple[int, str]:
        """The exit code and the text of a command that looks at the series of *job* only."""
        file = self.directory / "policies.yml"
        file.write_text(policies or policy(self.load.name))
        env = {"AUTOSCALER_METRIC_SELECTOR": f'job="{job}"', "COLUMNS": "500"} | env
        done = command(self.engine, self.prometheus.url, file, *arguments, **env)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def bench(engine: Engine, cadvisor: CAdvisor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The bench."""
    with ExitStack() as stack:
        stack.callback(engine.remove_service, "diagnosed")
        load = start_load(engine, "diagnosed", replicas=2, cpus=0.1, mib=16)
        seldom = stack.enter_context(CAdvisor(engine, housekeeping=10))
        targets = {job: [cadvisor.address] for job in ("whole", *RELABELED)} | {"dated": [seldom.address]}
        prometheus = Prometheus(targets, scrape_interval=1)
        prometheus.relabelings, prometheus.honors = dict(RELABELED), {"dated"}
        stack.enter_context(prometheus)
        named = f'count(count by (job) ({CPU}{{{SERVICE_LABEL}="diagnosed"}}))'
        prometheus.wait_for(named, lambda found: found and found[0].value == 4)  # whole, taskless, startless, dated
        yield Bench(engine, prometheus, load, tmp_path_factory.mktemp("diagnosis"))


@pytest.mark.parametrize(
    ("job", "said", "cure"),
    [
        ("cadvisr", 'has job="cadvisr"', 'correct AUTOSCALER_METRIC_SELECTOR; the series have job="'),
        ("nameless", f"has the label {SERVICE_LABEL}", "--store_container_labels=true"),
        ("taskless", f"has the label {TASK_LABEL}", "let no relabelling drop it"),
        ("dated", "its samples are dated by cAdvisor", "write honor_timestamps: false"),
    ],
)
@pytest.mark.fault("data-missing")
def test_the_broken_link_is_named(bench: Bench, job: str, said: str, cure: str) -> None:
    """`check --live` and `plan` name the first broken link with its cure; once it has lasted, `plan` exits with 1."""
    code, text = bench.run(job, "check", "--live")
    assert code == 1
    (line,) = [line for line in text.splitlines() if line.startswith("no data: cpu of diagnosed:")]
    assert said in line
    assert cure in line

    def planned() -> str:
        code, text = bench.run(job, "plan")
        return text if code == 1 else ""

    text = wait_for("a plan that exits with 1", planned)
    assert "problem: no data: the only service has no data: " in text
    assert said in text


def test_starts_that_are_not_known(bench: Bench) -> None:
    """Without container_start_time_seconds all have data, and `check --live` says what that means for new tasks."""

    def checked() -> str:
        code, text = bench.run("startless", "check", "--live")
        return text if code == 0 else ""

    text = wait_for("data of all", checked)
    assert "remark: Prometheus has no container_start_time_seconds of any task, so samples of new tasks count" in text


def test_the_url_of_cadvisor(bench: Bench, cadvisor: CAdvisor) -> None:
    """If the URL is that of cAdvisor, it is said that this is not a Prometheus, and which setting to correct."""
    for arguments in (["check", "--live"], ["plan"]):
        code, text = bench.run("whole", *arguments, AUTOSCALER_PROMETHEUS_URL=f"http://{cadvisor.address}")
        assert code == 1
        assert "AUTOSCALER_PROMETHEUS_URL" in text
        assert "this is not the answer of a Prometheus" in text


@pytest.mark.fault("nothing-matched")
def test_a_glob_and_a_name_that_match_nothing(bench: Bench) -> None:
    """`check --live` and `plan` name what matches no service, and what may be meant."""
    policies = policy(bench.load.name).replace(f"[{bench.load.name}]", f"[{bench.load.name}, diagnozed, 'digno*']")
    for arguments in (["check", "--live"], ["plan"]):
        _, text = bench.run("whole", *arguments, policies=policies)
        assert "warning: policy guide: the glob digno* matches no service (did you mean diagnosed?)" in text
        assert "Swarm has no service of this name (did you mean diagnosed?)" in text
        assert "All have data" not in text


def test_young_tasks(bench: Bench, service: Callable[..., Load]) -> None:
    """Tasks in their warm-up are told with their age and the time of the first decision, and that is no problem."""
    load = service(replicas=2, cpus=0.1, mib=16)
    code, text = bench.run("whole", "plan", policies=policy(load.name), AUTOSCALER_WARMUP="10m")
    (line,) = [
        line for line in text.splitlines() if line.startswith(f"waits: cpu of {load.name}: 2 of 2 tasks started")
    ]
    assert "samples count once a task is older than 10m; first decision about " in line
    assert (code, "problem:" in text) == (0, False)


@pytest.mark.fault("data-missing")
def test_a_lack_that_lasts_and_its_cure(bench: Bench, tmp_path: Path) -> None:
    """The daemon warns of a lack that lasts, is not ready meanwhile, and tells its end once the cure is carried out."""
    selector = {"AUTOSCALER_METRIC_SELECTOR": 'job="mended"'}
    with Daemon(bench.engine, bench.prometheus, tmp_path, policy(bench.load.name), **selector) as daemon:
        found = daemon.wait_event("data_lack_found", metric="cpu")
        assert (found["link"], found["services"]) == ("service_label", ["diagnosed"])
        missed = daemon.wait_event("data_missed")
        assert "--store_container_labels=true" in missed["detail"]
        wait_for("a daemon that is not ready", lambda: daemon.get("/-/ready").status_code == 503)
        assert "not ready: no data: the only service has no data: " in daemon.get("/-/ready").text
        assert daemon.get("/-/healthy").status_code == 200
        assert 'autoscaler_problems{kind="no_data"} 1.0' in daemon.get("/metrics").text

        bench.prometheus.relabelings = {job: rules for job, rules in RELABELED.items() if job != "mended"}
        bench.prometheus.reload()
        daemon.wait_event("data_found")
        wait_for("a daemon that is ready", lambda: daemon.get("/-/ready").status_code == 200)
        assert len(daemon.events("data_missed")) == 1


@contextmanager
def proxy(engine: Engine, directory: Path, port: int, refused: str = "") -> Iterator[None]:
    """The stand-in with the stack's flags before the engine, less what is *refused* of them."""
    own = (f"-socketpath={engine.socket}", f"-proxyport={port}", "-listenip=127.0.0.1")
    flags = [flag for flag in SERVICES["socket-proxy"]["command"] if flag.startswith("-allow")]
    if refused:
        assert any(refused in flag for flag in flags)
        flags = [flag.replace(refused, "nothing") for flag in flags]
    child = Child("socket-proxy", [sys.executable, PROXY, *own, *flags], directory / "proxy.log")
    try:
        child.wait_ready(lambda: requests.get(f"http://127.0.0.1:{port}/version", timeout=5).ok)
        yield
    finally:
        child.stop()


@pytest.mark.fault("write-refused")
def test_refused_updates_through_the_proxy(bench: Bench, service: Callable[..., Load], tmp_path: Path) -> None:
    """A proxy that refuses updates is told once with the call and the cure, until a write passes."""
    load = service()
    load.set(cpu=95)
    port = free_port()
    env = {"AUTOSCALER_DOCKER_HOST": f"tcp://127.0.0.1:{port}", "AUTOSCALER_METRIC_SELECTOR": 'job="whole"'}
    with ExitStack() as stack:
        refusing = stack.enter_context(ExitStack())
        refusing.enter_context(proxy(bench.engine, tmp_path, port, "services/[a-z0-9]+/update"))
        daemon = stack.enter_context(Daemon(bench.engine, bench.prometheus, tmp_path, policy(load.name), **env))
        refused = daemon.wait_event("write_refused")
        identity = bench.engine.service(load.name)["ID"]
        assert f"refused POST /services/{identity}/update (let the socket proxy allow it" in refused["detail"]
        assert "not ready: writes to Swarm: " in daemon.get("/-/ready").text
        refusals = re.compile(r'autoscaler_swarm_requests_total\{operation="scale",result="refused"\} [3-9]')
        wait_for("three refusals", lambda: refusals.search(daemon.get("/metrics").text))
        assert len(daemon.events("write_refused")) == 1
        assert len(daemon.events("service_evaluated", service=load.name, outcome="failed")) == 1

        refusing.close()
        stack.enter_context(proxy(bench.engine, tmp_path, port))
        daemon.wait_event("write_accepted")
        daemon.wait_event("service_evaluated", service=load.name, outcome="applied")
        wait_for("a daemon that is ready", lambda: daemon.get("/-/ready").status_code == 200)
