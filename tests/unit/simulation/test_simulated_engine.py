"""The simulated engine does what was measured on the real one (docs/facts.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autoscaler.adapters.docker.engine_api import NotFoundError, VersionConflictError
from autoscaler.errors import RefusedError
from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.simulation.parts import Node
from tests.support.simulated_lab import BAD, BETTER, GOOD, Document, Lab, spec

if TYPE_CHECKING:
    from collections.abc import Callable


def test_life_of_a_task() -> None:
    """A task is prepared, runs after the time it takes to start, and runs on until it has stopped."""
    lab = Lab()
    lab.engine.create_service(spec(1))
    assert lab.states() == [("running", "preparing")]

    lab.after(2)
    assert lab.states() == [("running", "running")]
    assert lab.engine.running("web") == 1

    lab.engine.operator_scale("web", 0)
    assert lab.states(ended=True) == [("remove", "running")]
    assert (lab.states(), lab.engine.running("web")) == ([], 0)

    lab.after(1)
    assert lab.states(ended=True) == []


def test_scale_down_ends_what_does_not_run() -> None:
    """Tasks that do not run go first, then the newest."""
    lab = Lab()
    lab.create(2)
    oldest = [task["ID"] for task in lab.engine.tasks()]
    lab.engine.operator_scale("web", 3)
    lab.after(5)
    lab.engine.operator_scale("web", 5)

    lab.engine.operator_scale("web", 3)
    assert lab.running == {GOOD: 3}

    lab.engine.operator_scale("web", 2)
    assert [task["ID"] for task in lab.engine.tasks()] == oldest


def test_any_update_takes_the_rollback_point() -> None:
    """A rollback after a scale undoes the scale, not the deploy before it (docs/facts.md#the-rollback-point)."""
    lab = Lab()
    lab.create(2)
    lab.deploy(BETTER)
    lab.after(60)
    assert lab.versions() == ((BETTER, 2), (GOOD, 2), "completed")

    lab.engine.operator_scale("web", 3)
    assert lab.versions() == ((BETTER, 3), (BETTER, 2), "")

    lab.engine.rollback("web")
    lab.after(60)
    assert lab.versions() == ((BETTER, 2), (BETTER, 3), "rollback_completed")


def test_automatic_rollback() -> None:
    """A bad deploy rolls back by itself, with all but one task running (docs/facts.md#a-scale-in-a-rollout)."""
    lab = Lab()
    lab.create(4, action="rollback")
    lab.deploy(BAD)
    fewest = 4
    for _ in range(60):
        lab.after(1)
        fewest = min(fewest, lab.running[GOOD])

    assert fewest == 3
    assert lab.versions() == ((GOOD, 4), None, "rollback_completed")
    assert lab.running == {GOOD: 4}


def test_scale_in_a_bad_rollout() -> None:
    """A scale in the middle of a bad rollout makes the rollback go to the bad spec."""
    lab = Lab()
    lab.create(4, action="rollback")
    lab.deploy(BAD)
    lab.after(1.5)
    lab.engine.operator_scale("web", 5)
    assert lab.versions() == ((BAD, 5), (BAD, 4), "")

    lab.after(120)
    assert lab.versions() == ((BAD, 4), None, "rollback_paused")


def test_scale_in_a_paused_rollout() -> None:
    """A scale resumes a paused bad update, which ends one more good task."""
    lab = Lab()
    lab.create(4)
    lab.deploy(BAD)
    lab.after(60)
    assert (lab.versions()[2], lab.running) == ("paused", {GOOD: 3})

    lab.engine.operator_scale("web", 5)
    lab.after(60)
    assert (lab.versions()[2], lab.running) == ("paused", {GOOD: 2})


def test_scale_in_a_good_rollout() -> None:
    """A scale in the middle of a good rollout lets it finish, its rollback point lost."""
    lab = Lab()
    lab.create(4)
    lab.deploy(BETTER)
    lab.after(3)
    lab.engine.operator_scale("web", 5)
    lab.after(60)

    assert lab.versions() == ((BETTER, 5), (BETTER, 4), "completed")
    assert lab.running == {BETTER: 5}


def test_an_old_task_that_fails_in_a_start_first_rollout() -> None:
    """A new one follows it, and another new one comes beside that until the rollout is over (measured, 20.10)."""
    lab = Lab()
    lab.create(2, update={"Order": "start-first", "Delay": 10_000_000_000})
    lab.deploy(BETTER)
    lab.after(5)
    assert lab.running == {GOOD: 1, BETTER: 1}

    lab.fail(GOOD)
    lab.after(10)
    assert lab.running == {BETTER: 3}

    lab.after(30)
    assert (lab.running, lab.versions()[2]) == ({BETTER: 2}, "completed")


def test_new_tasks_that_never_run_in_a_start_first_rollout() -> None:
    """Where that goes on whatever fails, it ends the old tasks once it is completed (measured, 20.10)."""
    lab = Lab()
    lab.create(2, action="continue", update={"Order": "start-first"})
    lab.deploy(BAD)
    lab.after(8)
    assert (lab.running, lab.versions()[2]) == ({GOOD: 2}, "updating")

    lab.after(10)
    assert (lab.running, lab.versions()[2]) == ({}, "completed")


def test_the_same_update_again_in_a_rollout() -> None:
    """Swarm goes on with the rollout, says nothing of it, and does not roll back (measured, 20.10 and 28)."""
    lab = Lab()
    lab.create(4, action="rollback")
    lab.engine.break_image(BETTER, "task: non-zero exit (7)", after=3)
    lab.deploy(BETTER)
    lab.after(1)
    lab.deploy(BETTER)
    assert lab.versions() == ((BETTER, 4), (BETTER, 4), "")

    lab.after(60)
    assert (lab.running[GOOD], lab.versions()) == (2, ((BETTER, 4), (BETTER, 4), ""))


def test_a_rollback_that_is_asked_for() -> None:
    """It shows at once, and is over at once where no task is to be replaced (measured, 20.10)."""
    lab = Lab()
    lab.create(2)
    lab.engine.operator_scale("web", 3)
    lab.engine.rollback("web")
    assert lab.versions() == ((GOOD, 2), (GOOD, 3), "rollback_started")
    lab.after(0.01)
    assert lab.versions()[2] == "rollback_completed"


def test_status_comes_late() -> None:
    """A deploy shows as `updating` a few milliseconds after it, as a version of its own (docs/facts.md#late-status)."""
    lab = Lab()
    lab.create()
    lab.deploy(BETTER)
    deployed = lab.engine.service("web")["Version"]["Index"]
    assert lab.versions()[2] == ""

    lab.after(0.01)
    assert lab.versions()[2] == "updating"
    assert lab.engine.service("web")["Version"]["Index"] > deployed


def test_parallel_rollout() -> None:
    """With parallelism 0 all tasks are replaced at once."""
    lab = Lab()
    lab.engine.create_service(spec() | {"UpdateConfig": {"Parallelism": 0}})
    lab.after(10)
    lab.deploy(BETTER)

    lab.after(2)
    assert lab.running == {}
    lab.after(2)
    assert lab.running == {BETTER: 4}


def test_stack_deploy() -> None:
    """A deploy resets the count to the file's, or to 1 without one, and drops labels that the API added."""
    lab = Lab()
    lab.create(2)
    lab.engine.change_service("web", lambda spec: spec.update(Labels={"a": "b"}))
    lab.engine.operator_scale("web", 4)
    assert lab.engine.service("web")["Spec"]["Labels"] == {"a": "b"}

    lab.engine.deploy(spec(2))
    service = lab.engine.service("web")
    assert (service["Spec"]["Labels"], lab.versions()[:2]) == ({}, ((GOOD, 2), (GOOD, 4)))
    assert service["PreviousSpec"]["Labels"] == {"a": "b"}

    without_count = spec()
    del without_count["Mode"]
    lab.engine.deploy(without_count)
    lab.after(60)
    assert (lab.versions()[0], lab.versions()[2]) == ((GOOD, 1), "")


@pytest.mark.parametrize("count", [-1, 1.5, "2"])
def test_wrong_counts(count: object) -> None:
    """A count that is no whole number is refused, and changes nothing."""
    lab = Lab()
    lab.create()
    before = lab.engine.service("web")

    with pytest.raises(RefusedError):
        lab.engine.change_service("web", lambda spec: spec["Mode"]["Replicated"].update(Replicas=count))

    assert before == lab.engine.service("web")


@pytest.mark.parametrize("mode", [{}, {"Replicated": {"Replicas": None}}, {"Replicated": {}}])
def test_trap_of_the_missing_count(mode: Document) -> None:
    """An update that leaves the count out makes it one replica (docs/facts.md#a-missing-count)."""
    lab = Lab()
    lab.create(4)

    lab.engine.change_service("web", lambda spec: spec.update(Mode=mode))

    assert lab.versions()[0] == (GOOD, 1)


def test_version() -> None:
    """An update names the present version; the index only grows, and only when the service is written."""
    lab = Lab()
    lab.create()
    service = lab.engine.service("web")
    index = service["Version"]["Index"]
    lab.after(3600)
    assert lab.engine.service("web")["Version"]["Index"] == index

    for wrong in (index - 1, index + 1):
        with pytest.raises(VersionConflictError, match="update out of sequence"):
            lab.engine.update(service["ID"], wrong, service["Spec"])
    lab.engine.update(service["ID"], index, service["Spec"])
    assert lab.engine.service("web")["Version"]["Index"] > index
    assert lab.engine.service("web")["UpdatedAt"] > service["UpdatedAt"]


def test_missing_service() -> None:
    """What is not there is not found; what is there is not made twice."""
    lab = Lab()
    lab.create()
    with pytest.raises(RefusedError, match="AlreadyExists"):
        lab.engine.create_service(spec())
    lab.engine.remove("web")
    lab.after(60)

    assert (lab.engine.services(), lab.engine.tasks(ended=True)) == ([], [])
    with pytest.raises(NotFoundError, match="service web not found"):
        lab.engine.service("web")


def test_modes() -> None:
    """Global services run on each node; any update of a job executes it again; no mode becomes another."""
    lab = Lab()
    lab.engine.create_service(spec() | {"Name": "everywhere", "Mode": {"Global": {}}})
    lab.engine.create_service(spec() | {"Name": "job", "Mode": {"ReplicatedJob": {"TotalCompletions": 2}}})
    lab.after(10)
    assert (lab.engine.running("everywhere"), lab.engine.running("job")) == (3, 2)

    lab.engine.change_service("job", lambda spec: spec.update(Labels={"only": "a label"}))
    assert lab.engine.service("job")["JobStatus"]["JobIteration"]["Index"] == 1
    assert lab.engine.running("job") == 0
    with pytest.raises(RefusedError, match="service mode change is not allowed"):
        lab.engine.change_service("everywhere", lambda spec: spec.update(Mode={"Replicated": {"Replicas": 2}}))


def test_node_goes_down() -> None:
    """The tasks of a dead node stay `running` as ghosts until it is back, and are replaced elsewhere."""
    lab = Lab(Node("a"), Node("b"))
    lab.create(4)
    lab.engine.stop_node("a")
    assert lab.states(ended=True).count(("shutdown", "running")) == 2
    assert lab.engine.running("web") == 2

    lab.after(10)
    assert lab.engine.running("web") == 4
    assert {task["NodeID"] for task in lab.engine.tasks()} == {"b"}
    assert [node["Status"]["State"] for node in lab.engine.nodes()] == ["down", "ready"]

    lab.engine.start_node("a")
    assert lab.states(ended=True).count(("shutdown", "shutdown")) == 2
    lab.engine.operator_scale("web", 8)
    lab.after(10)
    assert sorted(task["NodeID"] for task in lab.engine.tasks()) == ["a"] * 4 + ["b"] * 4


def test_another_leader() -> None:
    """A new leader knows of no node until that reports: the tasks go on, and new ones wait (measured, 20.10)."""
    lab = Lab(Node("a"), Node("b"))
    lab.create(2)
    lab.engine.change_leader(4)
    assert [node["Status"]["State"] for node in lab.engine.nodes()] == ["unknown", "unknown"]
    assert lab.states() == [("running", "running")] * 2
    lab.engine.operator_scale("web", 3)
    assert ("running", "pending") in lab.states()

    lab.after(2)
    assert [node["Status"]["State"] for node in lab.engine.nodes()] == ["ready", "unknown"]
    lab.after(4)
    assert [node["Status"]["State"] for node in lab.engine.nodes()] == ["ready", "ready"]
    assert lab.engine.running("web") == 3


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ({"Resources": {"Reservations": {"NanoCPUs": 1_500_000_000}}}, "insufficient resources on 1 node"),
        ({"Resources": {"Reservations": {"MemoryBytes": 600}}}, "insufficient resources on 1 node"),
        ({"Placement": {"MaxReplicas": 1}}, "max replicas per node limit exceed"),
    ],
)
def test_no_room(template: Document, words: str) -> None:
    """What has no room waits in Swarm's words, and is placed when room is made (docs/facts.md#task-states)."""
    lab = Lab(Node("a", cores=2, memory=1000))
    lab.create(2, **template)
    (waiting,) = (task for task in lab.engine.tasks() if task["Status"]["State"] != "running")
    assert waiting["Status"]["State"] == "pending"
    assert waiting["Status"]["Err"] == f"no suitable node ({words})"
    assert "NodeID" not in waiting

    lab.engine.stop_node("a")
    lab.engine.start_node("a")
    lab.after(10)
    assert lab.engine.running("web") == 1

    lab.engine.create_service(spec(1, **template) | {"Name": "other"})
    lab.engine.remove("web")
    lab.after(10)
    assert lab.engine.running("other") == 1


