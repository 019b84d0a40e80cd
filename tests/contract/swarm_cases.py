"""What DockerSwarm does to every Swarm, simulated or real: subclass it and say in which world."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from autoscaler.adapters.docker.documents import unix_time
from autoscaler.core.model import ScaleEvent, ScaleUpStreak
from autoscaler.errors import RefusedError
from autoscaler.ports import Order, Receipt, Written
from autoscaler.swarm.cluster import ROLLBACK_LABEL, STATE_LABEL, SpecBefore
from autoscaler.swarm.history import ScaleState
from autoscaler.swarm.placement import Demand, satisfies
from autoscaler.util.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoscaler.adapters.docker.orchestrator import DockerSwarm
    from autoscaler.swarm.cluster import ServiceView

Document = dict[str, Any]

IMAGE = "local/load:1"
QUICK = {"Parallelism": 0, "Monitor": 500_000_000}
"""A rollout of all tasks at once, which counts as completed half a second later."""
STATE = ScaleState(3, (ScaleEvent(1_800_000_000.125, 2, 3, reason="above_threshold", rule="cpu-high"),)).encode()
_LONG = tuple(
    ScaleEvent(
        1_800_000_000.125 + index, 900_000 + index, 900_001 + index, index % 2 == 0, reason="x" * 25, rule="y" * 63
    )
    for index in range(24)
)
_WANTED = ("running", "ready")
_OF_THE_UPDATER = pytest.mark.one_release(reason="Swarm's updater works alike on both (seen once)")
_OBEDIENT = ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"]


class World(Protocol):
    """A Swarm and the people around it. Waiting takes real time only where the Swarm is real."""

    def swarm(self, hostname: str | None = None) -> DockerSwarm:
        """What is tested, for a process on a machine of this name."""

    def create(self, spec: Document) -> None:
        """Create a service; it is removed after the test."""

    def deploy(self, spec: Document) -> None:
        """Replace the service's spec by this one, as a stack deploy does."""

    def change(self, name: str, change: Callable[[Document], None]) -> None:
        """Let *change* edit the service's spec, as an operator does."""

    def remove(self, name: str) -> None:
        """Remove the service."""

    def break_template(self, spec: Document, *, after: int = 0) -> None:
        """Edit the spec so that its tasks end with an error when they start, or when they have run for some seconds."""

    def fail_task(self, name: str) -> None:
        """Let a running task of the service end with an error."""

    def raw(self, name: str) -> Document:
        """The service as the engine has it, defaults not inserted."""

    def tasks(self, name: str) -> list[Document]:
        """All tasks of the service that the engine remembers."""

    def wait(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait until it holds."""


def replicated(name: str, replicas: int = 2, **more: Any) -> Document:
    """As little as makes a service: an image, what to run, and a count."""
    container = {"Image": IMAGE, "Command": _OBEDIENT}
    return {
        "Name": name,
        "Mode": {"Replicated": {"Replicas": replicas}},
        "TaskTemplate": {"ContainerSpec": container},
        **more,
    }


def rich(name: str, replicas: int = 2) -> Document:
    """A service with about all that a stack file can say without a network or a registry."""
    spec = replicated(name, replicas, Labels={"tier": "web", "autoscaler.policy": "web"})
    spec["TaskTemplate"]["ContainerSpec"] |= {
        "Args": ["ignored"],
        "Labels": {"team": "a"},
        "Hostname": "{{.Node.Hostname}}-{{.Task.Slot}}",
        "Env": ["A=1", "EMPTY="],
        "Dir": "/",
        "StopSignal": "SIGTERM",
        "StopGracePeriod": 3_000_000_000,
        "Healthcheck": {"Test": ["CMD", "/bin/true"], "Interval": 1_000_000_000, "Retries": 30},
        "Hosts": ["10.0.0.1 example"],
        "DNSConfig": {"Nameservers": ["10.0.0.2"], "Search": ["example"]},
        "Init": False,
        "Mounts": [{"Type": "tmpfs", "Target": "/held", "TmpfsOptions": {"SizeBytes": 1_048_576}}],
        "CapabilityDrop": ["CAP_NET_RAW"],
        "Ulimits": [{"Name": "nofile", "Soft": 512, "Hard": 1024}],
    }
    spec["TaskTemplate"] |= {
        "Resources": {
            "Limits": {"NanoCPUs": 250_000_000, "MemoryBytes": 67_108_864, "Pids": 100},
            "Reservations": {"NanoCPUs": 10_000_000, "MemoryBytes": 8_388_608},
        },
        "RestartPolicy": {"Condition": "on-failure", "Delay": 1_000_000_000, "MaxAttempts": 5},
        "Placement": {"Constraints": ["node.role == manager"], "MaxReplicas": 9},
        "LogDriver": {"Name": "json-file", "Options": {"max-size": "1m"}},
        "ForceUpdate": 3,
    }
    spec["UpdateConfig"] = {"Parallelism": 1, "FailureAction": "rollback", "Order": "stop-first"}
    spec["RollbackConfig"] = {"Parallelism": 1, "FailureAction": "pause", "Order": "stop-first"}
    spec["EndpointSpec"] = {"Mode": "dnsrr"}
    return spec


def order(view: ServiceView, replicas: int, **changes: Any) -> Order:
    """To set the service to *replicas*, as a decision on this view would."""
    return replace(Order(view.id, view.name, view.version, view.requested, replicas, STATE), **changes)


def running_ids(world: World, name: str) -> set[str]:
    """The tasks that run and are to go on."""
    return {
        task["ID"]
        for task in world.tasks(name)
        if task["DesiredState"] == "running" and task["Status"]["State"] == "running"
    }


def versions(world: World, name: str) -> set[str]:
    """The versions of the tasks that are to run or to be ready, as `set_env` sets them."""
    wanted = [task["Spec"]["ContainerSpec"] for task in world.tasks(name) if task["DesiredState"] in _WANTED]
    return {"".join(container.get("Env") or ()) for container in wanted}


def restarting(spec: Document) -> Document:
    """The spec, with a second from a failed task to the next."""
    spec["TaskTemplate"]["RestartPolicy"] = {"Condition": "any", "Delay": 1_000_000_000}
    return spec


def since(task: Document) -> float:
    """Since when the task is in its state."""
    return unix_time(task["Status"]["Timestamp"])


def wait_running(world: World, name: str, count: int) -> set[str]:
    """The running tasks, as soon as they are *count*."""
    world.wait(f"{count} running tasks of {name}", lambda: len(running_ids(world, name)) == count)
    return running_ids(world, name)


def wait_update(world: World, name: str, *states: str) -> None:
    """Wait until the service's UpdateStatus is one of *states*."""
    world.wait(f"{name} to be {' or '.join(states)}", lambda: _update_state(world, name) in states)


def _update_state(world: World, name: str) -> str:
    state: str = (world.raw(name).get("UpdateStatus") or {}).get("State", "")
    return state


def view_of(swarm: DockerSwarm, name: str) -> ServiceView:
    """The service as it is read now."""
    return swarm.read(Deadline(20)).services[name]


def scale(swarm: DockerSwarm, what: Order) -> Receipt:
    """Carry the order out, with time enough."""
    return swarm.scale(what, Deadline(20))


def _states(world: World, name: str) -> set[str]:
    """The states of a service's tasks."""
    return {task["Status"]["State"] for task in world.tasks(name)}


def settled(world: World, spec: Document) -> ServiceView:
    """The service of this spec, created, and running."""
    name, count = spec["Name"], spec["Mode"]["Replicated"]["Replicas"]
    world.create(spec)
    wait_running(world, name, count)
    return view_of(world.swarm(), name)


def set_env(value: str) -> Callable[[Document], None]:
    """An operator's change of the task template that harms nobody."""
    return lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Env=[f"V={value}"])


