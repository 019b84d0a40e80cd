from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.cluster import ROLLBACK_LABEL, STATE_LABEL
from autoscaler.errors import RefusedError
from autoscaler.model import Outcome
from autoscaler.reasons import Reason
from autoscaler.simulation.parts import Node
from tests.support.builders import STEP, threshold
from tests.support.world import LOST, FaultyEngine, World, count_in, label_in, policy_for, raising

if TYPE_CHECKING:
    from autoscaler.adapters.engine_api import Document
    from autoscaler.records import Evaluation

settings.register_profile("shared-cores", deadline=None)
settings.load_profile("shared-cores")

LEAST, MOST = 2, 8
UP, DOWN = 90, 150
LOOK_BACK = 60
HIGH = threshold("cpu-high", above=70, lasting="30s", add="50%")
LOW = threshold("cpu-low", below=30, lasting=f"{LOOK_BACK}s", remove=1)
MEMORY = threshold("memory-high", metric="memory", above=80, add=1)
POLICY = policy_for("web", rules=(HIGH, LOW, MEMORY), least=LEAST, most=MOST, up_cooldown=UP, down_cooldown=DOWN)
BUSY = {"updating", "paused", "rollback_started", "rollback_paused"}
GATES = {Reason.ROLLOUT_IN_PROGRESS, Reason.SCALED_TO_ZERO, Reason.UNSUPPORTED_MODE}

flags = st.integers(0, 1)
loads = st.tuples(st.just("set_cpu"), st.sampled_from([10, 20, 40, 120, 300, 700]))
events = st.one_of(
    loads,
    loads,
    loads,
    st.tuples(st.just("set_memory"), st.sampled_from([40, 40, 95])),
    st.tuples(st.sampled_from(["scale", "deploy", "release"]), st.integers(0, 10)),
    st.tuples(st.sampled_from(["scale_meanwhile", "release_meanwhile"]), st.integers(1, 9)),
    st.tuples(st.just("silence"), st.sampled_from([0, 0, 1])),
    st.tuples(st.sampled_from(["lose_samples", "lose_prometheus", "refuse_memory", "lose_node"]), flags),
    st.tuples(st.just("lose_swarm"), st.integers(1, 3)),
    st.tuples(st.just("lose_answer"), st.integers(0, 3)),
    st.tuples(st.sampled_from(["lose_write", "roll_back", "restart", "restart"]), st.just(0)),
    st.tuples(st.just("recreate"), st.integers(1, 5)),
)
histories = st.lists(
    st.tuples(events, st.integers(0, 15)),  # an event, and how many evaluations follow it
    min_size=3,
    max_size=14,
)


@dataclass
class Life:
    """A service in a world in which much happens; what must never be is looked for at every write."""

    world: World = field(default_factory=lambda: World(POLICY, nodes=[Node("n1"), Node("n2")]))
    releases: int = 1
    increases: list[float] = field(default_factory=list)
    reductions: list[float] = field(default_factory=list)
    """When rules of this autoscaler changed the count, as far as the service still tells."""
    seen: int = 0
    lowered_from: int = 0
    """The largest count that a deploy or a rollback took away."""

    def __post_init__(self) -> None:
        self.world.service(replicas=3)
        self.world.total["web"] = 150
        self.world.settle(2 * LOOK_BACK)

    def happen(self, what: str, amount: int) -> None:
        """Let it happen, between two evaluations."""
        getattr(self, what)(amount)

    def set_cpu(self, percent: int) -> None:
        """All replicas share a load, in percent of a core."""
        self.world.total["web"] = percent

    def set_memory(self, percent: int) -> None:
        """Each replica holds so much."""
        self.world.load["web", "memory"] = percent

    def scale(self, replicas: int) -> None:
        """`docker service scale`."""
        self.world.engine.operator_scale("web", replicas)

    def deploy(self, replicas: int) -> None:
        """`docker stack deploy` without a new version."""
        self.lowered_from = max(self.lowered_from, self.world.replicas())
        self.world.deploy(replicas=replicas, image=f"app:{self.releases}")

    def release(self, replicas: int) -> None:
        """`docker stack deploy` of a new version."""
        self.releases += 1
        self.deploy(replicas)

    def roll_back(self, _: int) -> None:
        """`docker service rollback`, where there is something to go back to."""
        if "PreviousSpec" in self.world.engine.service("web"):
            self.lowered_from = max(self.lowered_from, self.world.replicas())
            self.world.engine.rollback("web")

    def recreate(self, replicas: int) -> None:
        """Remove the service and deploy it anew; the new one has no past."""
        self.world.engine.remove("web")
        self.world.deploy(replicas=replicas, image=f"app:{self.releases}")
        self.increases, self.reductions, self.lowered_from = [], [], 0

    def silence(self, tasks: int) -> None:
        """So many tasks do not report."""
        self.world.silent["web"] = tasks

    def lose_samples(self, lost: int) -> None:
        """Prometheus sees nothing of the service, or does again."""
        (self.world.prometheus.lose if lost else self.world.prometheus.find)("web")

    def lose_prometheus(self, lost: int) -> None:
        """Prometheus does not answer, or does again."""
        self.world.prometheus.fail(LOST if lost else None)

    def refuse_memory(self, refused: int) -> None:
        """Prometheus refuses one query, or answers it again."""
        self.world.source.errors = {"memory": RefusedError("no")} if refused else {}

    def lose_swarm(self, times: int) -> None:
        """Swarm does not answer for some evaluations."""
        self.world.lose_swarm(times=times)

    def lose_answer(self, reads: int) -> None:
        """The next write is carried out unanswered, and so many attempts to read back fail."""
        self.world.api.after("update", raising(LOST))
        self.world.api.before("service", lambda: None, *[raising(LOST)] * reads)

    def lose_write(self, _: int) -> None:
        """The next write does not arrive."""
        self.world.api.before("update", raising(LOST))

    def scale_meanwhile(self, replicas: int) -> None:
        """An operator scales just before the next write."""
        self.world.api.before("update", lambda: self.scale(replicas))

    def release_meanwhile(self, replicas: int) -> None:
        """A new version is deployed just before the last look at the service."""
        self.world.api.before("service", lambda: self.release(replicas))

    def lose_node(self, lost: int) -> None:
        """One of two nodes goes down, or comes back."""
        (self.world.engine.stop_node if lost else self.world.engine.start_node)("n2")

    def restart(self, _: int) -> None:
        """A new autoscaler takes the place of this one."""
        self.world.restart()
        self.remember()

    def remember(self) -> None:
        """After a restart only what the service's labels tell is known."""
        document = self.world.engine.service("web")
        previous = {"Spec": document.get("PreviousSpec") or {}}
        told = {event.at for state in (label_in(document), label_in(previous)) if state for event in state.events}
        self.increases = [at for at in self.increases if round(at, 3) in told]
        self.reductions = [at for at in self.reductions if round(at, 3) in told]

    def evaluate(self) -> Evaluation:
        """The next evaluation, its writes looked at."""
        evaluation = self.world.next()
        for _, before, written in self.world.api.updates[self.seen :]:
            reasons = {why.reason for record in evaluation.records for why in record.decision.reasons}
            self.look_at(before, written, restored=Reason.RESTORED_AFTER_DEPLOY in reasons)
        self.seen = len(self.world.api.updates)
        return evaluation

    def look_at(self, before: Document, written: Document, *, restored: bool) -> None:
        """What must hold of every write."""
        was, becomes, now = count_in(before), count_in({"Spec": written}), self.world.clock.time
        assert only_count_and_label_differ(before["Spec"], written)
        assert was != becomes
        assert was != 0
        assert LEAST <= becomes <= MOST
        assert (before.get("UpdateStatus") or {}).get("State") not in BUSY
        if not LEAST <= was <= MOST:
            return  # a correction of the bounds
        if restored:
            assert was < becomes <= self.lowered_from
            self.increases.append(now)
        elif becomes > was:
            assert all(now - at >= UP for at in self.increases)
            self.increases.append(now)
        else:
            assert all(now - at >= DOWN for at in (*self.increases, *self.reductions))
            assert self.calm_is_known()
            self.reductions.append(now)

    def calm_is_known(self) -> bool:
        """Whether what Prometheus holds of the look-back is complete and calm, and it says so."""
        world = self.world
        newest = int(world.clock.time)
        truth = world.truth["web", "cpu"]
        steps = range(newest - LOOK_BACK, newest + STEP, STEP)
        samples = [truth[at][0] for at in steps if at in truth]
        missing = [at for at in steps if at not in truth]
        two_in_a_row = any(at + STEP in missing for at in missing)
        memory = world.truth["web", "memory"]
        return (
            newest in truth and newest in memory and max(samples) < 30 and not two_in_a_row and not world.source.errors
        )


