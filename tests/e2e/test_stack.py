"""deploy/stack.yml as an operator deploys it, with local stand-ins for the images this machine cannot pull."""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.adapters.docker.lease import CONFIG, HOLDER_LABEL
from tests.e2e.guide import policy
from tests.e2e.lab import LabError, python_base, start_load, wait_for
from tests.e2e.lab.cadvisor import PROGRAM as CADVISOR
from tests.e2e.lab.images import BASE
from tests.e2e.lab.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.e2e.lab import Engine, Load

pytestmark = [pytest.mark.e2e, pytest.mark.one_release(reason="images are built for minutes; the image runs on both")]

STACK = "autoscaler"
ROOT = Path(__file__).parents[2]
AUTOSCALER = f"{STACK}_autoscaler"
SERVICE = "advtom_backend"
OVERRIDE = """
version: "3.8"
services:
  autoscaler:
    healthcheck: {{interval: 2s}}
  cadvisor:
    command: [--docker_only=true, --housekeeping_interval=1s, --docker=unix:///mnt/engine.sock]
    volumes:
      - {{type: bind, source: {socket}, target: /mnt/engine.sock}}
      - {{type: bind, source: {data}, target: {data}, read_only: true}}
"""
"""What is added to the stack: all that two versions of the command line merge alike."""
FASTER = {
    "scrape_interval: 15s": "scrape_interval: 1s",
    "refresh_interval: 15s": "refresh_interval: 1s",
    "monitor: 30s": "monitor: 4s",
    "delay: 5s": "delay: 1s",
    "delay: 10s": "delay: 1s",
    "-loglevel=info": "-loglevel=debug",
    "../policies/": f"{ROOT}/policies/",
}
MORE_POLICIES = """
version: "3.8"
services:
  autoscaler:
    configs:
      - {{source: more, target: /policies/more.yml}}
configs:
  more:
    name: autoscaler_more_${{POLICIES_REV}}
    file: {file}
"""
SHELL = """
set -eu
exec 2>&1
docker() {
  case "$1 ${2-}" in
    push*) ;;  # there is no registry here
    "stack deploy")
      shift 2
      command "$CLI" stack deploy --resolve-image never "${@/#deploy/$COPY}" -c "$COPY/override.yml" ;;
    "service logs") command "$CLI" service logs "$4" ;;  # without -f, which does not end
    *) command "$CLI" "$@" ;;
  esac
}
stat() { command stat -c %g "$SOCKET"; }  # of the lab's engine, not of the machine's
"""
"""What differs here from an operator's machine."""


def stand_in(engine: Engine, directory: Path, name: str, program: Path, entrypoint: str) -> str:
    """An image of that name with the program, on the base image's stand-in."""
    context = directory / name
    context.mkdir()
    shutil.copy(program, context / program.name)
    (context / "Dockerfile").write_text(f"FROM {BASE}\nCOPY {program.name} /usr/local/bin/\nENTRYPOINT {entrypoint}\n")
    return engine.build(context, f"standin/{name}:1") and f"standin/{name}:1"


