"""The checks of the chain of data, one for each link: for which services and metrics it is the first that is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.core.lacks import Link
from autoscaler.diagnosis.lasting import grouped
from autoscaler.doctor.checks import Check, Finding, Grade, Unseen, failure
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autoscaler.core.lacks import Lack
    from autoscaler.doctor.checks import Verdict
    from autoscaler.doctor.facts import Installation

DATA = "data"
_ORDER = list(Link)
_SHOWN = 3
_OF_QUERIES = frozenset({Link.QUERY})
_OF_CADVISOR = frozenset({Link.METRIC, Link.SELECTOR, Link.SERVICE_LABEL, Link.TASK_LABEL, Link.SCRAPE_INTERVAL})


def _holds(link: Link) -> Callable[[Installation], Verdict]:
    """Return the judge of one *link*."""

    def judge(installation: Installation) -> Verdict:
        survey, given = installation.survey, installation.policies
        if survey is None or given is None or given.policies is None:
            return Unseen("needs the services of Swarm")
        definitions = given.policies.metrics
        pairs = {(reading.service, reading.metric) for reading in survey.readings}
        if link in _OF_CADVISOR | _OF_QUERIES:
            pairs = {(name, metric) for name, metric in pairs if _applies(link, definitions[metric].query is None)}
        if not pairs:
            what = "cpu or memory" if link in _OF_CADVISOR else "a query" if link in _OF_QUERIES else "a metric"
            return Unseen(f"no policy looks at {what} of a service")
        lacks = [lack for lack in survey.lacks if lack.link is link]
        if lacks:
            return _finding(lacks)
        earlier = [lack for lack in survey.lacks if _ORDER.index(lack.link) < _ORDER.index(link)]
        if pairs <= {(lack.service, lack.metric) for lack in earlier}:
            return Unseen(f"needs {_CODES[earlier[0].link]}")
        return None

    return judge


def _applies(link: Link, built_in: bool) -> bool:  # noqa: FBT001 - a fact about the metric
    return built_in if link in _OF_CADVISOR else not built_in


def _finding(lacks: Sequence[Lack]) -> Finding:
    grade = Grade.HINT if all(lack.passes for lack in lacks) else Grade.FAILURE
    groups = grouped(lacks)
    seen = tuple(f"{group[0].metric} of {_names(group)}: {group[0].sentence}" for group in groups)
    return Finding(grade, seen, groups[0][0].cure)


def _names(group: Sequence[Lack]) -> str:
    names = [lack.service for lack in group]
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _dated(installation: Installation) -> Verdict:
    facts = installation.prometheus
    if facts is None or not facts.evidence:
        return Unseen("no policy looks at cpu or memory of a service")
    late = {service: late for each in facts.evidence.values() for service, late in each.behind.items()}
    if not late:
        seen = any(each.services for each in facts.evidence.values())
        return None if seen else Unseen("Prometheus has no series of tasks")
    lines = [
        f"{service}: cAdvisor dates the samples, up to {words(max(1, seconds))} apart from their scrape"
        for service, seconds in sorted(late.items())
    ]
    return failure(lines, "write honor_timestamps: false in Prometheus' scrape job of cAdvisor")


_CODES = {
    Link.SOURCE: "D-SOURCE",
    Link.QUERY: "D-QUERY",
    Link.METRIC: "D-METRIC",
    Link.SELECTOR: "D-SELECTOR",
    Link.SERVICE_LABEL: "D-SERVICE-LABEL",
    Link.TASK_LABEL: "D-TASK-LABEL",
    Link.WARM_UP: "D-WARMUP",
    Link.SERVICE: "D-SERIES",
    Link.TIMESTAMPS: "D-TIMESTAMPS",
    Link.SCRAPE_INTERVAL: "D-SAMPLES",
    Link.TASKS: "D-TASKS",
    Link.WINDOW: "D-WINDOW",
}
"""The check of each link."""
_NEEDS = ("D-QUERIES", "D-POLICIES", "D-READ")
_NO_RULE = "no rule that looks at this metric can act"
_LATER = "the rules of this service cannot act"


def _check(link: Link, statement: str, why: str, cure: str) -> Check:
    return Check(_CODES[link], DATA, statement, why, cure, _holds(link), _NEEDS)


CHECKS = (
    _check(
        Link.SOURCE,
        "Every metric's query is answered",
        _NO_RULE,
        "Correct the query as its error says, or the source that does not answer.",
    ),
    _check(
        Link.QUERY,
        "Every query of your own gives series",
        _NO_RULE,
        "Run the query in Prometheus, and correct it or what exports its series.",
    ),
    _check(
        Link.METRIC,
        "Prometheus has cAdvisor's series",
        _NO_RULE,
        "Run cAdvisor on every node, and let Prometheus scrape it.",
    ),
    _check(
        Link.SELECTOR,
        "The metric selector fits cAdvisor's series",
        _NO_RULE,
        "Correct AUTOSCALER_METRIC_SELECTOR.",
    ),
    _check(
        Link.SERVICE_LABEL,
        "The series name their service",
        _NO_RULE,
        "Let cAdvisor export the label, or set AUTOSCALER_SERVICE_LABEL to the label that has it.",
    ),
    _check(
        Link.TASK_LABEL,
        "The series name their task",
        _NO_RULE,
        "Let cAdvisor export the label, or set AUTOSCALER_TASK_LABEL to the label that has it.",
    ),
    _check(
        Link.WARM_UP,
        "Every service has a task that is older than the warm-up",
        "samples of new tasks do not count",
        "Wait, or lower AUTOSCALER_WARMUP.",
    ),
    _check(
        Link.SERVICE,
        "Every service has series",
        _LATER,
        "Look whether cAdvisor runs on the service's nodes, or let the series carry Swarm's name of the service.",
    ),
    Check(
        _CODES[Link.TIMESTAMPS],
        DATA,
        "Prometheus dates the samples",
        "samples that cAdvisor dates look stale, and the last ones of ended tasks linger for minutes",
        "Write `honor_timestamps: false` in Prometheus' scrape job of cAdvisor.",
        _dated,
        _NEEDS,
    ),
    _check(
        Link.SCRAPE_INTERVAL,
        "The rate window holds two samples",
        "cpu has no value",
        "Set AUTOSCALER_SCRAPE_INTERVAL to the real interval, or scrape more often.",
    ),
    _check(
        Link.TASKS,
        "Every task has samples",
        "the mean over some of the tasks could be wrong, so nothing is removed",
        "Look whether cAdvisor runs on every node, and whether Prometheus scrapes it there.",
    ),
    _check(
        Link.WINDOW,
        "The windows of all rules are complete",
        _LATER,
        "Wait until the window is full, or look for failed scrapes in Prometheus.",
    ),
)
