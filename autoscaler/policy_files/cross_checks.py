"""What no single policy can know: names given twice, services in conflict, metrics that are none.

Told of policies as they are written, be they valid or not, so that all problems come at once.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from autoscaler.plugins import entry_points as plugins
from autoscaler.policy.metric import BUILT_IN, PROMETHEUS
from autoscaler.policy.policy import is_glob, wakes
from autoscaler.policy_files.validation import did_you_mean
from autoscaler.policy_files.yaml_document import Diagnostic, Document, shown
from autoscaler.util.suggestions import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from autoscaler.policy_files.yaml_document import Path


def problems(documents: Iterable[Document]) -> Iterator[Diagnostic]:
    """What is wrong between the policies of all *documents*, or between the rules of one."""
    documents = list(documents)
    drafts = [draft for document in documents for draft in _drafts(document)]
    # What policies have from the defaults is told of once, where the defaults stand.
    with_parts = [*(draft for document in documents for draft in _default_drafts(document)), *drafts]
    for check in _CHECKS:
        yield from check(drafts)
    yield from _part_names(with_parts)
    metrics = _defined(documents)
    yield from _metric_problems(documents)
    if all(document.data is not None for document in documents):  # else what cannot be read may define them
        yield from islice(_unknown_metrics(with_parts, metrics), _MOST_UNKNOWN)
    yield from _sleepers(drafts, metrics)
    yield from _several_defaults(documents)
    if documents and not drafts and not any(document.problems for document in documents):
        yield from _nothing_to_do(documents)


@dataclass(frozen=True, slots=True)
class _Draft:
    """What can be told of a policy as it is written, be it valid or not."""

    document: Document
    path: Path
    name: str | None
    services: tuple[tuple[int, str], ...]
    """With their indices."""
    exclude: tuple[str, ...]
    match_labels: frozenset[tuple[str, str]]
    minimum: object
    rules: tuple[tuple[int, dict[str, Any]], ...]
    guards: tuple[tuple[int, dict[str, Any]], ...]
    schedules: tuple[tuple[int, dict[str, Any]], ...]

    @property
    def label(self) -> str:
        """What other policies' problems call it."""
        place = self.document.place(self.path)
        return f"{shown(self.name or '?')} in {self.document.file}:{place.line}"

    def problem(self, path: Path, what: str, cure: str) -> Diagnostic:
        """A problem at *path* in this policy."""
        return self.document.problem((*self.path, *path), what, cure)

    def written(self, key: str) -> tuple[tuple[int, dict[str, Any]], ...]:
        """The items of the list at *key*, with their indices; none of a list that comes from the defaults."""
        items: tuple[tuple[int, dict[str, Any]], ...] = getattr(self, key)
        return items if self.document.holds((*self.path, key)) else ()

    @property
    def means_all(self) -> bool:
        """Whether a glob of the policy means every service there is."""
        return not self.exclude and any(set(pattern) == {"*"} for _, pattern in self.globs())

    def globs(self) -> Iterator[tuple[int, str]]:
        """The services that are globs, with their indices."""
        return ((index, pattern) for index, pattern in self.services if is_glob(pattern))


def _drafts(document: Document) -> Iterator[_Draft]:
    policies = document.data.get("policies") if isinstance(document.data, dict) else None
    for index, policy in enumerate(policies if isinstance(policies, list) else ()):
        if isinstance(policy, dict):
            yield _draft(document, ("policies", index), policy)


def _default_drafts(document: Document) -> Iterator[_Draft]:
    defaults = document.data.get("defaults") if isinstance(document.data, dict) else None
    if isinstance(defaults, dict):
        yield _draft(document, ("defaults",), defaults)


def _draft(document: Document, path: Path, policy: dict[str, Any]) -> _Draft:
    name, replicas = policy.get("name"), policy.get("replicas")
    return _Draft(
        document,
        path,
        name if isinstance(name, str) else None,
        tuple(_items(policy.get("services"), str)),
        tuple(pattern for _, pattern in _items(policy.get("exclude"), str)),
        _labels(policy.get("match_labels")),
        replicas.get("min") if isinstance(replicas, dict) else None,
        *(tuple(_items(policy.get(key), dict)) for key in ("rules", "guards", "schedules")),
    )


