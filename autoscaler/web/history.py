"""The endpoints that show what happened. They ask the journal alone."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field

from autoscaler.errors import JournalError
from autoscaler.journal.happening import HappeningKind
from autoscaler.util.suggestions import near
from autoscaler.views.history import HappeningDocument, HistoryDocument, happening_document
from autoscaler.web.answers import ErrorDocument, RefusedRequestError
from autoscaler.web.evaluations import query_of
from autoscaler.web.openapi import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from autoscaler.journal.happening import Happening
    from autoscaler.journal.keeper import HistoryKeeper

_LATEST = 1e11
_PAGE = 500
_LARGEST_PAGE = 1000
_KINDS = "|".join(HappeningKind)
_CURSOR = "^[0-9]{1,18}-[0-9]{1,18}-[0-9]{1,18}-[0-9]{1,18}$"
_NEAR_NAMES = 3
_LIKENESS = 0.5
_SLACK = 2
"""Intervals after an evaluation in which its decision still is the last one."""

_Moment = Annotated[float, Field(ge=0, le=_LATEST, allow_inf_nan=False)]


class ServiceHistoryQuery(BaseModel):
    """Which happenings to list."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    since: _Moment = 0.0
    """List only what was so at this time or later, Unix seconds."""
    until: _Moment = _LATEST
    """List only what was so at this time or earlier, Unix seconds."""
    kind: Annotated[str, Field(pattern=f"^({_KINDS})(,({_KINDS}))*$")] | None = None
    """List only these kinds, with commas between them; by default all."""
    order: Literal["oldest", "newest"] = "oldest"
    """Which happenings come first."""
    documents: Literal["true", "false"] = "false"
    """Whether the whole document of each run's first decision comes along."""
    limit: Annotated[int, Field(ge=1, le=_LARGEST_PAGE)] = _PAGE
    """The most happenings in the answer."""
    after: Annotated[str, Field(pattern=_CURSOR)] | None = None
    """The `next` of the page before."""

    @property
    def kinds(self) -> frozenset[HappeningKind]:
        """Return the kinds to list; none for all."""
        return frozenset(map(HappeningKind, self.kind.split(","))) if self.kind else frozenset()


class HistoryQuery(ServiceHistoryQuery):
    """Which happenings to list."""

    service: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    """List only what happened to this service."""


class MomentQuery(BaseModel):
    """Which decision to show."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    at: _Moment
    """The time at which it was the last decision, Unix seconds."""


@dataclass(slots=True)
class HistoryEndpoints:
    """The handlers of the endpoints that show what happened."""

    history: HistoryKeeper
    known: Callable[[], Mapping[str, object]]
    """The services that the last evaluation decided on, by name."""
    now: Callable[[], float]
    turn: asyncio.Semaphore
    """Lets one answer be made at a time, so that many readers cost memory and a thread for one answer."""

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints with their descriptions."""
        get, one = hdrs.METH_GET, "/api/v1/services/{name}"
        wrong = dict.fromkeys((400, 503), ErrorDocument)
        missing = wrong | {404: ErrorDocument}
        return [
            Endpoint(
                get,
                "/api/v1/history",
                "What happened: changes, runs of held and unchanged decisions, problems, pauses, policies, leaders, "
                "and starts of the process; a page at a time.",
                self.all_history,
                {200: HistoryDocument} | wrong,
                query=HistoryQuery,
            ),
            Endpoint(
                get,
                f"{one}/history",
                "What happened to one service, a page at a time.",
                self.service_history,
                {200: HistoryDocument} | missing,
                query=ServiceHistoryQuery,
            ),
            Endpoint(
                get,
                f"{one}/decision",
                "The decision on one service that was the last one at some time within the history.",
                self.decision,
                {200: HappeningDocument} | missing,
                query=MomentQuery,
            ),
        ]

    async def all_history(self, request: web.Request) -> web.Response:
        """Return a page of what happened."""
        query = query_of(request, HistoryQuery)
        return await self._answer(lambda: self._page(query, query.service))

    async def service_history(self, request: web.Request) -> web.Response:
        """Return a page of what happened to one service."""
        name, query = request.match_info["name"], query_of(request, ServiceHistoryQuery)

        def make() -> HistoryDocument:
            self._check(name)
            return self._page(query, name)

        return await self._answer(make)

    async def decision(self, request: web.Request) -> web.Response:
        """Return the decision that was the last one at some time."""
        name, query = request.match_info["name"], query_of(request, MomentQuery)

        def make() -> HappeningDocument:
            self._check(name)
            return happening_document(self._decision(name, query.at), whole=True)

        return await self._answer(make)

    def _page(self, query: ServiceHistoryQuery, service: str | None) -> HistoryDocument:
        page = self.history.between(
            query.since,
            query.until,
            service=service,
            kinds=query.kinds,
            after=query.after,
            limit=query.limit,
            newest_first=query.order == "newest",
        )
        problem = self.history.problem
        whole = query.documents == "true"
        return {
            "happenings": [happening_document(each, whole=whole) for each in page.happenings],
            "next": page.next,
            "now": self.now(),
            "kept_since": self.history.oldest(),
            "kept_in": self.history.kept_in,
            "problem": problem.detail if problem else None,
        }

    def _check(self, name: str) -> None:
        """Refuse the *name* of a service that nothing is known of, with near names."""
        if name in self.known():
            return
        names = {*self.known(), *self.history.services()}
        if name in names:
            return
        meant = near(name, names, most=_NEAR_NAMES, likeness=_LIKENESS)
        cure = f"did you mean {' or '.join(meant)}?" if meant else "GET /api/v1/services lists those that there are"
        raise RefusedRequestError(404, f"nothing is known of a service of this name ({cure})")

    def _decision(self, name: str, moment: float) -> Happening:
        """Return the last decision at *moment*; refuse a moment at which nothing was decided, with the reason."""
        run = self.history.run_at(moment)
        if run is None:
            oldest = self.history.oldest()
            since = "it knows of nothing yet" if oldest is None else f"it begins at {oldest:.0f}"
            raise RefusedRequestError(404, f"the history does not reach back to that time ({since})")
        slack = _SLACK * float(run.facts.get("interval", 15.0))
        ran_until = run.at if run.until is None else run.until
        if not run.ongoing and moment > ran_until + slack:
            raise RefusedRequestError(404, f"this autoscaler did not run at that time (it ran until {ran_until:.0f})")
        found = self.history.at(name, moment)
        if found is None or found.at < run.at:
            raise RefusedRequestError(404, "no decision on the service is known of that time (ask for a later time)")
        decided_until = found.at if found.until is None else found.until
        if not found.ongoing and moment > decided_until + slack:
            raise RefusedRequestError(404, f"the service was not decided on then (the last time: {decided_until:.0f})")
        return found

    async def _answer(self, make: Callable[[], HistoryDocument | HappeningDocument]) -> web.Response:
        """Return what *make* gives, made in a thread, because the store may be busy and the loop keeps the lease."""
        try:
            async with self.turn:
                body = await asyncio.to_thread(lambda: json.dumps(make()).encode())
        except JournalError as error:
            raise RefusedRequestError(503, f"the history cannot be read: {error} (ask again in a moment)") from error
        response = web.Response(body=body, content_type="application/json", charset="utf-8")
        response.enable_compression()
        return response
