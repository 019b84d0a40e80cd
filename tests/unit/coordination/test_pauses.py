from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from autoscaler.adapters.docker.pauses import CONFIG
from autoscaler.coordination.pauses import ALL, LABEL, LONGEST_REASON, KnownPauses, Pause, PauseCell, Pauses
from autoscaler.core.model import Direction, Outcome
from autoscaler.core.reasons import Reason
from autoscaler.errors import RefusedError, UnreachableError
from autoscaler.util.deadline import Deadline
from tests.support.builders import NOW, STEP
from tests.support.world import World, only, policy_for, raising, said, settled_world

if TYPE_CHECKING:
    from autoscaler.policy.policy import Policy

UP, DOWN = Direction.UP, Direction.DOWN
PAUSE = Pause(NOW, NOW + 7200, "ana@manager-1", "database moves")
ENDLESS = Pause(NOW, None, "bob@manager-2")
SAID = (
    "paused by ana@manager-1 since 2027-01-15 08:00 UTC until 2027-01-15 10:00 UTC: database moves "
    "(autoscaler resume web)"
)
SAID_ENDLESS = "paused by bob@manager-2 since 2027-01-15 08:00 UTC (autoscaler resume)"


def paused(service: str = "web", *directions: Direction, pause: Pause = ENDLESS) -> Pauses:
    """One service paused."""
    return Pauses().with_pause(service, directions or tuple(Direction), pause)


def put(world: World, pauses: Pauses) -> None:
    """Let Swarm hold *pauses* and no others."""
    spec = {"Name": CONFIG, "Labels": pauses.labels(), "Data": "YQ=="}
    try:
        version = world.engine.config(CONFIG)["Version"]["Index"]
    except RefusedError:
        world.engine.create_config(spec)
    else:
        world.engine.update_config(CONFIG, version, spec)


# what holds


def test_a_pause_holds_its_service_and_no_other() -> None:
    """A pause holds what it names, and says by whom, since and until when, why, and how to end it."""
    pauses = paused("web", pause=PAUSE)

    assert pauses.holding("web", NOW) == {UP: SAID, DOWN: SAID}
    assert pauses.holding("api", NOW) == {}


def test_a_pause_of_one_direction_holds_no_other() -> None:
    """A pause of increases lets reductions pass, and the other way round."""
    assert paused("web", UP, pause=PAUSE).holding("web", NOW) == {UP: SAID}
    assert paused("web", DOWN, pause=PAUSE).holding("web", NOW) == {DOWN: SAID}


def test_a_pause_of_all_holds_each() -> None:
    """A pause of all services holds every service, beside that service's own."""
    pauses = paused(ALL).with_pause("web", [UP], PAUSE)

    assert pauses.holding("api", NOW) == {UP: SAID_ENDLESS, DOWN: SAID_ENDLESS}
    assert pauses.holding("web", NOW) == {UP: f"{SAID}; {SAID_ENDLESS}", DOWN: SAID_ENDLESS}


def test_a_pause_ends_by_itself() -> None:
    """At the moment when its time is up a pause holds nothing any more."""
    pauses = paused("web", pause=PAUSE)

    assert pauses.holding("web", NOW + 7199.9)
    assert not pauses.holding("web", NOW + 7200)
    assert pauses.lines(NOW + 7200) == ()


def test_what_is_paused_in_sentences() -> None:
    """A sentence for each service, that of all of them first, and for each direction where they differ."""
    pauses = paused(ALL).with_pause("web", [UP], PAUSE).with_pause("web", [DOWN], ENDLESS)

    assert pauses.lines(NOW) == (
        "all services: up and down paused by bob@manager-2 since 2027-01-15 08:00 UTC",
        "web: up paused by ana@manager-1 since 2027-01-15 08:00 UTC until 2027-01-15 10:00 UTC: database moves",
        "web: down paused by bob@manager-2 since 2027-01-15 08:00 UTC",
    )


# beginning and ending


@pytest.mark.parametrize(
    ("there", "new", "kept"),
    [
        pytest.param(PAUSE, ENDLESS, ENDLESS, id="without an end is longer"),
        pytest.param(ENDLESS, PAUSE, ENDLESS, id="and is not shortened"),
        pytest.param(
            PAUSE, replace(PAUSE, until=NOW + 7201, by="bob"), replace(PAUSE, until=NOW + 7201, by="bob"), id="longer"
        ),
        pytest.param(PAUSE, replace(PAUSE, until=NOW + 7200, by="bob"), PAUSE, id="as long"),
        pytest.param(ENDLESS, replace(ENDLESS, by="carla"), ENDLESS, id="both without an end"),
    ],
)
def test_a_pause_never_shortens_another(there: Pause, new: Pause, kept: Pause) -> None:
    """Of two pauses of one service that which lasts longer stays, and of two that last as long the first."""
    assert paused(pause=there).with_pause("web", tuple(Direction), new) == paused(pause=kept)