def _labels(value: object) -> frozenset[tuple[str, str]]:
    """The labels and their values, if they are such."""
    labels = value if isinstance(value, dict) else {}
    return frozenset(labels.items()) if all(isinstance(text, str) for text in labels.values()) else frozenset()


T = TypeVar("T")


def _items(value: object, kind: type[T]) -> Iterator[tuple[int, T]]:
    """The items of a list that are of a *kind*, with their indices; none of what is no list."""
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, kind):
            yield index, item


def _names(drafts: list[_Draft]) -> Iterator[Diagnostic]:
    """Policy names are unique among all files."""
    first: dict[str, _Draft] = {}
    for draft in drafts:
        if draft.name is None:
            continue
        other = first.setdefault(draft.name, draft)
        if other is not draft:
            yield draft.problem(("name",), f"a second policy named {other.label}", "give each policy a name of its own")


def _part_names(drafts: list[_Draft]) -> Iterator[Diagnostic]:
    """The names of rules are unique within their policy; so are those of guards, and of schedules."""
    for draft in drafts:
        for key, word in (("rules", "rule"), ("guards", "guard"), ("schedules", "schedule")):
            first: dict[str, int] = {}
            for index, part in draft.written(key):
                name = part.get("name")
                if isinstance(name, str) and first.setdefault(name, index) != index:
                    line = draft.document.place((*draft.path, key, first[name])).line
                    what = f"a second {word} named {shown(name)}, after the one in line {line}"
                    yield draft.problem((key, index, "name"), what, f"give each {word} a name of its own")


def _unknown_metrics(drafts: list[_Draft], metrics: Mapping[str, dict[str, Any]]) -> Iterator[Diagnostic]:
    """Rules and guards name metrics that there are."""
    known = list(metrics)
    cure_of = cache(lambda metric: did_you_mean(metric, known, "known metrics"))
    for draft in drafts:
        for key in ("rules", "guards"):
            for index, part in draft.written(key):
                metric = part.get("metric")
                if isinstance(metric, str) and metric not in metrics:
                    cure = cure_of(metric)
                    yield draft.problem((key, index, "metric"), f"unknown metric {shown(metric)}", cure)


_MOST_UNKNOWN = 200
"""How many unknown metrics are told apart: each is compared with all that are known."""


def _defined(documents: Iterable[Document]) -> dict[str, dict[str, Any]]:
    """All metrics by name, as the documents write them; what is no mapping, and the built-in ones, as empty."""
    written = {
        name: metric if isinstance(metric, dict) else {}
        for document in documents
        for name, metric in _metrics_in(document).items()
    }
    return {**{name: {} for name in BUILT_IN}, **written}


def _metrics_in(document: Document) -> dict[str, Any]:
    metrics = document.data.get("metrics") if isinstance(document.data, dict) else None
    return metrics if isinstance(metrics, dict) else {}


def _metric_problems(documents: Iterable[Document]) -> Iterator[Diagnostic]:
    """Each metric is defined once, has a query unless it is built in, and a source that there is."""
    first: dict[str, Document] = {}
    for document in documents:
        for name, metric in _metrics_in(document).items():
            other = first.setdefault(name, document)
            if other is not document:
                where = f"{other.file}:{other.place(('metrics', name)).line}"
                what = f"the metric {shown(name)} is also defined in {where}"
                yield document.problem(("metrics", name), what, "define it in one of the two", of_key=True)
            if name not in BUILT_IN and isinstance(metric, dict) and not _asks(metric):
                cure = "add query: the PromQL expression that gives it"
                yield document.problem(("metrics", name), f"the metric {shown(name)} has no query", cure, of_key=True)
            source = metric.get("source", PROMETHEUS) if isinstance(metric, dict) else PROMETHEUS
            if isinstance(source, str) and source != PROMETHEUS and source not in plugins.metric_sources():
                known = did_you_mean(source, [PROMETHEUS, *plugins.metric_sources()], "known sources")
                cure = f"{known}; a plugin's must be installed here"
                yield document.problem(("metrics", name, "source"), f"unknown metric source {shown(source)}", cure)


def _asks(metric: dict[str, Any]) -> bool:
    """Whether *metric* has a query, or means to: a misspelt key is told as that."""
    near = nearest("query", metric)
    return bool(near) and metric[near] is not None


