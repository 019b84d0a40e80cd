from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from autoscaler.core.model import History, Outcome
from autoscaler.core.reasons import Reason
from autoscaler.evaluation import survey
from autoscaler.policy.policy import Bounds
from autoscaler.policy_tests import run_file
from tests.support.builders import NOW, STEP, observation, steady, written
from tests.support.deciding import decide
from tests.support.policy_sets import entry, load, policies, problems
from tests.support.world import World, only, reasons, said, settled_world

if TYPE_CHECKING:
    from autoscaler.policy.policy import Policy

ROOT = Path(__file__).parents[3]

HIGH: dict[str, Any] = {"name": "high", "metric": "cpu", "above": 70, "for": "1m", "add": 1}
LOW: dict[str, Any] = {"name": "low", "metric": "cpu", "below": 30, "for": "1m", "remove": 1}
SLEEP: dict[str, Any] = {"name": "night", "start": "30 8 * * *", "end": "30 9 * * *", "min": 0, "max": 0}
"""NOW is 08:00, and a settled world is at 08:07:30."""
MINUTE = 60
UNTIL_NIGHT = 23 * MINUTE
"""From a settled world to a moment in the night."""


def sleeper(*rules: dict[str, Any], least: int = 2, **keys: Any) -> Policy:
    """A policy whose service sleeps from 08:30 to 09:30."""
    return written(*(rules or (HIGH, LOW)), least=least, most=10, **{"schedules": [SLEEP], **keys})


def asleep(policy: Policy | None = None, **options: Any) -> World:
    """A world at 08:31, whose service had 5 replicas until 08:30."""
    world = settled_world(policy or sleeper(), replicas=5, **options)
    world.run(UNTIL_NIGHT)
    assert world.replicas() == 0
    return world


# The night


