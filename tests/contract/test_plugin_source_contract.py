"""The contract of plugins' metric sources, held by a sound one; and by none of those that break it."""

from __future__ import annotations

import re
from math import nan
from typing import TYPE_CHECKING

import pytest

from autoscaler.errors import RefusedError
from autoscaler.ports import Series
from autoscaler.testing import NOW, STEP, MetricSourceContract

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.ports import MetricSource, Query
    from autoscaler.util.deadline import Deadline

BEGAN = NOW - 10 * STEP


class Sound:
    """A source that has recorded `load` since a while ago."""

    def clock_offset(self, now: float, deadline: Deadline) -> float:  # noqa: ARG002 - the port's signature
        """None that matters."""
        return 0.0

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> Mapping[str, Series]:  # noqa: ARG002 - likewise
        """The record's samples; none before it began, and none of the future."""
        if query.expression != "load":
            raise RefusedError(f"there is no {query.expression} (ask for load)")
        steps = range(start, end + 1, step)
        return {"web": Series([float(at % 7) if BEGAN <= at <= NOW else nan for at in steps])}


class Contract(MetricSourceContract):
    query = "load"
    refused = "lode"


class TestSound(Contract):
    @pytest.fixture
    def source(self) -> MetricSource:
        """The sound one."""
        return Sound()


class Silent(Sound):
    def fetch(self, *_: object) -> dict[str, Series]:
        """Nothing."""
        return {}


class Short(Sound):
    def fetch(self, *_: object) -> dict[str, Series]:
        """Only the newest, whatever is asked for."""
        return {"web": Series([1.0])}


class Timeless(Sound):
    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> dict[str, Series]:  # noqa: ARG002 - the port's signature
        """The present number at the end of whatever is asked for."""
        return {"web": Series([nan] * ((end - start) // step) + [1.0])}


class Changing(Sound):
    asked = 0

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> dict[str, Series]:  # noqa: ARG002 - the port's signature
        """Another number each time."""
        self.asked += 1
        return {"web": Series([float(self.asked)] * len(range(start, end + 1, step)))}


class Forgetful(Sound):
    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> dict[str, Series]:  # noqa: ARG002 - the port's signature
        """The newest number, but only in a short range."""
        steps = range(start, end + 1, step)
        return {"web": Series([1.0 if len(steps) < 5 else nan for _ in steps])}


class Counting(Sound):
    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> dict[str, Series]:  # noqa: ARG002 - the port's signature
        """Tasks that nobody asked for."""
        length = len(range(start, end + 1, step))
        return {"web": Series([1.0] * length, [1] * length)}


class Adrift(Sound):
    def clock_offset(self, now: float, deadline: Deadline) -> float:  # noqa: ARG002 - the port's signature
        """Nonsense."""
        return nan


@pytest.mark.parametrize(
    ("broken", "sentence", "words"),
    [
        (Silent, "test_it_has_samples_of_services", "no service has a sample"),
        (Short, "test_every_answer_fits_its_question", "gave web 1 values (one for each step"),
        (Timeless, "test_nothing_is_known_of_the_future", "web"),
        (Changing, "test_asking_again_gives_the_same", "the second answer is another one"),
        (Forgetful, "test_a_part_is_as_the_whole", "but in the whole"),
        (Counting, "test_it_counts_no_tasks", "tasks=[1]"),
        (Silent, "test_what_it_cannot_answer_it_refuses", "'lode' was answered"),
        (Adrift, "test_its_clock_is_no_riddle", "nan"),
    ],
)
def test_a_broken_source_breaks_its_sentence(broken: type[Sound], sentence: str, words: str) -> None:
    """Each sentence can fail, and says in words what is wrong."""
    with pytest.raises(AssertionError, match=re.escape(words)):
        getattr(Contract(), sentence)(broken())
