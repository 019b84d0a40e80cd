"""Docker Swarm as an orchestrator: it reads three lists and writes one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoscaler.adapters.docker import documents, rollback_point
from autoscaler.adapters.docker.engine_api import ForbiddenError, NotFoundError, VersionConflictError
from autoscaler.adapters.docker.engine_errors import documented
from autoscaler.errors import BackendError, RefusedError, UnreachableError
from autoscaler.ports import Receipt, RefusedBy, Written
from autoscaler.swarm.cluster import STATE_LABEL, unknown_service
from autoscaler.util.deadline import Deadline

if TYPE_CHECKING:
    from autoscaler.adapters.docker.engine_api import Document, EngineApi
    from autoscaler.ports import Orchestrator, Order
    from autoscaler.swarm.cluster import Cluster

_READ_BACKS = 2
_ROUNDS = 3
"""How often a rollback is tried if others write to the service at the same time."""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The result of a rollback."""

    image_before: str
    image: str
    replicas: int


class DockerSwarm:
    """Reads services and scales them through *api*; an Orchestrator. Two threads must not use it at once.

    *hostname* is this machine's. It shows which service this process is a task of.
    """

    def __init__(self, api: EngineApi, hostname: str | None = None) -> None:
        self._api = api
        self._hostname = hostname
        self._short = True  # not known before the first read

    def read(self, deadline: Deadline) -> Cluster:
        """Return all services with their tasks, in three calls.

        While some service lacks running replicas, ended tasks are read too. Only they have the error of a task that
        failed (docs/facts.md#task-states).
        """
        services = self._api.services(deadline)
        with documented():
            repeated = documents.repeated(services)
        tasks = self._api.tasks(deadline, ended=self._short, templates=repeated)
        nodes = self._api.nodes(deadline)
        with documented():
            cluster = documents.cluster(services, tasks, nodes, self._hostname)
        self._short = any(view.running < view.requested for view in cluster.services.values())
        return cluster

    def scale(self, order: Order, deadline: Deadline) -> Receipt:
        """Change the count and the autoscaler's label in one write, if the service has the version of the decision.

        The service is first checked for a rollout again, because a scale would destroy its automatic rollback
        (docs/facts.md#a-scale-in-a-rollout).
        """
        try:
            document = self._api.service(order.service_id, deadline)
            with documented():
                objection = self._objection(order, document)
                if objection is not None:
                    return objection
                point = _point_to_save(document)
                spec = documents.scaled(document["Spec"], order.replicas, order.state, point)
            return self._write(order, spec, deadline)
        except NotFoundError as error:
            return Receipt(Written.GONE, str(error))
        except BackendError as error:
            return Receipt(Written.REFUSED, f"nothing was written: {error}", _refused_by(error))

    def roll_back(self, service: str, deadline: Deadline) -> RolledBack:
        """Set *service* back to the version before its last deploy; the count stays as it is.

        Raise RefusedError if there is no such version, and BackendError.
        """
        for _ in range(_ROUNDS):
            document = self._named(service, deadline)
            with documented():
                view = documents.service_view(document)
                if view.update_state == "rollback_started":  # Swarm no longer has a version before it
                    cure = f"wait for it: docker service ps {service}"
                    raise RefusedError(f"{service} is being rolled back already ({cure})")
                spec = _before_the_deploy(service, document)
                done = RolledBack(documents.image(document["Spec"]), documents.image(spec), view.requested)
            try:
                self._api.update(view.id, view.version, spec, deadline)
            except VersionConflictError:
                continue
            except RefusedError as error:  # for example, a config or secret of that version is gone
                refusal = "Swarm refuses the version before the last deploy (deploy the one you want)"
                raise RefusedError(f"{service}: {refusal}: {error}") from error
            except UnreachableError as error:
                doubt = "it may still be rolled back (look with docker service ps)"
                raise UnreachableError(f"{service}: {error}; {doubt}") from error
            return done
        raise UnreachableError(f"others keep changing {service} (try again)")

    def _named(self, service: str, deadline: Deadline) -> Document:
        """Return the complete service of this name."""
        listed = self._api.services(deadline)
        with documented():
            identities = {str(each["Spec"]["Name"]): str(each["ID"]) for each in listed}
        if service not in identities:
            raise RefusedError(unknown_service(service, identities))
        return self._api.service(identities[service], deadline)

    def _objection(self, order: Order, document: Document) -> Receipt | None:
        """Return why *order* must not be carried out on the service as it is now; None if it may."""
        view = documents.service_view(document)
        if view.mode != "replicated":
            return Receipt(Written.REFUSED, f"the service's mode is {view.mode}; only replicated ones are scaled")
        if view.version != order.version or view.requested != order.requested:
            seen = f"{order.requested} replicas at version {order.version}"
            return Receipt(
                Written.CONFLICT, f"changed since it was read: {seen} then, {view.requested} at {view.version} now"
            )
        if view.rollout:
            return Receipt(Written.CONFLICT, view.rollout)
        if order.replicas == view.requested:
            # Even a write that changes nothing removes PreviousSpec and UpdateStatus.
            return Receipt(Written.REFUSED, f"the service already asks for {order.replicas} replicas")
        return None

    def _write(self, order: Order, spec: Document, deadline: Deadline) -> Receipt:
        try:
            # The other half of the time is left for reading back.
            self._api.update(order.service_id, order.version, spec, Deadline(deadline.remaining() / 2))
        except VersionConflictError as error:
            return Receipt(Written.CONFLICT, str(error))
        except UnreachableError as error:
            return self._read_back(order, error, deadline)
        return Receipt(Written.APPLIED)

    def _read_back(self, order: Order, error: UnreachableError, deadline: Deadline) -> Receipt:
        """Return the result of a write without an answer, as far as a read shows it. It may still be applied later."""
        doubt = f"no answer to the write ({error})"
        for _ in range(_READ_BACKS):
            try:
                with documented():
                    if _shows(order, self._api.service(order.service_id, deadline)):
                        return Receipt(Written.APPLIED, f"{doubt}; read back: it is applied")
            except NotFoundError as gone:
                return Receipt(Written.GONE, str(gone))
            except BackendError as failure:
                doubt = f"{doubt}; reading back failed too ({failure})"
                continue
            return Receipt(Written.UNKNOWN, f"{doubt}; read back: not applied yet, it may still be")
        return Receipt(Written.UNKNOWN, f"{doubt}; it may have been applied")


