"""Policy files as one set: all valid, or every problem of every file at once, each at its line and column.

Reads files; decides nothing. What pydantic finds wrong is told in the words of this project (`validate`); what no
single policy can know, such as a service that two policies name, is checked across all of them.
"""

from __future__ import annotations

import hashlib
import re
import stat
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase, translate
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from autoscaler.durations import words
from autoscaler.errors import PolicyError
from autoscaler.policy import METRICS, PolicyFile, PolicySet, is_glob
from autoscaler.strategies import Rule, Threshold, registered
from autoscaler.strategies.threshold import size
from autoscaler.yaml_document import MAX_BYTES, MAX_PROBLEMS, Document, Problem, about_file, described, read, shown

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from autoscaler.policy import Policy
    from autoscaler.yaml_document import Path

SUFFIXES = (".yml", ".yaml")
"""What the names of policy files in a directory end with."""

_NO_DATA_AT_ZERO = frozenset({"cpu", "memory"})
"""Metrics that have no samples while a service has no replicas, and so cannot wake it."""
_REDISTRIBUTES = frozenset({"cpu"})
"""Metrics whose load moves to the replicas that remain (SPEC 3); memory mostly stays where it is."""


# Loading


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid policy set, and the files it came from."""

    policies: PolicySet
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """Where each policy stands, by its name."""

    def warnings(self, step: int) -> list[Problem]:
        """What is valid but hardly meant, each at its place; *step* is the window step in seconds."""
        return warnings(self.policies, step, self.origins)


class Origin(NamedTuple):
    """Where a policy stands: its document and the way to it."""

    document: Document
    path: Path


def load(paths: Sequence[pathlib.Path]) -> PolicySet:
    """The policies of *paths* as one set; see `read_policies`."""
    return read_policies(paths).policies


def read_policies(paths: Sequence[pathlib.Path]) -> Loaded:
    """The policies of *paths* as one set: a directory means its policy files, not recursively; a file is itself.

    All valid, or PolicyError with all problems of all files. Hidden files of a directory are left out.
    """
    contents, problems = _contents(paths)
    documents = [read(content, str(path)) for path, content in contents]
    loaded, found = _as_set(documents, _digest(content for _, content in contents))
    problems.extend(found)
    if problems or loaded is None:
        raise PolicyError([str(problem) for problem in problems])
    return loaded


def from_document(document: Document) -> tuple[Loaded | None, list[Problem]]:
    """The policies that *document* holds, or None, and its problems: for policies that stand inside another file."""
    return _as_set([document], _digest([repr(document.data).encode()]))


def fingerprint(paths: Sequence[pathlib.Path]) -> str:
    """A short hash of what *paths* say, the same as the revision of the set they give; never raises.

    What cannot be read has a fingerprint of its own, by what is wrong with it.
    """
    contents, problems = _contents(paths)
    return _digest([*(content for _, content in contents), *(str(problem).encode() for problem in problems)])


def _as_set(documents: list[Document], revision: str) -> tuple[Loaded | None, list[Problem]]:
    problems: list[Problem] = []
    policies: list[Policy] = []
    origins: dict[str, Origin] = {}
    for document in documents:
        content, found = validate(document, PolicyFile)
        problems.extend(found)
        for index, policy in enumerate(content.policies if content else ()):
            policies.append(policy)
            origins[policy.name] = Origin(document, ("policies", index))
    drafts = [draft for document in documents for draft in _drafts(document)]
    problems.extend(problem for check in _CROSS_CHECKS for problem in check(drafts))
    if problems:
        order = {document.file: position for position, document in enumerate(documents)}
        return None, sorted(set(problems), key=lambda problem: (order[problem.file], problem))
    return Loaded(PolicySet(policies=tuple(policies), revision=revision), origins), []


# Files


def _contents(paths: Sequence[pathlib.Path]) -> tuple[list[tuple[pathlib.Path, bytes]], list[Problem]]:
    """The content of each file that *paths* mean, each file once, and what cannot be read."""
    contents: dict[pathlib.Path, tuple[pathlib.Path, bytes]] = {}
    problems: list[Problem] = []
    if not paths:
        problems.append(about_file("policies", "no path is given", "name a directory or a file"))
    for path in paths:
        try:
            for file in _files(path):
                contents.setdefault(file.resolve(), (file, _content(file)))
        except _UnreadableError as error:
            problems.append(error.problem)
        except (OSError, ValueError, RuntimeError) as error:  # a null character in a path, a loop of links
            problems.append(_unreadable(path, error).problem)
    return list(contents.values()), problems


class _UnreadableError(Exception):
    def __init__(self, file: pathlib.Path, what: str, cure: str) -> None:
        super().__init__(what)
        self.problem = about_file(str(file), what, cure)


def _unreadable(file: pathlib.Path, error: Exception) -> _UnreadableError:
    said = getattr(error, "strerror", None) or str(error)
    if isinstance(error, FileNotFoundError):
        return _UnreadableError(file, "does not exist", "give the path of a policy file or of a directory of them")
    return _UnreadableError(file, f"cannot be read: {said}", "make it a file that the autoscaler's user may read")


def _files(path: pathlib.Path) -> list[pathlib.Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and not file.name.startswith("."))
    if not files:
        raise _UnreadableError(path, "holds no policy file", "put a *.yml or *.yaml file there")
    return files


def _content(file: pathlib.Path) -> bytes:
    """The file's bytes, no more than are needed to see that there are too many."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise _UnreadableError(file, "is no regular file", "name a file, or a directory of files")
        with file.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(file, error) from error