def set_replicas(count: int) -> Callable[[Document], None]:
    """An operator's `docker service scale`."""
    return lambda spec: spec["Mode"]["Replicated"].update(Replicas=count)


def assert_no_way_back(world: World, name: str, words: str) -> None:
    """A rollback is refused in these *words*, and nothing is written."""
    before = world.raw(name)
    with pytest.raises(RefusedError, match=words):
        world.swarm().roll_back(name, Deadline(20))
    assert world.raw(name) == before


class SwarmContract:
    """The cases. A subclass has the fixture `world`."""

    @pytest.mark.parametrize("make", [replicated, rich], ids=["minimal", "rich"])
    @pytest.mark.parametrize("replicas", [3, 1], ids=["up", "down"])
    def test_changes(self, world: World, make: Callable[[str], Document], replicas: int) -> None:
        """A scale changes the count and the autoscaler's label in the spec, and nothing else."""
        view = settled(world, make("changes"))
        before = world.raw("changes")["Spec"]

        assert scale(world.swarm(), order(view, replicas)) == Receipt(Written.APPLIED)

        expected = deepcopy(before)
        expected["Mode"]["Replicated"]["Replicas"] = replicas
        expected["Labels"] = (expected.get("Labels") or {}) | {STATE_LABEL: STATE}
        assert expected == world.raw("changes")["Spec"]
        assert before == world.raw("changes")["PreviousSpec"]

    def test_the_longest_label(self, world: World) -> None:
        """Swarm takes the longest label that the autoscaler writes, and gives it back with every reason and rule."""
        view = settled(world, replicated("explained"))
        state = ScaleState(3, _LONG, ScaleUpStreak("z" * 63, 9, 12345.678901234567), 3, 1_800_000_000.125)

        receipt = scale(world.swarm(), replace(order(view, 3), state=state.encode()))

        assert receipt.written is Written.APPLIED
        read = ScaleState.decode(view_of(world.swarm(), "explained").labels[STATE_LABEL])
        assert read == state
        assert read is not None
        assert [(event.reason, event.rule) for event in read.events] == [("x" * 25, "y" * 63)] * 24

    @pytest.mark.parametrize("make", [replicated, rich], ids=["minimal", "rich"])
    def test_tasks_are_kept(self, world: World, make: Callable[[str], Document]) -> None:
        """A scale restarts no task: an increase adds to the running ones, a reduction leaves those it does not end."""
        view = settled(world, make("kept"))
        two = running_ids(world, "kept")

        assert scale(world.swarm(), order(view, 4)).written is Written.APPLIED
        four = wait_running(world, "kept", 4)
        assert two < four

        assert scale(world.swarm(), order(view_of(world.swarm(), "kept"), 1)).written is Written.APPLIED
        assert wait_running(world, "kept", 1) < four
        assert "UpdateStatus" not in world.raw("kept")

    @pytest.mark.fault("write-conflict")
    def test_version_conflict(self, world: World) -> None:
        """An order is for the version it was decided on: where somebody wrote since, nothing is written."""
        view = settled(world, replicated("conflict"))
        world.change("conflict", set_replicas(5))
        theirs = world.raw("conflict")

        receipt = scale(world.swarm(), order(view, 3))

        assert receipt.written is Written.CONFLICT
        assert "2 replicas" in receipt.detail
        assert theirs == world.raw("conflict")

    @pytest.mark.fault("write-conflict")
    def test_count_conflict(self, world: World) -> None:
        """An order is for the count it was decided on, whatever the version says."""
        view = settled(world, replicated("count"))
        before = world.raw("count")

        assert scale(world.swarm(), order(view, 3, requested=1)).written is Written.CONFLICT
        assert before == world.raw("count")

    @pytest.mark.fault("rollout")
    def test_rollout_in_progress(self, world: World) -> None:
        """A service in a rolling update is seen as that, and not scaled: it would lose its automatic rollback."""
        spec = replicated("rolling", UpdateConfig={"Parallelism": 1, "Delay": 600_000_000_000})
        settled(world, spec)
        world.change("rolling", set_env("2"))
        wait_update(world, "rolling", "updating")
        view = view_of(world.swarm(), "rolling")
        before = world.raw("rolling")

        receipt = scale(world.swarm(), order(view, 3))

        assert "a rolling update is in progress" in view.rollout
        assert receipt.written is Written.CONFLICT
        assert "a rolling update is in progress" in receipt.detail
        assert before["Spec"] == world.raw("rolling")["Spec"]
        assert before["PreviousSpec"] == world.raw("rolling")["PreviousSpec"]

    @pytest.mark.fault("rollout")
    def test_paused_rollout(self, world: World) -> None:
        """A paused update is not resumed by a scale, which would end one more good task."""
        settled(world, replicated("paused"))
        world.change("paused", world.break_template)
        wait_update(world, "paused", "paused")
        before = world.raw("paused")

        receipt = scale(world.swarm(), order(view_of(world.swarm(), "paused"), 3))

        assert receipt.written is Written.CONFLICT
        assert "a rolling update is paused" in receipt.detail
        assert before == world.raw("paused")

    @pytest.mark.fault("deploy-repeated")
    def test_a_deploy_repeated_in_its_rollout(self, world: World) -> None:
        """The same deploy again ends what Swarm says of the rollout, and not the rollout: that is seen by the tasks."""
        spec = replicated("repeated", UpdateConfig={"Parallelism": 1, "Delay": 600_000_000_000})
        settled(world, spec)
        world.deploy(spec)
        assert not view_of(world.swarm(), "repeated").rollout, "nothing was changed, and nothing is replaced"
        set_env("2")(spec)
        for _ in range(2):
            world.deploy(spec)
            world.wait("a new task", lambda: versions(world, "repeated") == {"", "V=2"})

        view = view_of(world.swarm(), "repeated")

        assert "UpdateStatus" not in world.raw("repeated")
        assert view.rollout.startswith("tasks of another version run")

    def test_start_first(self, world: World) -> None:
        """In a start-first rollout never fewer than the count run."""
        settled(world, replicated("first", UpdateConfig=QUICK | {"Parallelism": 1, "Order": "start-first"}))
        world.change("first", set_env("2"))
        fewest = 2

        def over() -> bool:
            nonlocal fewest
            fewest = min(fewest, len(running_ids(world, "first")))
            return _update_state(world, "first") == "completed"

        world.wait("the end of the rollout", over)
        assert fewest == 2
        assert versions(world, "first") == {"V=2"}
        assert view_of(world.swarm(), "first").running == 2

    @_OF_THE_UPDATER
    @pytest.mark.fault("automatic-rollback")
    @pytest.mark.parametrize("order", ["stop-first", "start-first"])
    def test_tasks_that_fail_late_are_rolled_back(self, world: World, order: str) -> None:
        """New tasks that end within the monitor time after they ran count as failed; the version before comes back."""
        name = f"late-{order}"
        watching = {"Parallelism": 1, "Order": order, "Monitor": 20_000_000_000, "FailureAction": "rollback"}
        back = QUICK | {"Monitor": 3_000_000_000}  # so long that its beginning is not missed
        settled(world, restarting(replicated(name, UpdateConfig=watching, RollbackConfig=back)))
        good = world.raw(name)["Spec"]["TaskTemplate"]

        world.change(name, partial(world.break_template, after=2))

        wait_update(world, name, "rollback_started")
        assert view_of(world.swarm(), name).rollout.startswith("a rollback is in progress: update rolled back due to")
        wait_update(world, name, "rollback_completed", "completed")
        assert world.raw(name)["Spec"]["TaskTemplate"] == good
        assert "PreviousSpec" not in world.raw(name)
        wait_running(world, name, 2)
        assert not view_of(world.swarm(), name).rollout

    @_OF_THE_UPDATER
    def test_tasks_that_fail_after_the_rollout_watched_them(self, world: World) -> None:
        """Tasks that end later than that fail nothing but themselves: others follow them after the restart delay."""
        config = QUICK | {"FailureAction": "rollback"}
        settled(world, restarting(replicated("later", 1, UpdateConfig=config)))
        world.change("later", partial(world.break_template, after=8))
        wait_update(world, "later", "completed")

        world.wait("a failed task", lambda: any(task["Status"]["State"] == "failed" for task in world.tasks("later")))

        assert "PreviousSpec" in world.raw("later")
        assert _update_state(world, "later") == "completed"
        assert not view_of(world.swarm(), "later").rollout

    @_OF_THE_UPDATER
    def test_some_failures_are_forgiven(self, world: World) -> None:
        """A rollout is paused where a larger part of the new tasks failed than its MaxFailureRatio."""
        config = {"Parallelism": 1, "MaxFailureRatio": 0.5}
        first = settled(world, restarting(replicated("ratio", UpdateConfig=config)))

        world.change("ratio", world.break_template)

        wait_update(world, "ratio", "paused")
        assert not running_ids(world, "ratio") & {task.id for task in first.tasks}

    @_OF_THE_UPDATER
    def test_what_fails_in_the_last_delay(self, world: World) -> None:
        """What fails while the last slots of a rollout are waited for counts when that is over, however long it ran."""
        config = {"Parallelism": 1, "Monitor": 500_000_000, "Delay": 4_000_000_000}
        settled(world, restarting(replicated("last", 1, UpdateConfig=config)))

        world.change("last", partial(world.break_template, after=2))

        wait_update(world, "last", "paused", "completed")
        assert _update_state(world, "last") == "paused"

    @_OF_THE_UPDATER
    def test_a_failed_task_is_followed_by_another(self, world: World) -> None:
        """In the slot of a task that failed another one runs after the restart delay."""
        settled(world, restarting(replicated("followed", 1)))
        (failing,) = running_ids(world, "followed")

        world.fail_task("followed")

        world.wait("another task", lambda: len(running_ids(world, "followed") - {failing}) == 1)
        (ended,) = (since(task) for task in world.tasks("followed") if task["ID"] == failing)
        (started,) = (since(task) for task in world.tasks("followed") if task["ID"] != failing)
        assert started - ended >= 1

    @_OF_THE_UPDATER
    @pytest.mark.fault("no-room")
    def test_a_failed_task_that_nothing_follows(self, world: World) -> None:
        """Where the restart policy lets none follow a failed task its slot stays its own, whatever count is set."""
        spec = replicated("alone", 1)
        spec["TaskTemplate"]["RestartPolicy"] = {"Condition": "none"}
        settled(world, spec)
        world.fail_task("alone")
        world.wait("the failure", lambda: world.tasks("alone")[0]["Status"]["State"] == "failed")
        swarm = world.swarm()
        view = view_of(swarm, "alone")
        assert (view.requested, view.running) == (1, 0)
        assert "task: non-zero exit (137)" in view.pending(view.updated_at + 60)

        assert scale(swarm, order(view, 2)).written is Written.APPLIED

        wait_running(world, "alone", 1)
        found = sorted((task["Slot"], task["Status"]["State"]) for task in world.tasks("alone"))
        assert found == [(1, "failed"), (2, "running")]

    def test_completed_rollout(self, world: World) -> None:
        """A completed update is in nobody's way, and the next scale takes its rollback point."""
        settled(world, replicated("completed"))
        assert not view_of(world.swarm(), "completed").loses_rollback_point
        world.change("completed", set_env("2"))
        wait_update(world, "completed", "completed")
        view = view_of(world.swarm(), "completed")
        assert view.loses_rollback_point

        assert scale(world.swarm(), order(view, 3)).written is Written.APPLIED

        assert not view_of(world.swarm(), "completed").loses_rollback_point

    def test_rollback_after_a_scale(self, world: World) -> None:
        """The version before the deploy comes back, with the count as it is; Swarm itself has forgotten it."""
        settled(world, replicated("undone", UpdateConfig=QUICK))
        first = world.raw("undone")["Spec"]["TaskTemplate"]
        world.change("undone", set_env("2"))
        wait_update(world, "undone", "completed")
        second = world.raw("undone")["Spec"]["TaskTemplate"]
        view = view_of(world.swarm(), "undone")
        assert scale(world.swarm(), order(view, 3)).written is Written.APPLIED
        assert world.raw("undone")["PreviousSpec"]["TaskTemplate"] == second
        view = view_of(world.swarm(), "undone")
        assert scale(world.swarm(), order(view, 4)).written is Written.APPLIED

        done = world.swarm().roll_back("undone", Deadline(20))

        spec = world.raw("undone")["Spec"]
        assert spec["TaskTemplate"] == first
        assert done.replicas == 4
        assert view_of(world.swarm(), "undone").requested == 4
        assert list(spec["Labels"]) == [STATE_LABEL]
        wait_update(world, "undone", "completed")

    def test_rollback_before_any_scale(self, world: World) -> None:
        """What Swarm still knows is not looked for elsewhere, and an older point is not taken for it."""
        settled(world, replicated("early", UpdateConfig=QUICK))
        for number in ("2", "3"):
            world.change("early", set_env(number))
            wait_update(world, "early", "completed")
            if number == "2":
                scale(world.swarm(), order(view_of(world.swarm(), "early"), 3))
        second = world.raw("early")["PreviousSpec"]["TaskTemplate"]

        world.swarm().roll_back("early", Deadline(20))

        assert world.raw("early")["Spec"]["TaskTemplate"] == second

    def test_rollback_of_a_rollback(self, world: World) -> None:
        """A second rollback brings back what the first one took away, also where a scale came between."""
        settled(world, replicated("twice", UpdateConfig=QUICK))
        first = world.raw("twice")["Spec"]["TaskTemplate"]
        world.change("twice", set_env("2"))
        wait_update(world, "twice", "completed")
        second = world.raw("twice")["Spec"]["TaskTemplate"]
        for count, template in ((3, first), (4, second), (None, first)):
            if count is not None:
                scale(world.swarm(), order(view_of(world.swarm(), "twice"), count))
            world.swarm().roll_back("twice", Deadline(20))
            assert template == world.raw("twice")["Spec"]["TaskTemplate"]
            wait_update(world, "twice", "completed")
        assert view_of(world.swarm(), "twice").requested == 4

    @pytest.mark.fault("rollback-point")
    def test_rollback_to_what_is_not_known_any_more(self, world: World) -> None:
        """Where the version before the last deploy was not kept, an older one is not taken for it."""
        settled(world, replicated("forgotten", UpdateConfig=QUICK))
        world.change("forgotten", set_env("2"))
        wait_update(world, "forgotten", "completed")
        scale(world.swarm(), order(view_of(world.swarm(), "forgotten"), 3))
        world.change("forgotten", set_env("3"))
        wait_update(world, "forgotten", "completed")
        world.change("forgotten", set_replicas(4))  # an operator's scale saves nothing
        assert_no_way_back(world, "forgotten", "is not the one before the last deploy; somebody else's update")

        world.change("forgotten", set_env(token_hex(50_000)))
        wait_update(world, "forgotten", "completed")
        world.change("forgotten", set_env("5"))
        wait_update(world, "forgotten", "completed")
        scale(world.swarm(), order(view_of(world.swarm(), "forgotten"), 3))
        assert_no_way_back(world, "forgotten", "too large to be kept in a label")

        world.change("forgotten", lambda spec: spec["Labels"].update({ROLLBACK_LABEL: "nonsense"}))
        assert_no_way_back(world, "forgotten", f"the label {ROLLBACK_LABEL} is damaged")

    @pytest.mark.fault("labels-damaged")
    def test_labels_of_a_megabyte(self, world: World) -> None:
        """Swarm updates no service with a label of a megabyte: one of ours goes with the scale, another is told."""
        long = "x" * 10**6
        for name, labels in {"ours": {ROLLBACK_LABEL: long, STATE_LABEL: "y"}, "theirs": {"theirs": long}}.items():
            settled(world, replicated(name, 1))
            world.change(name, lambda spec: spec["Labels"].update(labels))  # noqa: B023 - at once

        told = scale(world.swarm(), order(view_of(world.swarm(), "theirs"), 2))
        done = scale(world.swarm(), order(view_of(world.swarm(), "ours"), 2))

        assert told.written is Written.REFUSED
        assert "is larger than Swarm stores" in told.detail or "message is too large" in told.detail
        assert done.written is Written.APPLIED
        labels = world.raw("ours")["Spec"]["Labels"]
        assert (labels[STATE_LABEL], labels[ROLLBACK_LABEL]) == (STATE, "")
        assert scale(world.swarm(), order(view_of(world.swarm(), "ours"), 3)).written is Written.APPLIED

    def test_rollback_to_nowhere(self, world: World) -> None:
        """Where nothing was deployed over another version there is nothing to go back to, and nothing is written."""
        settled(world, replicated("first"))
        scale(world.swarm(), order(view_of(world.swarm(), "first"), 3))
        before = world.raw("first")

        with pytest.raises(RefusedError, match="no version to go back to"):
            world.swarm().roll_back("first", Deadline(20))
        with pytest.raises(RefusedError, match=r"Swarm has no service 'frist' \(did you mean first\?\)"):
            world.swarm().roll_back("frist", Deadline(20))

        assert world.raw("first") == before

    def test_automatic_rollback(self, world: World) -> None:
        """A failed update that rolled back by itself has a previous spec no more, and can be scaled."""
        config = {"Parallelism": 1, "FailureAction": "rollback"}
        settled(world, replicated("rolled-back", UpdateConfig=config))
        world.change("rolled-back", world.break_template)
        wait_update(world, "rolled-back", "rollback_completed")
        view = view_of(world.swarm(), "rolled-back")

        assert view.before is None
        assert not view.loses_rollback_point
        assert scale(world.swarm(), order(view, 3)).written is Written.APPLIED

    @pytest.mark.fault("service-removed")
    def test_gone(self, world: World) -> None:
        """A service that was removed is gone, which is no error."""
        view = settled(world, replicated("gone", 1))
        world.remove("gone")

        assert scale(world.swarm(), order(view, 2)).written is Written.GONE
        assert "gone" not in world.swarm().read(Deadline(20)).services

    def test_no_op(self, world: World) -> None:
        """A write that would change no count is not made: it would still take the rollback point."""
        view = settled(world, replicated("same"))
        before = world.raw("same")

        receipt = scale(world.swarm(), order(view, 2))

        assert receipt == Receipt(Written.REFUSED, "the service already asks for 2 replicas")
        assert before == world.raw("same")

    @pytest.mark.fault("unscalable")
    @pytest.mark.parametrize(
        ("mode", "words"),
        [
            ({"Global": {}}, "global"),
            ({"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}, "replicated-job"),
            ({"GlobalJob": {}}, "global-job"),
        ],
        ids=["global", "replicated job", "global job"],
    )
    def test_unsupported_modes(self, world: World, mode: Document, words: str) -> None:
        """Only replicated services are scaled: any update of a job would execute it again."""
        world.create(replicated("unsupported") | {"Mode": mode})
        world.wait("its tasks", lambda: _states(world, "unsupported") == {"running"})
        view = view_of(world.swarm(), "unsupported")
        before = world.raw("unsupported")

        receipt = scale(world.swarm(), order(view, 3))

        assert (words, 0) == (view.mode, view.requested)
        assert receipt.written is Written.REFUSED
        assert words in receipt.detail
        assert before == world.raw("unsupported")

    def test_operator_scale(self, world: World) -> None:
        """An operator's scale keeps the autoscaler's label, and the count before it is seen."""
        scale(world.swarm(), order(settled(world, replicated("by-hand")), 3))

        world.change("by-hand", set_replicas(5))

        view = view_of(world.swarm(), "by-hand")
        assert (5, STATE, SpecBefore(3, STATE)) == (view.requested, view.labels[STATE_LABEL], view.before)

    def test_stack_deploy(self, world: World) -> None:
        """A stack deploy resets the count and drops the label; both are still seen in the spec before it."""
        spec = replicated("deployed")
        scale(world.swarm(), order(settled(world, spec), 3))

        world.deploy(spec)

        view = view_of(world.swarm(), "deployed")
        assert STATE_LABEL not in view.labels
        assert (2, SpecBefore(3, STATE)) == (view.requested, view.before)
        assert not view.template_changed

    def test_running(self, world: World) -> None:
        """Tasks run when Swarm wants them and they are in the state running, and since then."""
        view = settled(world, replicated("runs"))

        newest = max(task.since for task in view.tasks)
        assert (view.requested, view.running, view.running_since(newest)) == (2, 2, 2)
        assert view.created_at <= newest
        assert view.running_since(view.created_at - 1) == 0
        assert view.pending(newest) == ""

    def test_ended_tasks_do_not_run(self, world: World) -> None:
        """A task that is stopping is not counted, however long that takes."""
        view = settled(world, replicated("stopping", 3))

        scale(world.swarm(), order(view, 1))

        world.wait("one running task", lambda: len(running_ids(world, "stopping")) == 1)
        assert view_of(world.swarm(), "stopping").running == 1

    @pytest.mark.fault("no-room")
    @pytest.mark.parametrize(
        ("name", "template", "demand", "words"),
        [
            (
                "too-large",
                {"Resources": {"Reservations": {"NanoCPUs": 10**12, "MemoryBytes": 2**23}}},
                Demand(nano_cpus=10**12, memory=2**23),
                "insufficient resources on ",
            ),
            (
                "too-many",
                {"Placement": {"MaxReplicas": 1}},
                Demand(max_per_node=1),
                "max replicas per node limit exceed",
            ),
            (
                "nowhere",
                {"Placement": {"Constraints": ["node.labels.nobody == yes"]}},
                Demand(constraints=("node.labels.nobody == yes",)),
                "scheduling constraints not satisfied on ",
            ),
        ],
    )
    def test_no_room(self, world: World, name: str, template: Document, demand: Demand, words: str) -> None:
        """Of a task that has no room Swarm's own words are quoted, and it is known to have no node."""
        spec = replicated(name, 4)
        spec["TaskTemplate"] |= template
        world.create(spec)
        world.wait("Swarm's words", lambda: any(task["Status"].get("Err") for task in world.tasks(name)))

        view = view_of(world.swarm(), name)

        assert view.demand == demand
        assert 1 <= len(view.unplaced) <= 4
        assert not any(task.holds_room for task in view.unplaced)
        said = view.pending(min(task.since for task in view.unplaced) + 60)
        assert said.startswith(f"pending for 1m: no suitable node ({words}")

    @pytest.mark.fault("forgotten")
    def test_what_waits_when_the_count_changes_is_never_tried_again(self, world: World) -> None:
        """Of two replicas, one of which waited when the count was raised, the other alone runs once there is room."""
        nodes = world.swarm().read(Deadline(20)).nodes
        large, small = replicated("fills-nodes", len(nodes)), replicated("waits", 1)
        for spec, share in ((large, 0.8), (small, 0.5)):
            reserved = round(share * nodes[0].nano_cpus)
            spec["TaskTemplate"]["Resources"] = {"Reservations": {"NanoCPUs": reserved}}
        large["TaskTemplate"]["Placement"] = {"MaxReplicas": 1}
        world.create(large)
        wait_running(world, "fills-nodes", len(nodes))
        world.create(small)

        def waiting() -> list[Document]:
            return [task for task in world.tasks("waits") if task["Status"].get("Err")]

        world.wait("Swarm's words", lambda: len(waiting()) == 1)
        forgotten = waiting()[0]["ID"]
        scale(world.swarm(), order(view_of(world.swarm(), "waits"), 2))
        world.wait("Swarm's words", lambda: len(waiting()) == 2)
        world.remove("fills-nodes")
        wait_running(world, "waits", 1)
        world.create(replicated("passes-by", 1))
        wait_running(world, "passes-by", 1)

        assert [task.id for task in view_of(world.swarm(), "waits").unplaced] == [forgotten]

    def test_nodes(self, world: World) -> None:
        """What nodes have, and where a task may be placed, is read with the services."""
        nodes = world.swarm().read(Deadline(20)).nodes

        assert nodes
        for node in nodes:
            assert node.takes_tasks
            assert node.nano_cpus >= 10**9
            assert node.memory >= 2**28
            assert (node.role, node.os) == ("manager", "linux")
            assert satisfies(node, f"node.hostname == {node.hostname}")
            assert satisfies(node, f"node.id != {node.hostname}x")
            assert not satisfies(node, "node.labels.nobody == yes")

    @pytest.mark.fault("no-room")
    def test_failing_tasks(self, world: World) -> None:
        """Of a service whose tasks fail the last one's error is quoted, at the latest at the second look."""
        spec = replicated("fails", 1)
        world.break_template(spec)
        world.create(spec)
        world.wait("a failed task", lambda: any(task["Status"]["State"] == "failed" for task in world.tasks("fails")))
        swarm = world.swarm()

        swarm.read(Deadline(20))
        view = view_of(swarm, "fails")

        assert view.running == 0
        assert "task: non-zero exit (7)" in view.pending(view.created_at + 60)

    @pytest.mark.fault("no-room")
    def test_missing_image(self, world: World) -> None:
        """Of a service whose image nobody has that is quoted."""
        spec = replicated("no-image", 1)
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = "local/missing:1"
        world.create(spec)
        world.wait(
            "a rejection", lambda: any(task["Status"]["State"] == "rejected" for task in world.tasks("no-image"))
        )

        view = view_of(world.swarm(), "no-image")

        assert "No such image: local/missing:1" in view.pending(view.created_at + 60)

    def test_count_left_out(self, world: World) -> None:
        """A service made without a count has one replica, and can be scaled like any other."""
        world.create(replicated("countless") | {"Mode": {"Replicated": {}}})
        wait_running(world, "countless", 1)
        view = view_of(world.swarm(), "countless")

        assert (view.mode, view.requested) == ("replicated", 1)
        assert scale(world.swarm(), order(view, 2)).written is Written.APPLIED

    def test_limits(self, world: World) -> None:
        """Limits are seen in cores and bytes, and where there are none the node's memory."""
        limited = settled(world, rich("limited"))
        free = settled(world, replicated("free", 1))

        assert (limited.cpu_limit, limited.memory_limit) == (0.25, 67_108_864)
        assert (free.cpu_limit, free.memory_limit) == (None, None)
        assert free.node_memory is not None
        assert free.node_memory > 2**28

    def test_own_service(self, world: World) -> None:
        """The service that this process runs in is known by its container's hostname."""
        settled(world, replicated("own", 1))
        settled(world, replicated("other", 1))
        (container,) = (
            task["Status"]["ContainerStatus"]["ContainerID"]
            for task in world.tasks("own")
            if task["DesiredState"] == "running"
        )

        assert world.swarm(container[:12]).read(Deadline(20)).own_service == "own"
        assert world.swarm("build-server").read(Deadline(20)).own_service is None
        assert world.swarm().read(Deadline(20)).own_service is None