@dataclass
class Stack:
    """The stack as an operator deploys and edits it, and the service that it scales."""

    engine: Engine
    directory: Path
    settings: Mapping[str, str]
    load: Load
    exported: str = ""
    """What was exported in the operator's shell so far."""

    def typed(self, commands: str, *, cli: str = "docker") -> str:
        """What *commands* print, typed in a shell at the repository's root; *cli* is the docker program."""
        own = {
            "DOCKER_HOST": self.engine.socket_url,
            "DOCKER_CONFIG": str(self.engine.directory / "docker-config"),
            "DOCKER_BUILDKIT": "0",
            "COPY": str(self.directory),
            "SOCKET": str(self.engine.socket),
            "CLI": cli,
        }
        script = f"{SHELL}{self.exported}{commands}"
        printed = run("bash", "-c", script, env=own | dict(self.settings), cwd=ROOT, timeout=1800)
        self.exported += "".join(re.findall(r"^export .*\n", commands, re.MULTILINE))
        return printed

    def edit(self, revision: str, policies: str, more: str = "", **settings: str) -> None:
        """Deploy an edited policy under a new revision, live; *more* is a second policy file."""
        (self.directory / "policies.yml").write_text(policies)
        files = [self.directory / "stack.yml", self.directory / "override.yml"]
        if more:
            (self.directory / "more.yml").write_text(more)
            (self.directory / "files.yml").write_text(MORE_POLICIES.format(file=self.directory / "more.yml"))
            files.append(self.directory / "files.yml")
        own = {
            "AUTOSCALER_IMAGE": "registry.example/swarm-autoscaler:0.1.0",
            "AUTOSCALER_DRY_RUN": "false",
            "DOCKER_GID": str(self.engine.socket.stat().st_gid),
            "POLICIES_FILE": str(self.directory / "policies.yml"),
            "POLICIES_REV": revision,
        }
        chosen = [argument for file in files for argument in ("-c", file)]
        self.engine.docker(
            "stack", "deploy", "--resolve-image", "never", *chosen, STACK, env=dict(self.settings) | own | settings
        )

    def rolled_out(self, ends: str = "completed") -> None:
        """Wait for the autoscaler's rollout to end that way."""
        wait_for(f"the autoscaler's rollout to be {ends}", lambda: self.engine.rollout(AUTOSCALER) == ends)
        self.engine.wait_running(AUTOSCALER, 2)  # a rollback ends before its tasks are healthy

    @property
    def leader(self) -> str:
        """Which task of the autoscaler has the lease: its container's id, shortened."""
        found = json.loads(self.engine.docker("config", "inspect", CONFIG))[0]
        return str(found["Spec"]["Labels"][HOLDER_LABEL]).partition("-")[0]

    def leads(self) -> str:
        """The leader, if it is one of the running tasks; empty where it is not."""
        running = [task["Status"]["ContainerStatus"]["ContainerID"] for task in self.engine.running_tasks(AUTOSCALER)]
        return self.leader if self.leader and any(each.startswith(self.leader) for each in running) else ""

    @property
    def steps(self) -> list[tuple[float, int, int]]:
        """The changes that the service's label tells of: when, from, to."""
        label = self.engine.service(SERVICE)["Spec"].get("Labels", {}).get("autoscaler.state", '{"changes": []}')
        return [(at, before, after) for at, before, after in json.loads(label)["changes"]]

    def logs(self, service: str = AUTOSCALER, since: float | None = None) -> str:
        """What all tasks of a service said, by default the autoscaler's, ended ones too."""
        containers = self.engine.client.containers(
            all=True, filters={"label": f"com.docker.swarm.service.name={service}"}
        )
        return "".join(self.engine.client.logs(each["Id"], since=since).decode() for each in containers)

    def callers(self, since: float) -> set[str]:
        """From where calls to the engine came since then, as the socket proxies let them through."""
        said = self.logs(f"{STACK}_socket-proxy", since)
        return set(re.findall(r"^allowed request .* from (\S+)$", said, re.MULTILINE))

    def addresses(self, tasks: Sequence[dict[str, Any]]) -> set[str]:
        """Where tasks of the autoscaler are on its network with the socket proxies."""
        return {
            str(address).partition("/")[0]
            for task in tasks
            for attachment in task["NetworksAttachments"]
            if attachment["Network"]["Spec"]["Name"] == f"{STACK}_docker-api"
            for address in attachment["Addresses"]
        }

    def remove(self) -> None:
        """`docker stack rm`, again where a network went while it was at it: the CLI takes that for a failure."""
        wait_for("the stack to be removed", lambda: [self.engine.docker("stack", "rm", STACK)], interval=1)
        wait_for("its tasks to end", lambda: not self.engine.client.containers(filters={"name": f"{STACK}_"}))
        wait_for("its networks to go", lambda: not self.engine.client.networks(names=[f"{STACK}_metrics"]))


