"""Policy unit tests: what policies decide on given series, on virtual time, by the daemon's own parts.

A test file names its policies and holds tests; `run_file` gives a result for each, as values. A test file that is
itself wrong raises PolicyError with all its problems.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import get_close_matches
from math import isfinite, lcm
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator
from rich.text import Text

from autoscaler import loader
from autoscaler.cluster import (
    STATE_LABEL,
    Memory,
    ScaleState,
    ServiceView,
    SpecBefore,
    TaskView,
    prune,
    remember,
)
from autoscaler.deadline import Deadline
from autoscaler.decide import decide
from autoscaler.durations import Duration, words
from autoscaler.errors import PolicyError
from autoscaler.matching import ENABLED_LABEL, Match, Matcher
from autoscaler.metrics import PROMETHEUS
from autoscaler.model import Observation, Recommended, ScaleEvent, Why
from autoscaler.ports import Series
from autoscaler.queries import MetricSettings
from autoscaler.reasons import Reason
from autoscaler.strategies.base import Frozen
from autoscaler.validation import validate
from autoscaler.window import MISSING
from autoscaler.windows import Needed, Windows
from autoscaler.yaml_document import MAX_BYTES, Document, Problem, about_file, described, read, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from autoscaler.metrics import Metric
    from autoscaler.policy import Policy, PolicySet
    from autoscaler.ports import Query
    from autoscaler.yaml_document import Path as Way

MOST_STEPS = 100_000
"""How many evaluations, and how many samples of a series, a test may have."""
_SETTINGS = MetricSettings(scrape_interval=15, rate_window=60, warmup=0)
_MANY = 1_000_000
"""More tasks than any service has: the series of a test lack none."""
_DEADLINE = 60.0
_YEARS = range(1980, 2500)
_START = 1_767_571_200
"""Monday, 2026-01-05T00:00:00Z."""


# What a test file says


def _some_time(seconds: int) -> int:
    if seconds < 1:
        raise ValueError("0s is no interval (write 1s or more)")
    return seconds


def _moment(value: object) -> int:
    """Unix seconds of an RFC 3339 time."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) and "T" in value.upper() else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment.microsecond or moment.year not in _YEARS:
        what = f"is {described(value)}, no time from {_YEARS[0]} to {_YEARS[-1]}"
        raise ValueError(f"{what} (write a time in whole seconds and its zone, like 2026-01-05T08:00:00Z)")
    return int(moment.timestamp())


def _samples(value: object) -> tuple[float, ...]:
    """The samples of a series in promtool's notation."""
    if not isinstance(value, str):
        raise ValueError(f'is {described(value)}, no series (write text in quotes, like "80x40")')
    samples: list[float] = []
    for item in value.split():
        samples.extend(_item_samples(item, MOST_STEPS - len(samples)))
    if not samples:
        raise ValueError('the series is empty (write "80x40", or "_" for a missing sample)')
    return tuple(samples)


_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
_ITEM = re.compile(rf"(?P<first>[-+]?{_NUMBER})(?:(?P<change>[-+]{_NUMBER})(?=x))?(?:x(?P<times>[0-9]{{1,9}}))?")
_MISSING_ITEM = re.compile(r"_(?:x(?P<times>[0-9]{1,9}))?")
_MISSING_WORDS = frozenset({"stale", "nan", "inf", "+inf", "-inf"})


def _item_samples(item: str, at_most: int) -> list[float]:
    """What one item of a series stands for. Source: promtool's expanding notation."""
    if item.lower() in _MISSING_WORDS:
        return [MISSING]
    missing, numbers = _MISSING_ITEM.fullmatch(item), _ITEM.fullmatch(item)
    found = missing or numbers
    if found is None:
        raise ValueError(f"{shown(item)} is no item of a series (write 80, 80x40, 10+5x4, 10-1x4, _, _x3 or stale)")
    times = int(found["times"]) if found["times"] else 0
    count = times if missing and found["times"] else times + 1
    if count > at_most:
        raise ValueError(f"the series has more than {MOST_STEPS} samples (write a shorter one)")
    if numbers is None:
        return [MISSING] * count
    first, change = float(numbers["first"]), float(numbers["change"] or 0)
    samples = [first + change * step for step in range(count)]
    return [sample if isfinite(sample) else MISSING for sample in samples]


_Count = Annotated[int, Field(strict=True, ge=0, le=10_000)]
_Samples = Annotated[tuple[float, ...], PlainValidator(_samples)]


class LastChange(Frozen):
    """A change of the count before the test began."""

    ago: Duration = Field(examples=["30s"])
    """How long before 0 it was."""
    direction: Literal["up", "down"] = Field(examples=["up"])
    """Which way the count went."""


