"""Rollouts of every kind with the daemon running, rules, bounds and schedules demanding changes meanwhile."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.adapters.system_clock import SystemClock
from autoscaler.swarm.cluster import ROLLBACK_LABEL
from tests.e2e.daemon import Daemon, command
from tests.e2e.lab import Exporter, LabError, Prometheus, Tap, start_load, wait_for
from tests.e2e.lab.process import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.e2e.lab import Engine, Load

pytestmark = pytest.mark.e2e

Document = dict[str, Any]

SECOND = 1_000_000_000
GOOD, BAD = "V=GOOD", "V=BAD"
PRESSURE = "shop_pressure"
POLICY = """
version: 1
metrics:
  pressure: {{query: shop_pressure}}
policies:
  - name: rollouts
    services: ["roll-*"]
    replicas: {{min: {least}, max: 7}}
    rules: [{{name: high, metric: pressure, above: 70, add: 1}}]
    scale_up: {{cooldown: {up}}}
    schedules: {schedules}
"""
GUARDED = ["/bin/sh", "-c", "[ -e /control/good ] && exec /bin/load"]
"""A version that works as long as a file is there."""


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    """The shop's pressure: 50 until the test says otherwise."""
    with Exporter({PRESSURE: 50}) as started:
        yield started


@pytest.fixture
def prometheus(exporter: Exporter) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the shop's pressure each second."""
    with Prometheus({"shop": [exporter.address]}, scrape_interval=1) as started:
        yield started


