"""Files of policy unit tests: their policies, and their tests with services."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from autoscaler.core.reasons import Reason
from autoscaler.errors import PolicyError
from autoscaler.policy_files import loader
from autoscaler.policy_files.diagnostic import about_file, described, path_in_words
from autoscaler.policy_files.validation import validate
from autoscaler.policy_files.yaml_document import Document, read
from autoscaler.policy_files.yaml_nodes import SequenceNode
from autoscaler.policy_tests.series import Samples
from autoscaler.strategies.base import Frozen
from autoscaler.util.durations import Duration
from autoscaler.util.suggestions import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from autoscaler.policy.policy import PolicySet
    from autoscaler.policy_files.diagnostic import Diagnostic
    from autoscaler.policy_files.diagnostic import Path as Way


_YEARS = range(1980, 2500)
_START = 1_767_571_200
"""Monday, 2026-01-05T00:00:00Z."""


# What stands in the file


def _some_time(seconds: int) -> int:
    if seconds < 1:
        raise ValueError("0s is not an interval (write 1s or more)")
    return seconds


def _moment(value: object) -> int:
    """Return the Unix seconds of an RFC 3339 time."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) and "T" in value.upper() else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment.microsecond or moment.year not in _YEARS:
        what = f"is {described(value)}, no time from {_YEARS[0]} to {_YEARS[-1]}"
        raise ValueError(f"{what} (write a time in whole seconds and its zone, like 2026-01-05T08:00:00Z)")
    return int(moment.timestamp())


def _reason(value: object) -> object:
    known = [reason.value for reason in Reason]
    if value not in known:
        near = nearest(str(value), known)
        hint = f"did you mean {near}? " if near else ""
        raise ValueError(f"is {described(value)}, not a reason ({hint}known reasons: {', '.join(known)})")
    return value


_Count = Annotated[int, Field(strict=True, ge=0, le=10_000)]
_Start = Annotated[int, BeforeValidator(_moment)]
_Name = Annotated[str, Field(min_length=1)]


class LastChange(Frozen):
    """A change of the count before the test began."""

    ago: Duration = Field(examples=["30s"])
    """The time from the change to 0."""
    direction: Literal["up", "down"] = Field(examples=["up"])
    """The direction of the change."""


class Event(Frozen):
    """An action of somebody else on the service or the nodes at a time: one of these."""

    at: Duration = Field(examples=["3m"])
    """When, from the beginning of the test."""
    scale: _Count | None = None
    """An operator's `docker service scale` to this count."""
    deploy: _Count | None = None
    """A `docker stack deploy` that sets this count and drops the autoscaler's label. It does not replace tasks."""
    room: _Count | None = None
    """The number of replicas that find room on the nodes from now on."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.said) != 1:
            raise ValueError("an event does one thing (give either scale, deploy or room, with a count)")
        return self

    @property
    def said(self) -> dict[str, int]:
        """Return the action, by its key in the file."""
        keys = {"scale": self.scale, "deploy": self.deploy, "room": self.room}
        return {key: count for key, count in keys.items() if count is not None}

    def __str__(self) -> str:
        """Return ``scale: 5``, as the file has it."""
        return ", ".join(f"{key}: {count}" for key, count in self.said.items())


class Expectation(Frozen):
    """The expected result of the evaluation at a time."""

    at: Duration = Field(examples=["5m"])
    """When, from the beginning of the test."""
    replicas: _Count = Field(examples=["4"])
    """The requested replicas after the evaluation."""
    reason: Annotated[Reason, BeforeValidator(_reason)] | None = None
    """The primary reason of its decision."""
    rule: str | None = None
    """The rule of its primary reason."""


class ServiceCase(Frozen):
    """The part of a test about one service: its metrics, the actions of others, and the expected results."""

    labels: dict[str, str] = Field(default_factory=dict, examples=['{autoscaler.enabled: "true"}'])
    """The service's labels."""
    replicas: _Count = Field(examples=["3"])
    """The requested replicas at the beginning."""
    running: _Count | None = None
    """The running replicas at the beginning. By default it is the requested number."""
    startup: Duration | None = None
    """The time until a new replica runs. With 0s, the default, replicas that are missing at the beginning never run."""
    room: _Count | None = Field(default=None, examples=["4"])
    """The number of replicas that find room on the nodes, all by default. Further ones wait, as in Swarm."""
    last_change: LastChange | None = Field(default=None, examples=["{ago: 30s, direction: up}"])
    """A change before the beginning, which the cooldown counts from."""
    series: dict[str, Samples] = Field(default_factory=dict, examples=['{cpu: "80x40"}'])
    """The samples of each metric, one for each interval from 0 on; past their end they are missing."""
    events: tuple[Event, ...] = Field(default=(), examples=["[{at: 3m, scale: 5}]"])
    """The actions of others, each at its time before the evaluation."""
    expect: tuple[Expectation, ...] = Field(min_length=1, examples=["[{at: 5m, replicas: 4}]"])
    """The expected results."""


class _OfOneService(ServiceCase):
    """A test of one service."""

    name: _Name = Field(examples=["five minutes above 70 add one"])
    """The test's name in the results; unique in its file."""
    service: _Name = Field(examples=["advtom_backend"])
    """The service's name, by which policies match it."""
    start: _Start = _START
    """The wall clock at the beginning, in Unix seconds. By default it is 2026-01-05T00:00:00Z, a Monday."""
    series: dict[str, Samples] = Field(examples=['{cpu: "80x40"}'])


