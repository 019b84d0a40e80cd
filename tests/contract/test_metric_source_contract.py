"""The contract of metric sources, held by the simulated one and by the real adapter on a real HTTP server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from autoscaler.adapters.prometheus.source import ConnectionSettings, PrometheusSource
from autoscaler.errors import RefusedError, UnreachableError
from autoscaler.metrics.queries import STAT_LABEL, TASKS, VALUE
from autoscaler.simulation.prometheus import SimulatedPrometheus
from autoscaler.testing import ManualClock
from tests.contract.metric_source_cases import RECORDINGS, START, STEP, MetricSourceContract, Subject, World, query
from tests.support.prometheus_server import PrometheusServer, Served, refusing_url, status

if TYPE_CHECKING:
    from collections.abc import Iterator


class Simulated:
    """Sources that recorded a plant's samples."""

    def holding(self, case: str, *, counts_tasks: bool = True) -> Subject:
        """One that holds the samples of a case."""
        services = RECORDINGS[case]

        def sample(_: str, at: int) -> dict[str, tuple[float, int]]:
            row = (at - START) // STEP
            return {service: samples[row] for service, samples in services.items() if row in samples}

        source = SimulatedPrometheus(ManualClock(START + 40 * STEP), sample, ["load"], step=STEP, start=START)
        return Subject(source, query(counts_tasks=counts_tasks))

    def refusing(self) -> Subject:
        """One that does not have the metric."""
        return self._failing(RefusedError("the simulated Prometheus refuses, as it was told to"))

    def unreachable(self) -> Subject:
        """One that was told to fail."""
        return self._failing(UnreachableError("the simulated Prometheus is away, as it was told to be"))

    def _failing(self, error: RefusedError | UnreachableError) -> Subject:
        source = SimulatedPrometheus(ManualClock(START), lambda _, __: {}, ["load"], step=STEP)
        source.fail(error)
        return Subject(source, query())


@dataclass(frozen=True)
class OverHttp:
    """The adapter on a real HTTP server."""

    server: PrometheusServer
    nowhere: str

    def holding(self, case: str, *, counts_tasks: bool = True) -> Subject:
        """One whose server holds the samples of a case."""
        series = []
        for service, samples in RECORDINGS[case].items():
            labels = {"service": service}
            by_time = {START + row * STEP: both for row, both in samples.items()}
            values = {at: value for at, (value, _) in by_time.items()}
            if not counts_tasks:
                series.append(Served(labels, values))
                continue
            counts = {at: count for at, (_, count) in by_time.items()}
            series += [Served({**labels, STAT_LABEL: VALUE}, values), Served({**labels, STAT_LABEL: TASKS}, counts)]
        self.server.serve(series)
        return Subject(_source(self.server.url), query(counts_tasks=counts_tasks))

    def refusing(self) -> Subject:
        """One whose server finds fault with the query."""
        self.server.fail(status(400, {"status": "error", "errorType": "bad_data", "error": "parse error"}), times=1)
        return Subject(_source(self.server.url), query())

    def unreachable(self) -> Subject:
        """One whose server does not run."""
        return Subject(_source(self.nowhere), query())


def _source(url: str) -> PrometheusSource:
    return PrometheusSource(ConnectionSettings(url), ManualClock(START))


class TestSimulatedPrometheus(MetricSourceContract):
    @pytest.fixture
    def world(self) -> World:
        """The simulated ones."""
        return Simulated()


class TestPrometheusSource(MetricSourceContract):
    @pytest.fixture
    def world(self) -> Iterator[World]:
        """Those on a server of their own."""
        with PrometheusServer() as server, refusing_url() as nowhere:
            yield OverHttp(server, nowhere)


def plant(_: str, at: int) -> dict[str, tuple[float, int]]:
    """A plant whose value is the time since START."""
    return {"web": (float(at - START), 2), "db": (1.0, 1)}


class TestTimePassing:
    def test_each_step_is_sampled_once(self) -> None:
        """The plant is asked once for each step, in the order of time, however often the source is called."""
        clock = ManualClock(START + 1)
        asked: list[int] = []

        def sample(_: str, at: int) -> dict[str, tuple[float, int]]:
            asked.append(at)
            return {}

        source = SimulatedPrometheus(clock, sample, ["load"], step=STEP)
        for now in (START + 1, START + 14.9, START + 15, START + 20, START + 60):
            clock.time = now
            source.record()
        assert asked == [START, START + 15, START + 30, START + 45, START + 60]

    def test_a_failing_source_goes_on_recording(self) -> None:
        """Once it can be reached again, a source has the samples of the time when it could not."""
        clock = ManualClock(START)
        source = SimulatedPrometheus(clock, plant, ["load"], step=STEP)
        source.fail(UnreachableError("away"))
        clock.time = START + 2 * STEP
        with pytest.raises(UnreachableError):
            Subject(source, query()).rows(0, 2)
        source.fail(None)
        assert Subject(source, query()).rows(0, 2)["web"].values == [0.0, 15.0, 30.0]

    def test_lost_samples_stay_lost(self) -> None:
        """The samples that a service loses are holes for ever; the others keep theirs."""
        clock = ManualClock(START)
        source = SimulatedPrometheus(clock, plant, ["load"], step=STEP)
        source.lose("web")
        clock.time = START + 2 * STEP
        source.find("web")
        clock.time = START + 3 * STEP
        answer = Subject(source, query()).rows(0, 3)
        assert answer["web"].tasks == [2, 0, 0, 2]
        assert answer["db"].tasks == [1, 1, 1, 1]
