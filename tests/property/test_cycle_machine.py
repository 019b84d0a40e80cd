from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from autoscaler.adapters.docker.pauses import SwarmPauses
from autoscaler.coordination.lease import BEAT, HOLD, LONGEST_BEAT
from autoscaler.coordination.pauses import Pause, Pauses
from autoscaler.core.model import Direction
from autoscaler.core.reasons import Reason
from autoscaler.errors import DeadlineError, RefusedError
from autoscaler.policy.policy import PolicySet
from autoscaler.simulation.parts import Node
from tests.support.builders import STEP, threshold
from tests.support.jobs import Job
from tests.support.laws import Laws
from tests.support.process import ENOUGH, Killed, Process, Watches
from tests.support.world import LOST, FaultyEngine, World, count_in, label_in, policy_for, raising

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autoscaler.adapters.docker.engine_api import Document
    from tests.support.process import Write

pytestmark = [
    pytest.mark.slow,
    pytest.mark.fault("killed"),
    pytest.mark.fault("leader-dies"),
    pytest.mark.fault("write-unanswered"),
    pytest.mark.fault("write-conflict"),
    pytest.mark.fault("scaled-to-zero"),
    pytest.mark.fault("automatic-rollback"),
    pytest.mark.fault("deploy-repeated"),
    pytest.mark.fault("quorum-lost"),
]

LEAST, MOST = 2, 8
UP, DOWN = 90, 150
LOOK_BACK = 60
HIGH = threshold("cpu-high", above=70, lasting="30s", add="50%")
LOW = threshold("cpu-low", below=30, lasting=f"{LOOK_BACK}s", remove=1)
MEMORY = threshold("memory-high", metric="memory", above=80, add=1)
POLICY = policy_for("web", rules=(HIGH, LOW, MEMORY), least=LEAST, most=MOST, up_cooldown=UP, down_cooldown=DOWN)
GATES = {Reason.ROLLOUT_IN_PROGRESS, Reason.SCALED_TO_ZERO}
SKEW = 20.0
GIVE_BACK = 60

LIVES = int(os.environ.get("LIVES", "0"))
"""How many lives of each kind a long run tries; where it is not told they are few and short."""
LIVED: Counter[str] = Counter()
"""What was tried."""

WHO = st.integers(0, 1)
EVALUATIONS = st.integers(0, 12)
STAYS = st.sampled_from([False, False, False, True])
"""Whether a trouble outlasts the evaluations that follow it."""
LOADS = st.sampled_from([10, 20, 40, 120, 300, 700])
MOMENT = st.integers(1, 40)
"""At which of the next moments around a call something befalls an autoscaler."""
SECONDS = st.sampled_from([3, 9, 15, 30, 60, 120])
AUTOMATIC = "update rolled back due to failure"
"""Words of Swarm's on a rollback that nobody asked for."""
CONFIG = st.fixed_dictionaries(
    {
        "FailureAction": st.sampled_from(["pause", "continue", "rollback"]),
        "Parallelism": st.sampled_from([1, 1, 2, 0]),
        "MaxFailureRatio": st.sampled_from([0, 0, 0.4]),
        "Order": st.sampled_from(["stop-first", "stop-first", "start-first"]),
    }
)
FAILS_AFTER = {"bad": 0.0, "late": 3.0, "later": 45.0}
"""Seconds that tasks of such versions run before they fail: Swarm's rollouts watch new ones for 5."""


