"""A Prometheus whose clock is off, or that stands behind a proxy whose clock is."""

import json
import time
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from tests.support.serving import Answering, LocalServing

from .prometheus import Prometheus


class Skew(LocalServing):
    """Passes queries on to *prometheus*, and shows its clock and its samples shifted; a context manager.

    (A program in Go takes the time from the kernel, where no library can shift it.) `clock` is by how many seconds the
    clock is ahead that dates the samples, `date` the one that dates the answers.
    """

    def __init__(self, prometheus: Prometheus) -> None:
        self.clock = 0
        self.date = 0
        super().__init__(type("Handler", (_Query,), {"skew": self, "prometheus": prometheus}))

    @property
    def url(self) -> str:
        """Where the autoscaler finds it."""
        return f"http://{self.address}"


class _Query(Answering):
    protocol_version = "HTTP/1.1"
    skew: Skew
    prometheus: Prometheus

    def reply(self) -> None:
        parts, clock = urlsplit(self.path), self.skew.clock
        form = dict(parse_qsl(parts.query))
        for name in form.keys() & {"start", "end", "time"}:
            form[name] = f"{float(form[name]) - clock}"
        if form["query"] == "vector(time())":
            form["query"] = f"vector(time() + {clock})"
        # Without an answer there is none here either: http.server cuts the connection.
        answer = requests.get(f"{self.prometheus.url}{parts.path}", params=form, timeout=60)
        content = answer.content
        if clock and answer.ok:
            content = json.dumps(_shifted(answer.json(), clock)).encode()
        self.answer(answer.status_code, content)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The date of an answer."""
        now = time.time()  # noqa: TID251 -- the clock that is shifted
        return formatdate(now + self.skew.clock + self.skew.date if timestamp is None else timestamp, usegmt=True)


def _shifted(document: dict[str, Any], seconds: int) -> dict[str, Any]:
    for series in document["data"]["result"]:
        for sample in series.get("values", []):
            sample[0] += seconds
        if "value" in series:
            series["value"][0] += seconds
    return document
