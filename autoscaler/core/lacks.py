"""Missing data, explained: the first broken link of the chain from a task to a rule's window, and its cure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Link(StrEnum):
    """A link of the chain of data, in the order in which they are looked at. The words are stable."""

    SOURCE = "source"
    """The metric source answers."""
    QUERY = "query"
    """A metric with a query of its own: the query gives series."""
    METRIC = "metric"
    """Prometheus has series of the metric."""
    SELECTOR = "selector"
    """Series satisfy AUTOSCALER_METRIC_SELECTOR."""
    SERVICE_LABEL = "service_label"
    """Series have the label AUTOSCALER_SERVICE_LABEL."""
    TASK_LABEL = "task_label"
    """Series have the label AUTOSCALER_TASK_LABEL."""
    WARM_UP = "warm_up"
    """A task of the service is older than the warm-up."""
    SERVICE = "service"
    """Series name the service."""
    TIMESTAMPS = "timestamps"
    """Prometheus dates the samples, and not the target."""
    SCRAPE_INTERVAL = "scrape_interval"
    """Prometheus scrapes often enough."""
    TASKS = "tasks"
    """Every task has samples."""
    WINDOW = "window"
    """The window is full, without holes."""


EVERYBODYS = frozenset(
    {Link.SOURCE, Link.QUERY, Link.METRIC, Link.SELECTOR, Link.SERVICE_LABEL, Link.TASK_LABEL, Link.SCRAPE_INTERVAL}
)
"""The links that break for all services of a metric at once."""


@dataclass(frozen=True, slots=True)
class Lack:
    """The first broken link between a metric and a service that a rule or a guard needs it for."""

    service: str
    metric: str
    link: Link
    sentence: str
    """The cause, without the names of the service and the metric."""
    cure: str
    setting: str = ""
    """The setting that the link depends on; empty if there is none."""
    passes: bool = False
    """Whether the lack ends by itself: tasks warm up, or a window fills."""
    certain: bool = True
    """Whether the metric source was asked. If not, only the samples of the windows were looked at."""

    @property
    def text(self) -> str:
        """Return cause and cure: ``no series has the label a="web" (did you mean shop_web?)``."""
        return f"{self.sentence} ({self.cure})"
