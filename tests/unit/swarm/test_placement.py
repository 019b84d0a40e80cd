from __future__ import annotations

import pytest

from autoscaler.swarm.placement import Demand, NodeView, objection, satisfies

NODE = NodeView(
    id="abc123",
    hostname="worker-1",
    role="worker",
    os="linux",
    architecture="x86_64",
    address="10.0.3.7",
    labels={"zone": "a", "Tier": "web"},
    engine_labels={"storage": "ssd"},
)


@pytest.mark.parametrize(
    ("constraint", "met"),
    [
        ("node.role==worker", True),
        ("node.role == worker", True),
        ("node.role != manager", True),
        ("node.role == manager", False),
        ("node.role != worker", False),
        ("NODE.ROLE == Worker", True),
        ("node.id == abc123", True),
        ("node.hostname == worker-1", True),
        ("node.hostname != worker-1", False),
        ("node.platform.os == linux", True),
        ("node.platform.arch == x86_64", True),
        ("node.platform.arch == amd64", False),
        ("node.labels.zone == a", True),
        ("node.labels.zone == A", True),
        ("node.labels.zone != b", True),
        ("node.labels.Tier == web", True),
        ("node.labels.tier == web", False),
        ("node.labels.gpu == true", False),
        ("node.labels.gpu != true", True),
        ("engine.labels.storage == ssd", True),
        ("engine.labels.storage != ssd", False),
        ("engine.labels.other != ssd", True),
        ("node.ip == 10.0.3.7", True),
        ("node.ip == 10.0.0.0/16", True),
        ("node.ip != 10.0.0.0/16", False),
        ("node.ip == 10.1.0.0/16", False),
        ("node.ip == nonsense", False),
        ("node.colour == red", False),
        ("node.colour != red", False),
    ],
)
def test_constraints(constraint: str, met: bool) -> None:  # noqa: FBT001 - a row of the table
    """A constraint is met as Swarm judges it: keys and values without regard to case, names of labels with it.

    A label that is not there is empty, and a key that Swarm does not know is met by no node.
    """
    assert satisfies(NODE, constraint) is met


def test_all_constraints_must_hold() -> None:
    """A node takes a task whose constraints all hold; the first that does not is the objection."""
    assert objection(Demand(constraints=("node.role == worker", "node.labels.zone == a")), NODE) == ""
    assert objection(Demand(constraints=("node.role == worker", "node.labels.zone == b")), NODE) == (
        "node.labels.zone == b"
    )
    assert objection(Demand(), NODE) == ""


@pytest.mark.parametrize(
    ("platforms", "said"),
    [
        ((("linux", "amd64"),), ""),
        ((("linux", "x86_64"),), ""),
        ((("linux", "arm64"), ("linux", "amd64")), ""),
        ((("linux", ""),), ""),
        ((("", "amd64"),), ""),
        ((("linux", "arm64"), ("windows", "amd64")), "linux/arm64 or windows/amd64"),
    ],
)
def test_platforms(platforms: tuple[tuple[str, str], ...], said: str) -> None:
    """One of the image's platforms must be the node's, whichever name an architecture goes by."""
    assert objection(Demand(platforms=platforms), NODE) == said
