"""The page at `/` and its files, which are the same for everybody and are made once."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types lit-html"
)
"""What a browser lets the page do: only files of this server, no text that becomes code."""
OF_THE_PAGE = (hdrs.CACHE_CONTROL, "Content-Security-Policy")
"""The headers that the page and its files have in other words than all other answers."""
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".html": "text/html"}
_INDEX = "index.html"
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the page."""

    raw: bytes
    zipped: bytes
    content_type: str


@cache
def static_files() -> Mapping[str, StaticFile]:
    """Return the page's files by their paths; the index names the version of all of them."""
    found = dict(_read(files("autoscaler.web") / "static"))
    version = _version(found)
    index = found[_INDEX].replace(b"{version}", version.encode())
    return {
        name: StaticFile(raw, gzip.compress(raw, mtime=0), _TYPES[name[name.rindex(".") :]])
        for name, raw in (found | {_INDEX: index}).items()
    }


@cache
def version() -> str:
    """Return the version of the files, which is part of their paths: a browser may keep them for ever."""
    return _version(dict(_read(files("autoscaler.web") / "static")))


def routes() -> list[web.RouteDef]:
    """Return the routes of the page."""
    return [web.get("/", _page), web.get("/static/{version}/{path:.+}", _static)]


async def _page(request: web.Request) -> web.Response:
    response = _answer(request, static_files()[_INDEX])
    response.headers["Content-Security-Policy"] = POLICY
    return response


async def _static(request: web.Request) -> web.Response:
    """Return a file; one of another version, which a page that was open over an upgrade asks for, is not there."""
    found = static_files().get(request.match_info["path"])
    if found is None or request.match_info["version"] != version():
        raise web.HTTPNotFound
    response = _answer(request, found)
    response.headers[hdrs.CACHE_CONTROL] = _FOR_EVER
    return response


def _answer(request: web.Request, file: StaticFile) -> web.Response:
    headers: dict[str, str] = {hdrs.VARY: hdrs.ACCEPT_ENCODING}
    if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        return web.Response(body=file.zipped, headers=headers, content_type=file.content_type, charset="utf-8")
    return web.Response(body=file.raw, headers=headers, content_type=file.content_type, charset="utf-8")


def _read(folder: Traversable, above: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        name = f"{above}{entry.name}"
        if entry.is_dir():
            yield from _read(entry, f"{name}/")
        elif name[name.rfind(".") :] in _TYPES:
            yield name, entry.read_bytes()


def _version(found: Mapping[str, bytes]) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for name, raw in sorted(found.items()):
        digest.update(f"{name} {len(raw)} ".encode() + raw)
    return digest.hexdigest()