class Event(Frozen):
    """What somebody else does to the service at a time: one of the two."""

    at: Duration = Field(examples=["3m"])
    """When, from the beginning of the test."""
    scale: _Count | None = None
    """An operator's `docker service scale` to this count."""
    deploy: _Count | None = None
    """A `docker stack deploy` that sets this count and drops the autoscaler's label; nothing is rolled out."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.scale is None) == (self.deploy is None):
            raise ValueError("an event does one thing (give either scale or deploy, with a count)")
        return self


def _reason(value: object) -> object:
    known = [reason.value for reason in Reason]
    if value not in known:
        near = get_close_matches(str(value)[:60], known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"is {described(value)}, no reason ({hint}known reasons: {', '.join(known)})")
    return value


class Expectation(Frozen):
    """What a test expects of the evaluation at a time."""

    at: Duration = Field(examples=["5m"])
    """When, from the beginning of the test."""
    replicas: _Count = Field(examples=["4"])
    """The requested replicas after the evaluation."""
    reason: Annotated[Reason, BeforeValidator(_reason)] | None = None
    """The primary reason of its decision."""
    rule: str | None = None
    """The rule of its primary reason."""


class Case(Frozen):
    """One test: a service, what its metrics say, what others do, and what is expected."""

    name: str = Field(min_length=1, examples=["five minutes above 70 add one"])
    """What the results call it; unique in its file."""
    service: str = Field(min_length=1, examples=["advtom_backend"])
    """The service's name, by which a policy matches."""
    labels: dict[str, str] = Field(default_factory=dict, examples=['{autoscaler.enabled: "true"}'])
    """The service's labels."""
    start: Annotated[int, BeforeValidator(_moment)] = _START
    """The wall clock at the beginning, Unix seconds; by default that of some Monday's first second, UTC."""
    replicas: _Count = Field(examples=["3"])
    """The requested replicas at the beginning."""
    running: _Count | None = None
    """The running replicas at the beginning; by default all that are requested."""
    startup: Duration = 0
    """How long a replica takes to run. Those missing at the beginning do so too, or never come where this is 0s."""
    last_change: LastChange | None = Field(default=None, examples=["{ago: 30s, direction: up}"])
    """A change before the beginning, which the cooldown counts from."""
    series: dict[str, _Samples] = Field(examples=['{cpu: "80x40"}'])
    """The samples of each metric, one for each interval from 0 on; past their end they are missing."""
    events: tuple[Event, ...] = Field(default=(), examples=["[{at: 3m, scale: 5}]"])
    """What others do; at its time, before the evaluation."""
    expect: tuple[Expectation, ...] = Field(min_length=1, examples=["[{at: 5m, replicas: 4}]"])
    """What is expected."""


class CaseFile(Frozen):
    """A file of policy unit tests."""

    policies: Any = Field(examples=["../policies.yml"])
    """The path of a policy file or directory, from this file; or the content of a policy file."""
    interval: Annotated[Duration, AfterValidator(_some_time)] = 15
    """The evaluation interval, which is also the window step."""
    tests: tuple[Case, ...] = Field(
        min_length=1, examples=["[{name: …, service: …, replicas: 3, series: {…}, expect: […]}]"]
    )
    """The tests."""


# What comes of it


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation that was not met."""

    at: int
    """Seconds from the beginning of the test."""
    line: int
    """Where the test file has the expectation."""
    expected: str
    got: str
    why: str
    """The primary reason of the decision, with its facts."""

    def __str__(self) -> str:
        """``at 5m: expected 4 replicas, got 3 replicas (no_breach: cpu 60 %, not above 70 %)``."""
        return f"at {words(self.at)}: expected {self.expected}, got {self.got} ({self.why})"


@dataclass(frozen=True, slots=True)
class TestResult:
    """What became of one test."""

    __test__: ClassVar[bool] = False  # pytest looks for tests by this kind of name

    name: str
    file: str
    line: int
    failures: tuple[Failure, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every expectation was met."""
        return not self.failures

    def document(self) -> dict[str, Any]:
        """The result as a JSON object."""
        failures = [
            {"at": words(failure.at), "line": failure.line, "expected": failure.expected, "got": failure.got}
            | {"why": failure.why}
            for failure in self.failures
        ]
        return {"name": self.name, "file": self.file, "line": self.line, "passed": self.passed, "failures": failures}

    def render(self) -> Text:
        """The result for people: a line, and one more for each failure."""
        mark = ("PASS ", "green") if self.passed else ("FAIL ", "bold red")
        text = Text.assemble(mark, self.name, (f"  {self.file}:{self.line}", "dim"))
        for failure in self.failures:
            text.append(f"\n     {self.file}:{failure.line}: {failure}")
        return text