def _digest(contents: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(b"%d:" % len(content))
        digest.update(content)
    return digest.hexdigest()[:12]


# Pydantic's findings in our words

M = TypeVar("M", bound=BaseModel)


def validate(document: Document, model: type[M]) -> tuple[M | None, list[Problem]]:
    """*document* as a *model*, or None, and all problems, those of the text first."""
    problems = list(document.problems)
    if document.data is None:
        if not problems:
            problems.append(about_file(document.file, "is empty", f"begin with {_first_line(model)}"))
        return None, problems
    try:
        value = model.model_validate(document.data, by_alias=True, by_name=False)
    except ValidationError as error:
        problems.extend(_told_of(error, document, model, {problem.path for problem in problems}))
        return None, problems
    return (None if problems else value), problems


def _told_of(error: ValidationError, document: Document, model: type[BaseModel], told: set[str]) -> Iterator[Problem]:
    """Pydantic's findings as problems, without those that concern what is *told* already."""
    count = 0
    findings = [_Finding(document, model, details) for details in error.errors(include_url=False)]
    misspelt = {finding.meant for finding in findings if finding.meant is not None}
    for finding in findings:
        problem = None if finding.missing in misspelt else finding.problem()
        if problem is None or _is_told(problem.path, told):
            continue
        yield problem
        count += 1
        if count == MAX_PROBLEMS:
            yield about_file(document.file, "there may be more problems", "correct these first")
            return


def _is_told(path: str, told: set[str]) -> bool:
    """Whether the text's own problems concern the same node, or one above it."""
    return path in told or any(path.startswith((f"{above}.", f"{above}[")) for above in told if above)


class _Finding:
    """One of pydantic's errors, at its place in a document."""

    def __init__(self, document: Document, model: type[BaseModel], details: ErrorDetails) -> None:
        self._document = document
        self._model = model
        self._kind = details["type"]
        self._said = details["msg"]
        self._input = details["input"]
        self._facts: Mapping[str, Any] = details.get("ctx", {})
        self._path = _without_tags(details["loc"])

    def problem(self) -> Problem | None:
        """The problem in words, or None where it only follows from others."""
        match self._kind:
            case "extra_forbidden":
                return self._unknown_key()
            case "missing":
                return self._missing_key()
            case "too_short" if self._input:
                return None  # said of a list whose items failed; they have their own problems
            case "union_tag_invalid" | "union_tag_not_found":
                return self._unknown_strategy()
            case _:
                return self._at(*self._told())

    @property
    def missing(self) -> Path | None:
        """The way to the key that is missing, if that is what is wrong."""
        return self._path if self._kind == "missing" else None

    @property
    def meant(self) -> Path | None:
        """The way to the key that an unknown one is probably meant to be."""
        if self._kind != "extra_forbidden":
            return None
        *parent, key = self._path
        near = _near(str(key), _keys(self._model_at(tuple(parent))))
        return (*parent, near) if near else None

    def _at(self, what: str, cure: str) -> Problem:
        return self._document.problem(self._path, what, cure)

    def _unknown_key(self) -> Problem:
        *parent, key = self._path
        cure = _did_you_mean(str(key), list(_keys(self._model_at(tuple(parent)))), "known here")
        return self._document.problem(self._path, "unknown key", cure, of_key=True)

    def _missing_key(self) -> Problem:
        *parent, key = self._path
        what = f"the key {shown(str(key))} is missing"
        return self._document.problem(tuple(parent), what, f"add {self._example()}")

    def _unknown_strategy(self) -> Problem:
        if not isinstance(self._input, dict):
            return self._at(f"is {described(self._input)}, not a mapping", f"write {{{_EXAMPLE_RULE}}}")
        given = self._input.get("strategy")
        what = f"unknown strategy {shown(given)}" if isinstance(given, str) else f"is {described(given)}, no strategy"
        cure = _did_you_mean(str(given), list(registered()), "known strategies")
        return self._document.problem((*self._path, "strategy"), what, cure)

    def _told(self) -> tuple[str, str]:
        """What is wrong, and what would be right."""
        given = f"is {described(self._input)}"
        if self._kind == "value_error":
            return _what_and_cure(str(self._facts.get("error", self._said)))
        if self._kind in _WANTED:
            return f"{given}, not {_WANTED[self._kind]}", self._cure_of_type()
        if self._kind in _CURES:
            return given, _CURES[self._kind].format(key=self._path[-1] if self._path else "", **self._facts)
        if self._kind == "string_pattern_mismatch":
            return given, _pattern_in_words(self._facts["pattern"])
        return given, _in_our_words(self._said)

    def _cure_of_type(self) -> str:
        plain = isinstance(self._input, str | int | float) and not isinstance(self._input, bool) and self._input != ""
        short = plain and len(str(self._input)) < _LONG
        match _WANTED[self._kind]:
            case "text" if short:
                return f'write "{self._input}", in quotes'
            case "a list" if short:
                return f"write [{self._input}]"
            case "a list" | "a mapping":
                return f"write {self._example()}"
            case wanted:
                return f"write {wanted}"

    def _example(self) -> str:
        """What the key at the path may look like in a file."""
        if not self._path:
            return _first_line(self._model)
        key = self._path[-1]
        if isinstance(key, int):
            return _EXAMPLES_OF_ITEMS.get(self._path[-2], "key: value pairs")
        model = self._model_at(self._path[:-1])
        return _example(key, _keys(model).get(key))

    def _model_at(self, path: Path) -> type[BaseModel] | None:
        """The model that the mapping at *path* must fit."""
        model: type[BaseModel] | None = self._model
        data = self._document.data
        for step in path:
            data = data[step]
            if isinstance(step, int):
                continue  # an item's model was found at its list
            fields = _keys(model) if model else {}
            model = _model_in(fields[step].annotation) if step in fields else None
        if model is Rule:
            named = data.get("strategy", "threshold") if isinstance(data, dict) else None
            return registered().get(named) if isinstance(named, str) else None
        return model


def _without_tags(loc: tuple[int | str, ...]) -> Path:
    """*loc* without the strategy's name that pydantic puts behind a rule's index."""
    for position in range(2, len(loc)):
        if loc[position - 2] == "rules" and isinstance(loc[position - 1], int):
            return (*loc[:position], *loc[position + 1 :])
    return loc


def _keys(model: type[BaseModel] | None) -> dict[str, FieldInfo]:
    """The fields that *model* has, by the key that a file writes."""
    if model is None:
        return {}
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model in a type such as ``Replicas``, ``tuple[Policy, ...]`` or ``Guard | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)


