"""The first broken link of the chain of data, from a few values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.core.lacks import Lack, Link
from autoscaler.core.window import Window
from autoscaler.diagnosis.chain import Gap, Surroundings, first_broken, gaps_of
from autoscaler.diagnosis.evidence import Evidence
from autoscaler.metrics.queries import SERVICE_LABEL, MetricSettings
from autoscaler.policy.metric import Metric, with_built_in
from autoscaler.swarm.cluster import ServiceView, TaskView
from tests.support.builders import CPU_HIGH, CPU_LOW, MISSING, NOW, STEP, policy
from tests.support.witness import WHOLE, broken

if TYPE_CHECKING:
    from typing import Any

SETTINGS = MetricSettings(scrape_interval=STEP, rate_window=4 * STEP, warmup=60)
POLICY = policy(CPU_HIGH, CPU_LOW)


def view(age: float = 3600, tasks: int = 2) -> ServiceView:
    """The service `web`, whose tasks run for *age* seconds."""
    running = tuple(TaskView(f"t{n}", "running", NOW - age, on_ready_node=True, node="n1") for n in range(tasks))
    return ServiceView("id", "web", 1, "replicated", tasks, NOW - age, NOW - age, tasks=running)


def window(*values: float, **more: Any) -> Window:
    """Samples up to now."""
    return Window(STEP, NOW, values, **more)


def gap(samples: Window | None = None, *, metric: str = "cpu", definition: Metric | None = None, **more: Any) -> Gap:
    """A rule of `web` with a look-back of a minute that lacks data."""
    return Gap(view(**more), POLICY, metric, definition or with_built_in({})["cpu"], samples, 60, 60)


def around(evidence: Evidence | None = WHOLE, **more: Any) -> Surroundings:
    """What is known beside the window: this evidence, and two services."""
    known = {"cpu": evidence} if evidence is not None else {}
    settings = more.pop("settings", SETTINGS)
    more = {"services": ("web", "db"), "hostnames": {"n1": "node1"}} | more
    return Surroundings(NOW, settings, STEP, known, **more)


def found(evidence: Evidence | None = WHOLE, samples: Window | None = None, **more: Any) -> Lack:
    """The first broken link."""
    given_gap = {name: more.pop(name) for name in ("age", "tasks") if name in more}
    return first_broken(gap(samples, **given_gap), around(evidence, **more))


def _evidence(counts: list[int], services: dict[str, int], behind: dict[str, float]) -> Evidence:
    series, selected, with_service, with_task = counts
    return Evidence("m", series, selected, with_service, with_task, services=services, behind=behind)


class TestOrder:
    """Each broken link is told before those that follow from it."""

    LINKS = (
        (broken(series=0, selected=0, with_service=0, with_task=0, services={}), Link.METRIC),
        (broken(selected=0, with_service=0, with_task=0, services={}), Link.SELECTOR),
        (broken(with_service=0, with_task=0, services={}), Link.SERVICE_LABEL),
        (broken(with_task=0, services={}), Link.TASK_LABEL),
        (broken(services={"db": 1}), Link.SERVICE),
        (broken(behind={"web": 20.0}), Link.TIMESTAMPS),
    )

    @pytest.mark.parametrize(("evidence", "link"), LINKS)
    def test_the_first_broken_link(self, evidence: Evidence, link: Link) -> None:
        """Counts of series alone tell which link is broken, with one sentence for the cause and one for the cure."""
        lack = found(evidence)
        assert (lack.service, lack.metric, lack.link, lack.passes) == ("web", "cpu", link, False)
        assert lack.sentence
        assert lack.cure

    @pytest.mark.parametrize(("evidence", "link"), LINKS[:4])
    def test_young_tasks_do_not_hide_a_wrong_setting(self, evidence: Evidence, link: Link) -> None:
        """A link that is broken for everybody is told although the tasks are younger than the warm-up."""
        assert found(evidence, age=20).link is link

    @given(
        st.builds(
            _evidence,
            st.lists(st.integers(0, 3), min_size=4, max_size=4).map(lambda each: sorted(each, reverse=True)),
            st.dictionaries(st.sampled_from(["web", "db"]), st.integers(1, 3)),
            st.dictionaries(st.sampled_from(["web", "db"]), st.floats(0.1, 60)),
        ),
        st.none() | st.lists(st.sampled_from([1.0, MISSING]), min_size=1, max_size=8).map(lambda each: window(*each)),
        st.sampled_from([0.0, 20.0, 3600.0]),
        st.none() | st.floats(1, 120),
    )
    def test_there_is_always_a_link(
        self, evidence: Evidence, samples: Window | None, age: float, interval: float | None
    ) -> None:
        """Whatever lacks has a cause and a cure, and a link that is broken for nobody is never told."""
        if samples is not None and samples.lacking(60) is None:
            return
        lack = found(evidence, samples, age=age, scrape_interval=interval)
        assert lack.sentence
        assert lack.cure
        counts = {
            Link.METRIC: evidence.series,
            Link.SELECTOR: evidence.selected,
            Link.SERVICE_LABEL: evidence.with_service,
            Link.TASK_LABEL: evidence.with_task,
            Link.SERVICE: evidence.services.get("web", 0),
        }
        assert not counts.get(lack.link, 0)


class TestSentences:
    def test_a_metric_without_series(self) -> None:
        """The targets that Prometheus does not reach are named."""
        lack = found(broken(series=0, down=("node2:8080",)))
        assert lack.text == (
            "Prometheus has no series of container_cpu_usage_seconds_total "
            "(its last scrape failed: node2:8080; start cAdvisor there, or correct the scrape job)"
        )

    def test_a_selector(self) -> None:
        """What the series have instead is told."""
        settings = replace(SETTINGS, selector='job="cadvisr"')
        lack = found(broken(selected=0, examples=('job="cadvisor"',)), settings=settings)
        assert lack.setting == "AUTOSCALER_METRIC_SELECTOR"
        assert lack.text == (
            'none of the 12 series of container_cpu_usage_seconds_total has job="cadvisr" '
            '(correct AUTOSCALER_METRIC_SELECTOR; the series have job="cadvisor")'
        )

    def test_a_label_that_cadvisor_does_not_export(self) -> None:
        """The cure names cAdvisor's flag, the relabelling and the setting."""
        lack = found(broken(with_service=0))
        assert f"has the label {SERVICE_LABEL}" in lack.sentence
        assert "--store_container_labels=true" in lack.cure
        assert "AUTOSCALER_SERVICE_LABEL" in lack.cure

    def test_a_label_with_another_name(self) -> None:
        """A label that is like the one of the setting is named."""
        settings = replace(SETTINGS, service_label="swarm_servce")
        lack = found(broken(with_service=0, labels=("id", "swarm_service")), settings=settings)
        assert lack.cure == "if swarm_service is meant, set AUTOSCALER_SERVICE_LABEL=swarm_service"

    def test_a_service_by_another_name(self) -> None:
        """A name that series have and Swarm does not have may be meant."""
        lack = found(broken(services={"wob": 1, "db": 1}))
        assert lack.cure == "there are series of wob, which Swarm does not have"

    def test_a_service_whose_node_is_not_scraped(self) -> None:
        """Without another name, the nodes of its tasks are named."""
        assert "cAdvisor runs on node1" in found(broken(services={"db": 1})).cure

    def test_warm_up(self) -> None:
        """The age of the tasks and the time of the first decision are told."""
        lack = found(age=20)
        assert (lack.link, lack.passes, lack.setting) == (Link.WARM_UP, True, "AUTOSCALER_WARMUP")
        # The first sample is 45 s from now, and the window of a minute is full at 105 s.
        assert lack.sentence == (
            "2 of 2 tasks started 20s ago, and samples count once a task is older than 1m; "
            "first decision about 08:01:45 UTC"
        )

    def test_timestamps(self) -> None:
        """Samples that the target dates are told with the line of the scrape job that cures them."""
        lack = found(broken(behind={"web": 47.0}), window(1.0, MISSING, MISSING))
        assert lack.text == (
            "its samples are dated by cAdvisor, up to 47s apart from their scrape "
            "(write honor_timestamps: false in Prometheus' scrape job of cAdvisor)"
        )

    def test_scrapes_that_are_too_seldom(self) -> None:
        """A real scrape interval at which cpu cannot be measured is told with both settings."""
        lack = found(scrape_interval=60.0)
        assert lack.link is Link.SCRAPE_INTERVAL
        assert lack.text == (
            "Prometheus scrapes cAdvisor every 1m, and the rate window of 1m holds less than the two samples that cpu "
            "needs (set AUTOSCALER_SCRAPE_INTERVAL=1m and AUTOSCALER_RATE_WINDOW=4m, or scrape more often)"
        )

    def test_scrapes_whose_interval_is_not_known(self) -> None:
        """One sample in the rate window is too few for cpu."""
        assert found(broken(samples={"web": 1.0})).link is Link.SCRAPE_INTERVAL

    def test_tasks_without_samples(self) -> None:
        """The number of silent tasks is told, with the targets that are down."""
        samples = window(*[50.0] * 8, reporting=(1,) * 8, owed=(2,) * 8)
        lack = found(broken(down=("node2:8080",)), samples)
        assert (lack.link, lack.sentence) == (Link.TASKS, "only 1 of 2 tasks have samples")
        assert "node2:8080" in lack.cure

    def test_a_window_that_fills(self) -> None:
        """Samples without a gap so far are no fault: the time of the first decision is told."""
        lack = found(None, window(MISSING, MISSING, 50.0, 50.0))
        assert (lack.link, lack.passes) == (Link.WINDOW, True)
        assert lack.sentence == (
            "its window fills, with 2 of the 5 samples of the last 1m so far; first decision about 08:00:45 UTC"
        )

    def test_a_window_with_holes(self) -> None:
        """Samples that come and go are a fault."""
        lack = found(WHOLE, window(50.0, 50.0, MISSING, MISSING, 50.0, MISSING, MISSING))
        assert (lack.link, lack.passes) == (Link.WINDOW, False)
        assert "newest sample is 30s old" in lack.sentence

    def test_without_evidence_nothing_is_certain(self) -> None:
        """If Prometheus was not asked, the lack says so."""
        assert not found(None).certain
        assert found(WHOLE).certain

    def test_a_source_that_is_silent(self) -> None:
        """A metric whose source does not answer has no other cause."""
        assert found(silent={"cpu": "connection refused"}).link is Link.SOURCE