def only_count_and_label_differ(before: Document, after: Document) -> bool:
    """Whether a scale made no other difference between two specs."""
    ours = {label: after["Labels"][label] for label in (STATE_LABEL, ROLLBACK_LABEL) if label in after["Labels"]}
    labels = {**(before.get("Labels") or {}), **ours}
    return after == before | {"Mode": after["Mode"], "Labels": labels} and list(after["Mode"]["Replicated"]) == [
        "Replicas"
    ]


@pytest.mark.fault("killed")
@given(histories)
@settings(max_examples=120)
def test_whatever_happens(history: list[tuple[tuple[str, int], int]]) -> None:
    """Loads, operators, deploys, outages, lost answers and restarts, in any order: every write is one that may be.

    It changes the count and the label only, stays in bounds, respects rollouts and a count of 0; rules act once per
    cooldown and direction, and remove only on a calm that is known. Nothing is raised.
    """
    life = Life()
    for (what, amount), evaluations in history:
        life.happen(what, amount)
        for _ in range(evaluations):
            life.evaluate()


@given(histories)
@settings(max_examples=60)
def test_in_the_end_all_is_in_bounds(history: list[tuple[tuple[str, int], int]]) -> None:
    """When outages and rollouts are over the service is in its bounds, unless it was set to 0, and stays there."""
    life = Life()
    for (what, amount), evaluations in history:
        life.happen(what, amount)
        for _ in range(evaluations):
            life.evaluate()
    world = life.world
    world.prometheus.fail(None)
    world.api = FaultyEngine(world.engine)
    world.restart()
    world.settle(900)

    evaluation = world.next()

    assert not evaluation.met("swarm")
    assert world.replicas() == 0 or LEAST <= world.replicas() <= MOST or gated(evaluation)


@given(histories)
@settings(max_examples=40)
def test_a_dry_run_writes_nothing(history: list[tuple[tuple[str, int], int]]) -> None:
    """Whatever happens, a dry-run writes nothing, and reports no other outcome than what it would do."""
    life = Life(World(POLICY, nodes=[Node("n1"), Node("n2")], dry_run=True))
    outcomes = set()
    for (what, amount), evaluations in history:
        life.happen(what, amount)
        for _ in range(evaluations):
            outcomes |= {record.outcome for record in life.evaluate().records}

    assert life.world.api.calls["update"] == 0
    assert outcomes <= {Outcome.DRY_RUN, Outcome.HELD, Outcome.UNCHANGED}


def gated(evaluation: Evaluation) -> bool:
    """Whether every decision was held at a gate."""
    return all(GATES & {why.reason for why in record.decision.reasons} for record in evaluation.records)
