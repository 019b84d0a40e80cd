"""The results of tests as values, as JSON and as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text

from autoscaler.policy.matching import Matcher
from autoscaler.policy_tests.run import run
from autoscaler.policy_tests.timeline import AROUND, Moment, Timeline, timeline
from autoscaler.policy_tests.world import SeriesSource, with_given_percent
from autoscaler.util.amounts import plural
from autoscaler.util.durations import words
from autoscaler.util.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from autoscaler.core.reasons import Reason
    from autoscaler.policy.policy import PolicySet
    from autoscaler.policy_tests.files import Expectation, PolicyTest, Tested
    from autoscaler.policy_tests.run import Evaluated

_INDENT = " " * 5


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation that was not met."""

    service: str
    at: int
    """Seconds from the beginning of the test."""
    line: int
    """The line of the expectation in the test file."""
    expected: str
    got: str
    why: str
    """The primary reason of the decision, with its facts."""
    timeline: Timeline
    """The evaluations around the expectation."""

    def __str__(self) -> str:
        """Return ``web at 5m: expected 4 replicas, got 3 replicas (no_breach: cpu 60 %, not above 70 %)``."""
        return f"{self.service} at {words(self.at)}: expected {self.expected}, got {self.got} ({self.why})"

    def document(self) -> dict[str, Any]:
        """Return the failure as a JSON object."""
        return {
            "service": self.service,
            "at": words(self.at),
            "line": self.line,
            "expected": self.expected,
            "got": self.got,
            "why": self.why,
            "timeline": self.timeline.document(),
        }


@dataclass(frozen=True, slots=True)
class TestResult:
    """The result of one test."""

    __test__: ClassVar[bool] = False  # pytest looks for tests by this kind of name

    name: str
    file: str
    line: int
    failures: tuple[Failure, ...] = ()

    @property
    def passed(self) -> bool:
        """Return whether every expectation was met."""
        return not self.failures

    def document(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        failures = [failure.document() for failure in self.failures]
        return {"name": self.name, "file": self.file, "line": self.line, "passed": self.passed, "failures": failures}

    def render(self) -> Text:
        """Return the result for people: a line, and for each failure another line and its timeline."""
        mark = ("PASS ", "green") if self.passed else ("FAIL ", "bold red")
        text = Text.assemble(mark, printable(self.name), (printable(f"  {self.file}:{self.line}"), "dim"))
        for failure in self.failures:
            text.append(f"\n{_INDENT}{printable(f'{self.file}:{failure.line}: {failure}')}")
            text.append_text(failure.timeline.render(_INDENT))
        return text


def of(case: PolicyTest, policies: PolicySet, interval: int) -> TestResult:
    """Return the result of *case*, with its failures in the order of the file."""
    policies = policies.model_copy(update={"metrics": with_given_percent(policies.metrics)})
    source = SeriesSource(case, policies.metrics, interval)
    until = max(expected.at for tested in case.services for expected in tested.said.expect)
    evaluated = run(case, policies, source, interval, until + AROUND * interval)
    failures = [
        failure
        for tested in case.services
        for failure in _Judge(case, tested, policies, source, evaluated[tested.name], interval).failures()
    ]
    return TestResult(case.name, case.document.file, case.document.place().line, tuple(failures))


@dataclass(frozen=True, slots=True)
class _Judge:
    """Compares the results for one service with the expected ones."""

    case: PolicyTest
    tested: Tested
    policies: PolicySet
    source: SeriesSource
    evaluated: Sequence[Evaluated]
    interval: int

    def failures(self) -> Iterator[Failure]:
        """Yield the expectations that were not met."""
        for index, expected in enumerate(self.tested.said.expect):
            got = self.evaluated[expected.at // self.interval]
            if not _is_met(expected, got):
                line = self.case.document.place((*self.tested.way, "expect", index)).line
                yield self._failure(expected, got, line)

    def _failure(self, expected: Expectation, got: Evaluated, line: int) -> Failure:
        told = _in_words(None, got.reason, got.rule)
        return Failure(
            service=self.tested.name,
            at=expected.at,
            line=line,
            expected=_in_words(expected.replicas, expected.reason, expected.rule),
            got=_in_words(got.replicas, got.reason if expected.reason else None, got.rule if expected.rule else None),
            why=f"{told}: {got.detail}" if got.detail else told,
            timeline=self._timeline(expected.at),
        )

    def _timeline(self, at: int) -> Timeline:
        """Return the timeline around *at*, from the previous expectation on."""
        since = max((each.at for each in self.tested.said.expect if each.at < at), default=0)
        failed = at // self.interval
        first = max(0, min(since // self.interval, failed - AROUND))
        policy = Matcher(self.policies).find(self.tested.name, self.tested.said.labels).policy
        metrics = list(policy.look_backs) if policy else []
        moments = [self._moment(each, metrics) for each in self.evaluated[first : failed + AROUND + 1]]
        headings = {name: f"{name} {self.policies.metrics[name].unit}".rstrip() for name in metrics}
        return timeline(moments, failed - first, headings)

    def _moment(self, evaluated: Evaluated, metrics: Sequence[str]) -> Moment:
        values = {name: self.source.newest(self.tested, name, evaluated.at) for name in metrics}
        events = tuple(event for event in self.tested.said.events if event.at == evaluated.at)
        return Moment(evaluated, values, events)


def _is_met(expected: Expectation, got: Evaluated) -> bool:
    as_many, reasoned = got.replicas == expected.replicas, expected.reason in (None, got.reason)
    return as_many and reasoned and expected.rule in (None, got.rule)


def _in_words(replicas: int | None, reason: Reason | None, rule: str | None) -> str:
    """Return ``4 replicas, above_threshold by cpu-high``."""
    count = "" if replicas is None else plural(replicas, "replica")
    told = "" if reason is None else reason.value
    if rule is not None:
        told += f"{' ' if told else ''}by {rule}"
    return ", ".join(filter(None, (count, told))) or "no decision"
