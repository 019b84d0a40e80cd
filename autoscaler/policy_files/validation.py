"""Documents as pydantic models, with pydantic's errors in our own words, each at its place in the text.

It works for any model. A rule is validated by the model of the strategy that it names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from autoscaler.policy_files.diagnostic import MAX_PROBLEMS, about_file, described, shown
from autoscaler.strategies import Rule, registered
from autoscaler.util.suggestions import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from autoscaler.policy_files.diagnostic import Diagnostic, Path
    from autoscaler.policy_files.yaml_document import Document

M = TypeVar("M", bound=BaseModel)


def validate(document: Document, model: type[M], *, only_written: bool = False) -> tuple[M | None, list[Diagnostic]]:
    """Return *document* as a *model*, or None, and all problems, those of the text first.

    With *only_written*, problems of data that are not in the document's text are left out.
    """
    problems = list(document.problems)
    if document.data is None:
        if not problems:
            problems.append(about_file(document.file, "is empty", f"begin with {_first_line(model)}"))
        return None, problems
    try:
        value = model.model_validate(document.data, by_alias=True, by_name=False)
    except ValidationError as error:
        found = _told_of(error, document, model, {problem.path for problem in problems}, only_written=only_written)
        problems.extend(found)
        return None, problems
    return (None if problems else value), problems


def _told_of(
    error: ValidationError, document: Document, model: type[BaseModel], told: set[str], *, only_written: bool
) -> Iterator[Diagnostic]:
    """Yield pydantic's findings as problems, without those at places that are *told* already."""
    count = 0
    findings = [_Finding(document, model, details) for details in error.errors(include_url=False)]
    misspelt = {finding.meant for finding in findings if finding.meant is not None}
    if only_written:
        findings = [finding for finding in findings if finding.written]
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
    """Return whether the text has a problem at the same node, or at one above it."""
    return path in told or any(path.startswith((f"{above}.", f"{above}[")) for above in told if above)


