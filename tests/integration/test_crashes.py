from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Self

import pytest

from autoscaler.adapters.docker.pauses import SwarmPauses
from autoscaler.coordination.lease import BEAT
from autoscaler.coordination.pauses import Pause, Pauses
from autoscaler.core.model import Direction, Outcome
from autoscaler.metrics.queries import STARVATION
from autoscaler.policy.policy import ScaleDown
from autoscaler.swarm.cluster import ROLLBACK_LABEL
from tests.support.builders import CPU_HIGH, CPU_LOW, STEP
from tests.support.laws import Laws
from tests.support.process import ENOUGH, Killed, Process, Write
from tests.support.world import LOST, World, policy_for, raising

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autoscaler.policy.policy import Policy

pytestmark = pytest.mark.slow

UP, DOWN = 60, 90
WATCHED = 18
"""Seconds in which a crash may come: a start, the beats of an interval, and the evaluation after it."""
POLICY = policy_for("web", up_cooldown=UP, down_cooldown=DOWN)


def nothing(_: object) -> None:
    """Nothing happens."""


@dataclass(frozen=True)
class Scenario:
    """What an autoscaler is in the middle of when it is killed."""

    counts: Sequence[int]
    """The counts that it writes, one after another, if it is not."""
    total: float | None = None
    """The load that all replicas share, in percent of a core."""
    cpu: float = 50
    """The load of each replica, where they share none."""
    replicas: int = 3
    policies: tuple[Policy, ...] = (POLICY,)
    before: Callable[[Story], None] = nothing
    """What has happened when it starts."""
    meanwhile: Callable[[Process], None] = nothing
    """What happens to its calls."""
    late: int = 0
    """Seconds after its start at which an update that it gave up is carried out."""
    stopped_after: int = 0
    """Seconds after its start at which it is told to stop, and another one starts; 0 where it goes on."""
    standby: bool = False
    """Whether another autoscaler runs all the time."""
    lasts: int = 210
    """Seconds for which it goes on: longer than cooldowns, rollouts and leases, and what they bring."""


@dataclass
class Story:
    """A world in which time passes under autoscalers, one of which is killed at one moment, or its successors too."""

    scenario: Scenario
    killed_at: int | None = None
    """The number of the moment at which the autoscaler is killed; None lets it live."""
    crashes: int = 1
    """How many autoscalers in a row are killed at that moment of theirs."""
    moments: list[str] = field(default_factory=list)
    """The moments around the calls of the first autoscaler in the time watched."""
    processes: list[Process] = field(default_factory=list)
    """All that ever ran."""
    alive: list[Process] = field(default_factory=list)
    """Those that run; the first of them may be killed."""
    watched_until: float = 0.0

    def __post_init__(self) -> None:
        self.world = World(*self.scenario.policies)
        self.world.service(replicas=self.scenario.replicas, cpu=self.scenario.cpu)
        if self.scenario.total is not None:
            self.world.total["web"] = self.scenario.total
        self.world.settle(150)
        self.scenario.before(self)

    def tell(self) -> Self:
        """All of it."""
        self.watched_until = self.world.clock.time + WATCHED
        self.start()
        if self.scenario.late:
            self.go_on(self.scenario.late)
            for process in self.processes:
                process.api.catch_up()
        if self.scenario.stopped_after:
            self.go_on(self.scenario.stopped_after)
            self.do(self.alive[0], Process.stop)
            self.alive.clear()
            self.start()
        self.go_on(self.scenario.lasts)
        return self

    def start(self) -> Process:
        """A new autoscaler."""
        moments = self.moments if not self.processes else []

        def at(moment: str) -> None:
            if self.world.clock.time < self.watched_until and self.alive[0] is process:
                moments.append(moment)
                if self.crashes and len(moments) == self.killed_at:
                    self.crashes -= 1
                    self.watched_until = inf
                    raise Killed

        process = Process(self.world, at)
        if not any(earlier.api.calls["update"] for earlier in self.processes):
            self.scenario.meanwhile(process)  # an earlier one was killed before it came to that
        self.processes.append(process)
        self.alive.append(process)
        return process

    def do(self, process: Process, what: Callable[[Process], object]) -> None:
        """Let it do something, in the middle of which it may end."""
        try:
            what(process)
        except Killed:
            self.alive.remove(process)

    def go_on(self, seconds: float) -> None:
        """Let time pass. Who was killed is started again at the next beat."""
        until = self.world.clock.time + seconds
        while self.world.clock.time < until:
            due = self.world.clock.time % STEP == 0
            if due:
                self.world.prometheus.record()
            for process in list(self.alive):
                self.do(process, partial(Process.work, due=due or not process.evaluations))
            self.world.clock.time += BEAT
            while len(self.alive) < 1 + self.scenario.standby:
                self.start()

    @property
    def writes(self) -> list[Write]:
        """All updates, in the order of time."""
        return sorted((write for process in self.processes for write in process.writes), key=lambda write: write.at)

    @property
    def counts(self) -> list[int]:
        """The counts that were written."""
        return [write.counts[1] for write in self.writes]

    @property
    def rollback_point(self) -> str | None:
        """The version before the last deploy, as the service keeps it."""
        labels: dict[str, str] = self.world.engine.service("web")["Spec"]["Labels"]
        return labels.get(ROLLBACK_LABEL)

    def judge(self) -> None:
        """What must hold of every write."""
        laws = Laws(self.world)
        earlier: list[Write] = []
        for write in self.writes:
            laws.hold_for(write)
            laws.hold_between(write, [other for other in earlier if other.service == write.service])
            earlier.append(write)