def test_a_pause_of_one_direction_leaves_the_other() -> None:
    """To pause increases ends no pause of reductions."""
    both = paused("web", DOWN, pause=PAUSE).with_pause("web", [UP], ENDLESS)

    assert both.of["web"] == {UP: ENDLESS, DOWN: PAUSE}


def test_without_a_service_the_others_stay() -> None:
    """To resume a service leaves the pauses of the others, and that of all."""
    pauses = paused("web").with_pause("api", tuple(Direction), PAUSE).with_pause(ALL, [UP], PAUSE)

    assert pauses.without("web") == Pauses({"api": {UP: PAUSE, DOWN: PAUSE}, ALL: {UP: PAUSE}})
    assert pauses.without("nobody") == pauses


def test_what_is_long_over_is_forgotten() -> None:
    """A pause is kept for an hour after its end, for the writer's clock may be ahead of the daemon's."""
    pauses = paused("web", UP, pause=PAUSE).with_pause("web", [DOWN], ENDLESS)

    assert pauses.pruned(NOW + 7200 + 3599) == pauses
    assert pauses.pruned(NOW + 7200 + 3600) == paused("web", DOWN)
    assert paused("web", UP, pause=PAUSE).pruned(NOW + 10800) == Pauses()


# labels


@pytest.mark.parametrize(
    "pauses",
    [
        Pauses(),
        paused(pause=PAUSE),
        paused("web", UP, pause=PAUSE),
        paused("web", UP, pause=PAUSE).with_pause("web", [DOWN], ENDLESS).with_pause(ALL, [DOWN], PAUSE),
        Pauses(damaged={"web": "?"}, foreign={"theirs": "1", "autoscaler.pause.": ""}),
    ],
)
def test_labels_say_the_same(pauses: Pauses) -> None:
    """What is read of the labels that pauses are written to is what they were; labels of others are kept."""
    assert Pauses.of_labels(pauses.labels()) == pauses


def test_a_label_can_be_read_by_people() -> None:
    """A service has one label, which names what both directions share only once."""
    assert paused(pause=PAUSE).labels() == {
        "autoscaler.pause.web": (
            '{"both":{"by":"ana@manager-1","reason":"database moves","since":1800000000,"until":1800007200}}'
        )
    }


WHOLE = {"since": NOW, "by": "ana"}
DAMAGED = [
    "",
    "?",
    "{}",
    "[]",
    "null",
    "1",
    '"up"',
    '{"up":null}',
    '{"up":{}}',
    "[" * 3000,
    json.dumps({"sideways": WHOLE}),
    json.dumps({"up": WHOLE, "sideways": WHOLE}),
    json.dumps({"up": WHOLE | {"since": True}}),
    json.dumps({"up": WHOLE | {"since": "now"}}),
    json.dumps({"up": WHOLE | {"since": -1}}),
    json.dumps({"up": WHOLE | {"until": float("nan")}}),
    json.dumps({"up": WHOLE | {"until": float("inf")}}),
    json.dumps({"up": WHOLE | {"until": 10**40}}),
    json.dumps({"up": WHOLE | {"until": []}}),
    json.dumps({"up": WHOLE | {"by": 1}}),
    json.dumps({"up": WHOLE | {"reason": {}}}),
    json.dumps({"up": WHOLE | {"reason": "x" * 5000}}),
]


@pytest.mark.fault("pauses-damaged")
@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_label_pauses_its_service(text: str) -> None:
    """A label that cannot be read pauses its service in both directions, says so, and stays as it is."""
    pauses = Pauses.of_labels({f"{LABEL}web": text, **paused("api", UP, pause=PAUSE).labels()})

    words = "paused, because the label autoscaler.pause.web cannot be read (autoscaler resume web)"
    assert pauses.holding("web", NOW + 1e9) == {UP: words, DOWN: words}
    assert pauses.lines(NOW)[1:] == ("web: up and down paused, because the label autoscaler.pause.web cannot be read",)
    assert pauses.of == {"api": {UP: PAUSE}}
    assert pauses.labels()[f"{LABEL}web"] == text
    assert pauses.with_pause("web", [UP], PAUSE) == pauses
    assert pauses.without("web") == paused("api", UP, pause=PAUSE)


def test_a_later_version_s_label_is_read() -> None:
    """What else a label says of a pause is no damage."""
    document = {"both": {"since": NOW, "by": "bob@manager-2", "ticket": 7}}

    assert Pauses.of_labels({f"{LABEL}web": json.dumps(document)}) == paused()


