"""Docker's documents as the autoscaler's values."""

from __future__ import annotations

import base64
import gzip
import json
import sys
import tracemalloc
import zlib
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from autoscaler.adapters.docker import documents, rollback_point
from autoscaler.adapters.docker.engine_errors import documented
from autoscaler.adapters.docker.lists import read_services, read_tasks
from autoscaler.errors import UnreachableError
from autoscaler.swarm.cluster import ROLLBACK_LABEL, STATE_LABEL, ServiceView, SpecBefore, TaskView
from autoscaler.swarm.placement import Demand, NodeView

Document = dict[str, Any]

MINUTE = {0: "2027-01-15T08:00:00Z", 1: "2027-01-15T08:01:00.5Z", 2: "2027-01-15T08:02:00.123456789Z"}
ZERO = 1_800_000_000
GIB = 2**30
MIB = 2**20


def service(mode: object = None, **changes: object) -> Document:
    """A service of two replicas, created at minute 0."""
    spec = {
        "Name": "web",
        "Labels": {"tier": "web"},
        "TaskTemplate": {"ContainerSpec": {"Image": "app:1"}},
        "Mode": {"Replicated": {"Replicas": 2}} if mode is None else mode,
    }
    document = {
        "ID": "s1",
        "Version": {"Index": 12},
        "CreatedAt": MINUTE[0],
        "UpdatedAt": MINUTE[0],
        "Spec": spec,
    }
    return document | changes


def task(  # noqa: PLR0913 - a task has that many facts
    id_: str, state: str = "running", *, desired: str = "running", node: str = "n1", error: str = "", minute: int = 1
) -> Document:
    """A task of that service, created at minute 0, in its state since *minute*."""
    status: Document = {"Timestamp": MINUTE[minute], "State": state, "Message": "said Swarm"}
    if error:
        status["Err"] = error
    if state == "running":
        status["ContainerStatus"] = {"ContainerID": "0123456789ab" + id_.encode().hex().zfill(52)}
    document = {"ID": id_, "ServiceID": "s1", "CreatedAt": MINUTE[0], "Status": status, "DesiredState": desired}
    return document | {"NodeID": node} if node else document


def node(id_: str, memory: int = 4 * GIB, state: str = "ready") -> Document:
    """A node with that much memory."""
    return {"ID": id_, "Description": {"Resources": {"MemoryBytes": memory}}, "Status": {"State": state}}


def view(
    *tasks: Document, nodes: tuple[Document, ...] = (node("n1"),), document: Document | None = None
) -> ServiceView:
    """The service as it is seen with these tasks and nodes."""
    return documents.cluster([document or service()], tasks, nodes).services["web"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2027-01-15T08:00:00Z", ZERO),
        ("2027-01-15T08:01:00.5Z", ZERO + 60.5),
        ("2027-01-15T08:02:00.123456789Z", ZERO + 120.123456),
        ("2027-01-15T08:02:00.000000001Z", ZERO + 120),
        ("2027-01-15T09:00:00.25+01:00", ZERO + 0.25),
        ("0001-01-01T00:00:00Z", -62_135_596_800),
    ],
)
def test_times(text: str, seconds: float) -> None:
    """Times are Unix seconds, exact to the microsecond; Go's zero time is one, too."""
    assert documents.unix_time(text) == seconds