def scaled_before(story: Story) -> None:
    """An autoscaler made the service larger, some time ago."""
    world = story.world
    load, world.total["web"] = world.total["web"], 255
    world.settle(120)
    assert world.next().records[0].outcome is Outcome.APPLIED
    world.total["web"] = load
    world.settle(300)


def deployed(story: Story) -> None:
    """After a scale the stack was deployed anew, with the count of its file."""
    scaled_before(story)
    story.world.deploy(replicas=2)


def released(story: Story) -> None:
    """After a scale a new version was deployed, with the count of its file; its rollout is over."""
    scaled_before(story)
    story.world.deploy(replicas=2, image="app:2")
    story.world.settle(300)


def being_released(story: Story) -> None:
    """A new version is being rolled out, and the load is high."""
    story.world.deploy(replicas=3, image="app:2")
    story.world.settle(STEP)


def updated(story: Story) -> None:
    """A new version was deployed, and its rollout is over."""
    story.world.deploy(replicas=3, image="app:2")
    story.world.settle(300)


def a_second_is_calm(story: Story) -> None:
    """Beside the service there is one that has less to do."""
    story.world.service("other", cpu=10)
    story.world.total["other"] = 61
    story.world.settle(150)


def an_operator_paused(story: Story) -> None:
    """Somebody paused the service at run time."""
    pause = Pause(story.world.clock.time, None, "ana@manager-1")
    assert SwarmPauses(story.world.engine).write(
        Pauses().with_pause("web", list(Direction), pause).labels(), None, ENOUGH
    )


def an_operator_scales(process: Process) -> None:
    """Somebody scales just before the write."""
    process.api.before("update", lambda: process.world.engine.operator_scale("web", 5))


def an_answer_is_lost(process: Process) -> None:
    """The write is carried out, and cannot be read back either."""
    process.api.after("update", raising(LOST))
    process.api.before("service", lambda: None, raising(LOST), raising(LOST))


def a_write_is_lost(process: Process) -> None:
    """The write does not arrive."""
    process.api.before("update", raising(LOST))


def a_write_is_late(process: Process) -> None:
    """The write is given up, and carried out later."""
    process.api.hold_up()


def a_write_is_met(process: Process) -> None:
    """The write is given up, and carried out just before the next one is."""
    process.api.hold_up()
    process.api.before("update", lambda: None, process.api.catch_up)