class _OfServices(Frozen):
    """A test of several services, with the parts that they share and those of each."""

    name: _Name = Field(examples=["five minutes above 70 add one"])
    """The test's name in the results; unique in its file."""
    start: _Start = _START
    """The wall clock at the beginning, for all services."""
    startup: Duration = 0
    """The time until a new replica runs, for services without their own."""
    series: dict[str, Samples] = Field(default_factory=dict, examples=['{cpu: "80x40"}'])
    """The samples of each metric, for services without their own."""
    services: dict[_Name, ServiceCase] = Field(min_length=1)
    """The services by their names."""


class CaseFile(Frozen):
    """A file of policy unit tests. Its tests are validated one by one, because there are two kinds of them."""

    policies: Any = Field(examples=["../policies.yml"])
    """The path of a policy file or directory, from this file; or the content of a policy file."""
    interval: Annotated[Duration, AfterValidator(_some_time)] = 15
    """The evaluation interval, which is also the window step."""
    tests: tuple[dict[str, Any], ...] = Field(
        min_length=1, examples=["[{name: …, service: …, replicas: 3, series: {…}, expect: […]}]"]
    )
    """The tests."""


# What it comes to


@dataclass(frozen=True, slots=True)
class Tested:
    """A service of a test."""

    name: str
    said: ServiceCase
    way: Way
    """The path to the service in the test."""
    series: Mapping[str, Samples]
    """Its own series, and those that it shares."""
    startup: int


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """A test with its services and its beginning."""

    document: Document
    """The part of the file with the test."""
    name: str
    start: int
    """Unix seconds."""
    services: tuple[Tested, ...]
    shared: Mapping[str, Samples]
    """The series that several services may share; empty for a test of one service."""


def opened(path: Path) -> Document:
    """Return the file at *path*. Raise PolicyError if it cannot be read."""
    try:
        return read(loader.content_of(path), str(path), dates_are_text=True)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        problem = about_file(str(path), f"cannot be read: {said}", "name a file of policy tests")
        raise PolicyError([str(problem)]) from error


def policies_of(document: Document, folder: Path) -> tuple[PolicySet | None, Sequence[object]]:
    """Return the policies that the file names or has, or None, and their problems."""
    named = document.data.get("policies") if isinstance(document.data, dict) else None
    match named:
        case None:
            return None, []  # the missing key is reported already
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
            return None, [document.problem(("policies",), f"is {described(named)}, not policies", cure)]


def cases_of(document: Document) -> tuple[list[PolicyTest], list[Diagnostic]]:
    """Return the tests of the file that are valid by themselves, and the problems of the others."""
    cases: list[PolicyTest] = []
    problems: list[Diagnostic] = []
    for part in _tests(document):
        case, found = _case_of_services(part) if "services" in part.data else _case_of_one(part)
        problems.extend(found)
        if case is not None:
            cases.append(case)
    return cases, problems


def _tests(document: Document) -> Iterator[Document]:
    """Yield the part of each test that is a mapping, with the problems of the text there."""
    root = document.part("tests").root
    for index, node in enumerate(root.items if isinstance(root, SequenceNode) else ()):
        within = path_in_words(("tests", index))
        problems = tuple(problem for problem in document.problems if problem.path.startswith(within))
        part = Document(document.file, node, problems, ("tests", index))
        if isinstance(part.data, dict):
            yield part


def _case_of_one(part: Document) -> tuple[PolicyTest | None, list[Diagnostic]]:
    said, problems = validate(part, _OfOneService)
    if said is None:
        return None, problems
    tested = Tested(said.service, said, (), said.series, said.startup or 0)
    return PolicyTest(part, said.name, said.start, (tested,), {}), problems


def _case_of_services(part: Document) -> tuple[PolicyTest | None, list[Diagnostic]]:
    told = Document(part.file, part.root, (*part.problems, *_misplaced(part)), part.base)
    said, problems = validate(told, _OfServices)
    if said is None:
        return None, problems
    services = tuple(
        Tested(
            name,
            each,
            ("services", name),
            {**said.series, **each.series},
            said.startup if each.startup is None else each.startup,
        )
        for name, each in said.services.items()
    )
    return PolicyTest(part, said.name, said.start, services, said.series), problems


def _misplaced(part: Document) -> Iterator[Diagnostic]:
    """Yield a problem for each key of one service in a test of several, and the reverse."""
    for key in part.data:
        if key == "service":
            cure = "keep one of the two"
            yield part.problem((key,), "a test has either service or services", cure, of_key=True)
        elif key in ServiceCase.model_fields and key not in _OfServices.model_fields:
            what = f"{key} belongs to one service, but the test has services"
            yield part.problem((key,), what, f"move it into services.NAME.{key}", of_key=True)
    services = part.data["services"]
    for name, said in services.items() if isinstance(services, dict) else ():
        if isinstance(said, dict) and "start" in said:
            cure = "move it up to the test"
            yield part.problem(("services", name, "start"), "a test has one clock for all", cure, of_key=True)
