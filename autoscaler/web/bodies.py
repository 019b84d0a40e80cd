"""Answers that are made once per evaluation, with their gzip, and shared by all who ask."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import ETag, hdrs, web

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_MOST_BODIES = 128
_MOST_BYTES = 16 * 2**20
"""Bytes of all bodies that are kept until the next evaluation."""
_SMALL = 1024
"""Bytes of a body that is not worth its gzip."""
_LEVEL = 9


@dataclass(frozen=True, slots=True)
class Body:
    """An answer, ready to be sent."""

    raw: bytes
    zipped: bytes | None
    """The same with gzip; None if it is small."""
    tag: str

    @classmethod
    def of(cls, document: Any) -> Body:
        """Return *document* as JSON."""
        raw = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
        zipped = gzip.compress(raw, _LEVEL, mtime=0) if len(raw) > _SMALL else None
        return cls(raw, zipped, hashlib.blake2b(raw, digest_size=12).hexdigest())

    @property
    def size(self) -> int:
        """Return how many bytes it takes in memory."""
        return len(self.raw) + len(self.zipped or b"")


@dataclass(slots=True)
class Bodies:
    """Keeps the answers since the last evaluation, by what was asked. Only the event loop's thread uses it."""

    version: Callable[[], Hashable]
    """Returns another value once answers are out of date."""
    headers: Callable[[], dict[str, str]]
    """Returns the headers that are new with every answer."""
    turn: asyncio.Semaphore
    """Lets one answer be made at a time."""
    _kept: dict[str, Body] = field(default_factory=dict, init=False)
    _of: Hashable = field(default=None, init=False)

    async def answer(self, request: web.Request, make: Callable[[], Any]) -> web.Response:
        """Return the answer to *request*: what *make* returns, as JSON, or 304 if the client has it already.

        *make* runs in a thread, because it takes a while for thousands of services. What it raises is raised here.
        """
        body = await self._body(request.path_qs, make)
        headers = {hdrs.VARY: hdrs.ACCEPT_ENCODING, **self.headers()}
        response = self._response(request, body, headers)
        response.etag = ETag(body.tag, is_weak=True)  # the same for both encodings
        return response

    @staticmethod
    def _response(request: web.Request, body: Body, headers: dict[str, str]) -> web.Response:
        if any(tag.value in {body.tag, "*"} for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        content = body.raw
        if body.zipped is not None and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            headers[hdrs.CONTENT_ENCODING] = "gzip"
            content = body.zipped
        return web.Response(body=content, headers=headers, content_type="application/json", charset="utf-8")

    async def _body(self, key: str, make: Callable[[], Any]) -> Body:
        async with self.turn:
            version = self.version()
            if version != self._of:
                self._kept.clear()
                self._of = version
            if key not in self._kept:
                body = await asyncio.to_thread(lambda: Body.of(make()))
                self._keep(key, body)
                return body
            return self._kept[key]

    def _keep(self, key: str, body: Body) -> None:
        while self._kept and (
            len(self._kept) >= _MOST_BODIES or body.size + sum(each.size for each in self._kept.values()) > _MOST_BYTES
        ):
            self._kept.pop(next(iter(self._kept)))
        self._kept[key] = body