def _several_defaults(documents: Iterable[Document]) -> Iterator[Diagnostic]:
    """All files are one set, so that it has one set of defaults."""
    having = [document for document in documents if isinstance(document.data, dict) and "defaults" in document.data]
    for document in having[1:]:
        first = f"{having[0].file}:{having[0].place(('defaults',)).line}"
        what = f"there are defaults in {first} already, which count for every policy of all files"
        yield document.problem(("defaults",), what, "keep them in one file", of_key=True)


def _nothing_to_do(documents: list[Document]) -> Iterator[Diagnostic]:
    data = [document.data for document in documents if isinstance(document.data, dict)]
    if any("policies" not in each and each.keys() & {"defaults", "metrics"} for each in data):
        yield documents[0].problem((), "there is no policy", "add policies: [{name: …, services: […], rules: […]}]")


def _sleepers(drafts: list[_Draft], metrics: Mapping[str, dict[str, Any]]) -> Iterator[Diagnostic]:
    """A service that may go to 0 replicas has a rule that can wake it, or a schedule's end."""
    for draft in drafts:
        # The end of a schedule that lets the service sleep wakes it, if all the other minima are 1 or more.
        awake = ((index, schedule) for index, schedule in draft.schedules if not _is_zero(schedule.get("max")))
        minima = ((("schedules", index, "min"), schedule.get("min")) for index, schedule in awake)
        asleep = [path for path, least in ((("replicas", "min"), draft.minimum), *minima) if _is_zero(least)]
        if asleep and not any(_wakes(rule, metrics) for _, rule in draft.rules):
            what = "min 0, and no rule could wake the service: at 0 replicas there are no tasks that could have data"
            cure = "write min: 1, or add a rule that adds replicas for a metric which is there without tasks"
            for path in asleep:
                yield draft.problem(path, what, cure)


def _is_zero(value: object) -> bool:
    return type(value) is int and value == 0


def _wakes(rule: dict[str, Any], metrics: Mapping[str, dict[str, Any]]) -> bool:
    """Whether *rule* may ask for more than the none there are."""
    metric = metrics.get(str(rule.get("metric")), {})
    there = metric.get("query") is not None and metric.get("task") is None
    strategy = str(rule.get("strategy", "threshold"))
    return there and wakes(strategy, adds=rule.get("add") is not None, total=metric.get("kind") == "total")


def _exclusions(drafts: list[_Draft]) -> Iterator[Diagnostic]:
    """No policy both names and excludes a service."""
    for draft in drafts:
        for index, service in draft.services:
            if service in draft.exclude:
                what = f"{shown(service)} is in services and in exclude"
                yield draft.problem(("services", index), what, "remove it from one of the two")


def _named_twice(drafts: list[_Draft]) -> Iterator[Diagnostic]:
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


def _same_labels(drafts: list[_Draft]) -> Iterator[Diagnostic]:
    """No two policies mean all services with some labels, unless `exclude` may keep them apart."""
    labelled = [draft for draft in drafts if draft.match_labels and not draft.exclude]
    everything = next((draft for draft in drafts if draft.means_all), None)
    first: dict[frozenset[tuple[str, str]], _Draft] = {}
    for draft in labelled:
        first.setdefault(draft.match_labels, draft)
    often = Counter(label for labels in first for label in labels)
    by_rarest: dict[tuple[str, str], list[_Draft]] = {}
    for labels, draft in first.items():
        by_rarest.setdefault(min(labels, key=lambda label: (often[label], label)), []).append(draft)
    for draft in labelled:
        others = (other for label in sorted(draft.match_labels) for other in by_rarest.get(label, ()))
        fewer = next((other for other in others if other.match_labels < draft.match_labels), None)
        other = everything or fewer or first[draft.match_labels]
        if other is not draft:
            what = f"every service with these labels is also matched by the policy {other.label}"
            cure = "make the labels differ, or name the services in one of the two"
            yield draft.problem(("match_labels",), what, cure)


def _overlaps(drafts: list[_Draft]) -> Iterator[Diagnostic]:
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


def _overlap(draft: _Draft, own: tuple[int, str], others: tuple[_Draft, str], example: str) -> Diagnostic:
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


_CHECKS: tuple[Callable[[list[_Draft]], Iterator[Diagnostic]], ...] = (
    _names,
    _exclusions,
    _named_twice,
    _same_labels,
    _overlaps,
)
