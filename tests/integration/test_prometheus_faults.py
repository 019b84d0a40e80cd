"""What the adapter makes of a Prometheus that fails: one table of faults, and what must hold whatever the fault."""

from __future__ import annotations

import json
import logging
import shutil
import ssl
import subprocess
import traceback
from dataclasses import dataclass, replace
from email.utils import formatdate
from math import isnan
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from tenacity import wait_none

from autoscaler.adapters.prometheus import source as prometheus
from autoscaler.adapters.prometheus import wire as prometheus_wire
from autoscaler.adapters.prometheus.source import ConnectionSettings, PrometheusSource
from autoscaler.errors import BackendError, DeadlineError, RefusedError, SettingsError, UnreachableError
from autoscaler.ports import Query, Series
from autoscaler.testing import ManualClock
from autoscaler.util.deadline import Deadline
from tests.support import prometheus_server as server_side
from tests.support.prometheus_cases import CASES, Case, error
from tests.support.prometheus_server import Fault, PrometheusServer, Served, refusing_url, status, success

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = 1_800_000_000
STEP = 15
QUERY = Query("load", "load", "service")
SERIES = [Served({"service": "web"}, {NOW: 1.5, NOW + STEP: 2.5})]
PASSWORD = "correct horse & battery/staple"  # noqa: S105 - the secret of a test
TOKEN = "tok-3141592653589793"  # noqa: S105 - likewise
LONG = 30.0
"""A deadline that nothing here reaches."""


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again at once: a test has no need of a pause."""
    monkeypatch.setattr(prometheus, "_BACKOFF", wait_none())


@pytest.fixture
def server() -> Iterator[PrometheusServer]:
    """A server that holds two samples of one service."""
    with PrometheusServer(SERIES) as running:
        yield running


def source(connection: ConnectionSettings | str, clock: ManualClock | None = None) -> PrometheusSource:
    """The adapter, with as little patience as makes no difference to a server that answers."""
    if isinstance(connection, str):
        connection = ConnectionSettings(connection, timeout=5)
    return PrometheusSource(connection, clock or ManualClock())


def fetch(asked: PrometheusSource, seconds: float = LONG, query: Query = QUERY) -> dict[str, Series]:
    """Both samples."""
    return asked.fetch(query, NOW, NOW + STEP, STEP, Deadline(seconds))


def matrix(*values: list[object], **labels: str) -> dict[str, object]:
    """A good answer of one series."""
    return success([{"metric": {"service": "web", **labels}, "values": list(values)}])


def time_told(text: str) -> list[object]:
    """The answer that it is *text*, in Unix seconds."""
    return [{"metric": {}, "value": [NOW, text]}]


@pytest.mark.fault("secrets")
@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_nobody_is_asked_whom_a_redirect_names(server: PrometheusServer, code: int) -> None:
    """No request goes where a redirect points, with the credentials or without."""
    with PrometheusServer(SERIES) as elsewhere:
        server.fail(status(code, "", {"Location": f"{elsewhere.url}/api/v1/query_range"}))
        asked = source(ConnectionSettings(server.url, bearer_token=SecretStr(TOKEN), timeout=5))

        with pytest.raises(RefusedError, match="redirects are not followed"):
            fetch(asked)
        with pytest.raises(RefusedError, match="redirects are not followed"):
            asked.clock_offset(NOW, Deadline(LONG))

        assert elsewhere.asked == []


@pytest.mark.fault("prometheus-away")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_fault_is_an_error_that_says_what_would_help(server: PrometheusServer, case: Case) -> None:
    """A fault raises UnreachableError where it may pass, RefusedError where it will not, and is tried again if sane."""
    server.fail(case.fault)
    with pytest.raises(BackendError) as raised:
        fetch(source(server.url))
    assert isinstance(raised.value, case.error)
    assert case.says.lower() in str(raised.value).lower()
    assert len(server.asked) == case.attempts
    assert len(str(raised.value)) < 700


@pytest.mark.fault("prometheus-away")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_recovers_by_itself(server: PrometheusServer, case: Case) -> None:
    """After any fault the same source answers as soon as the server does."""
    asked = source(server.url)
    server.fail(case.fault, times=case.attempts)
    with pytest.raises(BackendError):
        fetch(asked)
    assert fetch(asked)["web"].values == [1.5, 2.5]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.attempts > 1])
def test_a_passing_fault_is_not_even_noticed(server: PrometheusServer, name: str) -> None:
    """Where the second try is answered, that is the answer."""
    server.fail(CASES[name].fault, times=1)
    assert fetch(source(server.url))["web"].values == [1.5, 2.5]


@pytest.mark.parametrize(
    ("code", "body"), [(500, 'unsupported API version "v1"\n'), (400, "no such page"), (405, "GET only")]
)
def test_another_server_than_prometheus(server: PrometheusServer, code: int, body: str) -> None:
    """What a Prometheus never answers, such as cAdvisor's refusal, names the setting to correct."""
    server.fail(status(code, body))
    with pytest.raises(BackendError) as raised:
        fetch(source(server.url))
    cure = "does AUTOSCALER_PROMETHEUS_URL name another server, such as cAdvisor?"
    assert str(raised.value).endswith(f" (this is not the answer of a Prometheus; {cure})")