def test_what_people_write_stays_on_its_line() -> None:
    """A name and a reason are one line of bounded length, whoever wrote the label."""
    document = {"up": {"since": NOW, "by": "a\nb\x1b[31m", "reason": "x" * (LONGEST_REASON + 1)}}

    pause = Pauses.of_labels({f"{LABEL}web": json.dumps(document)}).of["web"][UP]

    assert (pause.by, len(pause.reason), pause.reason[-2:]) == ("a b [31m", LONGEST_REASON, "x…")


def test_what_a_label_is_called_stays_on_its_line() -> None:
    """A label of a name that no service can have is told on one line too."""
    assert Pauses.of_labels({f"{LABEL}a\nb": ""}).lines(NOW) == (
        "a b: up and down paused, because the label autoscaler.pause.a b cannot be read",
    )


# what an autoscaler knows


class Store:
    """A cell that can be lost."""

    def __init__(self, cell: PauseCell | None) -> None:
        self.cell = cell
        self.error: UnreachableError | None = None

    def look(self, deadline: Deadline) -> PauseCell | None:  # noqa: ARG002 - the port's signature
        """The cell."""
        if self.error:
            raise self.error
        return self.cell

    def write(self, *_: object) -> bool:
        """Nothing here writes."""
        raise AssertionError


def test_without_a_store_nothing_is_paused() -> None:
    """Where there is no Swarm, as in policy tests, there are no pauses at run time."""
    known = KnownPauses()

    assert (known.look(Deadline(1)), known.holding("web", NOW), known.lines(NOW)) == ("", {}, ())


def test_before_the_first_look_everything_is_held() -> None:
    """An autoscaler that could not read the pauses yet holds every service, and says what keeps it from reading."""
    store = Store(None)
    known = KnownPauses(store)
    store.error = UnreachableError("connection refused")

    assert known.look(Deadline(1)) == "connection refused"
    words = "this autoscaler could not read the pauses in Swarm since it was started: connection refused"
    assert known.holding("web", NOW) == {UP: words, DOWN: words}

    store.error = None
    assert (known.look(Deadline(1)), known.holding("web", NOW)) == ("", {})


def test_the_last_known_pauses_stay_in_force() -> None:
    """While the pauses cannot be read those that were read last hold, and end when their time is up."""
    store = Store(PauseCell(1, paused("web", pause=PAUSE).labels()))
    known = KnownPauses(store)
    known.look(Deadline(1))
    store.error = UnreachableError("connection refused")

    assert known.look(Deadline(1)) == "connection refused"
    assert known.holding("web", NOW + 7199) == {UP: SAID, DOWN: SAID}
    assert known.holding("web", NOW + 7200) == {}
    assert known.lines(NOW) != ()


# in an evaluation


@pytest.mark.fault("paused")
def test_a_paused_service_is_held() -> None:
    """Nothing is written to a service that is paused; the decision says what is wanted, by whom it is held, and why."""
    world = settled_world(cpu=90)
    put(world, paused("web", pause=PAUSE))

    record = only(world.next())

    assert said(record) == (Outcome.HELD, Reason.PAUSED, 3, 3)
    assert record.decision.primary.detail == f"wants 4; {SAID}"
    assert record.paused == {UP: SAID, DOWN: SAID}
    assert (world.replicas(), world.api.calls["update"]) == (3, 0)


def test_a_pause_is_told_of_where_nothing_is_wanted() -> None:
    """A paused service of which nothing is wanted is unchanged, and its record says that it is paused."""
    world = settled_world(cpu=50)
    put(world, paused(ALL, DOWN))

    evaluation = world.next()

    record = only(evaluation)
    assert said(record) == (Outcome.UNCHANGED, Reason.NO_BREACH, 3, 3)
    assert record.paused == {DOWN: SAID_ENDLESS}
    assert evaluation.paused == ("all services: down paused by bob@manager-2 since 2027-01-15 08:00 UTC",)


@pytest.mark.parametrize(
    ("policy", "replicas"),
    [
        pytest.param(policy_for("web", least=5), 3, id="minimum"),
        pytest.param(policy_for("web", most=2), 3, id="maximum"),
    ],
)
def test_a_pause_holds_bounds(policy: Policy, replicas: int) -> None:
    """A pause holds what bounds ask for."""
    world = settled_world(policy, replicas=replicas)
    put(world, paused())

    assert said(only(world.next())) == (Outcome.HELD, Reason.PAUSED, replicas, replicas)
    put(world, Pauses())
    assert only(world.next()).outcome is Outcome.APPLIED


def test_a_pause_holds_what_a_deploy_lowered() -> None:
    """A count that a deploy lowered is not set again while the service is paused, and is so afterwards."""
    world = settled_world(cpu=90)
    assert world.until_changed().outcome is Outcome.APPLIED
    world.load["web", "cpu"] = 50
    put(world, paused())
    world.settle(60)
    world.deploy(replicas=3)
    world.settle(60)

    assert said(only(world.next())) == (Outcome.HELD, Reason.PAUSED, 3, 3)
    put(world, Pauses())
    assert said(only(world.next())) == (Outcome.APPLIED, Reason.RESTORED_AFTER_DEPLOY, 3, 4)