@dataclass
class Runner:
    """The place of one autoscaler, in which another process starts when one has ended."""

    world: World
    written: Callable[[Write], None]
    watches: Watches
    process: Process | None = None
    starts_at: float = 0.0
    """When the next process starts, if there is none."""
    job: Job | None = None
    """What the process is held in the middle of."""
    stopped: bool = False
    """Whether it is held as a whole, beats included."""
    wakes_at: float = inf
    clock_stops: bool = False
    due: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    """What befalls it, and after how many more moments."""
    cut_off: bool = False
    """Whether it cannot reach Swarm."""
    no_quorum_until: float = 0.0
    """Until when nobody can."""
    knows: dict[str, set[float]] = field(default_factory=dict)
    """The times of changes that a service's labels told this process of, by the service's id."""
    _read: dict[str, set[float]] = field(default_factory=dict)
    _began: float = 0.0
    _may_take: float = inf

    # time

    def tick(self, *, evaluating: bool) -> None:
        """What it does at a beat, and where *evaluating* at a window step."""
        now = self.world.clock.time
        if self.process is None:
            if now < self.starts_at:
                return
            self._start()
            evaluating = True
        if self.job is not None and now >= self.wakes_at:
            self._wake()
        had = self.process is not None and self.process.lease.held
        if self.process is not None and not self.stopped:
            self._do(self.process.beat, LONGEST_BEAT)
        if self.process is not None and self.job is None and (evaluating or self.process.lease.held > had):
            LIVED["evaluations"] += 1
            self._do(self.process.evaluate, self.process.cycle.deadline)

    def _start(self) -> None:
        self.knows, self.due = {}, []
        self.process = Process(self.world, self._at, self.written, self.watches)

    def _do(self, what: Callable[[], object], may_take: float) -> None:
        """Let the process do something, in the middle of which it may end or be held."""
        if self.job is not None:  # a beat beside an evaluation that is slow
            began, limit = self._began, self._may_take
            self._began, self._may_take = self.watches.monotonic(), may_take
            self._guarded(what)
            self._began, self._may_take = began, limit
            return
        self._began, self._may_take = self.watches.monotonic(), may_take
        if not self.due:
            self._guarded(what)
            return
        self.job = Job(what)
        self._go_on()

    def _guarded(self, what: Callable[[], object]) -> None:
        try:
            what()
        except Killed:
            self._ended()

    def _go_on(self) -> None:
        assert self.job is not None
        try:
            over = self.job.go_on()
        except Killed:
            self._ended()
            return
        except BaseException:
            self.job = None
            raise
        if over:
            self.job, self.stopped = None, False

    def _wake(self) -> None:
        self.wakes_at, self.stopped = inf, False
        self._go_on()

    def _ended(self) -> None:
        """The process is no more; what it was in the middle of is not gone on with."""
        job, self.job = self.job, None
        self.process, self.stopped, self.wakes_at, self.due = None, False, inf, []
        if job is not None and not job.over:
            job.end(Killed())

    def give_up(self) -> None:
        """Leave nothing behind."""
        self._ended()

    # what befalls it

    def kill(self, after: float) -> None:
        """End it; another one starts so many seconds later."""
        self.starts_at = self.world.clock.time + after
        raise Killed

    def hold(self, seconds: float, *, stopped: bool, clock_stops: bool = False) -> None:
        """Hold it where it is; where it is not *stopped* as a whole its beats go on."""
        job = self.job
        if job is None or self.wakes_at < inf:
            return  # a beat beside what is held already
        beating = self._may_take == LONGEST_BEAT  # nothing else of its does before that is over
        self.stopped, self.wakes_at = stopped or beating, self.world.clock.time + seconds
        began = self.world.clock.time
        job.hold()
        if clock_stops:
            self.watches.stood_still += self.world.clock.time - began
            self.watches.woke_at = self.world.clock.time

    def _at(self, moment: str) -> None:
        side, _, operation = moment.partition(" ")
        if side == "before":
            if self.watches.monotonic() - self._began > self._may_take:
                raise DeadlineError("no time left")
            lost = self.cut_off or self.world.clock.time < self.no_quorum_until
            if lost and operation != "clock_offset" and not operation.startswith("fetch"):
                raise LOST
        elif operation == "services":
            self._read = told_by(self.world)
        elif operation == "nodes":
            for service, times in self._read.items():
                self.knows.setdefault(service, set()).update(times)
        for number, (moments, befall) in enumerate(self.due):
            if moments > 1:
                self.due[number] = (moments - 1, befall)
            else:
                del self.due[number]
                befall()
                return


