"""One fact, one word: the API, `status` and the metrics say the same of any evaluation."""

from __future__ import annotations

from io import StringIO
from math import nan
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from autoscaler.core.instance import Instance, Mode, Role
from autoscaler.core.model import Direction, Outcome
from autoscaler.core.states import State, states
from autoscaler.evaluation.journal import Journal
from autoscaler.util.amounts import rounded
from autoscaler.views.overview import Facts, OverviewDocument, ServiceRow, overview_document
from autoscaler.views.status import needs_an_operator, status
from autoscaler.web.telemetry import Telemetry
from tests.support.builders import CPU_HIGH, CPU_LOW, MEMORY_HIGH
from tests.support.world import World, policy_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autoscaler.core.records import Evaluation

SERVICES = ("web", "api", "pinned", "gone")
POLICIES = (
    policy_for("web", most=4, up_cooldown=30, down_cooldown=30),
    policy_for("api", rules=(CPU_HIGH, CPU_LOW, MEMORY_HIGH), least=2, most=3, up_cooldown=0, down_cooldown=60),
    policy_for("pinned", least=3, most=3),
    policy_for("gone"),
)
WORDS = {
    State.FAILING: ("failed", "unknown", "conflict"),
    State.MISCONFIGURED: ("policy_conflict", "unsupported_mode", "service_not_found"),
    State.LACKS_DATA: ("lacks data",),
    State.NO_ROOM: ("no room",),
    State.AT_MAXIMUM: ("at maximum",),
    State.INEFFECTIVE: ("ineffective",),
    State.PAUSED: ("paused",),
}
"""The words of `status` for the states that need attention."""
STEPS = st.lists(
    st.tuples(
        st.sampled_from(SERVICES[:3]),
        st.sampled_from([5.0, 50.0, 95.0, nan]),
        st.sampled_from([0, 1]),
        st.booleans(),
        st.integers(1, 6),
    ),
    min_size=1,
    max_size=6,
)
ROLES = st.sampled_from([(Mode.LIVE, Role.LEADER), (Mode.LIVE, Role.STANDBY), (Mode.DRY_RUN, None)])


class Observed:
    """What three viewers see of the same evaluations."""

    def __init__(self, mode: Mode, role: Role | None) -> None:
        self.journal = Journal()
        self.world = World(*POLICIES, dry_run=mode is Mode.DRY_RUN)
        self.instance = Instance(mode, role, "other-1" if role is Role.STANDBY else "me-1", "r1")
        self.telemetry = Telemetry(
            self.journal,
            lambda: True,
            lambda: role is Role.LEADER,
            mode=mode,
            policies=lambda: self.world.policies,
        )
        if role is Role.STANDBY:
            self.world.cycle.standby = lambda: "other-1 holds the lease; this autoscaler is on standby"

    def see(self, evaluation: Evaluation) -> None:
        """Let the journal see an evaluation."""
        for record in evaluation.records:
            self.journal.add(record)
        self.journal.close(evaluation)

    def overview(self) -> OverviewDocument:
        """What the API says."""
        return overview_document(Facts(self.journal.snapshot(), self.instance, self.world.policies))

    def metrics(self) -> dict[str, dict[tuple[str, ...], float]]:
        """What `/metrics` says: the values by the labels' values, by metric."""
        return {
            family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
            for family in self.telemetry.registry.collect()
        }

    def status(self) -> list[str]:
        """What `status` says."""
        stream = StringIO()
        Console(file=stream, width=10_000, highlight=False).print(status(self.overview(), self.world.clock.now()))
        return stream.getvalue().splitlines()


@given(ROLES, STEPS)
def test_api_metrics_and_status_say_the_same(
    role: tuple[Mode, Role | None], steps: Sequence[tuple[str, float, int, bool, int]]
) -> None:
    """Counts, bounds, reasons, holds, changes, problems, mode and role are the same wherever they are shown."""
    seen = Observed(*role)
    for name in SERVICES[:3]:
        seen.world.service(name)
    seen.world.settle()
    for service, percent, silent, refused, evaluations in steps:
        seen.world.load[service, "cpu"] = percent
        seen.world.silent[service] = silent
        if refused:
            seen.world.lose_swarm()
        for _ in range(evaluations):
            seen.see(seen.world.next())
            agree(seen)


