"""Prometheus' own state as a doctor asks for it: the pages of its API that are not queries."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import requests

from autoscaler.adapters.prometheus.wire import Wire
from autoscaler.errors import RefusedError, UnreachableError
from autoscaler.util.deadline import TimedCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.adapters.prometheus.connection import ConnectionSettings
    from autoscaler.errors import BackendError
    from autoscaler.ports import Clock
    from autoscaler.util.deadline import Deadline


class StatusError(RefusedError):
    """An HTTP status that is not a success."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _PlainWire(Wire):
    """A wire whose answers are plain JSON, and whose refusals tell their status."""

    def _document(self, text: str) -> Any:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict) and document.get("status") == "success" and "data" in document:
            return document["data"]
        return super()._document(text)  # it finds the words for what this is

    def _refused(self, response: requests.Response, body: str) -> BackendError:
        return StatusError(str(super()._refused(response, body)), response.status_code)


class PrometheusProbe:
    """Asks Prometheus' API for plain pages. Not for use by two threads at once.

    Raise SettingsError if a certificate's file cannot be used.
    """

    def __init__(self, connection: ConnectionSettings, clock: Clock) -> None:
        self._connection = connection
        self._wire = _PlainWire(connection, clock)
        self._wire.mount(connection.address, requests.adapters.HTTPAdapter())
        self._guard = TimedCall("Prometheus")

    def page(self, path: str, deadline: Deadline, params: Mapping[str, str] | None = None) -> Any:
        """Return the data of the page at *path*, such as ``/api/v1/status/flags``; raise BackendError.

        A status that is not a success raises StatusError.
        """
        connection = self._connection
        credentials = connection.credentials
        timeout = deadline.remaining(at_most=connection.timeout)
        answer = self._guard.call(
            lambda: self._wire.request(
                "GET",
                f"{connection.address}{path}",
                params=dict(params or {}),
                headers=connection.all_headers,
                auth=tuple(part.encode() for part in credentials) if credentials else None,
                timeout=timeout,
                verify=self._wire.verify,
                cert=self._wire.cert,
            ),
            timeout,
        )
        if answer is None:
            raise UnreachableError("Prometheus gave no answer")
        return answer.json()