_LONG = 60
_LONGEST_MESSAGE = 300
_WANTED = {
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
}
_CURES = {
    "greater_than": "write a number greater than {gt}",
    "greater_than_equal": "write a number of at least {ge}",
    "less_than": "write a number less than {lt}",
    "less_than_equal": "write a number of at most {le}",
    "literal_error": "write {key}: {expected}",
    "string_too_short": "write some text",
    "string_too_long": "write {max_length} characters at most",
    "too_short": "give at least {min_length}",
    "too_long": "give at most {max_length}",
}
"""With pydantic's facts about the error, and the key in question."""
_EXAMPLE_RULE = "name: cpu-high, metric: cpu, above: 70, for: 5m, add: 1"
_EXAMPLES = {
    "version": "1",
    "policies": "[{name: …, services: […], replicas: …, rules: […]}]",
    "services": "[web_app]",
    "exclude": "[web_db]",
    "replicas": "{min: 2, max: 10}",
    "rules": f"[{{{_EXAMPLE_RULE}}}]",
    "metric": METRICS[0],
    "scale_up": "{cooldown: 3m}",
    "scale_down": "{cooldown: 5m}",
    "min": "2",
    "max": "10",
    "name": "a-name",
}
"""Values for keys whose field gives no examples of its own."""
_EXAMPLES_OF_ITEMS: dict[str | int, str] = {
    "policies": "{name: …, services: […], replicas: …, rules: […]}",
    "rules": f"{{{_EXAMPLE_RULE}}}",
}