def test_a_pause_lets_the_other_direction_pass() -> None:
    """A pause of reductions lets a service grow."""
    world = settled_world(cpu=90)
    put(world, paused("web", DOWN))

    assert said(only(world.next())) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)


def test_the_policy_s_pause_and_one_at_run_time_are_one_gate() -> None:
    """Where the policy and an operator pause the same, the reason is one, and names both."""
    policy = policy_for("web").model_copy(update={"paused": "up"})
    world = settled_world(policy, cpu=90)
    put(world, paused("web", pause=PAUSE))

    record = only(world.next())

    assert record.decision.primary.detail == f"wants 4; the policy says paused: up; {SAID}"
    assert record.paused == {UP: f"the policy says paused: up; {SAID}", DOWN: SAID}
    assert [why.reason for why in record.decision.reasons].count(Reason.PAUSED) == 1


@pytest.mark.fault("paused")
def test_a_pause_survives_a_restart() -> None:
    """What is paused is paused for the next autoscaler too, and for another one."""
    world = settled_world(cpu=90)
    put(world, paused())
    world.next()

    world.restart()

    assert said(only(world.next())) == (Outcome.HELD, Reason.PAUSED, 3, 3)


@pytest.mark.fault("paused")
def test_a_pause_that_is_over_holds_nothing() -> None:
    """When its time is up a pause lets pass what it held, without a write to the pauses."""
    world = settled_world(cpu=90)
    put(world, paused("web", pause=replace(PAUSE, until=world.clock.time + 2 * STEP)))

    outcomes = [only(evaluation).outcome for evaluation in world.run(2 * STEP)]

    assert outcomes == [Outcome.HELD, Outcome.APPLIED]
    assert world.api.calls["update_config"] == 0


@pytest.mark.fault("pauses-unreadable")
def test_pauses_that_cannot_be_read_hold() -> None:
    """While the pauses cannot be read, those read last hold; the evaluation meets a problem, and goes on."""
    world = settled_world(cpu=90)
    put(world, paused())
    world.next()
    world.api.before("config", raising(UnreachableError("connection refused")))

    evaluation = world.next()

    assert said(only(evaluation)) == (Outcome.HELD, Reason.PAUSED, 3, 3)
    assert [(problem.kind, problem.detail) for problem in evaluation.problems] == [("pauses", "connection refused")]
    assert evaluation.incomplete
    assert world.next().problems == ()


@pytest.mark.fault("pauses-unreadable")
def test_a_fresh_start_that_cannot_read_the_pauses_holds_everything() -> None:
    """An autoscaler that is forbidden to read the pauses scales nothing, and says what to allow."""
    world = settled_world(cpu=90)
    forbidden = RefusedError("the proxy forbids it")
    world.api.before("config", raising(forbidden))

    evaluation = world.next()

    record = only(evaluation)
    assert said(record) == (Outcome.HELD, Reason.PAUSED, 3, 3)
    cure = "let the autoscaler read the config autoscaler-pauses, through a socket proxy too"
    assert cure in record.decision.primary.detail
    assert cure in evaluation.problems[0].detail
    assert said(only(world.next())) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)


def test_a_dry_run_reads_pauses_and_writes_none() -> None:
    """A dry-run tells what a pause holds, as the daemon would."""
    world = settled_world(cpu=90, dry_run=True)
    put(world, paused())

    assert said(only(world.next())) == (Outcome.HELD, Reason.PAUSED, 3, 3)
    assert world.api.calls["update_config"] == world.api.calls["create_config"] == 0


def test_pauses_are_read_once() -> None:
    """An evaluation reads the pauses in one call, whatever they are and whatever is held, and lists nothing."""
    world = World(policy_for("*", name="all"))
    for number in range(5):
        world.service(f"s{number}", cpu=90)
    world.settle()
    put(world, paused("s1").with_pause(ALL, [DOWN], PAUSE))

    world.next()

    assert world.api.calls["config"] == 1


def test_when_a_pause_ends() -> None:
    """A direction is free again when the last of its pauses ends; nobody knows when if one of them has no end."""
    soon, late, endless = Pause(0, 100, "ana"), Pause(0, 200, "bob"), Pause(0, None, "eve")
    up, down = Direction.UP, Direction.DOWN
    pauses = Pauses({"web": {up: soon, down: soon}, ALL: {up: late, down: endless}})

    assert pauses.ends("web", 50) == {up: 200}
    assert pauses.ends("other", 50) == {up: 200}
    assert pauses.ends("web", 250) == {}
    assert Pauses({"web": {up: soon}}, damaged={"web": "?"}).ends("web", 50) == {}