@pytest.mark.parametrize(
    ("mode", "words", "requested"),
    [
        ({"Replicated": {"Replicas": 4}}, "replicated", 4),
        ({"Replicated": {"Replicas": 0}}, "replicated", 0),
        ({"Replicated": {"Replicas": None}}, "replicated without a count", 0),
        ({"Replicated": {}}, "replicated without a count", 0),
        ({"Replicated": None}, "replicated without a count", 0),
        ({"Replicated": {"Replicas": True}}, "replicated without a count", 0),
        ({"Replicated": {"Replicas": 2**64}}, "replicated without a count", 0),
        ({"Replicated": {"Replicas": 1.5}}, "replicated without a count", 0),
        ({}, "replicated without a count", 0),
        ({"Global": {}}, "global", 0),
        ({"ReplicatedJob": {"TotalCompletions": 3}}, "replicated-job", 0),
        ({"GlobalJob": {}}, "global-job", 0),
        ({"Replicated": {"Replicas": 4}, "Global": {}}, "replicated and global", 0),
        ({"Quantum": {}}, "Quantum", 0),
    ],
)
def test_modes(mode: Document, words: str, requested: int) -> None:
    """Only a whole number of replicas is a count, and only with one is a service replicated."""
    seen = view(document=service(mode))

    assert (seen.mode, seen.requested) == (words, requested)


def test_service() -> None:
    """A service is seen with its own times, labels, version and rollout."""
    document = service(UpdatedAt=MINUTE[2], UpdateStatus={"State": "updating", "Message": "update in progress"})

    seen = documents.service_view(document)

    assert (seen.id, seen.name, seen.version, dict(seen.labels)) == ("s1", "web", 12, {"tier": "web"})
    assert (seen.created_at, seen.updated_at) == (ZERO, ZERO + 120.123456)
    assert seen.rollout == "a rolling update is in progress: update in progress"
    assert (seen.update_started, seen.rolling(ZERO)) == (None, seen.rollout)


def test_the_age_of_a_rollout() -> None:
    """A rollout is told with its age, and with Swarm's words about the oldest task that waits."""
    status = {"State": "updating", "StartedAt": MINUTE[2], "Message": "update in progress"}
    waiting = TaskView(
        "t1", "pending", ZERO + 180, on_ready_node=True, words="no suitable node (max replicas per node)"
    )

    seen = documents.service_view(service(UpdateStatus=status), (waiting,))

    assert seen.rolling(ZERO + 780) == (
        "a rolling update is in progress: update in progress, for 11m; "
        "pending for 10m: no suitable node (max replicas per node)"
    )
    assert seen.rolling(ZERO).startswith("a rolling update is in progress: update in progress, for 0s")
    assert documents.service_view(service(), (waiting,)).rolling(ZERO) == ""


@pytest.mark.parametrize("part", ["UpdateStatus", "PreviousSpec", "Endpoint"])
def test_null_parts(part: str) -> None:
    """A part that the engine has as null is one that it leaves out."""
    assert documents.service_view(service(**{part: None})) == documents.service_view(service())


def test_null_labels() -> None:
    """A spec without labels, before or now, has none."""
    document = service()
    document["Spec"]["Labels"] = None
    document["PreviousSpec"] = deepcopy(document["Spec"])

    seen = documents.service_view(document)

    assert (dict(seen.labels), seen.before) == ({}, SpecBefore(2, ""))


def test_created_service_settles() -> None:
    """A service without a previous spec was deployed when it was created: it settles, and has no rollback point."""
    seen = documents.service_view(service())

    assert seen.unsettled
    assert (seen.before, seen.loses_rollback_point) == (None, False)


@pytest.mark.parametrize(
    ("part", "value", "changed"),
    [
        ("Name", "web", False),
        ("Labels", {STATE_LABEL: "old"}, False),
        ("Mode", {"Replicated": {"Replicas": 7}}, False),
        ("UpdateConfig", {"Parallelism": 3}, False),
        ("TaskTemplate", {"ContainerSpec": {"Image": "app:0"}}, True),
        ("TaskTemplate", {"ContainerSpec": {"Image": "app:1"}, "ForceUpdate": 1}, True),
        ("EndpointSpec", {"Mode": "dnsrr"}, True),
        ("Networks", [{"Target": "n"}], True),
    ],
)
def test_template_changed(part: str, value: object, changed: bool) -> None:  # noqa: FBT001 - a row of the table
    """A rollout follows where the last update changed what tasks are made from, and only there, and soon shows."""
    document = service()
    document["PreviousSpec"] = document["Spec"] | {part: value}

    seen = documents.service_view(document)

    assert (seen.template_changed, seen.loses_rollback_point) == (changed, changed)
    assert seen.unsettled is changed
    assert not replace(seen, update_state="completed").unsettled