def _example(key: str, info: FieldInfo | None) -> str:
    """A line of a file that gives *key*."""
    value = info.examples[0] if info and info.examples else _EXAMPLES.get(key, "…")
    return f"{key}: {value}"


def _first_line(model: type[BaseModel]) -> str:
    """What a file of this *model* begins with."""
    return next((_example(key, info) for key, info in _keys(model).items()), "key: value")


def _did_you_mean(given: str, known: list[str], known_as: str) -> str:
    near = _near(given, known)
    hint = f'did you mean "{near}"? ' if near else ""
    return f"{hint}{known_as}: {', '.join(known) or 'none'}"


def _near(given: str, known: Iterable[str]) -> str | None:
    """The *known* word that is nearest to the *given* one, where one is near."""
    return next(iter(get_close_matches(given[:_LONG].lower(), list(known), n=1)), None)


def _what_and_cure(message: str) -> tuple[str, str]:
    """The two halves of a message of ours: ``what is wrong (what would be right)``."""
    what, opened, cure = message.removesuffix(")").rpartition(" (")
    if not opened or not message.endswith(")"):
        what, cure = _in_our_words(message), "see the policy reference"
    return what if len(what) <= _LONGEST_MESSAGE else f"{what[:_LONGEST_MESSAGE]}…", cure


def _in_our_words(message: str) -> str:
    """Pydantic's *message* without its turns of phrase."""
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ").replace("Input should", "it should")


def _pattern_in_words(pattern: str) -> str:
    """What the names that match *pattern* look like."""
    if pattern.endswith("[a-z0-9])?$"):
        return "write lower-case letters, digits, dots, dashes and underscores, a letter or digit first and last"
    if pattern.endswith("[a-zA-Z0-9])?$"):
        return "write letters, digits, dots, dashes and underscores, a letter or digit first and last"
    return f"write text that matches {pattern}"


# Checks across policies