def test_an_error_of_prometheus_itself(server: PrometheusServer) -> None:
    """An error in Prometheus' own form leaves no doubt about the URL."""
    server.fail(status(500, {"status": "error", "errorType": "internal", "error": "disk full"}))
    with pytest.raises(BackendError) as raised:
        fetch(source(server.url))
    assert str(raised.value).endswith("fails with HTTP 500: disk full")


def test_a_retry_after_within_the_deadline_is_obeyed(server: PrometheusServer) -> None:
    """A server that asks for a second is given it, if the deadline allows."""
    server.fail(status(429, "", {"Retry-After": "1"}), times=1)
    assert fetch(source(server.url))["web"].values == [1.5, 2.5]
    assert len(server.asked) == 2


@pytest.mark.fault("prometheus-away")
def test_nobody_listens() -> None:
    """A refused connection is unreachable, and says so in the system's words."""
    with refusing_url() as url, pytest.raises(UnreachableError, match="cannot be reached: connection refused"):
        fetch(source(url))


def test_no_such_host() -> None:
    """A name that does not resolve is unreachable, and says so."""
    with pytest.raises(UnreachableError, match=r"http://prometheus\.invalid cannot be reached: .*(name|resol)"):
        fetch(source("http://prometheus.invalid"), seconds=5)


class TestDeadline:
    @pytest.mark.fault("prometheus-away")
    @pytest.mark.parametrize(
        "fault",
        [server_side.hang, server_side.drip_headers, server_side.drip_body],
        ids=["hang", "drip of headers", "drip of a body"],
    )
    def test_no_server_holds_us_longer(self, server: PrometheusServer, fault: Fault) -> None:
        """A server that hangs, or sends byte after byte for ever, is waited for until the deadline and no longer."""
        server.fail(fault)
        with pytest.raises(DeadlineError):
            fetch(source(server.url), seconds=1)
        assert len(server.asked) == 1

    def test_one_read_is_bounded_too(self, server: PrometheusServer) -> None:
        """A server that is silent for longer than the time-out is asked again before the deadline."""
        server.fail(server_side.hang, times=1)
        answer = fetch(source(ConnectionSettings(server.url, timeout=1)))
        assert answer["web"].values == [1.5, 2.5]

    def test_silence_is_said_to_be_silence(self, server: PrometheusServer) -> None:
        """A time-out names the setting that it comes from."""
        server.fail(server_side.hang)
        with pytest.raises(UnreachableError, match=r"no answer within 0\.1 s \(AUTOSCALER_PROMETHEUS_TIMEOUT\)"):
            fetch(source(ConnectionSettings(server.url, timeout=0.1)))

    def test_nothing_is_asked_after_it(self, server: PrometheusServer) -> None:
        """Without time left no request is sent."""
        with pytest.raises(DeadlineError):
            fetch(source(server.url), seconds=0)
        assert server.asked == []

    @pytest.mark.parametrize("fault", [server_side.drip_headers, server_side.drip_body], ids=["headers", "body"])
    def test_drips_do_not_pile_up(self, server: PrometheusServer, fault: Fault) -> None:
        """However often a server drips, each abandoned connection is cut, and the source recovers."""
        asked = source(server.url)
        server.fail(fault)
        for _ in range(10):
            with pytest.raises(DeadlineError):
                fetch(asked, seconds=0.3)
        assert server.saw_drips_end(len(server.asked))
        server.recover()
        assert fetch(asked)["web"].values == [1.5, 2.5]