class TestCustomMetrics:
    @pytest.mark.parametrize(
        ("metric", "known", "link", "words"),
        [
            (Metric(query="sum(queue)"), (), Link.QUERY, "the query gives no series"),
            (Metric(query='queue{s="$service"}'), (), Link.QUERY, "the query for web gives no series"),
            (Metric(query="queue", by="svc"), (), Link.QUERY, "the query gives no series of any service"),
            (
                Metric(query="queue", by="svc"),
                ("db", "api"),
                Link.SERVICE,
                'the query gives series of 2 other services, and none with svc="web"',
            ),
            (Metric(query="q", source="kafka"), (), Link.QUERY, "the source kafka gives no series of any service"),
            (Metric(query="q", source="kafka"), ("db",), Link.SERVICE, "and none of web"),
        ],
    )
    def test_what_can_be_said(self, metric: Metric, known: tuple[str, ...], link: Link, words: str) -> None:
        """A query that gives nothing is told from one that gives nothing for this service."""
        lack = first_broken(gap(None, metric="queue", definition=metric), around(None, with_samples={"queue": known}))
        assert (lack.link, lack.certain) == (link, True)
        assert words in lack.sentence

    def test_a_near_name(self) -> None:
        """A name that the query gives, and that Swarm does not have, may be meant."""
        metric = Metric(query="queue", by="svc")
        lack = first_broken(gap(None, metric="queue", definition=metric), around(None, with_samples={"queue": ["wep"]}))
        assert lack.cure == "there are series of wep, which Swarm does not have"


def test_each_metric_that_lacks_data_is_a_case() -> None:
    """A metric that suffices for one rule and not for another is a gap with the look-back of the other."""
    short, long = CPU_HIGH, CPU_LOW.model_copy(update={"for_": 300})
    both = policy(short, long)
    (only,) = gaps_of(view(), both, with_built_in({}), {"cpu": window(*[50.0] * 6)})
    assert (only.metric, only.look_back, only.longest) == ("cpu", 300, 300)
    assert gaps_of(view(), policy(short), with_built_in({}), {"cpu": window(*[50.0] * 6)}) == []