def test_constraints() -> None:
    """A task goes to a node that meets its constraints, and waits in Swarm's words where none does."""
    lab = Lab(Node("a"), Node("b", labels={"zone": "b"}), Node("c"))
    lab.create(2, Placement={"Constraints": ["node.labels.zone == b"]})
    lab.after(10)
    assert [task["NodeID"] for task in lab.engine.tasks()] == ["b", "b"]

    lab.engine.create_service(spec(1, Placement={"Constraints": ["node.labels.zone == d"]}) | {"Name": "other"})
    (waiting,) = (task for task in lab.engine.tasks() if task["Status"]["State"] != "running")
    assert waiting["Status"]["Err"] == "no suitable node (scheduling constraints not satisfied on 3 nodes)"


def test_crash_loop() -> None:
    """A failing task is followed by another after five seconds, and five of them are remembered."""
    lab = Lab()
    lab.engine.create_service(spec(1) | {"TaskTemplate": {"ContainerSpec": {"Image": BAD}}})
    lab.after(2)
    assert lab.states(ended=True) == [("ready", "ready"), ("shutdown", "failed")]
    assert lab.states() == []

    lab.after(5)
    assert lab.states() == [("running", "starting")]
    lab.after(3600)
    ended = [task for task in lab.engine.tasks(ended=True) if task["Status"]["State"] == "failed"]
    assert [task["Status"]["Err"] for task in ended] == ["task: non-zero exit (7)"] * 5


@pytest.mark.parametrize("operation", [SimulatedEngine.services, SimulatedEngine.nodes, SimulatedEngine.tasks])
def test_time_is_the_clock(operation: Callable[[SimulatedEngine], object]) -> None:
    """However long nobody asked, what happened meanwhile happened at its time."""
    lab = Lab()
    lab.engine.create_service(spec(1))
    lab.after(3600)
    operation(lab.engine)

    (task,) = lab.engine.tasks()
    assert task["Status"]["Timestamp"] == "2027-01-15T08:00:02.000000Z"