@pytest.mark.parametrize(
    ("template", "changes", "mixed"),
    [
        ({"ContainerSpec": {"Image": "app:0"}}, {}, True),
        ({"ContainerSpec": {"Image": "app:1"}}, {}, False),
        ({"ContainerSpec": {"Image": "app:1"}, "Placement": {"MaxReplicas": 2}, "Runtime": "container"}, {}, False),
        ({"ContainerSpec": {"Image": "app:0"}}, {"UpdateStatus": {"State": "completed"}}, False),
        ({"ContainerSpec": {"Image": "app:0"}}, {"PreviousSpec": {}}, False),
        ({"ContainerSpec": {"Image": "app:0"}}, {"PreviousSpec": None}, False),
        (None, {}, False),
    ],
)
def test_a_rollout_that_swarm_says_nothing_of(
    template: Document | None,
    changes: Document,
    mixed: bool,  # noqa: FBT001 - a row of the table
) -> None:
    """After an update that changed nothing a rollout goes on where tasks of another template are to run."""
    document = service()
    document |= {"PreviousSpec": deepcopy(document["Spec"])} | changes
    old = task("t1") if template is None else task("t1") | {"Spec": template}
    seen = view(old, task("t2", "shutdown", desired="shutdown") | {"Spec": {}}, document=document)
    services = read_services([json.dumps([document]).encode()])
    tasks = read_tasks([json.dumps([old]).encode()], documents.repeated(services))

    assert seen.mixed is mixed
    assert bool(seen.rollout) is mixed
    assert ("Spec" in tasks[0]) is mixed, "no other task of a list keeps its spec, which is most of it"
    assert documents.cluster(services, tasks, [node("n1")]).services["web"].mixed is mixed


def test_spec_before() -> None:
    """The count and the label before the last update are seen; a mode without a count had none."""
    document = service()
    document["PreviousSpec"] = document["Spec"] | {"Labels": {STATE_LABEL: "old"}}
    assert documents.service_view(document).before == SpecBefore(2, "old")

    document["PreviousSpec"] = document["Spec"] | {"Mode": {"Global": {}}}
    assert documents.service_view(document).before == SpecBefore(None, "")


@pytest.mark.parametrize(
    ("resources", "cpu", "memory"),
    [
        ({"Limits": {"NanoCPUs": 500_000_000, "MemoryBytes": GIB}}, 0.5, GIB),
        ({"Limits": {"NanoCPUs": 0, "MemoryBytes": 0}}, None, None),
        ({"Limits": {"Pids": 10}}, None, None),
        ({"Limits": None}, None, None),
        ({"Reservations": {"NanoCPUs": 500_000_000}}, None, None),
        (None, None, None),
    ],
)
def test_limits(resources: object, cpu: float | None, memory: float | None) -> None:
    """Limits are in cores and bytes; 0 is no limit, and a reservation is none either."""
    document = service()
    document["Spec"]["TaskTemplate"]["Resources"] = resources

    seen = documents.service_view(document)

    assert (seen.cpu_limit, seen.memory_limit) == (cpu, memory)


def test_running() -> None:
    """A task runs that is desired running, in state running, on a node that is ready, since it came into that state."""
    ghost = task("ghost", desired="shutdown", node="n2")
    lost = task("lost", node="n2")
    draining = task("draining", desired="remove")
    starting = task("starting", "starting")

    seen = view(
        task("a"), task("b", minute=2), ghost, lost, draining, starting, nodes=(node("n1"), node("n2", state="down"))
    )

    assert [view.id for view in seen.tasks if view.running] == ["a", "b"]
    assert {view.id for view in seen.tasks} == {"a", "b", "lost", "starting"}
    assert seen.running_since(ZERO + 60.5) == 1


