"""Problems between policies: duplicate names, services in conflict, unknown metrics.

The policies are looked at as they are written, valid or not, so that all problems come at once.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from autoscaler.plugins import entry_points as plugins
from autoscaler.policy.metric import BUILT_IN, PROMETHEUS
from autoscaler.policy.policy import is_glob, wakes
from autoscaler.policy_files.diagnostic import Diagnostic, shown
from autoscaler.policy_files.drafts import drafts_of, drafts_of_defaults
from autoscaler.policy_files.overlaps import overlaps
from autoscaler.policy_files.validation import did_you_mean
from autoscaler.util.suggestions import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from autoscaler.policy_files.drafts import Draft
    from autoscaler.policy_files.yaml_document import Document


def problems(documents: Iterable[Document]) -> Iterator[Diagnostic]:
    """Yield the problems between the policies of all *documents*, and between the rules of each."""
    documents = list(documents)
    drafts = [draft for document in documents for draft in drafts_of(document)]
    # A problem in the defaults is reported once, at the defaults.
    with_parts = [*(draft for document in documents for draft in drafts_of_defaults(document)), *drafts]
    for check in _CHECKS:
        yield from check(drafts)
    yield from _part_names(with_parts)
    metrics = _defined(documents)
    yield from _metric_problems(documents)
    if all(document.data is not None for document in documents):  # an unreadable file may define them
        yield from islice(_unknown_metrics(with_parts, metrics), _MOST_UNKNOWN)
    yield from _sleepers(drafts, metrics)
    yield from _several_defaults(documents)
    if documents and not drafts and not any(document.problems for document in documents):
        yield from _nothing_to_do(documents)


def _names(drafts: list[Draft]) -> Iterator[Diagnostic]:
    """Yield a problem for each policy whose name another policy of any file has."""
    first: dict[str, Draft] = {}
    for draft in drafts:
        if draft.name is None:
            continue
        other = first.setdefault(draft.name, draft)
        if other is not draft:
            yield draft.problem(("name",), f"a second policy named {other.label}", "give each policy a name of its own")


def _part_names(drafts: list[Draft]) -> Iterator[Diagnostic]:
    """Yield a problem for each name that two rules, two guards or two schedules of one policy have."""
    for draft in drafts:
        for key, word in (("rules", "rule"), ("guards", "guard"), ("schedules", "schedule")):
            first: dict[str, int] = {}
            for index, part in draft.written(key):
                name = part.get("name")
                if isinstance(name, str) and first.setdefault(name, index) != index:
                    line = draft.document.place((*draft.path, key, first[name])).line
                    what = f"a second {word} named {shown(name)}, after the one in line {line}"
                    yield draft.problem((key, index, "name"), what, f"give each {word} a name of its own")


def _unknown_metrics(drafts: list[Draft], metrics: Mapping[str, dict[str, Any]]) -> Iterator[Diagnostic]:
    """Yield a problem for each rule and guard with an unknown metric."""
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
"""The most unknown metrics that are reported, because each is compared with all known metrics."""


def _defined(documents: Iterable[Document]) -> dict[str, dict[str, Any]]:
    """Return all metrics by name, as the documents write them. Built-in metrics and malformed ones are empty."""
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
    """Yield a problem for each metric that is defined twice, lacks a query or names an unknown source."""
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
    """Return whether *metric* has a query, or a misspelt key for it, which is reported as such."""
    near = nearest("query", metric)
    return bool(near) and metric[near] is not None


def _several_defaults(documents: Iterable[Document]) -> Iterator[Diagnostic]:
    """Yield a problem for each file with defaults after the first one, because all files are one set."""
    having = [document for document in documents if isinstance(document.data, dict) and "defaults" in document.data]
    for document in having[1:]:
        first = f"{having[0].file}:{having[0].place(('defaults',)).line}"
        what = f"there are defaults in {first} already, which count for every policy of all files"
        yield document.problem(("defaults",), what, "keep them in one file", of_key=True)


def _nothing_to_do(documents: list[Document]) -> Iterator[Diagnostic]:
    data = [document.data for document in documents if isinstance(document.data, dict)]
    if any("policies" not in each and each.keys() & {"defaults", "metrics"} for each in data):
        yield documents[0].problem((), "there is no policy", "add policies: [{name: …, services: […], rules: […]}]")


def _sleepers(drafts: list[Draft], metrics: Mapping[str, dict[str, Any]]) -> Iterator[Diagnostic]:
    """Yield a problem for each minimum of 0 from which neither a rule nor a schedule's end wakes the service."""
    for draft in drafts:
        # The end of a schedule that lets the service sleep wakes it, if all the other minima are 1 or more.
        awake = ((index, schedule) for index, schedule in draft.schedules if not _is_zero(schedule.get("max")))
        minima = ((("schedules", index, "min"), schedule.get("min")) for index, schedule in awake)
        asleep = [path for path, least in ((("replicas", "min"), draft.minimum), *minima) if _is_zero(least)]
        if asleep and not any(_wakes(rule, metrics) for _, rule in draft.rules):
            what = "min is 0, but no rule could wake the service: at 0 replicas no task has data"
            cure = "write min: 1, or add a rule that adds replicas by a metric that has data without tasks"
            for path in asleep:
                yield draft.problem(path, what, cure)


def _is_zero(value: object) -> bool:
    return type(value) is int and value == 0


def _wakes(rule: dict[str, Any], metrics: Mapping[str, dict[str, Any]]) -> bool:
    """Return whether *rule* may ask for more than 0 replicas."""
    metric = metrics.get(str(rule.get("metric")), {})
    there = metric.get("query") is not None and metric.get("task") is None
    strategy = str(rule.get("strategy", "threshold"))
    return there and wakes(strategy, adds=rule.get("add") is not None, total=metric.get("kind") == "total")


def _exclusions(drafts: list[Draft]) -> Iterator[Diagnostic]:
    """Yield a problem for each service that a policy both names and excludes."""
    for draft in drafts:
        for index, service in draft.services:
            if service in draft.exclude:
                what = f"{shown(service)} is in services and in exclude"
                yield draft.problem(("services", index), what, "remove it from one of the two")


def _named_twice(drafts: list[Draft]) -> Iterator[Diagnostic]:
    """Yield a problem for each service that a second policy names."""
    first: dict[str, Draft] = {}
    for draft in drafts:
        for index, service in draft.services:
            if is_glob(service):
                continue
            other = first.setdefault(service, draft)
            if other is not draft:
                what = f"the service {shown(service)} is also named by the policy {other.label}"
                yield draft.problem(("services", index), what, "name it in one of the two")


def _same_labels(drafts: list[Draft]) -> Iterator[Diagnostic]:
    """Yield a problem for each policy whose labels another policy matches, unless `exclude` may separate them."""
    labelled = [draft for draft in drafts if draft.match_labels and not draft.exclude]
    everything = next((draft for draft in drafts if draft.means_all), None)
    first: dict[frozenset[tuple[str, str]], Draft] = {}
    for draft in labelled:
        first.setdefault(draft.match_labels, draft)
    often = Counter(label for labels in first for label in labels)
    by_rarest: dict[tuple[str, str], list[Draft]] = {}
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


_CHECKS: tuple[Callable[[list[Draft]], Iterator[Diagnostic]], ...] = (
    _names,
    _exclusions,
    _named_twice,
    _same_labels,
    overlaps,
)