@dataclass(frozen=True, slots=True)
class _Draft:
    """What can be told of a policy as it is written, be it valid or not."""

    document: Document
    path: Path
    name: str | None
    services: tuple[tuple[int, str], ...]
    """With their indices."""
    exclude: tuple[str, ...]
    minimum: object
    rules: tuple[tuple[int, dict[str, Any]], ...]

    @property
    def label(self) -> str:
        """What other policies' problems call it."""
        place = self.document.place(self.path)
        return f"{shown(self.name or '?')} in {self.document.file}:{place.line}"

    def problem(self, path: Path, what: str, cure: str) -> Problem:
        """A problem at *path* in this policy."""
        return self.document.problem((*self.path, *path), what, cure)

    def globs(self) -> Iterator[tuple[int, str]]:
        """The services that are globs, with their indices."""
        return ((index, pattern) for index, pattern in self.services if is_glob(pattern))


def _drafts(document: Document) -> Iterator[_Draft]:
    policies = document.data.get("policies") if isinstance(document.data, dict) else None
    for index, policy in enumerate(policies if isinstance(policies, list) else ()):
        if isinstance(policy, dict):
            yield _draft(document, ("policies", index), policy)


def _draft(document: Document, path: Path, policy: dict[str, Any]) -> _Draft:
    name, replicas = policy.get("name"), policy.get("replicas")
    return _Draft(
        document,
        path,
        name if isinstance(name, str) else None,
        tuple(_items(policy.get("services"), str)),
        tuple(pattern for _, pattern in _items(policy.get("exclude"), str)),
        replicas.get("min") if isinstance(replicas, dict) else None,
        tuple(_items(policy.get("rules"), dict)),
    )


T = TypeVar("T")


def _items(value: object, kind: type[T]) -> Iterator[tuple[int, T]]:
    """The items of a list that are of a *kind*, with their indices; none of what is no list."""
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, kind):
            yield index, item


def _names(drafts: list[_Draft]) -> Iterator[Problem]:
    """Policy names are unique among all files."""
    first: dict[str, _Draft] = {}
    for draft in drafts:
        if draft.name is None:
            continue
        other = first.setdefault(draft.name, draft)
        if other is not draft:
            yield draft.problem(("name",), f"a second policy named {other.label}", "give each policy a name of its own")


def _rule_names(drafts: list[_Draft]) -> Iterator[Problem]:
    """Rule names are unique within their policy."""
    for draft in drafts:
        first: dict[str, int] = {}
        for index, rule in draft.rules:
            name = rule.get("name")
            if isinstance(name, str) and first.setdefault(name, index) != index:
                line = draft.document.place((*draft.path, "rules", first[name])).line
                what = f"a second rule named {shown(name)}, after the one in line {line}"
                yield draft.problem(("rules", index, "name"), what, "give each rule a name of its own")


def _metrics(drafts: list[_Draft]) -> Iterator[Problem]:
    """Rules name metrics that there are."""
    for draft in drafts:
        for index, rule in draft.rules:
            metric = rule.get("metric")
            if isinstance(metric, str) and metric not in METRICS:
                cure = _did_you_mean(metric, list(METRICS), "known metrics")
                yield draft.problem(("rules", index, "metric"), f"unknown metric {shown(metric)}", cure)


def _sleepers(drafts: list[_Draft]) -> Iterator[Problem]:
    """A service that may go to 0 replicas has a rule that can wake it."""
    for draft in drafts:
        if draft.minimum == 0 and type(draft.minimum) is int and not any(_wakes(rule) for _, rule in draft.rules):
            what = "min 0, and no rule could wake the service: cpu and memory have no data at 0 replicas"
            yield draft.problem(("replicas", "min"), what, "write min: 1")


def _wakes(rule: dict[str, Any]) -> bool:
    return rule.get("metric") in METRICS and rule.get("metric") not in _NO_DATA_AT_ZERO


def _exclusions(drafts: list[_Draft]) -> Iterator[Problem]:
    """No policy both names and excludes a service."""
    for draft in drafts:
        for index, service in draft.services:
            if service in draft.exclude:
                what = f"{shown(service)} is in services and in exclude"
                yield draft.problem(("services", index), what, "remove it from one of the two")