def test_a_whole_night() -> None:
    """A service is set to 0 at the start, says nothing while it sleeps, and wakes to its min at the end."""
    world = settled_world(sleeper(), replicas=5)
    evening = world.until_changed()
    assert (said(evening), evening.decision.at) == ((Outcome.APPLIED, Reason.SCHEDULE_BOUNDS, 5, 0), NOW + 30 * MINUTE)
    assert evening.decision.primary.detail == "5 is above max 0 of the schedule night"

    night = [world.next() for _ in range(3600 // STEP - 1)]

    assert {said(only(evaluation)) for evaluation in night} == {(Outcome.UNCHANGED, Reason.SCHEDULE_BOUNDS, 0, 0)}
    assert {only(evaluation).decision.primary.detail for evaluation in night} == {
        "asleep until the schedule night ends"
    }
    assert {evaluation.problems for evaluation in night} == {()}
    assert {only(evaluation).decision.recommendations for evaluation in night} == {()}

    morning = only(world.next())

    assert (said(morning), morning.decision.at) == (
        (Outcome.APPLIED, Reason.BELOW_MIN, 0, 2),
        NOW + 90 * MINUTE,
    )
    world.load["web", "cpu"] = 90
    assert said(world.until_changed()) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 2, 3)


def test_it_wakes_to_the_bounds_of_the_schedule_that_follows() -> None:
    """The end of the night may be the start of a day with a min of its own."""
    day = {"name": "day", "start": "30 9 * * *", "end": "30 17 * * *", "min": 4}
    world = asleep(sleeper(schedules=[SLEEP, day]))
    woken = world.until_changed()
    assert (said(woken), woken.decision.at) == ((Outcome.APPLIED, Reason.SCHEDULE_BOUNDS, 0, 4), NOW + 90 * MINUTE)


@pytest.mark.parametrize("other", [{"min": 3}, {"min": 3, "max": 6}, {"min": 1, "max": 1}])
def test_another_schedule_with_a_min_keeps_it_awake(other: dict[str, int]) -> None:
    """Of several schedules in force the largest min counts, and the smallest max that is not below it."""
    more = {"name": "stocktaking", "start": SLEEP["start"], "end": SLEEP["end"], **other}
    policy = sleeper(schedules=[SLEEP, more])
    expected = Bounds(other["min"], other.get("max", 10), "stocktaking", "stocktaking" if "max" in other else "")
    assert policy.bounds(NOW + 40 * MINUTE) == expected


# Others


def test_a_scale_by_hand_in_the_night_is_corrected() -> None:
    """A scale above 0 is corrected as at any bound, and it is the schedule's end that wakes the service."""
    world = asleep()
    world.engine.operator_scale("web", 3)
    corrected = only(world.next())
    assert said(corrected) == (Outcome.APPLIED, Reason.SCHEDULE_BOUNDS, 3, 0)
    assert Reason.CHANGED_EXTERNALLY in reasons(corrected)
    assert said(world.until_changed()) == (Outcome.APPLIED, Reason.BELOW_MIN, 0, 2)


def test_what_an_operator_stopped_before_the_night_stays_stopped() -> None:
    """A service that somebody else had set to 0 stays at 0 after the night, and that is said in it."""
    world = settled_world(sleeper(), replicas=5)
    world.next()
    world.engine.operator_scale("web", 0)
    assert said(only(world.next())) == (Outcome.HELD, Reason.SCALED_TO_ZERO, 0, 0)
    night = only(world.run(UNTIL_NIGHT)[-1])
    assert said(night) == (Outcome.UNCHANGED, Reason.SCHEDULE_BOUNDS, 0, 0)
    assert night.decision.primary.detail == (
        "asleep until the schedule night ends; it stays at 0 after that, because somebody else set it to 0"
    )
    world.restart()
    assert said(only(world.run(90 * MINUTE)[-1])) == (Outcome.HELD, Reason.SCALED_TO_ZERO, 0, 0)


def test_a_restart_in_the_night_forgets_nothing() -> None:
    """The service's label tells who set it to 0."""
    world = asleep()
    world.restart()
    assert said(world.until_changed()) == (Outcome.APPLIED, Reason.BELOW_MIN, 0, 2)


@pytest.mark.parametrize("image", ["app:1", "app:2"])
def test_a_deploy_in_the_night_wakes_it_until_the_next_evaluation(image: str) -> None:
    """It sleeps on once what was deployed has settled; nothing is restored in the night or after it."""
    world = asleep()
    world.deploy(replicas=3, image=image)
    world.restart()
    assert said(world.until_changed()) == (Outcome.APPLIED, Reason.SCHEDULE_BOUNDS, 3, 0)
    assert said(world.until_changed()) == (Outcome.APPLIED, Reason.BELOW_MIN, 0, 2)
    assert {record.decision.desired for evaluation in world.run(600) for record in evaluation.records} == {2}


@pytest.mark.parametrize("deploys", [1, 2])
def test_a_deploy_of_the_live_count_in_the_night_does_not_stop_the_service(deploys: int) -> None:
    """A file that `autoscaler stack-file` filled in says 0 and drops the label: it was the autoscaler that set 0."""
    world = asleep()
    for number in range(deploys):
        world.deploy(replicas=0, image=f"app:{number + 2}")
        world.run(5 * MINUTE)
    assert said(world.until_changed()) == (Outcome.APPLIED, Reason.BELOW_MIN, 0, 2)


def test_a_deploy_of_0_over_an_operator_s_0_leaves_it_stopped() -> None:
    """What was not the autoscaler's before a deploy is not its own after it."""
    world = settled_world(sleeper(), replicas=5)
    world.next()
    world.engine.operator_scale("web", 0)
    world.next()
    world.deploy(replicas=0, image="app:2")
    world.run(90 * MINUTE)
    assert said(only(world.next())) == (Outcome.HELD, Reason.SCALED_TO_ZERO, 0, 0)


def test_a_count_that_a_deploy_lowered_is_not_restored_in_the_night_or_after_it() -> None:
    """The night settles it: the service wakes to its bounds."""
    world = settled_world(sleeper(), replicas=5, cpu=90)
    world.until_changed()
    world.load["web", "cpu"] = 50
    world.run(UNTIL_NIGHT - 3 * MINUTE - STEP)
    world.deploy(replicas=3, image="app:2")
    world.run(10 * MINUTE)
    assert world.replicas() == 0
    assert said(world.until_changed()) == (Outcome.APPLIED, Reason.BELOW_MIN, 0, 2)
    assert {record.decision.desired for evaluation in world.run(600) for record in evaluation.records} == {2}


def test_a_pause_holds_the_night_and_the_morning() -> None:
    """A pause is how an operator keeps a service awake."""
    policy = sleeper(paused="down")
    decision = decide(policy, observation(3, at=NOW + 40 * MINUTE), History())
    assert (decision.desired, decision.primary.reason) == (3, Reason.PAUSED)


# Data


def test_nothing_is_known_in_the_night_and_nothing_is_made_of_it() -> None:
    """A fallback does not act while the service sleeps, and its time begins in the morning."""
    policy = sleeper(fallback={"after": "10m", "replicas": 6})
    world = asleep(policy)
    world.prometheus.lose("web")
    night = world.run(3600 - 2 * MINUTE)
    assert {said(only(evaluation)) for evaluation in night} == {(Outcome.UNCHANGED, Reason.SCHEDULE_BOUNDS, 0, 0)}
    assert said(world.until_changed()) == (Outcome.APPLIED, Reason.BELOW_MIN, 0, 2)
    fell = world.until_changed()
    assert said(fell) == (Outcome.APPLIED, Reason.FALLBACK, 2, 6)
    assert fell.decision.at >= NOW + 90 * MINUTE + 9 * MINUTE


def test_check_live_looks_for_no_data_of_a_service_that_sleeps() -> None:
    """It names the service, and all is good."""
    world = asleep()
    found = survey.survey(world.cycle, world.policies)
    assert (found.good, found.readings, found.asleep) == (True, (), ("web",))


def test_a_dry_run_proposes_the_night_once_in_a_cooldown() -> None:
    """It repeats itself no more than with any other proposal, and asks for nothing in the morning."""
    world = settled_world(sleeper(scale_down={"cooldown": "30m"}), replicas=5, dry_run=True)
    night = [only(evaluation) for evaluation in world.run(UNTIL_NIGHT + 10 * MINUTE)]
    proposed = [record for record in night if record.outcome is Outcome.DRY_RUN]
    assert {record.decision.desired for record in proposed} == {0}
    assert [record.repeated for record in proposed].count(False) == 1
    assert world.replicas() == 5


def test_what_waits_for_room_does_not_keep_a_service_awake() -> None:
    """Replicas that are pending, failing or to be given back are set to 0 as well."""
    seen = observation(
        5,
        running=1,
        at=NOW + 40 * MINUTE,
        stuck=True,
        pending="no suitable node",
        unplaced_since=(NOW, NOW, NOW, NOW),
        windows={"cpu": steady(90.0)},
    )
    decision = decide(sleeper(scale_up={"give_back": "5m"}), seen, History(asked=0))
    assert (decision.desired, decision.primary.reason, decision.gives_back) == (0, Reason.SCHEDULE_BOUNDS, False)
    assert not decision.held


# Schedules without rules


def bare(*schedules: dict[str, Any], least: int = 2, most: int = 2, **keys: Any) -> Policy:
    """A policy that has schedules and no rules."""
    return written(least=least, most=most, schedules=list(schedules), **keys)


BUSY = {"name": "busy", "start": "30 8 * * *", "end": "30 9 * * *", "min": 6, "max": 6}


def test_schedules_alone_set_the_count() -> None:
    """Bounds are corrected at a window's start and at its end; between them nothing happens."""
    world = settled_world(bare(BUSY), replicas=2)
    before = only(world.next())
    assert said(before) == (Outcome.UNCHANGED, Reason.NO_BREACH, 2, 2)
    assert before.decision.primary.detail == "2 is within min 2 and max 2, and there are no rules"
    assert before.decision.judged

    start, end = world.until_changed(), world.until_changed()

    assert (said(start), start.decision.at) == ((Outcome.APPLIED, Reason.SCHEDULE_BOUNDS, 2, 6), NOW + 30 * MINUTE)
    assert (said(end), end.decision.at) == ((Outcome.APPLIED, Reason.ABOVE_MAX, 6, 2), NOW + 90 * MINUTE)


def test_schedules_alone_need_no_prometheus() -> None:
    """It is not asked, and its loss is no problem."""
    world = settled_world(bare(BUSY), replicas=2)
    moments: list[str] = []
    world.source.at = moments.append
    evaluations = world.run(UNTIL_NIGHT)
    assert moments == []
    assert {evaluation.problems for evaluation in evaluations} == {()}
    assert world.replicas() == 6
    assert survey.survey(world.cycle, world.policies).good


def test_the_same_set_still_asks_for_others() -> None:
    """A service with rules beside one without has its data."""
    world = World(bare(BUSY), written(HIGH, least=1, most=5, name="api", services=["api"]))
    world.service("web", 2)
    world.service("api", 2, cpu=90)
    world.settle()
    assert {record.decision.service: record.decision.desired for record in world.next().records} == {"web": 2, "api": 3}


def test_a_fallback_does_not_act_without_rules() -> None:
    """Where nothing can lack data there is nothing to fall back from."""
    policy = bare(BUSY, most=9, fallback={"after": "10m", "replicas": 9})
    decision = decide(policy, observation(2, at=NOW + 3 * 3600), History(judged_at=NOW - 3600))
    assert (decision.desired, decision.held) == (2, False)


@pytest.mark.parametrize("rules", ["", ", rules: []"])
def test_a_policy_with_neither_rules_nor_schedules_is_an_error(tmp_path: Path, rules: str) -> None:
    """It would say nothing but bounds, and a service has a count for that."""
    text = policies(f"name: a, services: [a], replicas: {{min: 1, max: 5}}{rules}")
    (found,) = problems(tmp_path, a=text)
    assert found == (
        "a.yml:3:5: policies[0]: a policy needs rules, or at least one schedule "
        "(add rules: [{name: cpu-high, metric: cpu, above: 70, for: 5m, add: 1}], or schedules)"
    )
    schedule = 'schedules: [{name: day, start: "0 8 * * *", end: "0 18 * * *", min: 2}]'
    (policy,) = load(tmp_path, a=text.replace("replicas:", f"{schedule}, replicas:")).policies
    assert policy.rules == ()


# Errors


@pytest.mark.parametrize("rules", ["", "{name: high, metric: cpu, above: 70, add: 1}"])
def test_sleep_needs_no_rule_that_wakes(tmp_path: Path, rules: str) -> None:
    """The end of the window wakes the service, if the min is then 1 or more."""
    night = 'schedules: [{name: night, start: "0 22 * * *", end: "0 6 * * *", min: 0, max: 0}]'
    text = policies(entry("a", "[a]", f", {night}", rules=rules))
    assert load(tmp_path, a=text)
    (found,) = problems(tmp_path, a=text.replace("min: 1, max: 5", "min: 0, max: 5"))
    assert "policies[0].replicas.min: min is 0, but no rule could wake the service" in found
    (found,) = problems(tmp_path, a=text.replace("min: 0, max: 0", "min: 0, max: 3"))
    assert "policies[0].schedules[0].min: min is 0, but no rule could wake the service" in found


def test_a_max_of_0_is_not_sleep_by_itself(tmp_path: Path) -> None:
    """Both are to be said, so that nobody stops a service by a slip."""
    night = 'schedules: [{name: night, start: "0 22 * * *", end: "0 6 * * *", max: 0}]'
    (found,) = problems(tmp_path, a=policies(entry("a", "[a]", f", {night}")))
    assert "max 0 would stop the service (give min: 0 as well to let it sleep, or a max of 1 or more)" in found


# The recipes


def test_the_recipes_do_what_they_say() -> None:
    """policies/tests/schedules.yml proves the recipes of docs/policies.md."""
    results = run_file(ROOT / "policies" / "tests" / "schedules.yml")
    assert [str(failure) for result in results for failure in result.failures] == []
    recipes = (ROOT / "docs" / "policies.md").read_text()
    tested = yaml.safe_load((ROOT / "policies" / "tests" / "schedules.yml").read_text())["policies"]["policies"]
    shown = [
        yaml.safe_load(block) for block in re.findall(r"^```yaml\n(version.*?)^```", recipes, re.MULTILINE | re.DOTALL)
    ]
    assert all(any(policy in each["policies"] for each in shown) for policy in tested)