def run_file(path: Path) -> list[TestResult]:
    """The results of the tests in the file at *path*, in its order. Raises PolicyError where the file is wrong."""
    document = _read(path)
    content, problems = validate(document, CaseFile)
    policies, found = _policies(document, path.parent)
    if content is not None:
        problems.extend(_problems(document, content, policies))
    if problems or found or content is None or policies is None:
        raise PolicyError([*map(str, sorted(problems)), *map(str, found)])
    return [
        _Run(case, policies, content.interval).result(document, ("tests", index))
        for index, case in enumerate(content.tests)
    ]


def _read(path: Path) -> Document:
    try:
        with path.open("rb") as opened:
            return read(opened.read(MAX_BYTES + 1), str(path), dates_are_text=True)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        problem = about_file(str(path), f"cannot be read: {said}", "name a file of policy tests")
        raise PolicyError([str(problem)]) from error


def _policies(document: Document, folder: Path) -> tuple[PolicySet | None, Sequence[object]]:
    """The policies that the file names or holds, or None, and their problems."""
    named = document.data.get("policies") if isinstance(document.data, dict) else None
    match named:
        case None:
            return None, []  # the key is missing: that is told already
        case str():
            try:
                return loader.load([folder / named]), []
            except PolicyError as error:
                return None, error.problems
        case dict():
            loaded, problems = loader.from_document(document.part("policies"))
            return (loaded.policies if loaded else None), problems
        case _:
            cure = "write a path like ../policies.yml, or {version: 1, policies: […]}"
            return None, [document.problem(("policies",), f"is {described(named)}, no policies", cure)]


# What is wrong with a test


def _problems(document: Document, content: CaseFile, policies: PolicySet | None) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, case in enumerate(content.tests):
        way: Way = ("tests", index)
        if first.setdefault(case.name, index) != index:
            line = document.place(("tests", first[case.name])).line
            what = f"a second test named {shown(case.name)}, after the one in line {line}"
            yield document.problem((*way, "name"), what, "give each test a name of its own")
        yield from _off_grid(document, way, case, content.interval)
        if policies is not None:
            yield from _odd_series(document, way, case, policies)
        yield from _impossible_change(document, way, case)
        if policies is not None:
            yield from _unmatched(document, way, case, policies)


def _off_grid(document: Document, way: Way, case: Case, interval: int) -> Iterator[Problem]:
    """Times at which nothing is evaluated."""
    times = [("events", index, event.at) for index, event in enumerate(case.events)]
    times += [("expect", index, expected.at) for index, expected in enumerate(case.expect)]
    for key, index, at in times:
        where = (*way, key, index, "at")
        if at % interval:
            below = at - at % interval
            cure = f"write {words(below)} or {words(below + interval)}"
            yield document.problem(where, f"{words(at)} is no multiple of the interval {words(interval)}", cure)
        if at > interval * MOST_STEPS:
            cure = f"write {words(interval * MOST_STEPS)} at most"
            yield document.problem(where, f"{words(at)} is more than {MOST_STEPS} intervals away", cure)


def _odd_series(document: Document, way: Way, case: Case, policies: PolicySet) -> Iterator[Problem]:
    for metric in case.series:
        if metric not in policies.metrics:
            cure = f"known metrics: {', '.join(policies.metrics)}"
            yield document.problem((*way, "series", metric), f"unknown metric {shown(metric)}", cure, of_key=True)


def _impossible_change(document: Document, way: Way, case: Case) -> Iterator[Problem]:
    if case.last_change is not None and case.last_change.direction == "up" and case.replicas == 0:
        what = "no change upwards leaves 0 replicas"
        yield document.problem((*way, "last_change", "direction"), what, "write direction: down")


def _unmatched(document: Document, way: Way, case: Case, policies: PolicySet) -> Iterator[Problem]:
    """Services without a policy, and rules that the service's policy does not have."""
    match = Matcher(policies).find(case.service, case.labels)
    if match == Match():
        if case.labels.get(ENABLED_LABEL) == "false":
            return
        patterns = [pattern for policy in policies.policies for pattern in policy.services]
        near = get_close_matches(case.service[:60], patterns, n=1)
        hint = f'did you mean "{near[0]}"? ' if near else ""
        cure = f"{hint}the policies are for {', '.join(map(shown, patterns[:20]))}"
        yield document.problem((*way, "service"), f"no policy matches the service {shown(case.service)}", cure)
        return
    if match.policy is None:
        return
    rules = [rule.name for rule in match.policy.rules]
    for index, expected in enumerate(case.expect):
        if expected.rule is not None and expected.rule not in rules:
            what = f"the service's policy has no rule {shown(expected.rule)}"
            yield document.problem((*way, "expect", index, "rule"), what, f"its rules are {', '.join(rules)}")