def test_waiting_since_creation() -> None:
    """A task without room waits since it was created, not since Swarm last looked for room."""
    seen = view(task("a", "pending", node="", error="no suitable node (insufficient resources on 1 node)"))

    assert seen.pending(ZERO + 90) == "pending for 1m30s: no suitable node (insufficient resources on 1 node)"


def test_what_has_no_room_is_quoted_before_what_starts() -> None:
    """Of tasks that do not run those without room, or failed, are told of first, however long others start."""
    starting = task("a", "preparing", minute=0)
    waiting = task("b", "pending", node="", error="no suitable node (insufficient resources on 1 node)")

    seen = view(starting, waiting | {"CreatedAt": MINUTE[1]})

    assert seen.pending(ZERO + 90.5) == "pending for 30s: no suitable node (insufficient resources on 1 node)"
    assert [task.id for task in seen.unplaced] == ["b"]


def test_newest_failure_is_quoted() -> None:
    """A task that waits without an error of its own quotes the newest failure before it."""
    old = task("old", "failed", desired="shutdown", error="task: non-zero exit (1)", minute=1)
    new = task("new", "rejected", desired="shutdown", error="No such image: app:1", minute=2)
    waiting = task("next", "ready", desired="ready", minute=2)

    seen = view(new, old, waiting)

    assert [view.id for view in seen.tasks] == ["next"]
    assert seen.tasks[0].words == "the task before it rejected: No such image: app:1"


def test_failure_without_a_follower() -> None:
    """Where nothing is started in place of a failed task, that task stands for what does not run."""
    failed = task("old", "failed", desired="shutdown", error="task: non-zero exit (1)")

    seen = view(task("a"), failed)

    assert seen.running == 1
    assert seen.pending(ZERO + 120.5) == "failed for 1m: task: non-zero exit (1)"


def test_old_failures_are_not_quoted() -> None:
    """Of a service whose tasks all run nothing is said, whatever failed before."""
    failed = task("old", "failed", desired="shutdown", error="task: non-zero exit (1)")

    seen = view(task("a"), task("b"), failed)

    assert {view.id for view in seen.tasks} == {"a", "b"}
    assert seen.pending(ZERO + 120) == ""


def test_node_memory() -> None:
    """The node's memory is that of the smallest that runs a task; where none does, of the smallest that is ready."""
    nodes = (node("big", 8 * GIB), node("small", 2 * GIB), node("down", GIB, "down"))

    assert view(task("a", node="big"), nodes=nodes).node_memory == 8 * GIB
    assert view(task("a", node="big"), task("b", node="small"), nodes=nodes).node_memory == 2 * GIB
    assert view(task("a", "preparing", node="big"), nodes=nodes).node_memory == 2 * GIB
    assert view(nodes=nodes).node_memory == 2 * GIB
    assert view(nodes=(node("down", GIB, "down"),)).node_memory is None


def test_tasks_of_others() -> None:
    """Tasks of a service that was removed meanwhile, or of none, are nobody's."""
    stray = task("a") | {"ServiceID": "s2"}
    attachment = task("b")
    del attachment["ServiceID"]

    assert view(stray, attachment).tasks == ()


@pytest.mark.parametrize("hostname", ["", None, "0123", "build-server", "0123456789AB", "fedcba987654"])
def test_other_hostnames(hostname: str | None) -> None:
    """A hostname that is no container's id finds no service, nor does another container's."""
    assert documents.cluster([service()], [task("a")], [node("n1")], hostname).own_service is None


def test_own_hostname() -> None:
    """The service of the task in whose container this process runs is its own."""
    assert documents.cluster([service()], [task("a")], [node("n1")], "0123456789ab").own_service == "web"


