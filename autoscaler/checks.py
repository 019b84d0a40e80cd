"""What no single policy can know: names given twice, services in conflict, metrics that are none, and doubtful rules.

Errors are told of policies as they are written, be they valid or not, so that all problems come at once; warnings, of
a valid set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from autoscaler.durations import words
from autoscaler.metrics import BUILT_IN
from autoscaler.policy import is_glob
from autoscaler.strategies import Threshold
from autoscaler.strategies.quantities import size
from autoscaler.validation import did_you_mean
from autoscaler.yaml_document import Document, Problem, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from autoscaler.policy import Policy, PolicySet
    from autoscaler.strategies import Rule
    from autoscaler.yaml_document import Path


class Origin(NamedTuple):
    """Where a policy stands: its document and the way to it."""

    document: Document
    path: Path


# Errors


def problems(documents: Iterable[Document]) -> Iterator[Problem]:
    """What is wrong between the policies of all *documents*, or between the rules of one."""
    documents = list(documents)
    drafts = [draft for document in documents for draft in _drafts(document)]
    for check in _CHECKS:
        yield from check(drafts)
    metrics = _defined(documents)
    yield from _metric_problems(documents)
    yield from _unknown_metrics(drafts, metrics)
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
    minimum: object
    rules: tuple[tuple[int, dict[str, Any]], ...]
    guards: tuple[tuple[int, dict[str, Any]], ...]
    schedules: tuple[tuple[int, dict[str, Any]], ...]

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
        *(tuple(_items(policy.get(key), dict)) for key in ("rules", "guards", "schedules")),
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


def _part_names(drafts: list[_Draft]) -> Iterator[Problem]:
    """The names of rules are unique within their policy; so are those of guards, and of schedules."""
    for draft in drafts:
        for key, word in (("rules", "rule"), ("guards", "guard"), ("schedules", "schedule")):
            first: dict[str, int] = {}
            for index, part in getattr(draft, key):
                name = part.get("name")
                if isinstance(name, str) and first.setdefault(name, index) != index:
                    line = draft.document.place((*draft.path, key, first[name])).line
                    what = f"a second {word} named {shown(name)}, after the one in line {line}"
                    yield draft.problem((key, index, "name"), what, f"give each {word} a name of its own")


def _unknown_metrics(drafts: list[_Draft], metrics: Mapping[str, dict[str, Any]]) -> Iterator[Problem]:
    """Rules and guards name metrics that there are."""
    for draft in drafts:
        for key in ("rules", "guards"):
            for index, part in getattr(draft, key):
                metric = part.get("metric")
                if isinstance(metric, str) and metric not in metrics:
                    cure = did_you_mean(metric, list(metrics), "known metrics")
                    yield draft.problem((key, index, "metric"), f"unknown metric {shown(metric)}", cure)


def _defined(documents: Iterable[Document]) -> dict[str, dict[str, Any]]:
    """All metrics by name, as the documents write them; the built-in ones, where they do not, as empty."""
    written = {
        name: metric
        for document in documents
        for name, metric in _metrics_in(document).items()
        if isinstance(metric, dict)
    }
    return {**{name: {} for name in BUILT_IN}, **written}


def _metrics_in(document: Document) -> dict[str, Any]:
    metrics = document.data.get("metrics") if isinstance(document.data, dict) else None
    return metrics if isinstance(metrics, dict) else {}


def _metric_problems(documents: Iterable[Document]) -> Iterator[Problem]:
    """Each metric is defined once, and has a query unless it is built in."""
    first: dict[str, Document] = {}
    for document in documents:
        for name, metric in _metrics_in(document).items():
            other = first.setdefault(name, document)
            if other is not document:
                where = f"{other.file}:{other.place(('metrics', name)).line}"
                what = f"the metric {shown(name)} is also defined in {where}"
                yield document.problem(("metrics", name), what, "define it in one of the two", of_key=True)
            if isinstance(metric, dict) and name not in BUILT_IN and "query" not in metric:
                cure = "add query: the PromQL expression that gives it"
                yield document.problem(("metrics", name), f"the metric {shown(name)} has no query", cure, of_key=True)


def _several_defaults(documents: Iterable[Document]) -> Iterator[Problem]:
    """All files are one set, so that it has one set of defaults."""
    having = [document for document in documents if isinstance(document.data, dict) and "defaults" in document.data]
    for document in having[1:]:
        first = f"{having[0].file}:{having[0].place(('defaults',)).line}"
        what = f"there are defaults in {first} already, which count for every policy of all files"
        yield document.problem(("defaults",), what, "keep them in one file", of_key=True)


def _nothing_to_do(documents: list[Document]) -> Iterator[Problem]:
    if any(isinstance(document.data, dict) and "policies" not in document.data for document in documents):
        yield documents[0].problem((), "there is no policy", "add policies: [{name: …, services: […], rules: […]}]")


def _sleepers(drafts: list[_Draft], metrics: Mapping[str, dict[str, Any]]) -> Iterator[Problem]:
    """A service that may go to 0 replicas has a rule that can wake it."""
    for draft in drafts:
        asleep = draft.minimum == 0 and type(draft.minimum) is int
        if asleep and not any(_wakes(rule, metrics) for _, rule in draft.rules):
            what = "min 0, and no rule could wake the service: at 0 replicas there are no tasks that could have data"
            cure = "write min: 1, or add a rule that adds replicas for a metric which is there without tasks"
            yield draft.problem(("replicas", "min"), what, cure)


def _wakes(rule: dict[str, Any], metrics: Mapping[str, dict[str, Any]]) -> bool:
    """Whether *rule* may ask for more than the none there are; a plugin's strategy might always."""
    metric = metrics.get(str(rule.get("metric")), {})
    if "query" not in metric or "task" in metric:
        return False
    match rule.get("strategy", "threshold"):
        case "threshold":
            return "add" in rule
        case "target":
            return metric.get("kind") == "total"
        case _:
            return True


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


_CHECKS: tuple[Callable[[list[_Draft]], Iterator[Problem]], ...] = (
    _names,
    _part_names,
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
            window_step = policies.metrics[rule.metric].step or step
            flaps = _flaps(policy, rule) if policies.metrics[rule.metric].redistributes else ()
            for key, what, cure in (*_short_window(rule, window_step), *flaps):
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
    if not isinstance(low, Threshold) or low.below is None or low.remove is None:
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