class _Finding:
    """An error of pydantic, at its place in a document."""

    def __init__(self, document: Document, model: type[BaseModel], details: ErrorDetails) -> None:
        self._document = document
        self._model = model
        self._kind = details["type"]
        self._said = details["msg"]
        self._input = details["input"]
        self._facts: Mapping[str, Any] = details.get("ctx", {})
        self._path = _without_tags(details["loc"])
        self._of_key = self._path[-1:] == ("[key]",) and not document.holds(self._path)
        if self._of_key:  # pydantic means the key itself
            self._path = self._path[:-1]

    def problem(self) -> Diagnostic | None:
        """Return the problem in words; None if it only follows from others."""
        match self._kind:
            case "extra_forbidden":
                return self._unknown_key()
            case "missing":
                return self._missing_key()
            case "too_short" if self._input:
                return None  # its items failed, and have problems of their own
            case "union_tag_invalid" | "union_tag_not_found":
                return self._unknown_strategy()
            case _:
                return self._at(*self._told())

    @property
    def written(self) -> bool:
        """Return whether the error concerns a part of the text."""
        return self._document.holds(self._path[:-1] if self._kind == "missing" else self._path)

    @property
    def missing(self) -> Path | None:
        """Return the path of the missing key; None for other errors."""
        return self._path if self._kind == "missing" else None

    @property
    def meant(self) -> Path | None:
        """Return the path of the key that an unknown key is probably meant to be."""
        if self._kind != "extra_forbidden":
            return None
        *parent, key = self._path
        near = nearest(str(key).lower(), _keys(self._model_at(tuple(parent))))
        return (*parent, near) if near else None

    def _at(self, what: str, cure: str) -> Diagnostic:
        return self._document.problem(self._path, what, cure, of_key=self._of_key)

    def _unknown_key(self) -> Diagnostic:
        *parent, key = self._path
        cure = did_you_mean(str(key), list(_keys(self._model_at(tuple(parent)))), "known here")
        return self._document.problem(self._path, "unknown key", cure, of_key=True)

    def _missing_key(self) -> Diagnostic:
        *parent, key = self._path
        what = f"the key {shown(str(key))} is missing"
        return self._document.problem(tuple(parent), what, f"add {self._example()}")

    def _unknown_strategy(self) -> Diagnostic:
        if not isinstance(self._input, dict):
            return self._at(f"is {described(self._input)}, not a mapping", f"write {{{_EXAMPLE_RULE}}}")
        given = self._input.get("strategy")
        what = (
            f"unknown strategy {shown(given)}" if isinstance(given, str) else f"is {described(given)}, not a strategy"
        )
        cure = did_you_mean(str(given), list(registered()), "known strategies")
        return self._document.problem((*self._path, "strategy"), what, cure)

    def _told(self) -> tuple[str, str]:
        """Return what is wrong, and what would be right."""
        given = f"has {len(self._input)}" if self._kind == "too_long" else f"is {described(self._input)}"
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
        given = str(self._input).lower() if isinstance(self._input, bool) else str(self._input)
        short = isinstance(self._input, str | int | float) and 0 < len(given) < _LONGEST_VALUE
        match _WANTED[self._kind]:
            case "text" if short:
                return f'write "{given}", in quotes'
            case "a list" if short and self._path[-1] not in _EXAMPLES_OF_ITEMS:
                return f"write [{given}]"
            case "a list" | "a mapping":
                return f"write {self._example()}"
            case wanted:
                return f"write {wanted}"

    def _example(self) -> str:
        """Return an example of the key at the path as it is written in a file."""
        if not self._path:
            return _first_line(self._model)
        key = self._path[-1]
        if isinstance(key, int):
            return _EXAMPLES_OF_ITEMS.get(self._path[-2], "key: value pairs")
        model = self._model_at(self._path[:-1])
        return _example(key, _keys(model).get(key))

    def _model_at(self, path: Path) -> type[BaseModel] | None:
        """Return the model of the mapping at *path*; None if there is none."""
        model: type[BaseModel] | None = self._model
        data = self._document.data
        named = False
        for step in path:
            data = data[step]
            if named:  # the model was found at the mapping, and fits any key
                named = False
            elif isinstance(step, str):  # for an item, the model was found at its list
                fields = _keys(model)
                model = _model_in(fields[step].annotation) if step in fields else None
                named = step in fields and get_origin(fields[step].annotation) is dict
            elif model is Rule:
                given = data.get("strategy", "threshold") if isinstance(data, dict) else None
                model = registered().get(given) if isinstance(given, str) else None
        return None if named else model


def _without_tags(loc: tuple[int | str, ...]) -> Path:
    """Return *loc* without the strategy's name, which pydantic puts after the index of a rule."""
    for position in range(2, len(loc)):
        if loc[position - 2] == "rules" and isinstance(loc[position - 1], int):
            return (*loc[:position], *loc[position + 1 :])
    return loc


def _keys(model: type[BaseModel] | None) -> dict[str, FieldInfo]:
    """Return the fields of *model*, by their keys in a file."""
    if model is None:
        return {}
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in a type such as ``Replicas``, ``tuple[Policy, ...]`` or ``Guard | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)