def agree(seen: Observed) -> None:
    """Hold the three views of the last evaluation against each other."""
    overview, metrics, lines = seen.overview(), seen.metrics(), seen.status()
    snapshot = seen.journal.snapshot()
    rows = {row["service"]: row for row in overview["services"]}
    assert rows.keys() == snapshot.latest.keys()
    assert overview["counts"] == {
        state: sum(state in states(record) for record in snapshot.latest.values()) for state in State
    }
    assert metrics["autoscaler_mode"] == {(each,): each is seen.instance.mode for each in Mode}
    assert metrics["autoscaler_leader"] == {(): seen.instance.role is Role.LEADER}
    kinds = [problem["kind"] for problem in overview["problems"]]
    assert {kind: count for (kind,), count in metrics["autoscaler_problems"].items() if count} == {
        kind: kinds.count(kind) for kind in kinds
    }
    if seen.instance.role is Role.STANDBY:
        by_service = [name for name, samples in metrics.items() for labels in samples if set(labels) & set(SERVICES)]
        assert by_service == []
    else:
        same_numbers(rows, metrics)
    same_words(seen, overview, lines)


def same_numbers(rows: dict[str, ServiceRow], metrics: dict[str, dict[tuple[str, ...], float]]) -> None:
    """Hold the rows of the overview against the metrics."""
    there = {name: row for name, row in rows.items() if row["reason"] != "service_not_found"}
    for which in ("requested", "running", "desired", "recommended", "min", "max", "unplaced"):
        expected: dict[tuple[str, ...], Any] = {
            (name,): row[which]
            for name, row in there.items()
            if row["max"] is not None or which not in {"recommended", "min", "max"}
        }
        assert metrics[f"autoscaler_{which}_replicas"] == expected
    held = {(name, str(row["reason"])): 1.0 for name, row in rows.items() if row["outcome"] == Outcome.HELD}
    assert metrics["autoscaler_hold"] == held
    ends = {(name,): row["hold_ends"] for name, row in rows.items() if row["hold_ends"] is not None}
    assert metrics["autoscaler_hold_ends_timestamp_seconds"] == ends
    changes = {(name,): row["last_change"]["at"] for name, row in rows.items() if row["last_change"]}
    assert metrics["autoscaler_last_change_timestamp_seconds"] == changes
    paused = {name for (name, _), value in metrics["autoscaler_paused"].items() if value}
    assert paused == {name for name, row in rows.items() if State.PAUSED in row["states"]}
    bounds = {
        (name, rule, side): bound
        for name, row in rows.items()
        for metric in row["metrics"]
        for rule, sides in metric["rules"].items()
        for side, bound in sides.items()
    }
    assert metrics["autoscaler_rule_bound"] == bounds
    values = {
        (name, rule): metric["value"]
        for name, row in rows.items()
        for metric in row["metrics"]
        for rule in metric["rules"]
    }
    assert {key: rounded(value) for key, value in metrics["autoscaler_rule_value"].items()}.items() <= values.items()
    assert {(name, way.value, "") for name in rows for way in Direction} <= metrics["autoscaler_scaled"].keys()


def same_words(seen: Observed, overview: OverviewDocument, lines: Sequence[str]) -> None:
    """Hold what `status` says against the overview."""
    mode = "live" if seen.instance.mode is Mode.LIVE else "dry-run"
    assert lines[0].startswith(mode)
    assert ("standby" in lines[0]) == (seen.instance.role is Role.STANDBY)
    assert seen.instance.revision in lines[0]
    shown = {line.split()[0]: line for line in lines if line.split() and line.split()[0] in SERVICES}
    assert sorted(shown) == overview["attention"]
    for row in overview["services"]:
        urgent = [state for state in row["states"] if state.needs_attention]
        for state in urgent:
            assert any(word in shown[row["service"]] for word in WORDS[state]), (row, shown[row["service"]])
        if row["requested"] == row["max"] and row["recommended"] <= row["requested"]:
            assert State.AT_MAXIMUM not in urgent
    for problem in overview["problems"]:
        assert any(problem["sentence"] in line for line in lines)
    if total := len(overview["services"]):
        assert str(total - len(overview["attention"]) or total) in lines[-1]
    else:
        assert lines[-1] == "The services are not known, because Swarm did not answer."
    assert needs_an_operator(overview) == bool(overview["attention"] or overview["problems"])