def test_scaled_spec() -> None:
    """The spec to write is a copy: the count and the label change, and the spec that was read stays."""
    spec = service()["Spec"]
    before = deepcopy(spec)

    written = documents.scaled(spec, 5, "state")

    assert before == spec
    before["Mode"]["Replicated"]["Replicas"] = 5
    before["Labels"][STATE_LABEL] = "state"
    assert before == written


@pytest.mark.parametrize("part", ["Version", "CreatedAt", "UpdatedAt", "Spec"])
@pytest.mark.parametrize("value", ["nonsense", 5, None])
def test_malformed(part: str, value: object) -> None:
    """What is no service raises what callers turn into an error of Docker's, never an unforeseen one."""
    document = service(**{part: value})

    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        documents.service_view(document)


@pytest.mark.parametrize("which", ["NanoCPUs", "MemoryBytes"])
@pytest.mark.fault("hostile-answers")
def test_numbers_that_no_engine_has(which: str) -> None:
    """An engine's numbers have 64 bits: what has more is no number of its, for sums with it could not be made."""
    document = service()
    document["Spec"]["TaskTemplate"]["Resources"] = {"Reservations": {which: 10**400}}

    with pytest.raises(UnreachableError, match="not what its API documents"), documented():
        documents.service_view(document)


@pytest.mark.fault("hostile-answers")
def test_documents_too_deep_to_compare() -> None:
    """What is nested more deeply than Python compares is no document of Docker's either."""
    deep: list[Document] = [{}, {}]
    for _ in range(sys.getrecursionlimit()):
        deep = [{"Labels": each} for each in deep]
    document = service(PreviousSpec={"TaskTemplate": deep[0]})
    document["Spec"]["TaskTemplate"] = deep[1]

    with pytest.raises(UnreachableError, match="not what its API documents"), documented():
        documents.service_view(document)


# placement


def test_what_a_task_asks_of_its_node() -> None:
    """Reservations, constraints, platforms, the most per node, and the ports that are the node's own."""
    document = service()
    document["Spec"]["TaskTemplate"] |= {
        "Resources": {"Reservations": {"NanoCPUs": 500_000_000, "MemoryBytes": GIB}},
        "Placement": {
            "Constraints": ["node.role == worker"],
            "Platforms": [{"OS": "linux", "Architecture": "amd64"}, {"OS": "linux"}],
            "MaxReplicas": 2,
        },
    }
    document["Spec"]["EndpointSpec"] = {
        "Ports": [
            {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"},
            {"Protocol": "udp", "TargetPort": 53, "PublishedPort": 53, "PublishMode": "ingress"},
            {"Protocol": "udp", "TargetPort": 99, "PublishMode": "host"},
        ]
    }

    assert view(document=document).demand == Demand(
        nano_cpus=500_000_000,
        memory=GIB,
        constraints=("node.role == worker",),
        platforms=(("linux", "amd64"), ("linux", "")),
        max_per_node=2,
        host_ports=("8080/tcp",),
    )


@pytest.mark.parametrize("part", ["Resources", "Placement"])
@pytest.mark.parametrize("value", [None, {}, {"Reservations": None, "Constraints": None, "Platforms": None}])
def test_a_task_that_asks_for_nothing(part: str, value: object) -> None:
    """What a spec leaves out, or has as null, is asked of no node."""
    document = service()
    document["Spec"]["TaskTemplate"][part] = value

    assert view(document=document).demand == Demand()


def test_nodes() -> None:
    """A node is seen with what it has, where it is, and whether it takes tasks."""
    document = node("n1") | {
        "Spec": {"Role": "manager", "Availability": "active", "Labels": {"zone": "a"}},
        "Description": {
            "Hostname": "big",
            "Platform": {"OS": "linux", "Architecture": "x86_64"},
            "Resources": {"NanoCPUs": 4_000_000_000, "MemoryBytes": 4 * GIB},
            "Engine": {"Labels": {"storage": "ssd"}},
        },
        "Status": {"State": "ready", "Addr": "10.0.0.4"},
    }

    (seen,) = documents.cluster([], [], [document]).nodes

    assert seen == NodeView(
        id="n1",
        hostname="big",
        role="manager",
        nano_cpus=4_000_000_000,
        memory=4 * GIB,
        os="linux",
        architecture="x86_64",
        address="10.0.0.4",
        labels={"zone": "a"},
        engine_labels={"storage": "ssd"},
    )


@pytest.mark.parametrize(
    ("state", "availability", "takes"),
    [
        ("ready", "active", True),
        ("ready", "pause", False),
        ("ready", "drain", False),
        ("down", "active", False),
        ("unknown", "active", False),
    ],
)
def test_nodes_that_take_no_tasks(state: str, availability: str, takes: bool) -> None:  # noqa: FBT001 - a row of the table
    """Only a node that is ready and active takes new tasks."""
    document = node("n1", state=state) | {"Spec": {"Availability": availability}}

    assert documents.node_view(document).takes_tasks is takes


def test_which_tasks_hold_room() -> None:
    """A task holds room on its node from when it is assigned to it until it fails or stops."""
    waiting = task("t1", "pending", node="")
    named = task("t2", "pending")  # of a global service
    starting, running = task("t3", "preparing"), task("t4")

    seen = view(waiting, named, starting, running)

    assert [each.holds_room for each in seen.tasks] == [False, False, True, True]
    assert [each.node for each in seen.tasks] == ["", "n1", "n1", "n1"]


# the label of the rollback point


def packed(content: bytes) -> str:
    """A label with this content."""
    return base64.b64encode(zlib.compress(content, 9)).decode()


def refusal(label: str) -> str:
    """Why a service with this label cannot be rolled back, and what looking for that took at most, in bytes."""
    kept = service()
    kept["Spec"]["Labels"][ROLLBACK_LABEL] = label
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=f"the label {ROLLBACK_LABEL} ") as caught:
            rollback_point.rolled_back(kept)
        assert tracemalloc.get_traced_memory()[1] < 40 * MIB
    finally:
        tracemalloc.stop()
    return str(caught.value)