def updating(  # noqa: PLR0913 -- what a rollout is configured by
    action: str, *, order: str = "stop-first", parallelism: int = 1, delay: int = 0, monitor: int = 2, back: int = 2
) -> Callable[..., None]:
    """How the service is rolled out, *delay* seconds between its batches; for `start_load`.

    A task that fails counts for *monitor* seconds, and *back* in a rollback. Where one is to fail these are so many
    that a busy machine tells of it in time; they are waited for only where none does.
    """

    def change(spec: Document) -> None:
        config = {"Parallelism": parallelism, "Delay": delay * SECOND, "Order": order, "MaxFailureRatio": 0}
        spec["UpdateConfig"] = config | {"FailureAction": action, "Monitor": monitor * SECOND}
        spec["RollbackConfig"] = config | {"FailureAction": "pause", "Parallelism": 1, "Monitor": back * SECOND}
        spec["TaskTemplate"]["RestartPolicy"] = {"Condition": "any", "Delay": SECOND // 2}
        spec["TaskTemplate"]["ContainerSpec"]["Env"].append(GOOD)
        spec["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"] = SECOND

    return change


def deployed(
    engine: Engine,
    name: str,
    *,
    bad: bool,
    replicas: int | None = None,
    change: Callable[[Document], None] | None = None,
) -> None:
    """Deploy another version of the service: one whose tasks fail, or another good one; *change* edits it before."""
    spec = engine.service(name)["Spec"]
    if change is not None:
        change(spec)
    container = spec["TaskTemplate"]["ContainerSpec"]
    container["Env"] = [entry for entry in container["Env"] if not entry.startswith("V=")]
    container["Env"].append(BAD if bad else f"{GOOD} again")
    container["Command"] = ["/bin/false"] if bad else ["/bin/load"]
    if replicas is not None:
        spec["Mode"]["Replicated"]["Replicas"] = replicas
    engine.update_service(name, spec)


def reaches(engine: Engine, name: str, state: str) -> None:
    """Wait until Swarm says this of the service's rollout."""
    try:
        wait_for(f"{name} to be {state}", lambda: engine.rollout(name) == state)
    except LabError as error:
        raise AssertionError(f"{error}; it is {engine.rollout(name)!r}, its tasks {engine.tasks(name)}") from error


def version_of(engine: Engine, name: str) -> str:
    """Which version its tasks are made of."""
    return version_in(engine.service(name)["Spec"]["TaskTemplate"])


def version_in(template: Document) -> str:
    """Which version a task template is."""
    environment: list[str] = template["ContainerSpec"]["Env"]
    return next(entry for entry in environment if entry.startswith("V="))


@contextmanager
def watched(engine: Engine) -> Iterator[dict[str, list[str]]]:
    """What the engine's events tell of services meanwhile, by service: each state of a rollout, and each count."""
    told: dict[str, list[str]] = {}
    stream: Any = engine.client.events(filters={"type": "service"}, decode=True)

    def read() -> None:
        for event in stream:
            facts = event["Actor"]["Attributes"]
            new = [str(facts[key]) for key in ("updatestate.new", "replicas.new") if key in facts]
            told.setdefault(facts["name"], []).extend(new)

    thread = Thread(target=read)
    thread.start()
    try:
        yield told
    finally:
        stream.close()
        thread.join(10)


@contextmanager
def running(engine: Engine, services: Mapping[str, Callable[[Document], None]]) -> Iterator[dict[str, Load]]:
    """Services of these names, each changed as it says, with three running tasks; removed afterwards."""
    loads: dict[str, Load] = {}
    with ExitStack() as stack:
        for name, change in services.items():
            stack.callback(engine.remove_service, name)  # after they were all removed at once
            loads[name] = start_load(engine, name, replicas=3, command=GUARDED, change=change, wait=False)
            (loads[name].control / "good").touch()
        stack.callback(engine.docker, "service", "rm", *services)
        for name in services:
            engine.wait_running(name, 3)
        yield loads


@pytest.mark.fault("rollout")
@pytest.mark.fault("deploy-repeated")
def test_no_rollout_is_written_into_whatever_demands_it(
    engine: Engine, prometheus: Prometheus, exporter: Exporter, tmp_path: Path
) -> None:
    """A rollout or rollback that runs or is paused is left alone: by rules, by a raised minimum, by a schedule's start.

    A paused one is not resumed, and none of its good tasks ends. One that Swarm says nothing of, as it was deployed a
    second time, is left alone as well. After a rollout's end scaling goes on.
    """
    services = {
        "roll-stop-first": updating("rollback", delay=3),
        "roll-start-first": updating("rollback", order="start-first", delay=3),
        "roll-repeated": updating("rollback", delay=3),
        "roll-paused": updating("pause", monitor=20),
        "roll-back": updating("rollback", parallelism=2, delay=6, monitor=20),
        "roll-back-paused": updating("rollback", monitor=20, back=20),
    }
    paused = {"roll-paused": "paused", "roll-back-paused": "rollback_paused"}
    with running(engine, services) as loads, ExitStack() as stack:
        daemon = stack.enter_context(
            Daemon(engine, prometheus, tmp_path, POLICY.format(least=3, up="1s", schedules="[]"))
        )
        for name in services:
            daemon.wait_decision(name, said("no_breach"))

        told = stack.enter_context(watched(engine))
        (loads["roll-back-paused"].control / "good").unlink()
        first = {name: loads[name].task_ids for name in paused}  # later ones fail, and may run for a moment
        for name in services:
            deployed(engine, name, bad=name not in {"roll-stop-first", "roll-start-first", "roll-repeated"})
        reaches(engine, "roll-repeated", "updating")
        engine.update_service("roll-repeated", engine.service("roll-repeated")["Spec"])
        assert not engine.rollout("roll-repeated")
        exporter.set(PRESSURE, 90)
        for name, reached in paused.items():
            reaches(engine, name, reached)
        before = {name: (engine.service(name), first[name] & loads[name].task_ids) for name in paused}

        # A schedule that begins within the minute, and a minimum raised by an edit.
        daemon.edit(POLICY.format(least=5, up="1s", schedules=soon()))
        daemon.wait_event("policies_reloaded")
        for name in paused:
            daemon.wait_decision(name, said("below_min"))
        for name in ("roll-stop-first", "roll-start-first", "roll-back"):
            daemon.wait_event("service_evaluated", service=name, outcome="applied")
        daemon.wait_event("service_evaluated", service="roll-repeated", outcome="applied")
        assert {version_in(task["Spec"]) for task in engine.running_tasks("roll-repeated")} == {f"{GOOD} again"}
        assert any("tasks of another version run" in str(event) for event in daemon.events("service_evaluated"))
        exporter.set(PRESSURE, 50)
        for name in paused:
            decision = daemon.wait_decision(name, said("schedule_bounds"))
            assert (decision["primary"]["reason"], decision["outcome"]) == ("rollout_in_progress", "held")

        # Every service but the paused ones was scaled, once its rollout was over and not before.
        for name in ("roll-stop-first", "roll-start-first"):
            assert version_of(engine, name) == f"{GOOD} again"
            assert told[name][:2] == ["updating", "completed"], told
        assert told["roll-back"][:3] == ["updating", "rollback_started", "rollback_completed"], told
        assert version_of(engine, "roll-back") == GOOD
        for name, (service, tasks) in before.items():
            assert service["Version"] == engine.service(name)["Version"], f"{name} was written to"
            assert tasks <= loads[name].task_ids, f"a good task of {name} ended"
            assert not daemon.events("service_evaluated", service=name, outcome="applied")

        # Swarm has no version before the one that it rolled back to.
        refused = command(engine, prometheus.url, daemon.policies, "rollback", "roll-back-paused")
        assert (refused.returncode, "no version to go back to" in refused.stderr) == (1, True), refused.stderr

        # What an operator does about it is followed by what was held.
        deployed(engine, "roll-paused", bad=False)
        held = daemon.wait_event("service_evaluated", service="roll-paused", outcome="applied")
        assert (held["requested"], held["desired"], version_of(engine, "roll-paused")) == (3, 6, f"{GOOD} again")


def soon() -> str:
    """Schedules with one that begins with the next minute, but not before 15 seconds have passed."""
    minute = int((SystemClock().now() + 15) // 60 + 1)
    start, end = minute % 60, (minute + 30) % 60
    return f'[{{name: soon, start: "{start} * * * *", end: "{end} * * * *", min: 6}}]'


def said(reason: str) -> Callable[[Document], bool]:
    """Whether a decision's reasons include this one."""
    return lambda decision: any(why["reason"] == reason for why in decision.get("reasons", []))


RACERS = 5
MOST_ROUNDS = 6


@pytest.mark.fault("automatic-rollback")
def test_a_rule_that_fires_at_the_moment_of_a_deploy(
    engine: Engine, prometheus: Prometheus, exporter: Exporter, tmp_path: Path
) -> None:
    """Bad deploys at the very moment of a look or of a write all end on the good version.

    Swarm does not say yet that it rolls out; a write then would make the bad version what it goes back to.
    """
    names = [f"roll-{number}" for number in range(RACERS)]
    exporter.set(PRESSURE, 90)
    with running(engine, dict.fromkeys(names, updating("rollback", parallelism=0, monitor=20))), ExitStack() as stack:
        tap = stack.enter_context(Tap(engine))
        policies = POLICY.format(least=3, up="10m", schedules="[]").replace("max: 7", "max: 3")
        daemon = stack.enter_context(Daemon(engine, prometheus, tmp_path, policies, AUTOSCALER_DOCKER_HOST=tap.url))
        for name in names:
            daemon.wait_decision(name, said("above_threshold"))
        unseen: list[str] = []
        for number in range(MOST_ROUNDS):
            for name in names:
                # The deploy asks for two replicas, so that bounds and rule demand a write at once.
                bad = partial(deployed, engine, name, bad=True, replicas=2)
                done = Event()
                if number % 2:
                    # An operator's scale first, so that there is a write; it is refused, and looked again at once.
                    update = rf"POST .*/services/{engine.service(name)['ID']}/update"
                    tap.once(update, bad, partial(over, done))
                    engine.docker("service", "scale", "--detach", f"{name}=2")
                else:
                    tap.once(r"GET .*/services", bad, partial(seen, name, unseen, done))
                assert done.wait(PATIENCE)
            for name in names:
                wait_for(f"{name} to be rolled back", partial(rolled_back, engine, name))
                wait_for(f"{name} to have its replicas again", partial(has, engine, name, 3))

            assert {version_of(engine, name) for name in names} == {GOOD}
            if number and unseen:  # both kinds were had, and a look that came before Swarm said that it rolls out
                break
        else:
            pytest.fail("no look came before Swarm said that it rolls out")


def seen(name: str, unseen: list[str], done: Event, answer: bytes) -> None:
    """Note *name* as *unseen* where the list has its new version and no word of a rollout."""
    service = next(each for each in json.loads(answer) if each["Spec"]["Name"] == name)
    if BAD in service["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"] and not service.get("UpdateStatus"):
        unseen.append(name)
    done.set()


def over(done: Event, _: bytes) -> None:
    """The call was answered."""
    done.set()


def rolled_back(engine: Engine, name: str) -> bool:
    """Whether the deploy's rollout has ended, one way or the other."""
    return version_of(engine, name) == GOOD and engine.rollout(name) in {"", "rollback_completed"}


def has(engine: Engine, name: str, count: int) -> bool:
    """Whether it has so many replicas, and all run."""
    return engine.replicas(name) == count == len(engine.running_tasks(name))


@pytest.mark.fault("rollback-point")
def test_the_version_before_comes_back_under_load(
    engine: Engine, prometheus: Prometheus, exporter: Exporter, tmp_path: Path
) -> None:
    """`autoscaler rollback` brings the version before the last deploy back while the daemon runs, the count stays.

    The point is saved in the scale that would lose it, of which `plan` warns. A second rollback takes the first back.
    A paused rollout is superseded. A version whose config was removed is refused in words.
    """
    services = {
        "roll-plain": updating("rollback", parallelism=0),
        "roll-first": updating("rollback", parallelism=0, order="start-first"),
        "roll-config": with_config(engine, "roll-config-1"),
        "roll-paused": updating("pause", monitor=20),
    }
    config = with_config(engine, "roll-config-2")
    file = tmp_path / "policies.yml"
    file.write_text(POLICY.format(least=3, up="10m", schedules="[]"))

    def rollback(name: str) -> tuple[int, str, str]:
        done = command(engine, prometheus.url, file, "rollback", name)
        return done.returncode, done.stdout, done.stderr

    with ExitStack() as after, running(engine, services) as loads, ExitStack() as stack:
        after.callback(engine.docker, "config", "rm", "roll-config-2")
        for name in services:
            deployed(engine, name, bad=name == "roll-paused", change=config if name == "roll-config" else None)
        for name in services:
            reached = "paused" if name == "roll-paused" else "completed"
            reaches(engine, name, reached)
        exporter.set(PRESSURE, 90)
        prometheus.wait_for(PRESSURE, lambda samples: samples[0].value == 90)
        planned = command(engine, prometheus.url, file, "plan")
        assert planned.returncode == 2, planned.stderr
        scaled = ("roll-plain", "roll-first", "roll-config")
        for name in scaled:
            assert f"warning: {name}: after this scale `docker service rollback` undoes the scale" in planned.stdout
        assert "warning: roll-paused" not in planned.stdout

        told = stack.enter_context(watched(engine))
        daemon = stack.enter_context(Daemon(engine, prometheus, tmp_path, file.read_text()))
        for name in scaled:
            daemon.wait_event("rollback_point_replaced", service=name)
            service = engine.service(name)
            assert ROLLBACK_LABEL in service["Spec"]["Labels"]
            assert ROLLBACK_LABEL not in service["PreviousSpec"].get("Labels", {}), "not in the same write"
        wait_for("the events of the three", lambda: all(told.get(name) for name in scaled))
        assert {name: told[name] for name in scaled} == {name: ["4"] for name in scaled}

        for name in ("roll-plain", "roll-first"):
            assert rollback(name)[0] == 0
        for name in ("roll-plain", "roll-first"):
            reaches(engine, name, "completed")
            assert (version_of(engine, name), loads[name].replicas) == (GOOD, 4)
        assert rollback("roll-plain")[0] == 0
        assert (version_of(engine, "roll-plain"), loads["roll-plain"].replicas) == (f"{GOOD} again", 4)

        engine.docker("config", "rm", "roll-config-1")
        before = engine.service("roll-config")
        code, _, words = rollback("roll-config")
        assert (code, engine.service("roll-config")) == (1, before)
        assert "Swarm refuses the version before the last deploy (deploy the one you want)" in words
        assert "config" in words.partition("deploy the one you want")[2]

        assert rollback("roll-paused")[0] == 0
        daemon.wait_event("service_evaluated", service="roll-paused", outcome="applied")
        assert version_of(engine, "roll-paused") == GOOD
        engine.wait_running("roll-paused", 4)


def with_config(engine: Engine, name: str) -> Callable[[Document], None]:
    """A change that gives a service a new config of this name, in the place of others."""
    identity = engine.client.create_config(name, b"content")["ID"]
    file = {"Name": "/settings", "UID": "0", "GID": "0", "Mode": 0o444}

    def change(spec: Document) -> None:
        updating("rollback", parallelism=0)(spec)
        spec["TaskTemplate"]["ContainerSpec"]["Configs"] = [{"ConfigID": identity, "ConfigName": name, "File": file}]

    return change
