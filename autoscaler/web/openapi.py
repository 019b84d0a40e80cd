"""The endpoints' description as an OpenAPI document, from the same table that they are served from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from aiohttp import web

_COMPONENTS = "#/components/schemas/"
_SCHEME = "token"
_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method on a path, what it does, and every status that it answers with, by the type of what comes along."""

    method: str
    path: str
    summary: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    answers: Mapping[int, Any] = field(default_factory=dict)
    """The type of the JSON, or a media type of text."""
    body: type[BaseModel] | None = None
    guarded: bool = False
    """Whether a request must bear the token."""
    query: type[BaseModel] | None = None
    """The parameters after the question mark."""

    def parameters(self) -> list[dict[str, Any]]:
        """Return the parameters of the path and of the query, as OpenAPI 3.1 has them."""
        named = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in _PARAMETER.findall(self.path)
        ]
        schema = {} if self.query is None else self.query.model_json_schema(ref_template=_COMPONENTS + "{model}")
        needed = schema.get("required", ())
        asked = [
            {
                "name": name,
                "in": "query",
                "required": name in needed,
                "description": part.get("description", ""),
                "schema": part,
            }
            for name, part in schema.get("properties", {}).items()
        ]
        return [*named, *asked]


def openapi(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """The description of *endpoints*, as OpenAPI 3.1 has it."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        operation: dict[str, Any] = {
            "summary": endpoint.summary,
            "operationId": endpoint.handler.__name__,
            "responses": {
                str(status): {"description": HTTPStatus(status).phrase, "content": _content(answer, schemas)}
                for status, answer in endpoint.answers.items()
            },
        }
        if parameters := endpoint.parameters():
            operation["parameters"] = parameters
        if endpoint.body is not None:
            operation["requestBody"] = {"content": _content(endpoint.body, schemas)}
        if endpoint.guarded:
            operation["security"] = [{_SCHEME: []}]
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "swarm-autoscaler", "version": "1", "license": {"name": "MIT"}},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {_SCHEME: {"type": "http", "scheme": "bearer"}}},
    }


def _content(answer: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """What comes along, by media type; the parts it refers to are added to *schemas*."""
    if isinstance(answer, str):
        return {answer: {"schema": {"type": "string"}}}
    schema = TypeAdapter(answer).json_schema(ref_template=_COMPONENTS + "{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas[answer.__name__] = schema
    return {"application/json": {"schema": {"$ref": _COMPONENTS + answer.__name__}}}
