"""The contract of metric sources of plugins. Subclass it in a test, and give a fixture `source`."""

from __future__ import annotations

from math import isfinite, isnan
from typing import TYPE_CHECKING, ClassVar

from autoscaler.errors import BackendError, RefusedError
from autoscaler.plugins.metric_source import ForeignSource
from autoscaler.ports import Query
from autoscaler.testing.assertions import expect
from autoscaler.testing.builders import NOW, STEP
from autoscaler.util.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.ports import MetricSource, Series

_PATIENCE = 10.0
_STEPS = 41


class MetricSourceContract:
    """The contract. A subclass provides the pytest fixture `source`, a MetricSource that has data at `now`."""

    query: ClassVar[str]
    """A query that the source answers, as a metric's `query` in a policy file."""
    refused: ClassVar[str | None] = None
    """A query that the source refuses; None if there is none."""
    now: ClassVar[int] = NOW
    """The newest time for which the source has samples: a multiple of 60."""

    def test_it_has_samples_of_services(self, source: MetricSource) -> None:
        """At the newest step at least one service has a sample, under its name in Swarm."""
        answer = self._ask(source, self.now, self.now)
        found = {service: series.values for service, series in answer.items() if isfinite(series.values[-1])}
        expect(found, f"no service has a sample: {dict(answer)}")

    def test_every_answer_fits_its_question(self, source: MetricSource) -> None:
        """Each service has a number, or NaN, for each step from start to end, both included, oldest first."""
        for step in (STEP, 4 * STEP):
            for steps in (1, 2, _STEPS):
                self._ask(source, self.now - (steps - 1) * step, self.now, step)

    def test_asking_again_gives_the_same(self, source: MetricSource) -> None:
        """A repeated question gets the same answer. The newest two steps are asked for again."""
        start = self.now - (_STEPS - 1) * STEP
        first = self._ask(source, start, self.now)
        expect(_shown(first) == _shown(self._ask(source, start, self.now)), "the second answer is another one")

    def test_a_part_is_as_the_whole(self, source: MetricSource) -> None:
        """The sample of a step does not depend on the range of the question."""
        whole = self._ask(source, self.now - (_STEPS - 1) * STEP, self.now)
        part = self._ask(source, self.now - STEP, self.now)
        newest = {service: values[-2:] for service, values in _shown(whole).items()}
        told = {service: values for service, values in _shown(part).items() if service in newest}
        lost = {service: values for service, values in newest.items() if service not in told}
        expect(told == {service: newest[service] for service in told}, f"{told}, but in the whole {newest}")
        expect(all(values == [None, None] for values in lost.values()), f"only in the whole: {lost}")

    def test_nothing_is_known_of_the_future(self, source: MetricSource) -> None:
        """A step in the future has no sample."""
        answer = self._ask(source, self.now + 3600, self.now + 3600 + STEP)
        expect(all(isnan(value) for each in answer.values() for value in each.values), f"{dict(answer)}")

    def test_it_counts_no_tasks(self, source: MetricSource) -> None:
        """A plugin's numbers are those of services, without tasks behind them."""
        answer = self._ask(source, self.now, self.now)
        expect(all(series.tasks is None for series in answer.values()), f"{dict(answer)}")

    def test_what_it_cannot_answer_it_refuses(self, source: MetricSource) -> None:
        """A wrong query raises RefusedError, whose message says what would be right."""
        if self.refused is None:
            return
        try:
            answer = source.fetch(_query(self.refused), self.now, self.now, STEP, Deadline(_PATIENCE))
        except RefusedError as error:
            expect(str(error), "the error says nothing")
        else:
            raise AssertionError(f"{self.refused!r} was answered: {answer}")

    def test_its_clock_is_no_riddle(self, source: MetricSource) -> None:
        """It says by how many seconds its clock differs from the time it is told, or 0."""
        offset = source.clock_offset(float(self.now), Deadline(_PATIENCE))
        expect(isinstance(offset, int | float) and isfinite(offset), f"{offset!r}")

    def _ask(self, source: MetricSource, start: int, end: int, step: int = STEP) -> Mapping[str, Series]:
        """Return the answer as the autoscaler takes it."""
        checked = ForeignSource("under test", lambda: source, at_most=_PATIENCE)
        try:
            return checked.fetch(_query(self.query), start, end, step, Deadline(2 * _PATIENCE))
        except BackendError as error:
            raise AssertionError(f"from {start} to {end} every {step} s: {error}") from error


def _query(expression: str) -> Query:
    return Query("example", expression, by=None)


def _shown(answer: Mapping[str, Series]) -> dict[str, list[float | None]]:
    """Return the values with None for a missing one, because NaN does not equal itself."""
    return {service: [None if isnan(value) else value for value in series.values] for service, series in answer.items()}
