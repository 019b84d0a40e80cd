"""The endpoints that show the last evaluation: the overview, services, policies and problems. They ask no backend."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, TypeVar

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import TypedDict

from autoscaler.core.states import State, states
from autoscaler.util.suggestions import near
from autoscaler.views.documents import documented
from autoscaler.views.overview import (
    DaemonDocument,
    Facts,
    LastingProblemDocument,
    OverviewDocument,
    daemon_document,
    overview_document,
    problems_document,
)
from autoscaler.views.policies import LoadedPoliciesDocument, PoliciesInForce, loaded_policies_document
from autoscaler.views.services import (
    DecisionsDocument,
    ServiceDocument,
    ServicesDocument,
    SparksDocument,
    WindowsDocument,
    decisions_document,
    service_document,
    services_document,
    sparks_document,
    windows_document,
)
from autoscaler.web.answers import CLOCK, NEXT_EVALUATION, ErrorDocument, RefusedRequestError
from autoscaler.web.bodies import Bodies
from autoscaler.web.openapi import Endpoint

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Hashable

    from autoscaler.core.instance import Instance
    from autoscaler.core.records import Record
    from autoscaler.evaluation.journal import Journal
    from autoscaler.views.explanations import ExplanationDocument

Q = TypeVar("Q", bound=BaseModel)

_MOST_SPARKS = 100
"""Services whose windows are answered at once: more than a screen shows."""
_PAGE = 100
_LARGEST_PAGE = 1000
_NEAR_NAMES = 3
_LIKENESS = 0.5


@documented
class ProblemsDocument(TypedDict):
    """The problems that last."""

    daemon: DaemonDocument
    problems: list[LastingProblemDocument]
    policy_problems: list[str]
    """What is wrong with the policy files as they are now; the last valid set stays in force."""


class PageQuery(BaseModel):
    """Which services to list."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    limit: Annotated[int, Field(ge=1, le=_LARGEST_PAGE)] = _PAGE
    """The most services in the answer."""
    after: Annotated[str, Field(max_length=255)] = ""
    """List only services whose names come after this one; `next` of the previous page."""
    state: State | None = None
    """List only services in this state."""