def _named_twice(drafts: list[_Draft]) -> Iterator[Problem]:
    """No two policies name the same service."""
    first: dict[str, _Draft] = {}
    for draft in drafts:
        for index, service in draft.services:
            if is_glob(service):
                continue
            other = first.setdefault(service, draft)
            if other is not draft:
                what = f"the service {shown(service)} is also named by the policy {other.label}"
                yield draft.problem(("services", index), what, "name it in one of the two")


def _overlaps(drafts: list[_Draft]) -> Iterator[Problem]:
    """No two policies have globs of which one contains the other, unless `exclude` keeps them apart.

    Told with a service name that both match. Globs that merely may meet are left to the evaluation, which leaves a
    service in conflict untouched.
    """
    named = {service for draft in drafts for _, service in draft.services if not is_glob(service)}
    told: set[tuple[int, int]] = set()
    budget = iter(range(_MOST_COMPARISONS))
    candidates = _by_prefix(drafts)
    for draft in drafts:
        for index, pattern in draft.globs():
            for other, containing in _containing(draft, pattern, candidates, budget):
                example = _matched_by_both(pattern, draft, other, named)
                if example is not None and (id(other), id(draft)) not in told:
                    told.add((id(draft), id(other)))
                    yield _overlap(draft, (index, pattern), (other, containing), example)
                    break


def _overlap(draft: _Draft, own: tuple[int, str], others: tuple[_Draft, str], example: str) -> Problem:
    index, pattern = own
    other, containing = others
    what = (
        f"the glob {shown(pattern)} and the glob {shown(containing)} of the policy {other.label} "
        f"both match, say, {shown(example)}"
    )
    cure = f"add exclude: [{shown(pattern)}] there" if pattern != containing else "keep it in one of the two"
    return draft.problem(("services", index), what, cure)


def _by_prefix(drafts: list[_Draft]) -> dict[str, list[tuple[_Draft, str]]]:
    """All globs by the plain text that they begin with: what contains a glob begins with a part of its beginning."""
    globs: dict[str, list[tuple[_Draft, str]]] = {}
    for draft in drafts:
        for _, pattern in draft.globs():
            globs.setdefault(_prefix(pattern), []).append((draft, pattern))
    return globs


def _containing(
    draft: _Draft, pattern: str, candidates: dict[str, list[tuple[_Draft, str]]], budget: Iterator[int]
) -> Iterator[tuple[_Draft, str]]:
    """The globs of other policies that, as far as probes can tell, contain *pattern*; none once the budget is spent."""
    prefix, probes = _prefix(pattern), _probes(pattern)
    for length in range(len(prefix) + 1) if probes else ():
        for other, larger in candidates.get(prefix[:length], ()):
            if next(budget, None) is None:
                return
            if other is not draft and all(_matches(larger, probe) for probe in probes):
                yield other, larger


