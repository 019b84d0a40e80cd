from __future__ import annotations

import json
from contextlib import suppress
from copy import deepcopy
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.exposition import generate_latest
from rich.console import Console

from autoscaler.adapters.docker.engine_api import NO_TEMPLATES
from autoscaler.adapters.docker.engine_errors import not_docker
from autoscaler.adapters.docker.lease import CONFIG, SwarmLease
from autoscaler.adapters.docker.lists import read_nodes, read_services, read_tasks
from autoscaler.adapters.docker.orchestrator import DockerSwarm
from autoscaler.coordination.lease import Cell
from autoscaler.core.model import Outcome
from autoscaler.errors import BackendError
from autoscaler.evaluation import survey
from autoscaler.evaluation.journal import Journal
from autoscaler.ports import Order, Receipt
from autoscaler.swarm.cluster import Cluster
from autoscaler.util.deadline import Deadline
from autoscaler.views import render
from autoscaler.views.documents import record_document, survey_document
from autoscaler.views.logs import log_record
from autoscaler.web.telemetry import Telemetry
from tests.support.builders import STEP
from tests.support.hostile_json import twists
from tests.support.world import FaultyEngine, World, policy_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autoscaler.adapters.docker.engine_api import Document, Templates
    from autoscaler.core.records import Evaluation

pytestmark = pytest.mark.slow

DEADLINE = 10.0


class Twisted(FaultyEngine):
    """An engine whose lists are what a test says, as they are or read as those of the real one are."""

    lists: dict[str, list[Document]]
    as_text: bool = False

    def services(self, deadline: Deadline, /) -> Sequence[Document]:
        """The list as it is told, or the engine's."""
        return self._told("services") or super().services(deadline)

    def tasks(self, deadline: Deadline, /, *, ended: bool, templates: Templates = NO_TEMPLATES) -> Sequence[Document]:
        """The list as it is told, or the engine's."""
        return self._told("tasks", templates) or super().tasks(deadline, ended=ended, templates=templates)

    def nodes(self, deadline: Deadline, /) -> Sequence[Document]:
        """The list as it is told, or the engine's."""
        return self._told("nodes") or super().nodes(deadline)

    def _told(self, which: str, templates: Templates = NO_TEMPLATES) -> Sequence[Document]:
        listed = self.lists.get(which, [])
        if not self.as_text:
            # What is no object is refused by the reader (tests/unit/test_engine_lists.py).
            return [deepcopy(item) for item in listed if isinstance(item, dict)]
        readers: dict[str, Callable[[list[bytes]], Sequence[Document]]] = {
            "services": read_services,
            "tasks": partial(read_tasks, templates=templates),
            "nodes": read_nodes,
        }
        try:
            return readers[which]([json.dumps(listed).encode()])
        except ValueError as error:
            raise not_docker("Docker", str(error)) from error


def world(cpu: float = 50) -> tuple[World, Twisted]:
    """A service that was scaled, deployed and scaled again, another one, and an autoscaler that knows both."""
    made = World(policy_for("web", up_cooldown=0), policy_for("w*", name="others"))
    engine = Twisted(made.engine)
    engine.lists = {}
    made.api = engine
    made.restart()
    made.service("web", cpu=90)
    made.service("worker", labels={"autoscaler.replicas.max": "7"})
    made.settle()
    made.run(2 * STEP)
    made.deploy("web", replicas=made.replicas("web"), image="app:2")
    made.settle()
    made.load["web", "cpu"] = cpu
    made.run(10 * STEP)
    return made, engine


def documents(made: World) -> dict[str, list[Document]]:
    """What the engine lists."""
    ages = Deadline(DEADLINE)
    listed = {"services": made.engine.services(ages), "tasks": made.engine.tasks(ages, ended=True)}
    found: dict[str, list[Document]] = json.loads(json.dumps(listed | {"nodes": made.engine.nodes(ages)}))
    return found