def _refused_by(error: BackendError) -> RefusedBy | None:
    if not isinstance(error, RefusedError):
        return None  # there was no answer, and the next evaluation meets the same trouble
    return RefusedBy.PROXY if isinstance(error, ForbiddenError) else RefusedBy.ENGINE


def _point_to_save(document: Document) -> str | None:
    """Return the rollback point that this scale would make Swarm forget; None if there is none, or Swarm keeps it.

    It is empty if the point is too large for a label, so that an older point is not mistaken for it.
    """
    if documents.service_view(document).loses_rollback_point:
        return rollback_point.rollback_point(document)
    return "" if rollback_point.keeps_too_much(document["Spec"]) else None


def _before_the_deploy(service: str, document: Document) -> Document:
    try:
        spec = rollback_point.rolled_back(document)
    except ValueError as error:
        raise RefusedError(f"{service}: {error} (deploy the version you want)") from error
    if spec is None:
        raise RefusedError(
            f"{service} has no version to go back to: it had only one version, or somebody else's update made Swarm "
            "forget the one before (deploy the version you want)"
        )
    return spec


class DryRun:
    """An orchestrator that reads through another one and never writes."""

    def __init__(self, swarm: Orchestrator) -> None:
        self._swarm = swarm

    def read(self, deadline: Deadline) -> Cluster:
        """Return what the other orchestrator reads."""
        return self._swarm.read(deadline)

    def scale(self, order: Order, deadline: Deadline) -> Receipt:  # noqa: ARG002 - the port's signature
        """Write nothing."""
        return Receipt(Written.DRY_RUN)


def _shows(order: Order, document: Document) -> bool:
    """Return whether the service has the order's count and label. The times in the label are unique to an order."""
    spec = document["Spec"]
    labels = spec.get("Labels") or {}
    return documents.requested_replicas(spec) == order.replicas and labels.get(STATE_LABEL) == order.state