_MOST_COMPARISONS = 1_000_000
"""A second's worth; only sets of thousands of globs that begin alike need more, and keep the check at run time."""
_FILLINGS = ("", "x", "q7-z")
_CANDIDATES = "xaq07-_.ABCDEFGHIJKLMNOPRSTUVWXYZbcdefghijklmnoprstuvwyz12345689"
_TOKEN = re.compile(r"\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


def _prefix(pattern: str) -> str:
    """The plain text that *pattern* begins with."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0]


def _probes(pattern: str) -> list[str]:
    """A few names that *pattern* matches."""
    probes = []
    for filling in _FILLINGS:
        parts = [_filled(token, filling) for token in _TOKEN.findall(pattern)]
        if None not in parts:
            probes.append("".join(part for part in parts if part))
    return [probe for probe in dict.fromkeys(probes) if probe and _matches(pattern, probe)]


def _filled(token: str, filling: str) -> str | None:
    """A text that the glob's *token* stands for, or None where there seems to be none."""
    if token == "*":  # noqa: S105 - a part of a glob
        return filling
    if len(token) == 1 and token != "?":  # noqa: S105 - likewise
        return token
    return next((letter for letter in _CANDIDATES if fnmatchcase(letter, token)), None)


def _matched_by_both(pattern: str, smaller: _Draft, larger: _Draft, named: set[str]) -> str | None:
    """A name that *pattern* matches, that neither policy excludes and that none names exactly."""
    excluded = (*smaller.exclude, *larger.exclude)
    for probe in reversed(_probes(pattern)):
        if probe not in named and not any(_matches(other, probe) for other in excluded):
            return probe
    return None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def _matches(pattern: str, name: str) -> bool:
    return _compiled(pattern).match(name) is not None


_CROSS_CHECKS: tuple[Callable[[list[_Draft]], Iterator[Problem]], ...] = (
    _names,
    _rule_names,
    _metrics,
    _sleepers,
    _exclusions,
    _named_twice,
    _overlaps,
)


# Warnings


def warnings(policies: PolicySet, step: int, origins: Mapping[str, Origin] | None = None) -> list[Problem]:
    """What is valid but hardly meant; *step* is the window step in seconds.

    Each at its place where *origins* tell it (`Loaded.warnings` knows them), else at its policy and rule by name.
    """
    found = []
    for policy in policies.policies:
        origin = (origins or {}).get(policy.name)
        for index, rule in enumerate(policy.rules):
            for key, what, cure in (*_short_window(rule, step), *_flaps(policy, rule)):
                found.append(_warning(origin, policy, (index, rule, key), what, cure))
    return found


def _warning(origin: Origin | None, policy: Policy, where: tuple[int, Rule, str], what: str, cure: str) -> Problem:
    index, rule, key = where
    if origin is None:
        return Problem("", 0, 0, f"policy {policy.name}: rule {rule.name}: {key}", what, cure)
    return origin.document.problem((*origin.path, "rules", index, key), what, cure)


_Warned = tuple[str, str, str]
"""A key of a rule, what is doubtful about it, and what would be right."""


def _short_window(rule: Rule, step: int) -> Iterator[_Warned]:
    if 0 < rule.look_back < 2 * step:
        what = f"{words(rule.look_back)} is shorter than two window steps of {words(step)}: one odd sample may decide"
        yield "for", what, f"give at least {words(2 * step)}, or a smaller interval"


def _flaps(policy: Policy, low: Rule) -> Iterator[_Warned]:
    """The rules that would add at once what *low* removed, because the load moves to the replicas that remain."""
    if not isinstance(low, Threshold) or low.below is None or low.remove is None or low.metric not in _REDISTRIBUTES:
        return
    before, after = _steepest(policy, low.remove)
    if after == before or low.below <= 0:
        return
    for high in policy.rules:
        if not isinstance(high, Threshold) or high.above is None or high.add is None or high.metric != low.metric:
            continue
        if low.below * before / after > high.above:
            yield "below", _flap_in_words(low, high, before, after), _calmer(low.below, high.above, before, after)


def _steepest(policy: Policy, remove: int | str) -> tuple[int, int]:
    """The removal within the bounds that leaves the largest share of load to each replica that remains, at least 1."""
    lowest = max(1, policy.replicas.min)
    steps = ((count, max(lowest, count - size(remove, count))) for count in range(lowest + 1, policy.replicas.max + 1))
    return max(steps, key=lambda step: step[0] / step[1], default=(1, 1))


def _flap_in_words(low: Threshold, high: Threshold, before: int, after: int) -> str:
    bound = low.below or 0.0
    sample = bound - 1 if (bound - 1) * before / after > (high.above or 0.0) else bound
    just = "" if sample < bound else "just under "
    return (
        f"must flap with {high.name}: at {before} replicas a {low.metric} of {just}{sample:g} becomes "
        f"{just}{sample * before / after:.4g} at {after}, above {high.above:g}"
    )


def _calmer(below: float, above: float, before: int, after: int) -> str:
    safe_below, safe_above = above * after / before, below * before / after
    return f"write below: {int(safe_below)} or less, or above: {-int(-safe_above // 1)} or more"