OTHER = policy_for("other", up_cooldown=UP, down_cooldown=DOWN)
BOUNDED = policy_for("web", least=3, most=5, up_cooldown=UP, down_cooldown=DOWN)
STUBBORN = CPU_HIGH.model_copy(update={"ineffective_after": 2})
STABLE = POLICY.model_copy(update={"scale_down": ScaleDown.model_construct(cooldown=DOWN, stabilization=60)})
SCENARIOS = {
    "a breach adds": Scenario([4], total=255),
    "a breach that goes on": Scenario([4, 5, 6, 7, 8, 9], total=600, lasts=480),
    "a breach that increases do not help": Scenario(
        [4, 5], policies=(policy_for("web", rules=(STUBBORN, CPU_LOW), up_cooldown=UP),), cpu=85
    ),
    "a calm removes": Scenario([2], total=61),
    "a calm that goes on": Scenario([4, 3, 2, 1], total=25, replicas=5, lasts=480),
    "a calm that must be stable": Scenario([2], total=61, policies=(STABLE,)),
    "too few": Scenario([3], total=150, replicas=1, policies=(BOUNDED,)),
    "too many": Scenario([5], total=250, replicas=8, policies=(BOUNDED,)),
    "two services": Scenario([4, 2], total=255, before=a_second_is_calm, policies=(POLICY, OTHER)),
    "paused": Scenario([], total=255, policies=(POLICY.model_copy(update={"paused": True}),)),
    "paused at run time": Scenario([], total=255, before=an_operator_paused),
    "a deploy lowered the count": Scenario([4], total=160, before=deployed),
    "a release lowered the count": Scenario([4], total=160, before=released),
    "a rollout": Scenario([4], total=255, before=being_released),
    "a rollback point to be saved": Scenario([4], total=255, before=updated),
    "an operator scales meanwhile": Scenario([], total=255, meanwhile=an_operator_scales),
    "an answer is lost": Scenario([4], total=255, meanwhile=an_answer_is_lost),
    "a write is lost": Scenario([4], total=255, meanwhile=a_write_is_lost),
    "a write is late": Scenario([4], total=255, meanwhile=a_write_is_late, late=9),
    "a write is later than the next one": Scenario([4], total=255, meanwhile=a_write_is_late, late=30),
    "a write is late while the next one is decided": Scenario([4], total=255, meanwhile=a_write_is_met),
    "the lease is given back": Scenario([4], total=255, stopped_after=9),
    "two of them": Scenario([4, 5, 6, 7, 8, 9], total=600, lasts=480, standby=True),
    "two of them, and a late write": Scenario([4], total=255, standby=True, meanwhile=a_write_is_late, late=30),
}


@pytest.mark.fault("killed")
@pytest.mark.fault("leader-dies")
@pytest.mark.fault("write-unanswered")
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_before_and_after_every_call(name: str) -> None:
    """Killed before or after any call, to Swarm or Prometheus, it takes the steps that it would have taken, each once.

    No step comes within its cooldown, none is taken back, nothing is removed on data that are not complete, nothing is
    written in a rollout, and the rollback point is kept.
    """
    scenario = SCENARIOS[name]
    whole = Story(scenario).tell()
    whole.judge()
    assert whole.counts == list(scenario.counts)

    for number, moment in enumerate(whole.moments, 1):
        kill(scenario, whole, number, moment, crashes=1)


@pytest.mark.fault("killed")
@pytest.mark.parametrize("name", ["a breach adds", "a calm removes", "a write is later than the next one"])
def test_killed_again_and_again(name: str) -> None:
    """Killed three times in a row at the same moment of its life, it does the same."""
    whole = Story(SCENARIOS[name]).tell()

    for number, moment in enumerate(whole.moments, 1):
        kill(SCENARIOS[name], whole, number, moment, crashes=3)


def kill(scenario: Scenario, whole: Story, number: int, moment: str, *, crashes: int) -> None:
    """Tell the *whole* story once more with crashes in it, and hold it to be the same."""
    story = Story(scenario, number, crashes).tell()
    try:
        story.judge()
        assert story.crashes == 0, "it was not killed"
        assert story.counts == whole.counts
        assert story.rollback_point == whole.rollback_point
    except AssertionError as error:
        raise AssertionError(f"killed {moment}, moment {number}: {error}") from error


def test_the_moments_are_all_there_are() -> None:
    """It is killed around all the calls that there are: the lease's, the lists, the queries, the write."""
    moments = {moment for scenario in SCENARIOS.values() for moment in Story(scenario).tell().moments}

    calls = {"services", "tasks", "nodes", "service", "update", "config", "create_config", "update_config"}
    queries = {"clock_offset", "fetch cpu", f"fetch {STARVATION}"}
    assert moments == {f"{side} {call}" for side in ("before", "after") for call in calls | queries}