def show(made: World, evaluation: Evaluation) -> None:
    """Everything that tells of an evaluation and of the Swarm: log, API, metrics and tables."""
    journal = Journal()
    for record in evaluation.records:
        log_record(structlog.get_logger(), record, news=journal.add(record))
        json.dumps(record_document(record))
    journal.close(evaluation)
    generate_latest(Telemetry(journal, lambda: True).registry)
    console = Console(file=StringIO(), width=200)
    planned = survey.plan(made.cycle, made.policies)
    console.print(render.plan(planned.evaluation.records, planned.evaluation.problems, planned.capacity))
    found = survey.survey(made.cycle, made.policies)
    console.print(render.survey(found))
    json.dumps(survey_document(found))


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
@pytest.mark.fault("hostile-answers")
def test_no_list_of_docker_breaks_an_evaluation_or_shrinks_a_service(data: st.DataObject) -> None:
    """Whatever stands in Docker's lists, an evaluation ends, can be told of, and takes no replica away.

    It is the trouble `swarm`, or the services are decided on as they are said to be.
    """
    quiet = structlog.PrintLoggerFactory(StringIO())
    structlog.configure(processors=[structlog.processors.JSONRenderer()], logger_factory=quiet)
    try:
        made, engine = world()
        before = {name: made.replicas(name) for name in ("web", "worker")}
        engine.lists, engine.as_text = data.draw(twists(documents(made))), data.draw(st.booleans())
        if not isinstance(engine.lists, dict) or not all(isinstance(each, list) for each in engine.lists.values()):
            return
        for _ in range(2):
            show(made, made.next())
        assert all(made.replicas(name) >= count for name, count in before.items())
        engine.lists = {}
        recovered = made.next()
        assert not recovered.met("swarm")
        assert all(made.replicas(name) >= count for name, count in before.items())
    finally:
        structlog.reset_defaults()


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_service_as_docker_shows_it_breaks_a_scale_or_a_rollback(data: st.DataObject) -> None:
    """Whatever the one service looks like that is to be written, a scale has an outcome and a rollback an answer."""
    made, engine = world(cpu=90)
    service = made.engine.service("web")
    twisted = data.draw(twists(json.loads(json.dumps(service))))
    swarm = DockerSwarm(_One(engine, twisted))
    order = Order(service["ID"], "web", service["Version"]["Index"], made.replicas("web"), 9, "state")
    assert isinstance(swarm.scale(order, Deadline(DEADLINE)), Receipt)
    with suppress(BackendError):
        swarm.roll_back("web", Deadline(DEADLINE))


class _One(FaultyEngine):
    """An engine that shows one service as it is told, and takes every update."""

    def __init__(self, engine: FaultyEngine, shown: Document) -> None:
        super().__init__(engine)
        self.shown = shown

    def service(self, service_id: str, deadline: Deadline, /) -> Document:  # noqa: ARG002 - the port's signature
        return self.shown

    def update(self, _id: str, _version: int, spec: Document, _deadline: Deadline, /) -> None:
        json.dumps(spec)


@given(st.data())
def test_no_config_breaks_the_lease(data: st.DataObject) -> None:
    """Whatever the config of the lease looks like, it holds somebody or nobody, or the engine is told to be none."""
    document = {
        "ID": "x",
        "Version": {"Index": 5},
        "Spec": {"Name": CONFIG, "Labels": {"autoscaler.lease.holder": "a"}},
    }
    twisted = data.draw(twists(document))

    class Api:
        def config(self, _name: str, _deadline: Deadline, /) -> Document:
            return dict(twisted)

    try:
        cell = SwarmLease(Api()).look(Deadline(DEADLINE))  # type: ignore[arg-type] # only this call is made
    except BackendError:
        return
    assert isinstance(cell, Cell)
    json.dumps(cell.holder).encode()


def test_the_world_is_one_that_could_shrink() -> None:
    """What the properties look at is a service that could be scaled, up and down."""
    made, _ = world()
    assert isinstance(made.cycle.swarm.read(Deadline(DEADLINE)), Cluster)
    made.load["web", "cpu"] = 5
    outcomes = [record.outcome for evaluation in made.run(60 * STEP) for record in evaluation.records]
    assert Outcome.APPLIED in outcomes