class SparksQuery(BaseModel):
    """Which services to show."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    services: Annotated[str, Field(min_length=1, max_length=64 * _MOST_SPARKS)]
    """Names of services, with commas between them."""

    @property
    def names(self) -> list[str]:
        """Return the names, each once."""
        return sorted(set(self.services.split(",")))[:_MOST_SPARKS]


def no_explanation(_: Record) -> ExplanationDocument | None:
    """Explain nothing."""
    return None


@dataclass(slots=True)
class EvaluationEndpoints:
    """The handlers of the endpoints that show the last evaluation."""

    journal: Journal
    instance: Callable[[], Instance]
    loaded: Callable[[], PoliciesInForce]
    turn: asyncio.Semaphore
    """Lets one answer be made at a time."""
    bodies: Bodies = field(init=False)
    explain: Callable[[Record], ExplanationDocument | None] = no_explanation

    def __post_init__(self) -> None:
        self.bodies = Bodies(self._version, self._headers, self.turn)

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints with their descriptions."""
        get, missing, wrong = hdrs.METH_GET, {404: ErrorDocument}, {400: ErrorDocument}
        one = "/api/v1/services/{name}"
        return [
            Endpoint(
                get,
                "/api/v1/overview",
                "The daemon, its problems, the services that need attention, and a short row for each service.",
                self.overview,
                {200: OverviewDocument},
            ),
            Endpoint(
                get,
                "/api/v1/services",
                "The last decision on each service, a page at a time.",
                self.services,
                {200: ServicesDocument} | wrong,
                query=PageQuery,
            ),
            Endpoint(get, one, "The last decision on one service.", self.service, {200: ServiceDocument} | missing),
            Endpoint(
                get,
                f"{one}/decisions",
                "The last decisions on one service that said something new.",
                self.decisions,
                {200: DecisionsDocument} | missing,
            ),
            Endpoint(
                get,
                f"{one}/windows",
                "The samples that the rules of one service judged last.",
                self.windows,
                {200: WindowsDocument} | missing,
            ),
            Endpoint(
                get,
                "/api/v1/windows",
                "The newest samples of several services, one window for each metric.",
                self.sparks,
                {200: SparksDocument} | wrong,
                query=SparksQuery,
            ),
            Endpoint(
                get,
                "/api/v1/policies",
                "The policies in force, with their places, services and schedules.",
                self.policies,
                {200: LoadedPoliciesDocument},
            ),
            Endpoint(
                get,
                "/api/v1/problems",
                "The problems that last, and what is wrong with the policy files.",
                self.problems,
                {200: ProblemsDocument},
            ),
        ]

    async def overview(self, request: web.Request) -> web.Response:
        """Return the overview."""
        return await self.bodies.answer(request, lambda: overview_document(self._facts()))

    async def services(self, request: web.Request) -> web.Response:
        """Return a page of services."""
        query = query_of(request, PageQuery)
        return await self.bodies.answer(request, lambda: self._page(query))

    async def service(self, request: web.Request) -> web.Response:
        """Return one service."""
        name = request.match_info["name"]

        def make() -> ServiceDocument:
            facts = self._facts()
            record = _found(facts, name)
            place = self.loaded().places.get(record.decision.policy, "")
            return service_document(facts, record, place, self.explain)

        return await self.bodies.answer(request, make)

    async def decisions(self, request: web.Request) -> web.Response:
        """Return the last decisions on one service."""
        name = request.match_info["name"]

        def make() -> DecisionsDocument:
            facts = self._facts()
            return decisions_document(facts, _found(facts, name), self.journal.notable(name))

        return await self.bodies.answer(request, make)

    async def windows(self, request: web.Request) -> web.Response:
        """Return the windows of one service."""
        name = request.match_info["name"]

        def make() -> WindowsDocument:
            facts = self._facts()
            return windows_document(facts, _found(facts, name))

        return await self.bodies.answer(request, make)

    async def sparks(self, request: web.Request) -> web.Response:
        """Return the newest samples of several services; those that are not there are left out."""
        names = query_of(request, SparksQuery).names

        def make() -> SparksDocument:
            facts = self._facts()
            found = facts.snapshot.latest
            return sparks_document(facts, [found[name] for name in names if name in found])

        return await self.bodies.answer(request, make)

    async def policies(self, request: web.Request) -> web.Response:
        """Return the policies in force."""
        return await self.bodies.answer(request, lambda: loaded_policies_document(self._facts(), self.loaded()))

    async def problems(self, request: web.Request) -> web.Response:
        """Return the problems that last."""
        return await self.bodies.answer(request, self._problems)

    def _problems(self) -> ProblemsDocument:
        facts = self._facts()
        return {
            "daemon": daemon_document(facts),
            "problems": problems_document(facts),
            "policy_problems": list(facts.policy_problems),
        }

    def _page(self, query: PageQuery) -> ServicesDocument:
        facts = self._facts()
        chosen = [
            record
            for _, record in sorted(facts.snapshot.latest.items())
            if query.state is None or query.state in states(record)
        ]
        left = [record for record in chosen if record.decision.service > query.after]
        page = left[: query.limit]
        following = page[-1].decision.service if len(left) > len(page) else None
        return services_document(facts, page, len(chosen), following)

    def _facts(self) -> Facts:
        loaded = self.loaded()
        return Facts(self.journal.snapshot(), self.instance(), loaded.policies, loaded.problems)

    def _headers(self) -> dict[str, str]:
        instance = self.instance()
        found = {NEXT_EVALUATION: instance.seconds_left, CLOCK: instance.now}
        return {name: f"{value:.2f}" for name, value in found.items() if value is not None}

    def _version(self) -> Hashable:
        """Return a value that changes with everything that answers show."""
        instance, loaded = self.instance(), self.loaded()
        return self.journal.closed, instance.role, instance.leader, instance.revision, tuple(loaded.problems)


def query_of(request: web.Request, model: type[Q]) -> Q:
    """Return the query of *request* as *model*; refuse it with 400 if it is wrong."""
    given = dict(request.query)
    try:
        if len(given) != len(request.query):
            raise RefusedRequestError(400, "a parameter is given twice (give each at most once)")
        return model.model_validate_strings(given)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        known = ", ".join(model.model_fields)
        said = "; ".join(f"{'.'.join(map(str, item['loc']))[:50]}: {item['msg']}" for item in problems[:10])
        raise RefusedRequestError(400, f"{said} (the parameters are {known}; see /api/v1/openapi.json)") from error


def _found(facts: Facts, name: str) -> Record:
    """Return the newest record of the service *name*; refuse what is not there, with near names."""
    record = facts.snapshot.latest.get(name)
    if record is not None:
        return record
    if facts.snapshot.last_evaluation is None:
        raise RefusedRequestError(404, "no evaluation has ended yet (ask again in a moment)")
    meant = near(name, facts.snapshot.latest, most=_NEAR_NAMES, likeness=_LIKENESS)
    cure = f"did you mean {' or '.join(meant)}?" if meant else "GET /api/v1/services lists those that there are"
    raise RefusedRequestError(404, f"no policy applies to a service of this name ({cure})")