_LONGEST_VALUE = 60
"""The most characters of a value that a message shows in a cure."""
_LONGEST_MESSAGE = 300
_MOST_KNOWN = 20
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
"""The cures by kind of error. Pydantic's facts about the error, and the key, are put in."""
_EXAMPLE_RULE = "name: cpu-high, metric: cpu, above: 70, for: 5m, add: 1"
_EXAMPLE_FALLBACK = "after: 10m, replicas: 6"
_EXAMPLE_GUARD = "name: database-full, metric: memory, above: 90, block: up"
_EXAMPLE_SCHEDULE = 'name: day, start: "0 8 * * mon-fri", end: "0 18 * * mon-fri", min: 5'
_EXAMPLE_LIMIT = "replicas: 2, per: 1m"
_EXAMPLE_STEP = "lower: 0, add: 1"
_EXAMPLES = {
    "version": "1",
    "policies": "[{name: …, services: […], replicas: …, rules: […]}]",
    "services": "[web_app]",
    "exclude": "[web_db]",
    "replicas": "{min: 2, max: 10}",
    "rules": f"[{{{_EXAMPLE_RULE}}}]",
    "metric": "cpu",
    "scale_up": "{cooldown: 3m}",
    "scale_down": "{cooldown: 5m}",
    "min": "2",
    "max": "10",
    "name": "a-name",
    "query": "sum by (service) (queue_length)",
    "by": "container_label_com_docker_swarm_service_name",
    "fallback": f"{{{_EXAMPLE_FALLBACK}}}",
    "match_labels": "{tier: web}",
    "block": "down",
    "defaults": "{scale_down: {cooldown: 10m}}",
    "metrics": "{p95_ms: {query: …}}",
    "guards": f"[{{{_EXAMPLE_GUARD}}}]",
    "schedules": f"[{{{_EXAMPLE_SCHEDULE}}}]",
    "limits": f"[{{{_EXAMPLE_LIMIT}}}]",
    "after": "10m",
    "per": "1m",
    "start": "0 8 * * mon-fri",
    "end": "0 18 * * mon-fri",
    "target": "60",
    "steps": f"[{{{_EXAMPLE_STEP}}}]",
    "table": "{1: 2, 21: 3}",
}
"""Values for keys whose field gives no examples of its own."""
_EXAMPLES_OF_ITEMS: dict[str | int, str] = {
    "policies": "{name: …, services: […], replicas: …, rules: […]}",
    "rules": f"{{{_EXAMPLE_RULE}}}",
    "guards": f"{{{_EXAMPLE_GUARD}}}",
    "schedules": f"{{{_EXAMPLE_SCHEDULE}}}",
    "limits": f"{{{_EXAMPLE_LIMIT}}}",
    "steps": f"{{{_EXAMPLE_STEP}}}",
}


def _example(key: str, info: FieldInfo | None) -> str:
    """Return a line of a file that sets *key*."""
    value = info.examples[0] if info and info.examples else _EXAMPLES.get(key, "…")
    return f"{key}: {value}"


def _first_line(model: type[BaseModel]) -> str:
    """Return the first line of a file of this *model*."""
    return next((_example(key, info) for key, info in _keys(model).items()), "key: value")


def did_you_mean(given: str, known: list[str], known_as: str) -> str:
    """Return the cure for an unknown word *given*: the nearest of the *known* ones, and the first ones of them all."""
    near = nearest(given.lower(), known)
    hint = f'did you mean "{near}"? ' if near else ""
    more = f" and {len(known) - _MOST_KNOWN} more" if len(known) > _MOST_KNOWN else ""
    return f"{hint}{known_as}: {', '.join(known[:_MOST_KNOWN]) or 'none'}{more}"


def _what_and_cure(message: str) -> tuple[str, str]:
    """Return the two halves of one of our messages: ``what is wrong (what would be right)``."""
    what, opened, cure = message.removesuffix(")").rpartition(" (")
    if not opened or not message.endswith(")"):
        what, cure = _in_our_words(message), "see the policy reference"
    return what if len(what) <= _LONGEST_MESSAGE else f"{what[:_LONGEST_MESSAGE]}…", cure


def _in_our_words(message: str) -> str:
    """Return pydantic's *message* without its usual phrases."""
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ").replace("Input should", "it should")


def _pattern_in_words(pattern: str) -> str:
    """Return in words how to write a name that matches *pattern*."""
    if pattern.endswith("[a-z0-9])?$"):
        return "write lower-case letters, digits, dots, dashes and underscores, a letter or digit first and last"
    if pattern.endswith("[a-zA-Z0-9_.:-]*$"):
        return "write letters, digits, underscores, dots, colons and dashes, a letter or underscore first"
    if pattern.endswith("[a-zA-Z0-9])?$"):
        return "write letters, digits, dots, dashes and underscores, a letter or digit first and last"
    return f"write text that matches {pattern}"
