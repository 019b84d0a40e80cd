"""What every HTTP answer has, whoever made it: its headers, and how it says no."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from typing_extensions import TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "swarm-autoscaler",  # instead of the versions of what it is made of
}
"""On every answer, errors included; nothing here is for a browser to keep, guess at, run or frame."""


NEXT_EVALUATION = "X-Next-Evaluation-In"
"""The header with the real seconds until the next evaluation: whoever polls asks again just after that."""
CLOCK = "X-Autoscaler-Time"
"""The header with the time of the daemon's clock in Unix seconds, from which the age of an evaluation follows."""


class ErrorDocument(TypedDict):
    """Why a request was refused, with what would be right."""

    error: str


class RefusedRequestError(Exception):
    """A request is answered with *status* and these words; nothing was done."""

    def __init__(self, status: int, words: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(words)
        self.status = status
        self.headers = dict(headers or {})


def refusal(status: int, words: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """The answer that says no, as JSON; the request is not repeated in it."""
    document: ErrorDocument = {"error": words}
    return web.json_response(document, status=status, headers=headers)