@pytest.mark.fault("labels-damaged")
@pytest.mark.parametrize(
    ("label", "words"),
    [
        (packed(b" " * 30 * MIB), "is damaged (it is larger than any that the autoscaler writes)"),
        ("A" * MIB, "is damaged (it is larger than any that the autoscaler writes)"),
        (base64.b64encode(gzip.compress(b"{}")).decode(), "is damaged (Error -3 while decompressing data"),
        (packed(b"{}")[:-5] + "*" * 5, "is damaged (Only base64 data is allowed"),
        (packed(b"{}" * 40)[:-5], "is damaged (Incorrect padding"),
        (packed(b"{}" * 40)[:-8], "is damaged (Extra data"),
        ("\u00e4\u00f6", "is damaged (string argument should contain only ASCII"),
        (packed(b"[" * MIB), "is damaged (maximum recursion depth"),
        (packed(b"9" * MIB), "is damaged (Exceeds the limit"),
        (packed(b"[" + b"[]," * 300_000 + b"[]]"), "holds no version of a service"),
        (packed(b'{"before": {"TaskTemplate": 1}, "after": ""}'), "holds no version of a service"),
    ],
    ids=["bomb", "long", "gzip", "no base64", "cut", "shorter", "no ASCII", "deep", "a number", "many", "another"],
)
def test_a_damaged_rollback_point(label: str, words: str) -> None:
    """Whatever stands in the label, it is refused in words, in little memory; anybody may have written it."""
    assert words in refusal(label)


def test_a_version_that_is_too_large_to_be_read_again_is_not_kept() -> None:
    """What packs well can be short in the label, and longer than what is read from one."""
    large = {"ContainerSpec": {"Image": "app:0", "Env": ["x" * MIB]}}
    document = service(PreviousSpec=service()["Spec"] | {"TaskTemplate": large})

    assert rollback_point.rollback_point(document) == ""