def told_by(world: World) -> dict[str, set[float]]:
    """The times of the changes that each service's labels tell of, by its id."""
    told = {}
    for document in world.engine.services():
        previous = {"Spec": document.get("PreviousSpec") or {}}
        states = [state for state in (label_in(document), label_in(previous)) if state]
        told[document["ID"]] = {event.at for state in states for event in state.events}
    return told


def image_of(world: World) -> str:
    """The image that the service's spec asks for."""
    image: str = world.engine.service("web")["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
    return image


def specs_of(world: World) -> tuple[Document, Document | None]:
    """The service's spec and the one before."""
    service = world.engine.service("web")
    return service["Spec"], service.get("PreviousSpec")


class Life(RuleBasedStateMachine):
    """A service under two autoscalers in a world in which much happens; every write is held to what must be."""

    policy = POLICY
    reserves = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.policy, nodes=[Node("n1"), Node("n2")], reserves=self.reserves)
        self.laws = Laws(self.world, ("cpu", "memory"), LOOK_BACK)
        self.runners = [Runner(self.world, self.judge, Watches(self.world.clock)) for _ in range(2)]
        self.pauses = SwarmPauses(self.world.engine)
        self.writes: list[Write] = []
        self.late: list[tuple[float, FaultyEngine]] = []
        """Engines' clients with updates to be carried out, and when they are."""
        self.lag = 0.0
        self.loses_quorum = False
        """Whether nobody reaches Swarm from the next such update on, until it is carried out."""
        self.updates: list[float] = []
        """When somebody else updated the service."""
        self.were: list[tuple[tuple[Document, Document | None], int]] = []
        """Its specs before each of these updates, and the count that somebody else had asked for."""
        self.good = ""
        """The image that the service ran before somebody else updated it last: what an automatic rollback goes to."""
        self.releases = 1
        self.lowered_from: dict[str, int] = {}
        """The largest count that a deploy or a rollback took away, by the service's id."""
        self.asked = 3
        """The count that somebody else asked for last, or the lowest since."""
        self.observer: Process | None = None
        self.world.service(replicas=3)
        self.world.total["web"] = 150
        self.world.settle(2 * LOOK_BACK)

    @initialize(cpu=st.sampled_from([20, 150, 300]), observed=st.booleans())
    def it_begins(self, cpu: int, *, observed: bool) -> None:
        """Both start, and perhaps one in dry-run beside them."""
        self.world.total["web"] = cpu
        if observed:
            self.observer = Process(self.world, dry_run=True)
        self.live(2)

    # time

    def live(self, evaluations: int) -> None:
        """Time passes, and autoscalers beat and evaluate."""
        for _ in range(evaluations * STEP // int(BEAT)):
            self.tick()

    def tick(self) -> None:
        """Time goes on by a beat."""
        world = self.world
        world.clock.time += BEAT
        step = world.clock.time % STEP == 0
        if step:
            world.prometheus.record()
        for due, api in list(self.late):
            if due <= world.clock.time:
                self.late.remove((due, api))
                api.catch_up()
        for runner in self.runners:
            runner.tick(evaluating=step)
            late = runner.process.api if runner.process and runner.process.api.late else None
            if late is not None and all(late is not other for _, other in self.late):
                self.late.append((world.clock.time + self.lag, late))
                if self.loses_quorum:
                    self.loses_quorum = False
                    for each in self.runners:
                        each.no_quorum_until = world.clock.time + self.lag
        self.one_leads()
        self.goes_back_to_what_was_good()
        if step and self.observer is not None:
            self.observer.evaluate()
            calls = self.observer.api.calls
            assert calls["update"] == calls["create_config"] == calls["update_config"] == 0, "a dry-run wrote"

    def one_leads(self) -> None:
        """Never two autoscalers may act; but one whose machine stood still, its clock with it, may believe it does.

        It does not learn that at once where it cannot ask: for as long as its last write lets it act by its own clock.
        """
        leading = [each.process for each in self.runners if each.process and each.process.lease.held]
        woke = max(each.watches.woke_at for each in self.runners)
        assert len(leading) <= 1 or self.world.clock.time - woke < HOLD

    def goes_back_to_what_was_good(self) -> None:
        """An automatic rollback goes to the version before the last deploy, whatever the autoscalers do meanwhile."""
        status = self.world.engine.service("web").get("UpdateStatus") or {}
        if status.get("Message", "").startswith(AUTOMATIC):
            assert image_of(self.world) == self.good

    def judge(self, write: Write) -> None:
        """What must hold of a write."""
        (runner,) = [each for each in self.runners if each.watches is write.by.watches]
        known = runner.knows.get(write.service, set())
        earlier = [other for other in self.writes if other.service == write.service and other.decision.at in known]
        self.laws.hold_for(write)
        if runner.process is write.by:  # else it was late, and its writer is no more
            self.laws.hold_between(write, earlier, self.updates)
            theirs = self.updates and (not self.writes or self.writes[-1].at < self.updates[-1])
            now = write.before["Spec"], write.before.get("PreviousSpec")
            if theirs and all(now != then for then, _ in self.were):  # else there may be nothing to see of it
                self.laws.hold_after(write, self.updates[-1])
        was, becomes = write.counts
        if write.restores:
            # What a deploy raised above the maximum is lowered to it, restored or not.
            assert was < becomes or was > write.policy.replicas.max == becomes
            assert becomes <= self.lowered_from[write.service]
        if write.decision.gives_back:
            self.may_be_given_back(write)
        self.asked = min(self.asked, becomes)
        self.writes.append(write)
        LIVED["writes"] += 1

    def may_be_given_back(self, write: Write) -> None:
        """What must hold where replicas are given back for want of room."""
        decision, becomes = write.decision, write.counts[1]
        assert decision.unplaced
        assert becomes >= min(decision.running, MOST), "none that runs"
        assert becomes >= min(self.asked, MOST), "none that somebody else asked for"

    # load and data

    @rule(percent=LOADS, then=EVALUATIONS)
    def set_cpu(self, percent: int, then: int) -> None:
        """All replicas share a load, in percent of a core."""
        self.world.total["web"] = percent
        self.live(then)

    @rule(low=LOADS, high=LOADS, each=st.integers(8, 16))
    def day(self, low: int, high: int, each: int) -> None:
        """The load rises and falls, and nothing else happens."""
        for percent in (low, high, low):
            self.set_cpu(percent, each)

    @rule(percent=st.sampled_from([40, 40, 95]), then=EVALUATIONS)
    def set_memory(self, percent: int, then: int) -> None:
        """Each replica holds so much."""
        self.world.load["web", "memory"] = percent
        self.live(then)

    @rule(then=EVALUATIONS, stays=STAYS)
    def silence(self, then: int, *, stays: bool) -> None:
        """One task does not report."""
        self.world.silent["web"] = 1
        self.live(then)
        self.world.silent["web"] = int(stays)

    @rule(then=EVALUATIONS, stays=STAYS)
    def lose_samples(self, then: int, *, stays: bool) -> None:
        """Prometheus sees nothing of the service."""
        self.world.prometheus.lose("web")
        self.live(then)
        if not stays:
            self.world.prometheus.find("web")

    @rule(then=EVALUATIONS, stays=STAYS)
    def lose_prometheus(self, then: int, *, stays: bool) -> None:
        """Prometheus does not answer."""
        self.world.prometheus.fail(LOST)
        self.live(then)
        self.world.prometheus.fail(LOST if stays else None)

    # operators

    @rule(replicas=st.integers(0, 10), then=EVALUATIONS)
    def scale(self, replicas: int, then: int) -> None:
        """`docker service scale`."""
        self.is_updated()
        if replicas != self.world.replicas():
            self.asked = replicas
        self.world.engine.operator_scale("web", replicas)
        self.live(then)

    @rule(then=EVALUATIONS)
    def update(self, then: int) -> None:
        """`docker service update`, which keeps labels and count."""
        self.releases += 1
        image = f"app:{self.releases}"
        change = lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Image=image)  # noqa: E731 - one line says it
        self.is_updated()
        self.world.engine.change_service("web", change)
        self.live(then)

    def is_updated(self) -> None:
        """Somebody else is about to update the service."""
        self.updates.append(self.world.clock.time)
        self.were.append((specs_of(self.world), self.asked))
        self.good = image_of(self.world)

    @rule(
        replicas=st.integers(0, 10),
        kind=st.sampled_from(["same", "same", "new", "new", "bad", "late", "later"]),
        config=CONFIG,
        restart=st.sampled_from(["any", "any", "any", "none"]),
        then=EVALUATIONS,
        stays=STAYS,
    )
    def deploy(  # noqa: PLR0913 - as many as there are ways to deploy
        self, replicas: int, kind: str, config: Document, restart: str, then: int, *, stays: bool
    ) -> None:
        """`docker stack deploy` of the same or of a new version; one that fails is repaired by another perhaps.

        It fails at its start, while the rollout watches it, or long after.
        """
        self.releases += kind != "same"
        image = f"app:{self.releases}"
        if kind in FAILS_AFTER:
            self.world.engine.break_image(image, "task: non-zero exit (7)", after=FAILS_AFTER[kind])
        spec = self.world.spec("web", replicas, image=image)
        spec["UpdateConfig"] |= config
        spec["TaskTemplate"]["RestartPolicy"] = {"Condition": restart}
        self.may_lower()
        self.is_updated()
        self.asked = replicas
        self.world.engine.deploy(spec)
        self.live(then)
        if kind in FAILS_AFTER and not stays:
            self.deploy(replicas, "new", config, restart, 0, stays=False)

    @rule(replicas=st.integers(0, 10), kind=st.sampled_from(["new", "late"]), config=CONFIG, then=EVALUATIONS)
    def deploy_twice(self, replicas: int, kind: str, config: Document, then: int) -> None:
        """The same deploy is made again in the middle of its rollout, as by a pipeline that is run twice."""
        self.deploy(replicas, kind, config, "any", 1, stays=True)
        self.is_updated()
        self.world.engine.change_service("web", lambda _: None)
        self.live(then)

    @rule(tasks=st.integers(1, 3), then=EVALUATIONS)
    def crash(self, tasks: int, then: int) -> None:
        """Some tasks end with an error, and others come in their place after the restart delay."""
        for _ in range(tasks):
            self.world.engine.fail_task("web", "task: non-zero exit (137)")
        self.live(then)

    def may_lower(self) -> None:
        """The count before a deploy may be set again after it."""
        service = self.world.engine.service("web")
        self.lowered_from[service["ID"]] = max(self.lowered_from.get(service["ID"], 0), count_in(service))

    @rule(then=EVALUATIONS)
    def roll_back(self, then: int) -> None:
        """`docker service rollback`, where there is something to go back to."""
        if "PreviousSpec" in self.world.engine.service("web"):
            self.may_lower()
            before = self.world.replicas()
            self.is_updated()
            self.world.engine.rollback("web")
            self.asked = self.asked if self.world.replicas() == before else self.world.replicas()
            for specs, asked in self.were:
                if specs == specs_of(self.world):
                    self.asked = asked  # what was undone is undone: there may be nothing to see of either
        self.live(then)

    @rule(replicas=st.integers(1, 5), then=EVALUATIONS)
    def recreate(self, replicas: int, then: int) -> None:
        """Remove the service and deploy it anew; the new one has no past."""
        self.world.engine.remove("web")
        self.world.deploy(replicas=replicas, image=f"app:{self.releases}")
        self.asked = replicas
        self.live(then)

    @rule(paused=st.sampled_from([True, "up", "down"]), then=EVALUATIONS, stays=STAYS)
    def pause(self, *, paused: bool | str, then: int, stays: bool) -> None:
        """The policies are edited, and say that the service is paused."""
        for value in (paused, paused if stays else False):
            policy = self.policy.model_copy(update={"paused": value})
            self.world.policies = PolicySet(policies=(policy,), metrics=self.world.policies.metrics, revision="r2")
            self.live(then if value else 0)

    @rule(
        ways=st.sampled_from([("up",), ("down",), ("up", "down")]),
        lasts=st.sampled_from([None, 120]),
        then=EVALUATIONS,
        stays=STAYS,
    )
    def pause_at_run_time(self, ways: tuple[str, ...], lasts: int | None, then: int, *, stays: bool) -> None:
        """`autoscaler pause`, and perhaps `autoscaler resume`."""
        now = self.world.clock.time
        pause = Pause(now, None if lasts is None else now + lasts, "ana@manager-1")
        self.write_pauses(Pauses().with_pause("web", [Direction(way) for way in ways], pause))
        self.live(then)
        if not stays:
            self.write_pauses(Pauses())

    def write_pauses(self, pauses: Pauses) -> None:
        """These pauses, and no others, are in force."""
        assert self.pauses.write(pauses.labels(), self.pauses.look(ENOUGH), ENOUGH)

    @rule(then=EVALUATIONS, stays=STAYS)
    def lose_node(self, then: int, *, stays: bool) -> None:
        """One of two nodes goes down."""
        self.world.engine.stop_node("n2")
        self.live(then)
        if not stays:
            self.world.engine.start_node("n2")

    # what befalls an autoscaler

    @rule(who=WHO, moment=MOMENT, after=SECONDS, then=EVALUATIONS)
    def kill(self, who: int, moment: int, after: float, then: int) -> None:
        """One is killed before or after a call, and starts again."""
        runner = self.runners[who]
        runner.due.append((moment, lambda: runner.kill(after)))
        self.live(then)

    @rule(who=WHO, moment=MOMENT, seconds=SECONDS, stopped=st.booleans(), clock=st.booleans(), then=EVALUATIONS)
    def hold(self, who: int, moment: int, seconds: float, *, stopped: bool, clock: bool, then: int) -> None:  # noqa: PLR0913 - as many as there are ways to hold
        """One is held before or after a call: as a whole, its machine's clock too perhaps; or that call is slow."""
        runner = self.runners[who]
        runner.due.append((moment, lambda: runner.hold(seconds, stopped=stopped, clock_stops=stopped and clock)))
        self.live(then)

    @rule(who=WHO, after=SECONDS, then=EVALUATIONS)
    def stop(self, who: int, after: float, then: int) -> None:
        """One is told to stop, if it does nothing just now, and starts again."""
        runner = self.runners[who]
        if runner.process is not None and runner.job is None and not runner.cut_off:
            runner.process.stop()
            runner.process, runner.starts_at = None, self.world.clock.time + after
        self.live(then)

    @rule(who=WHO, then=EVALUATIONS, stays=STAYS)
    def cut_off(self, who: int, then: int, *, stays: bool) -> None:
        """One cannot reach Swarm."""
        self.runners[who].cut_off = True
        self.live(then)
        self.runners[who].cut_off = stays

    @rule(who=WHO, skew=st.sampled_from([-SKEW, 0, SKEW]), then=EVALUATIONS)
    def set_clock(self, who: int, skew: float, then: int) -> None:
        """The clock of one is set."""
        self.runners[who].watches.set(skew)
        self.live(then)

    # what befalls a call

    def call(self, who: int, befall: Callable[[FaultyEngine], None], then: int) -> None:
        """Let something befall the next calls of one."""
        process = self.runners[who].process
        if process is not None:
            befall(process.api)
        self.live(then)

    @rule(who=WHO, reads=st.integers(0, 3), then=EVALUATIONS)
    def lose_answer(self, who: int, reads: int, then: int) -> None:
        """The next write is carried out unanswered, and so many attempts to read back fail."""

        def befall(api: FaultyEngine) -> None:
            api.after("update", raising(LOST))
            api.before("service", lambda: None, *[raising(LOST)] * reads)

        self.call(who, befall, then)

    @rule(who=WHO, lag=SECONDS, then=EVALUATIONS)
    def lose_quorum(self, who: int, lag: float, then: int) -> None:
        """The managers lose their quorum at the next write, which is carried out when they have it again.

        A write without an answer may be carried out late (docs/facts.md#late-writes).
        """
        self.loses_quorum = True
        self.hold_up(who, lag, then)

    @rule(who=WHO, then=EVALUATIONS)
    def lose_write(self, who: int, then: int) -> None:
        """The next write does not arrive."""
        self.call(who, lambda api: api.before("update", raising(LOST)), then)

    @rule(who=WHO, lag=SECONDS, then=EVALUATIONS)
    def hold_up(self, who: int, lag: float, then: int) -> None:
        """The next write is carried out so much later."""
        self.lag = lag
        self.call(who, FaultyEngine.hold_up, then)

    @rule(who=WHO, operation=st.sampled_from(["create_config", "update_config"]), then=EVALUATIONS)
    def lose_beat(self, who: int, operation: str, then: int) -> None:
        """The answer to a call about the lease is lost."""
        self.call(who, lambda api: api.after(operation, raising(LOST)), then)

    @rule(who=WHO, replicas=st.integers(1, 9), then=EVALUATIONS)
    def scale_meanwhile(self, who: int, replicas: int, then: int) -> None:
        """An operator scales just before the next write."""
        self.call(who, lambda api: api.before("update", lambda: self.scale(replicas, 0)), then)

    @rule(who=WHO, replicas=st.integers(1, 9), then=EVALUATIONS)
    def deploy_meanwhile(self, who: int, replicas: int, then: int) -> None:
        """A new version is deployed just before the last look at the service."""
        deploy = partial(self.deploy, replicas, "new", {}, "any", 0, stays=True)
        self.call(who, lambda api: api.before("service", deploy), then)

    @rule(who=WHO, then=EVALUATIONS)
    def refuse_query(self, who: int, then: int) -> None:
        """Prometheus refuses one query of one autoscaler."""
        process = self.runners[who].process
        if process is not None:
            process.source.errors = {"memory": RefusedError("no")}
        self.live(then)
        if process is not None:
            process.source.errors = {}

    # the end

    def teardown(self) -> None:
        """Whatever happened: once all is well again, so is the service."""
        if sys.exc_info()[0] is None:
            self.all_is_well_again()
        LIVED["lives"] += 1
        for runner in self.runners:
            runner.give_up()

    def all_is_well_again(self) -> None:
        """The service is in its bounds, unless it was set to 0 or its rollout is paused; and one autoscaler acts."""
        world, engine = self.world, self.world.engine
        world.prometheus.fail(None)
        world.prometheus.find("web")
        world.silent.clear()
        engine.start_node("n2")
        self.pause(paused=True, then=0, stays=False)
        self.write_pauses(Pauses())
        for runner in self.runners:
            runner.cut_off, runner.no_quorum_until, runner.due = False, 0.0, []
            runner.watches.set(0.0)
            if runner.process is not None:
                runner.process.api._before.clear()
                runner.process.api._after.clear()
        self.live(900 // STEP)

        (leader,) = [runner.process for runner in self.runners if runner.process and runner.process.lease.held]
        told = leader.evaluate()
        assert not told.problems
        gated = all(GATES & {why.reason for why in record.decision.reasons} for record in told.records)
        assert gated or LEAST <= world.replicas() <= MOST


class CrowdedLife(Life):
    """The same where there is room for six replicas and, while a node is lost, for three; others are given back."""

    policy = POLICY.model_copy(update={"scale_up": POLICY.scale_up.model_copy(update={"give_back": GIVE_BACK})})
    reserves = 2.5


@pytest.fixture(autouse=True)
def _tell_of_a_long_run(request: pytest.FixtureRequest) -> Iterator[None]:
    """Say after each kind what was tried so far."""
    yield
    if LIVES:
        request.config.get_terminal_writer().line(f"\n{dict(LIVED)}")


HOW_LONG = (
    settings(max_examples=LIVES, stateful_step_count=60, deadline=None, database=None, print_blob=True)
    if LIVES
    else settings(max_examples=40, stateful_step_count=30, deadline=None)
)
TestLife = Life.TestCase
TestLife.settings = HOW_LONG
TestCrowdedLife = CrowdedLife.TestCase
TestCrowdedLife.settings = HOW_LONG