@pytest.fixture(scope="module")
def stack(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack with stand-ins, and seconds for minutes; and the service, of one replica, that it is to scale."""
    python_base(engine, BASE)
    directory = tmp_path_factory.mktemp("stack")
    changed = FASTER | {"source: /var/run/docker.sock": f"source: {engine.socket}"}
    for file in ("stack.yml", "prometheus.yml"):
        text = (ROOT / "deploy" / file).read_text()
        for written, here in changed.items():
            text = text.replace(written, here)
        (directory / file).write_text(text)
    (directory / "override.yml").write_text(OVERRIDE.format(socket=engine.socket, data=engine.directory / "data"))
    proxy = ROOT / "tests" / "e2e" / "standins" / "socket_proxy.py"
    command = '["python3", "/usr/local/bin/socket_proxy.py"]'
    settings = {
        "SOCKET_PROXY_IMAGE": stand_in(engine, directory, "proxy", proxy, command),
        "CADVISOR_IMAGE": stand_in(engine, directory, "cadvisor", CADVISOR, '["cadvisor"]'),
        "PROMETHEUS_IMAGE": stand_in(
            engine, directory, "prometheus", engine.release.program("prometheus"), '["prometheus"]'
        ),
        "AUTOSCALER_INTERVAL": "1s",
        "AUTOSCALER_SCRAPE_INTERVAL": "1s",
    }
    try:
        made = Stack(engine, directory, settings, start_load(engine, SERVICE, cpus=0.05))
        yield made
        made.remove()
    finally:
        engine.remove_service(SERVICE)


def instructions() -> list[str]:
    """The commands of README.md's way from nothing to live, block by block."""
    section = (ROOT / "README.md").read_text().partition("## From nothing")[2].partition("\n### ")[0]
    blocks = re.findall(r"^ {3}```(\w*)\n(.*?)^ {3}```$", section, re.DOTALL | re.MULTILINE)
    return [re.sub(r"^ {3}", "", block, flags=re.MULTILINE) for language, block in blocks if not language]


def test_readme_from_nothing_to_dry_run_to_live(stack: Stack) -> None:
    """What README.md says an operator types works as it stands: build, dry-run, plan, live."""
    build, deploy, plan, live = instructions()
    with stack.engine.network.outbound():
        stack.typed(build)
    version = stack.engine.service(SERVICE)["Version"]["Index"]
    stack.typed(deploy, cli="/usr/bin/docker")  # the oldest engine's
    for name, count in {"autoscaler": 2, "socket-proxy": 2, "prometheus": 1, "cadvisor": 1}.items():
        stack.engine.wait_running(f"{STACK}_{name}", count)
    try:
        wait_for("a proposal in dry-run", lambda: '"dry_run"' in stack.typed("docker service logs -f " + AUTOSCALER))
    except LabError as error:
        raise AssertionError(f"{error}; the autoscaler said: {stack.logs()[-3000:]}") from error
    shown = stack.typed(f"{plan.rstrip()} || [ $? = 2 ]\n")
    assert re.search(rf"{SERVICE} +1 → 3 +3 +10 +below_min", shown), shown
    doctor = plan.rstrip().replace("autoscaler plan", "autoscaler doctor --output json")

    bad: dict[str, Any] = {}

    def examined() -> bool:
        checks = json.loads(stack.typed(f"{doctor} || [ $? = 1 ]\n"))["checks"]
        bad.clear()
        bad.update({check["code"]: check["seen"] for check in checks if check["result"] in {"failure", "warning"}})
        return bad.keys() - {"D-METRIC", "D-PROBLEMS"} == {"D-NAMES", "D-MINIMUM"}

    # Two of the policies' services are missing, and the third has fewer replicas than its minimum. The stand-in of
    # cAdvisor sees no task of this engine, and the daemon has a problem once that lasts.
    try:
        wait_for("no other finding of the doctor", examined)
    except LabError as error:
        raise AssertionError(f"{error}; it found {bad}") from error
    assert stack.engine.service(SERVICE)["Version"]["Index"] == version

    stack.typed(live)

    wait_for("the service to be scaled", lambda: stack.load.replicas == 3)
    assert [step[1:] for step in stack.steps] == [(1, 3)]
    stack.rolled_out()
    wait_for("one to lead", stack.leads)
    assert '"lease_failed"' not in stack.logs()


UP = 8
"""Seconds between two steps: less than a refused edit takes, so that one comes in the middle."""


def edited(**changes: int) -> str:
    """Policies under which the service gains a replica every eight seconds."""
    return policy(SERVICE, **{"low": 2, "high": 30} | changes, up=f"{UP}s", down="10m")


@pytest.mark.fault("policies-redeployed", "autoscaler-updated", "asked-to-stop", "leader-dies")
def test_edits_new_images_and_the_way_back_to_dry_run(stack: Stack) -> None:
    """Scaling goes on, with one leader and no double step, while the autoscaler itself is deployed again and again.

    A bad edit is refused by the first new task, which asks the engine nothing, and Swarm brings the last good revision
    back.
    """
    engine = stack.engine
    stack.edit("good", edited())
    stack.rolled_out()
    stack.load.set(mem=90)
    wait_for("a step", lambda: len(stack.steps) > 1)

    # A bad edit.
    good = stack.addresses(engine.running_tasks(AUTOSCALER))
    began = time.time()  # noqa: TID251 - to compare with the label's times
    stack.edit("bad", edited().replace("above", "abvoe"))
    stack.rolled_out("rollback_completed")
    refused = [task for task in engine.tasks(AUTOSCALER) if task["Status"]["State"] == "failed"]
    assert {task["Status"]["ContainerStatus"]["ExitCode"] for task in refused} == {1}
    assert {config_of(task) for task in refused} == {"autoscaler_policies_bad"}
    said = engine.client.logs(refused[0]["Status"]["ContainerStatus"]["ContainerID"]).decode()
    assert re.search(r"^/policies/policies\.yml:8:\d+: .*abvoe", said, re.MULTILINE), said
    assert {config_of(task) for task in engine.running_tasks(AUTOSCALER)} == {"autoscaler_policies_good"}
    assert any(at > began for at, _, _ in stack.steps), "the other one went on"
    now, callers = stack.addresses(engine.running_tasks(AUTOSCALER)), stack.callers(began)
    assert now <= callers <= good | now, "nobody else called the engine"
    assert stack.addresses(refused)
    assert not stack.addresses(refused) & callers, "not even to read"

    # A good edit, in two files, with a new image: the lease is handed over.
    before = wait_for("one to lead", stack.leads)
    engine.docker("tag", "registry.example/swarm-autoscaler:0.1.0", "registry.example/swarm-autoscaler:0.1.1")
    another = policy("another_*").replace("guide", "another")
    stack.edit("two", edited(), more=another, AUTOSCALER_IMAGE="registry.example/swarm-autoscaler:0.1.1")
    stack.rolled_out()
    assert '"policies": 2' in stack.logs()
    assert wait_for("one to lead", stack.leads) != before
    last = stack.steps[-1]
    wait_for("a step of the new image", lambda: stack.steps[-1] != last)

    # The one that acts dies: the other one takes over.
    leader = wait_for("one to lead", stack.leads)
    engine.docker("kill", leader)
    wait_for("another one to lead", lambda: stack.leads() not in {"", leader})
    last = stack.steps[-1]
    wait_for("a step of the other one", lambda: stack.steps[-1] != last)

    # Back to dry-run: nothing more is written.
    stack.edit("two", edited(), AUTOSCALER_DRY_RUN="true")
    stack.rolled_out()
    version = engine.service(SERVICE)["Version"]["Index"]
    proposals = stack.logs().count('"dry_run"')
    wait_for("proposals", lambda: stack.logs().count('"dry_run"') > proposals)
    assert engine.service(SERVICE)["Version"]["Index"] == version

    steps_up = stack.steps[1:]
    assert [after - before for _, before, after in steps_up] == [1] * len(steps_up)
    assert all(later[0] - earlier[0] >= UP for earlier, later in pairwise(steps_up))

    stack.remove()
    left = set(engine.docker("config", "ls", "--format", "{{.Name}}").split())
    assert {name for name in left if name.startswith("autoscaler")} == {CONFIG}


def config_of(task: dict[str, Any]) -> str:
    """The name of the config that holds the policies of a task of the autoscaler."""
    configs = task["Spec"]["ContainerSpec"]["Configs"]
    return next(str(each["ConfigName"]) for each in configs if each["File"]["Name"] == "/policies/policies.yml")
