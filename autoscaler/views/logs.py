"""Logging by structlog: constant past-tense events, facts as fields; console on a terminal, JSON elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import structlog

from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from autoscaler.diagnosis.lasting import grouped
from autoscaler.views.log_format import for_people, main_facts_first

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal, TextIO

    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

    from autoscaler.core.lacks import Lack
    from autoscaler.core.records import Problem, Record
    from autoscaler.evaluation.journal import EndedHold


_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
"""Tracebacks as JSON, without local variables: a secret may be one."""


def configure(log_format: Literal["auto", "console", "json"], level: str, stream: TextIO | None = None) -> None:
    """Send every log line, ours and the libraries', to *stream*; by default to the present standard error."""
    stream = stream or sys.stderr
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    rendering: list[Processor] = (
        [_with_exc_info, for_people(terminal=stream.isatty())]
        if console
        else [main_facts_first, _TRACEBACKS, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("apscheduler", "aiohttp.access", "urllib3", "docker"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _with_exc_info(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Return the event with the exception itself, if it only says that there is one."""
    if event.get("exc_info") is True:
        event["exc_info"] = sys.exc_info()
    elif isinstance(failure := event.get("exc_info"), BaseException):
        event["exc_info"] = (type(failure), failure, failure.__traceback__)
    return event


def log_record(log: FilteringBoundLogger, record: Record, *, news: bool) -> None:
    """Log one line for a decision: at info if it is news and not `unchanged`, or if it adopts an outside change.

    A failure that is news is a warning, except for a refused write, which the problem `write` warns of. Everything else
    is at debug.
    """
    decision = record.decision
    facts: dict[str, Any] = {
        "service": decision.service,
        "policy": decision.policy,
        "outcome": record.outcome.value,
        "requested": decision.requested,
        "running": decision.running,
        "desired": decision.desired,
        "reason": decision.primary.reason.value,
        "rule": decision.primary.rule,
        "why": decision.primary.detail,
        "reasons": [why.reason.value for why in decision.reasons],
        "values": {item.rule: item.value for item in decision.recommendations},
    }
    lacking = {item.rule: item.detail for item in decision.recommendations if item.lacks_data}
    if lacking:
        facts["lacking"] = lacking
    if record.detail:
        facts["detail"] = record.detail
    adopted = any(why.reason is Reason.CHANGED_EXTERNALLY for why in decision.reasons)
    if not adopted and (not news or record.outcome is Outcome.UNCHANGED):
        log.debug("service_evaluated", **facts)
    elif record.outcome in {Outcome.FAILED, Outcome.UNKNOWN, Outcome.CONFLICT} and not record.refused:
        log.warning("service_evaluated", **facts)
    else:
        log.info("service_evaluated", **facts)
    if record.rollback_warning and record.outcome is Outcome.APPLIED:
        log.warning("rollback_point_replaced", service=decision.service, consequence=record.rollback_warning)


def log_adopted(log: FilteringBoundLogger, record: Record) -> None:
    """Log one line for each change of the count by somebody else that the evaluation found."""
    for event in record.adopted:
        log.info(
            "count_changed_externally",
            service=record.decision.service,
            before=event.before,
            after=event.after,
            by=event.reason or "unknown",
            seconds_ago=round(record.decision.at - event.at),
        )


def log_hold_end(log: FilteringBoundLogger, ended: EndedHold, record: Record) -> None:
    """Log that *record* ended a hold without a change; otherwise the last line read would still be that of the hold."""
    held, decision = ended.last.decision, record.decision
    log.info(
        "hold_ended",
        service=decision.service,
        policy=decision.policy,
        held_for=held.primary.reason.value,
        rule=held.primary.rule,
        held_seconds=round(decision.at - ended.since),
        requested=decision.requested,
        reason=decision.primary.reason.value,
        why=decision.primary.detail,
    )


_PROBLEM_EVENTS = {
    "swarm": ("swarm_lost", "swarm_recovered"),
    "swarm_cause": ("swarm_loss_explained", ""),
    "pauses": ("pauses_lost", "pauses_recovered"),
    "prometheus": ("prometheus_lost", "prometheus_recovered"),
    "source": ("metric_source_lost", "metric_source_recovered"),
    "query": ("query_failed", "query_recovered"),
    "no_data": ("data_missed", "data_found"),
    "no_data_cause": ("data_lack_changed", ""),
    "write": ("write_refused", "write_accepted"),
    "service": ("service_failed", "service_recovered"),
    "clock": ("clock_skew_found", "clock_skew_ended"),
    "scrape_interval": ("scrape_interval_differed", "scrape_interval_corrected"),
    "starved": ("node_starved", "node_starved_ended"),
    "history": ("history_lost", "history_recovered"),
}


def log_problems(log: FilteringBoundLogger, began: list[Problem], ended: list[Problem]) -> None:
    """Log one line for each problem that began or ended, and none for a problem that goes on."""
    for problem in began:
        fields = {"detail": problem.detail, "consequence": consequence_of(problem.kind)}
        log.warning(_PROBLEM_EVENTS[problem.kind][0], **fields, **_subject(problem))
    for problem in ended:
        log.info(_PROBLEM_EVENTS[problem.kind][1], **_subject(problem))


def log_lacks(log: FilteringBoundLogger, news: Sequence[Lack]) -> None:
    """Log one line at info for each cause of missing data that is new, with the services that it concerns."""
    for group in grouped(news):
        names = [lack.service for lack in group]
        log.info(
            "data_lack_found",
            metric=group[0].metric,
            services=names[:_MOST_NAMES],
            count=len(names),
            link=group[0].link.value,
            cause=group[0].sentence,
            cure=group[0].cure,
        )


_MOST_NAMES = 10


def _subject(problem: Problem) -> dict[str, str]:
    if problem.kind in {"no_data", "no_data_cause", "write"}:
        word, _, name = problem.subject.rpartition(" ")
        return {word or "service": name} if name else {}
    word = {"source": "source", "service": "service", "starved": "node"}.get(problem.kind, "metric")
    return {word: problem.subject} if problem.subject else {}


_CONSEQUENCES = {
    "swarm": "nothing is scaled until Swarm answers again",
    "swarm_cause": "nothing is scaled until Swarm answers again",
    "pauses": "the pauses that were read last stay in force; if none were read yet, nothing is scaled",
    "write": "nothing is scaled until a write is accepted; the log repeats nothing until then",
    "service": "this service is left alone; the others are scaled",
    "clock": "windows use Prometheus' clock; cooldowns and schedules use ours",
    "scrape_interval": "windows may look incomplete, or hold each sample several times",
    "history": "the history is kept in memory, and a restart loses it; scaling goes on",
    "starved": "no rule removes replicas by cpu from services that run there; all else goes on",
}
_DATA_ARE_MISSING = "no service is scaled down on missing data; scaling goes on when the data are back"


def consequence_of(kind: str) -> str:
    """Return what does not work while a problem of *kind* lasts."""
    return _CONSEQUENCES.get(kind, _DATA_ARE_MISSING)