# Running


@dataclass(slots=True)
class _World:
    """The service as the test's virtual Swarm has it."""

    requested: int
    tasks: list[tuple[float, float]]
    """When each task begins to run, and when it was started, Unix seconds; infinite for one that never runs."""
    updated_at: float
    label: str = ""
    before: SpecBefore | None = None
    version: int = 1

    def scale(self, count: int, at: float, startup: int, label: str) -> None:
        """Set the count: new tasks run after *startup*, and those that run last go first."""
        self.before = SpecBefore(self.requested, self.label)
        self.label = label
        self.updated_at = at
        self.version += 1
        self.tasks = sorted(self.tasks)[:count] + [(at + startup, at)] * (count - len(self.tasks))
        self.requested = count

    def view(self, name: str, labels: Mapping[str, str], now: float, created_at: float) -> ServiceView:
        """The service as Swarm would list it at *now*."""
        tasks = tuple(
            TaskView(str(number), "running", runs, on_ready_node=True)
            if runs <= now
            else TaskView(str(number), "starting", started, on_ready_node=True)
            for number, (runs, started) in enumerate(self.tasks)
        )
        return ServiceView(
            id="test",
            name=name,
            version=self.version,
            mode="replicated",
            requested=self.requested,
            created_at=created_at,
            updated_at=self.updated_at,
            labels={**labels, **({STATE_LABEL: self.label} if self.label else {})},
            tasks=tasks,
            before=self.before,
        )


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What an evaluation leaves: the requested replicas, and the primary reason, if it decided anything."""

    replicas: int
    primary: Why | None
    detail: str = ""


_LONG_AGO = 86400


@dataclass(slots=True)
class _Run:
    """One test on virtual time."""

    case: Case
    policies: PolicySet
    interval: int
    _memory: Memory = field(default_factory=Memory)
    _windows: Windows = field(init=False)
    _metrics: Mapping[str, Metric] = field(init=False)
    _shift: int = field(init=False)
    """How much later a window's grid is than the test's clock, so that a sample is on it whenever the test begins."""

    def __post_init__(self) -> None:
        # The series of a built-in metric are in percent, as a query of one's own would give them.
        self._metrics = {
            name: metric
            if metric.query
            else metric.model_copy(update={"query": name, "by": "service", "task": "task", "unit": "%"})
            for name, metric in self.policies.metrics.items()
        }
        steps = lcm(self.interval, *(metric.step or 1 for metric in self._metrics.values()))
        self._shift = -self.case.start % steps
        source = _Series(self.case, self.interval, self.case.start + self._shift)
        self._windows = Windows({PROMETHEUS: source}, _SETTINGS, self.interval)

    def result(self, document: Document, way: Way) -> TestResult:
        """What becomes of the test, which stands at *way* in *document*."""
        expected: dict[int, list[tuple[int, Expectation]]] = {}
        for index, item in enumerate(self.case.expect):
            expected.setdefault(item.at, []).append((index, item))
        failures: list[Failure] = []
        for at, verdict in self._verdicts(max(expected)):
            for index, item in expected.get(at, ()):
                line = document.place((*way, "expect", index)).line
                failures.extend(_failure(item, verdict, line))
        return TestResult(self.case.name, document.file, document.place(way).line, tuple(failures))

    def _verdicts(self, until: int) -> Iterator[tuple[int, _Verdict]]:
        """What each evaluation from 0 to *until* leaves."""
        world = self._beginning()
        events: dict[int, list[Event]] = {}
        for event in self.case.events:
            events.setdefault(event.at, []).append(event)
        match = Matcher(self.policies).find(self.case.service, self.case.labels)
        for at in range(0, until + 1, self.interval):
            for event in events.get(at, ()):
                self._happens(event, world)
            yield at, self._evaluate(match, world, at)

    def _beginning(self) -> _World:
        case = self.case
        running = case.replicas if case.running is None else case.running
        arrival = case.start + case.startup if case.startup else float("inf")
        long_ago = float(case.start - _LONG_AGO)
        tasks = [(long_ago, long_ago)] * running + [(arrival, float(case.start))] * (case.replicas - running)
        events: tuple[ScaleEvent, ...] = ()
        if case.last_change is not None:
            before = case.replicas + (-1 if case.last_change.direction == "up" else 1)
            events = (ScaleEvent(case.start - case.last_change.ago, before, case.replicas),)
        first = Recommended(case.start, case.replicas)
        self._memory = Memory(case.replicas, events, recommended=(first,), judged_at=case.start)
        return _World(case.replicas, tasks, long_ago)

    def _happens(self, event: Event, world: _World) -> None:
        """An operator's scale keeps the autoscaler's label; a deploy drops it (facts 4)."""
        at = float(self.case.start + event.at)
        if event.deploy is not None:
            world.scale(event.deploy, at, self.case.startup, "")
        elif event.scale is not None and event.scale != world.requested:
            world.scale(event.scale, at, self.case.startup, world.label)

    def _evaluate(self, match: Match, world: _World, at: int) -> _Verdict:
        if match.policy is not None:
            return self._decide(match.policy, world, at)
        if match.conflict:
            return _Verdict(world.requested, Why(Reason.POLICY_CONFLICT, match.conflict))
        return _Verdict(world.requested, None, f"the label {ENABLED_LABEL}=false takes the service out")

    def _decide(self, policy: Policy, world: _World, at: int) -> _Verdict:
        now = float(self.case.start + at)
        view = world.view(self.case.service, self.case.labels, now, float(self.case.start - _LONG_AGO))
        self._memory, changed = remember(view, self._memory, now)
        moment = now + self._shift
        self._windows.refresh([Needed(view, policy)], self._metrics, moment, Deadline(_DEADLINE))
        windows, _ = self._windows.of(view, policy, self._metrics)
        observation = Observation(
            service=view.name,
            at=now,
            requested=view.requested,
            running=view.running,
            windows=windows,
            mode=view.mode,
            rollout=view.rollout(now),
            pending=view.pending(now) if view.running < view.requested else "",
            stuck=view.stuck(now),
            changed_externally=changed,
        )
        decision = decide(policy, observation, self._memory.history)
        self._memory = self._memory.with_decision(decision, policy.longest_stabilization)
        if decision.changes:
            event = ScaleEvent(now, decision.requested, decision.desired)
            kept = prune((*self._memory.events, event), now)
            label = ScaleState(decision.desired, kept).encode()
            world.scale(decision.desired, now, self.case.startup, label)
            self._memory = replace(self._memory, requested=decision.desired, events=kept)
        return _Verdict(world.requested, decision.primary)


@dataclass(frozen=True, slots=True)
class _Series:
    """A MetricSource that answers with the series of a test: none before its beginning, none past their ends."""

    case: Case
    interval: int
    begins: int
    """The time of the first samples, Unix seconds."""

    def clock_offset(self, now: float, deadline: Deadline) -> float:  # noqa: ARG002 - the port's signature
        """The test's clock is the only one."""
        return 0.0

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> dict[str, Series]:  # noqa: ARG002 - likewise
        """The samples of the query's metric, which are the tested service's, or everybody's."""
        samples = self.case.series.get(query.metric)
        if samples is None:
            return {}
        rows = [(at - self.begins) // self.interval for at in range(start, end + 1, step)]
        values = [samples[row] if 0 <= row < len(samples) else MISSING for row in rows]
        whose = self.case.service if query.by is not None else query.service
        return {whose: Series(values, [_MANY] * len(values) if query.counts_tasks else None)}


def _failure(expected: Expectation, verdict: _Verdict, line: int) -> Iterator[Failure]:
    """The failure, where the verdict is not as expected."""
    primary = verdict.primary
    reason, rule = (primary.reason, primary.rule) if primary else (None, None)
    if verdict.replicas == expected.replicas and expected.reason in (None, reason) and expected.rule in (None, rule):
        return
    detail = verdict.detail or (primary.detail if primary else "")
    yield Failure(
        expected.at,
        line,
        _in_words(expected.replicas, expected.reason, expected.rule),
        _in_words(verdict.replicas, reason if expected.reason else None, rule if expected.rule else None),
        f"{_in_words(None, reason, rule)}: {detail}" if detail else _in_words(None, reason, rule),
    )


def _in_words(replicas: int | None, reason: Reason | None, rule: str | None) -> str:
    """``4 replicas, above_threshold by cpu-high``."""
    counted = "" if replicas is None else f"{replicas} replica" + ("" if replicas == 1 else "s")
    told = "" if reason is None else reason.value
    if rule is not None:
        told += f"{' ' if told else ''}by {rule}"
    return ", ".join(filter(None, (counted, told))) or "no decision"