class TestAnswers:
    @pytest.mark.fault("samples-missing")
    def test_no_numbers(self, server: PrometheusServer) -> None:
        """NaN and infinite samples are missing, and so are counts that are none."""
        counted = replace(QUERY, counts_tasks=True)
        for value in ("NaN", "+Inf", "-Inf"):
            server.serve(
                [
                    Served({"service": "web", "autoscaler_stat": "value"}, {NOW: value, NOW + STEP: "1"}),
                    Served({"service": "web", "autoscaler_stat": "tasks"}, {NOW: "2", NOW + STEP: value}),
                ]
            )
            answer = fetch(source(server.url), query=counted)["web"]
            assert isnan(answer.values[0])
            assert answer.values[1] == 1.0
            assert answer.tasks == [2, 0]

    def test_a_value_without_a_count_and_a_count_without_a_value(self, server: PrometheusServer) -> None:
        """What one of the two series lacks is missing, the other stays."""
        server.serve(
            [
                Served({"service": "web", "autoscaler_stat": "value"}, {NOW: 1.0, NOW + STEP: 1.0}),
                Served({"service": "db", "autoscaler_stat": "tasks"}, {NOW: 3.0, NOW + STEP: 3.0}),
            ]
        )
        answer = fetch(source(server.url), query=replace(QUERY, counts_tasks=True))
        assert answer["web"] == Series([1.0, 1.0], [0, 0])
        assert [isnan(value) for value in answer["db"].values] == [True, True]
        assert answer["db"].tasks == [3, 3]

    def test_a_series_that_is_about_no_service(self, server: PrometheusServer) -> None:
        """One without the service's label, as a proxy's own dashboard gives beside the others, is nobody's."""
        web = {"metric": {"service": "web"}, "values": [[NOW, "5"], [NOW + STEP, "6"]]}
        nobody = [{"metric": labels, "values": [[NOW, "9"]]} for labels in ({"pod": "a"}, {"service": ""}, {})]
        server.fail(status(200, success([nobody[0], web, *nobody[1:]])))

        assert fetch(source(server.url)) == {"web": Series([5.0, 6.0])}

    def test_a_series_that_is_neither_value_nor_count(self, server: PrometheusServer) -> None:
        """A metric that counts tasks says of each series what it is, or is refused."""
        with pytest.raises(RefusedError, match=r"web without the label autoscaler_stat \(value or tasks\)"):
            fetch(source(server.url), query=replace(QUERY, counts_tasks=True))

    def test_samples_off_the_grid_are_ignored(self, server: PrometheusServer) -> None:
        """Only samples at the very steps that were asked for count, whatever else a server sends."""
        odd = [[NOW - STEP, "7"], [NOW + 0.5, "7"], [NOW + STEP, "2"], [NOW + 2 * STEP, "7"]]
        server.fail(status(200, matrix(*odd)))
        values = fetch(source(server.url))["web"].values
        assert isnan(values[0])
        assert values[1] == 2.0

    def test_notes_on_style_are_no_warnings(self, server: PrometheusServer) -> None:
        """What Prometheus 2.48 to 2.53 notes on a query beside its warnings does not make its answer partial."""
        note = 'PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "load"'
        server.fail(status(200, success([], warnings=[note], infos=[note])))
        assert fetch(source(server.url)) == {}

    def test_an_answer_beyond_all_measure(self, server: PrometheusServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """An answer larger than the bound is refused as soon as the bound is passed."""
        monkeypatch.setattr(prometheus_wire, "_LARGEST_ANSWER", 2**20)
        server.fail(server_side.huge_body(2**24))
        with pytest.raises(RefusedError, match="more than 1 MiB"):
            fetch(source(server.url))

    def test_one_connection(self, server: PrometheusServer) -> None:
        """Calls that are answered share one connection."""
        asked = source(server.url)
        for _ in range(3):
            fetch(asked)
        assert len({request.port for request in server.asked}) == 1

    def test_ranges_in_parts(self, server: PrometheusServer) -> None:
        """More than 11,000 points are asked for in parts that meet without a gap or an overlap."""
        moments = range(NOW, NOW + 11_005)
        server.serve([Served({"service": "web"}, {at: float(at - NOW) for at in moments if at != NOW + 10_999})])
        values = source(server.url).fetch(QUERY, NOW, NOW + 11_004, 1, Deadline(LONG))["web"].values
        assert [row for row, value in enumerate(values) if isnan(value)] == [10_999]
        assert values[-5:] == [11_000.0, 11_001.0, 11_002.0, 11_003.0, 11_004.0]
        asked = [(request.form["start"], request.form["end"]) for request in server.asked]
        assert asked == [(f"{NOW}", f"{NOW + 10_999}"), (f"{NOW + 11_000}", f"{NOW + 11_004}")]


class TestClock:
    @pytest.mark.fault("clock-skew")
    @pytest.mark.parametrize(
        ("theirs", "ours", "offset"),
        [
            (NOW, NOW, 0.0),
            (NOW, NOW + 0.999, 0.0),
            (NOW, NOW + 1.5, -1.5),
            (NOW, NOW + 61, -61.0),
            (NOW, NOW - 0.5, 0.5),
            (NOW, NOW - 90, 90.0),
        ],
    )
    def test_the_offset(self, server: PrometheusServer, theirs: float, ours: float, offset: float) -> None:
        """The offset is what the server says of its clock, and 0 where a Date without parts of a second agrees."""
        server.set_clock(theirs)
        assert source(server.url, ManualClock(ours)).clock_offset(ours, Deadline(LONG)) == offset

    @pytest.mark.fault("clock-skew")
    @pytest.mark.parametrize("off", [-3600, -90, 90, 3600])
    def test_a_proxy_whose_clock_is_off(self, server: PrometheusServer, off: int) -> None:
        """The Date of something before the server says nothing of the server's clock."""
        server.set_clock(NOW, date=NOW + off)
        asked = source(server.url)
        fetch(asked)
        assert asked.clock_offset(NOW, Deadline(LONG)) == 0.0
        server.set_clock(NOW - 100, date=NOW + off)
        assert source(server.url).clock_offset(NOW, Deadline(LONG)) == -100.0

    @pytest.mark.fault("clock-skew")
    @pytest.mark.parametrize("off", [-600.0, 600.0])
    def test_a_proxy_whose_clock_is_right_before_a_server_whose_is_not(
        self, server: PrometheusServer, off: float
    ) -> None:
        """A Date that agrees says nothing where Prometheus does not: that is asked each time, until it agrees too."""
        server.set_clock(NOW + off, date=NOW)
        asked = source(server.url)
        for _ in range(2):
            assert asked.clock_offset(NOW, Deadline(LONG)) == off
            fetch(asked)
        server.set_clock(NOW)
        assert asked.clock_offset(NOW, Deadline(LONG)) == 0.0
        questions = len(server.asked)
        assert asked.clock_offset(NOW, Deadline(LONG)) == 0.0
        assert len(server.asked) == questions

    @pytest.mark.fault("clock-skew")
    @pytest.mark.parametrize(
        ("behind", "headers", "cure"),
        [
            pytest.param(61, {}, "set both by NTP", id="Prometheus"),
            pytest.param(
                *(30, {}, "set both by NTP; if it is VictoriaMetrics, set its -search.latencyOffset=1ms"),
                id="as late as VictoriaMetrics",
            ),
            pytest.param(
                *(30, {"X-Server-Hostname": "vm"}),
                "VictoriaMetrics answers late by its -search.latencyOffset: set that to 1ms",
                id="VictoriaMetrics",
            ),
            pytest.param(
                *(60, {"X-Server-Hostname": "vm"}),
                "VictoriaMetrics answers late by its -search.latencyOffset: set that to 1ms",
                id="VictoriaMetrics with another offset",
            ),
            pytest.param(-30, {"X-Server-Hostname": "vm"}, "set both by NTP", id="VictoriaMetrics that is ahead"),
        ],
    )
    def test_the_cure_names_what_makes_victoria_metrics_late(
        self, server: PrometheusServer, behind: int, headers: dict[str, str], cure: str
    ) -> None:
        """VictoriaMetrics is known by its answers' header, without a question more; its flag is the cure then."""
        told = [{"metric": {}, "value": [NOW - behind, f"{NOW - behind}"]}]
        server.set_clock(NOW - behind)
        server.fail(lambda exchange: exchange.send(200, success(told, "vector"), headers))
        asked = source(server.url)

        offset = asked.clock_offset(NOW, Deadline(LONG))

        assert (offset, asked.clock_cure(offset)) == (-behind, cure)
        assert len(server.asked) == 1

    def test_a_time_in_whole_milliseconds(self, server: PrometheusServer) -> None:
        """What Prometheus leaves out of its time, which is less than a millisecond, is no offset."""
        server.set_clock(NOW, date=NOW + 90)
        ours = NOW + 0.0009
        assert source(server.url, ManualClock(ours)).clock_offset(ours, Deadline(LONG)) == 0.0

    def test_a_question_takes_time(self, server: PrometheusServer) -> None:
        """A Date that agrees when the question has been answered tells, though that is later than it was asked."""
        server.set_clock(NOW, date=NOW + 0.999)
        assert source(server.url, ManualClock(NOW + 0.999)).clock_offset(NOW + 0.99, Deadline(LONG)) == 0.0

    def test_a_date_that_agrees_tells(self, server: PrometheusServer) -> None:
        """No question of its own is asked within a minute of an answer whose Date agrees with our clock."""
        clock = ManualClock()
        asked = source(server.url, clock)
        server.set_clock(NOW)
        fetch(asked)
        clock.time = NOW + 59
        assert asked.clock_offset(clock.now(), Deadline(LONG)) == 0.0
        assert len(server.asked) == 1

    @pytest.mark.parametrize("later", [STEP, 61, -5])
    def test_a_date_that_does_not_agree_is_checked_each_time(self, server: PrometheusServer, later: int) -> None:
        """Where the clocks differ the server is asked for its own, so that a change of it is seen at once."""
        clock = ManualClock()
        asked = source(server.url, clock)
        server.set_clock(NOW + 30)
        fetch(asked)
        assert asked.clock_offset(NOW, Deadline(LONG)) == 30.0
        clock.time = NOW + later
        server.set_clock(clock.now() + 7)
        assert asked.clock_offset(clock.now(), Deadline(LONG)) == 7.0
        assert [request.form["query"] for request in server.asked] == ["load", "vector(time())", "vector(time())"]

    def test_an_old_date_tells_nothing(self, server: PrometheusServer) -> None:
        """After a minute without an answer the server is asked, though its last Date agreed."""
        clock = ManualClock()
        asked = source(server.url, clock)
        server.set_clock(NOW)
        fetch(asked)
        clock.time = NOW + 61
        assert asked.clock_offset(clock.now(), Deadline(LONG)) == -61.0

    @pytest.mark.parametrize("answer", [[], [{"metric": {}}], *map(time_told, ("noon", "NaN", "+Inf", "-7", "1e300"))])
    def test_no_time_at_all(self, server: PrometheusServer, answer: list[object]) -> None:
        """A server that does not say what time it is, or a time that no calendar has, is refused."""
        server.fail(status(200, success(answer, "vector")))
        with pytest.raises(RefusedError, match="does not answer with its time"):
            source(server.url).clock_offset(NOW, Deadline(LONG))

    @pytest.mark.parametrize("date", ["", "noon", f"Mon, {10**20} Jan 2026 00:00:00 GMT"])
    def test_a_date_that_is_none_tells_nothing(self, server: PrometheusServer, date: str) -> None:
        """Where something before the server writes a Date that no calendar has, the server is asked."""
        server.set_clock(NOW + 7)
        asked = source(server.url)
        answer = f"HTTP/1.1 200 OK\r\nDate: {date}\r\n\r\n{json.dumps(success([]))}"
        server.fail(lambda exchange: exchange.raw(answer.encode()), times=1)
        fetch(asked)
        assert asked.clock_offset(NOW, Deadline(LONG)) == 7.0

    def test_an_error_page_tells_nothing(self, server: PrometheusServer) -> None:
        """Only answers of Prometheus date its clock: an error may come from something before it."""
        server.fail(status(503, "", {"Date": formatdate(NOW + 500, usegmt=True)}))
        asked = source(server.url)
        with pytest.raises(UnreachableError):
            fetch(asked)
        server.recover()
        server.set_clock(NOW)
        assert asked.clock_offset(NOW, Deadline(LONG)) == 0.0


class TestScrapeInterval:
    @staticmethod
    def told(server: PrometheusServer, *times: str) -> float | None:
        """What is made of a series that was scraped at these *times*, as JSON has numbers."""
        samples = ",".join(f'[{at},"1"]' for at in times)
        series = f'{{"metric":{{"job":"cadvisor"}},"value":[0,"1"],"values":[{samples}]}}'
        server.fail(status(200, f'{{"status":"success","data":{{"result":[{series}]}}}}'))
        return source(server.url).scrape_interval("up", Deadline(LONG))

    def test_the_median(self, server: PrometheusServer) -> None:
        """It is the median of the gaps between the scrapes, of which one may be odd."""
        assert self.told(server, "0", "15", "30", "90", "105.5") == 15.25

    @pytest.mark.parametrize(
        "times", [(), ("0", "15"), ("0", "-1e308", "1e308"), ("0", "1e300", "2e300"), ("9", "5", "1")]
    )
    def test_times_that_none_can_have(self, server: PrometheusServer, times: tuple[str, ...]) -> None:
        """Too few samples, and times that do not rise by what was asked for at most, do not tell it."""
        assert self.told(server, *times) is None

    @pytest.mark.parametrize("time", ["NaN", "Infinity", "1e999"])
    def test_times_that_are_not_json(self, server: PrometheusServer, time: str) -> None:
        """A number that JSON or a computer cannot have makes an answer none of Prometheus'."""
        with pytest.raises(UnreachableError, match="something that is not an answer to a query"):
            self.told(server, "0", time, "30")


class TestCredentials:
    def test_basic(self, server: PrometheusServer) -> None:
        """User and password are sent as UTF-8."""
        server.require("Basic Ym9iOnDDpHNz")
        connection = ConnectionSettings(server.url, username="bob", password=SecretStr("päss\n"))
        assert fetch(source(connection))["web"].values == [1.5, 2.5]

    def test_basic_in_the_url(self, server: PrometheusServer) -> None:
        """User and password in the URL are credentials as well, percent-encoded where they must be."""
        server.require("Basic Ym9iOmEvYg==")
        assert fetch(source(server.url.replace("//", "//bob:a%2Fb@")))["web"].values == [1.5, 2.5]

    def test_bearer_in_spite_of_netrc(
        self, server: PrometheusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A netrc file does not replace the bearer token, nor does a proxy of the environment get the request."""
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login mallory password other\n")
        monkeypatch.setenv("NETRC", f"{netrc}")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        server.require(f"Bearer {TOKEN}")
        connection = ConnectionSettings(server.url, bearer_token=SecretStr(f"{TOKEN}\n"))
        assert fetch(source(connection))["web"].values == [1.5, 2.5]

    def test_headers(self, server: PrometheusServer) -> None:
        """Headers such as a tenant's go along with every request, and a path before the API is kept."""
        fetch_from = source(ConnectionSettings(f"{server.url}/prometheus/", headers={"X-Scope-OrgID": "shop"}))
        server.fail(status(200, success([{"metric": {}, "value": [NOW, f"{NOW}"]}], "vector")))
        fetch_from.clock_offset(NOW, Deadline(LONG))
        server.fail(status(200, success([])))
        fetch(fetch_from)
        assert [request.headers["X-Scope-OrgID"] for request in server.asked] == ["shop", "shop"]
        assert server.asked[1].path == "/prometheus/api/v1/query_range"

    @pytest.mark.parametrize("name", [*CASES, "hang", "refuse"])
    def test_no_secret_is_told(
        self, server: PrometheusServer, name: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Neither error, trace, log nor representation holds a secret, wherever it was given, whatever the fault."""
        caplog.set_level(logging.DEBUG)
        if name in CASES:
            server.fail(CASES[name].fault)
        if name == "hang":
            server.fail(server_side.hang)
        with refusing_url() as nowhere:
            url = nowhere if name == "refuse" else server.url
            for connection in (
                ConnectionSettings(url, username="bob", password=SecretStr(PASSWORD)),
                ConnectionSettings(url.replace("//", "//bob:correct%20horse%20&%20battery%2Fstaple@")),
                ConnectionSettings(url, bearer_token=SecretStr(TOKEN)),
                ConnectionSettings(url, headers={"X-Api-Key": TOKEN}),
            ):
                with pytest.raises(BackendError) as raised:
                    fetch(source(replace(connection, timeout=0.1)), seconds=2)
                told = "".join(traceback.format_exception(raised.value))
                told += f"{connection!r}{connection}{caplog.text}{capsys.readouterr()}"
                for secret in (*connection.secrets, "correct horse", "correct%20horse"):
                    assert secret not in told

    def test_a_secret_that_comes_back(self, server: PrometheusServer) -> None:
        """A server that sends our credentials back in its refusal does not get them into an error."""
        server.fail(status(401, error(f"no user with bob:{PASSWORD} or {TOKEN}")))
        for connection in (
            ConnectionSettings(server.url, username="bob", password=SecretStr(PASSWORD)),
            ConnectionSettings(server.url, bearer_token=SecretStr(TOKEN)),
        ):
            with pytest.raises(RefusedError, match=r"\*\*\*") as raised:
                fetch(source(connection))
            assert all(secret not in str(raised.value) for secret in connection.secrets)


_SELF_SIGNED = (
    *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
    *("-subj", "/CN=prometheus", "-addext", "subjectAltName=IP:127.0.0.1"),
)


@dataclass(frozen=True)
class Certified:
    """A server certificate, its key, and the authority to trust."""

    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    """A self-signed certificate for 127.0.0.1."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl, which makes the test's certificate, is not on PATH")
    folder = tmp_path_factory.mktemp("tls")
    made = Certified(folder / "cert.pem", folder / "key.pem")
    subprocess.run(  # noqa: S603 - a program of the system, and arguments of ours
        [program, *_SELF_SIGNED, "-keyout", made.key, "-out", made.certificate],
        check=True,
        capture_output=True,
    )
    return made


class TestTls:
    @pytest.fixture
    def secure(self, certified: Certified) -> Iterator[PrometheusServer]:
        """A server that speaks TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certified.certificate, certified.key)
        with PrometheusServer(SERIES, tls=context) as running:
            yield running

    def test_an_unknown_authority(self, secure: PrometheusServer) -> None:
        """A certificate that nobody known signed is not trusted, and the error names the setting that would help."""
        with pytest.raises(UnreachableError, match=r"certificate.*AUTOSCALER_PROMETHEUS_CA_FILE"):
            fetch(source(secure.url))

    def test_an_authority_of_ones_own(self, secure: PrometheusServer, certified: Certified) -> None:
        """With its authority given, a server is trusted."""
        assert fetch(source(ConnectionSettings(secure.url, ca_file=f"{certified.certificate}")))

    def test_http_where_tls_was_meant(self, server: PrometheusServer) -> None:
        """A server that does not speak TLS is told from one that is not trusted."""
        with pytest.raises(UnreachableError, match="the right one of http and https"):
            fetch(source(server.url.replace("http:", "https:")))

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("ca_file", r"CA_FILE: cannot be used: .+ \(name a PEM file with the authority's certificate\)"),
            ("cert_file", r"CERT_FILE: cannot be used: .+ \(name a PEM file with certificate and key, or give the key"),
        ],
    )
    @pytest.mark.parametrize("content", [None, "not a certificate"])
    def test_a_file_that_is_no_certificate(self, tmp_path: Path, name: str, said: str, content: str | None) -> None:
        """A file that is not there, or without a certificate in it, is told before anything is asked."""
        file = tmp_path / "wrong.pem"
        if content is not None:
            file.write_text(content)
        connection = replace(ConnectionSettings("https://prometheus:9090"), **{name: f"{file}"})  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match=f"^AUTOSCALER_PROMETHEUS_{said}"):
            source(connection)

    def test_a_certificate_without_its_key(self, certified: Certified) -> None:
        """A client certificate goes with its key, in its own file or in another."""
        files = {"cert_file": f"{certified.certificate}", "key_file": f"{certified.key}"}
        assert source(ConnectionSettings("https://prometheus:9090", **files))  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="CERT_FILE: cannot be used"):
            source(ConnectionSettings("https://prometheus:9090", cert_file=f"{certified.certificate}"))

    def test_an_encrypted_key(self, certified: Certified, tmp_path: Path) -> None:
        """A key that only a passphrase opens is told as well; a daemon has nobody to ask for one."""
        key = tmp_path / "key.pem"
        command = ("openssl", "rsa", "-aes256", "-passout", "pass:secret", "-in", certified.key, "-out", key)
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - likewise
        with pytest.raises(SettingsError, match="CERT_FILE: cannot be used"):
            source(ConnectionSettings("https://h", cert_file=f"{certified.certificate}", key_file=f"{key}"))
