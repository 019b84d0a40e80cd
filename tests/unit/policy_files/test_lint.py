from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autoscaler.core.model import History, ScaleEvent
from autoscaler.core.window import Window
from autoscaler.policy.metric import with_built_in
from autoscaler.policy.policy import PolicySet
from autoscaler.policy_files import lint as advice
from autoscaler.policy_files import loader
from autoscaler.policy_files.diagnostic import MAX_PROBLEMS
from autoscaler.policy_files.lint import LintId
from autoscaler.policy_files.lint.played import Effort, flaps
from autoscaler.policy_files.yaml_document import read
from autoscaler.swarm.history import KEPT_EVENTS, prune
from tests.support.builders import NOW, observation, window, written
from tests.support.deciding import decide
from tests.support.policy_sets import entry, load, policies

ROOT = Path(__file__).parents[3]

LOW = "{name: low, metric: cpu, below: 50, for: 10m, remove: 1}"
HIGH = "{name: high, metric: cpu, above: 70, for: 5m, add: 1}"
LESS = "{name: less, metric: memory, below: 20, for: 5m, remove: 1}"
TARGET = "{name: target, metric: cpu, strategy: target, target: 60}"
NIGHT = 'start: "0 22 * * *", end: "0 6 * * *"'
OFFICE = 'start: "0 8 * * mon-fri", end: "0 18 * * mon-fri"'


def warnings(
    *rules: str, replicas: str = "{min: 1, max: 10}", more: str = "", metrics: str = "", step: int = 15
) -> list[str]:
    """What is doubtful about a policy of *rules*, and *more* keys, in a file with *metrics*."""
    head = f"name: a, services: [a]{more}, replicas: {replicas}"
    loaded, problems = loader.from_document(read(policies(f"{head}, rules: [{', '.join(rules)}]") + metrics, "a.yml"))
    assert problems == []
    assert loaded is not None
    return [without_id(str(warning)) for warning in loaded.warnings(step)]


def without_id(warning: str) -> str:
    """Return *warning* without the id in brackets that each one ends with."""
    text, id_ = re.fullmatch(r"(.*) \[([a-z-]+)\]", warning, re.DOTALL).groups()  # type: ignore[union-attr]
    assert id_ in set(LintId)
    return text


def placeless(*rules: str, **others: Any) -> list[str]:
    """The same without file, line and column, and without the policy's path."""
    return [re.sub(r"^a\.yml:\d+:\d+: (policies\[0\]\.)?", "", told) for told in warnings(*rules, **others)]


def told(*rules: str, **others: Any) -> str:
    """The one warning that *rules* and *others* give."""
    (warning,) = placeless(*rules, **others)
    return warning


@pytest.mark.parametrize("path", ["policies", "policies/companies", "autoscaler/simulation/demo.yml"])
def test_the_shipped_policies_give_no_warning(path: str) -> None:
    """What we ship is an example of what is right."""
    assert loader.read_policies([ROOT / path]).warnings(15) == []


# Flaps of two thresholds


def test_a_pair_that_must_flap_is_told_with_the_numbers() -> None:
    """With `below: 50, remove: 1` and `above: 70` on a per-replica average, 2 → 1 replicas turns 49 into 98."""
    assert warnings(LOW, HIGH, more=", flap_guard: false") == [
        (
            "a.yml:3:118: policies[0].rules[0].below: the rule must flap with high: at 2 replicas a cpu of 49 becomes "
            "98 at 1, above 70 (write below: 35 or less, or above: 100 or more)"
        )
    ]


@pytest.mark.parametrize(
    ("replicas", "low", "high"),
    [
        pytest.param("{min: 3, max: 10}", LOW.replace("50", "30"), HIGH, id="the guide's backend: 4 to 3, 30 to 40"),
        pytest.param("{min: 2, max: 5}", LOW.replace("50", "30"), HIGH, id="the guide's frontend: 3 to 2, 30 to 45"),
        pytest.param("{min: 1, max: 2}", LOW.replace("50", "30"), HIGH, id="the guide's PgBouncer: 2 to 1, 30 to 60"),
        pytest.param("{min: 1, max: 2}", LOW.replace("50", "35"), HIGH, id="35 doubled is not above 70"),
        pytest.param("{min: 3, max: 10}", LOW, HIGH, id="4 to 3: 50 to 66.7"),
        pytest.param("{min: 1, max: 9}", LOW, HIGH.replace("cpu", "memory"), id="two metrics"),
        pytest.param(
            "{min: 1, max: 9}",
            LOW.replace("cpu", "memory"),
            HIGH.replace("cpu", "memory"),
            id="memory stays where it is",
        ),
    ],
)
def test_a_pair_that_need_not_flap_is_not(replicas: str, low: str, high: str) -> None:
    """Only what must flap is a warning."""
    assert warnings(low, high, replicas=replicas) == []


@pytest.mark.parametrize(
    ("replicas", "low", "numbers"),
    [
        ("{min: 1, max: 10}", LOW.replace("50", "36"), "a cpu of just under 36 becomes just under 72 at 1"),
        ("{min: 2, max: 10}", LOW, "at 3 replicas a cpu of 49 becomes 73.5 at 2"),
        ("{min: 3, max: 10}", LOW.replace("remove: 1", "remove: 2"), "at 5 replicas a cpu of 49 becomes 81.67 at 3"),
        (
            "{min: 3, max: 4}",
            LOW.replace("50", "60").replace("1}", "9}"),
            "at 4 replicas a cpu of 59 becomes 78.67 at 3",
        ),
        ("{min: 2, max: 10}", LOW.replace("remove: 1", 'remove: "50%"'), "at 4 replicas a cpu of 49 becomes 98 at 2"),
        (
            "{min: 1000, max: 10000}",
            LOW.replace("remove: 1", 'remove: "33%"'),
            "at 1500 replicas a cpu of 49 becomes 73.13 at 1005",
        ),
        ("{min: 0, max: 10}", LOW, "at 2 replicas a cpu of 49 becomes 98 at 1"),
    ],
)
def test_the_numbers_are_those_of_the_steepest_removal(replicas: str, low: str, numbers: str) -> None:
    """A removal goes no further than min, and the worst one counts."""
    wakes = "{name: wakes, metric: queue, above: 1, add: 1}"
    metrics = "metrics: {queue: {query: 'sum(queue)'}}\n"
    assert numbers in told(low, HIGH, wakes, replicas=replicas, metrics=metrics)


@pytest.mark.parametrize(
    ("replicas", "low", "guarded"),
    [
        ("{min: 1, max: 10}", LOW, "the rule would flap with high: {}; the flap guard holds this removal ("),
        ("{min: 1, max: 10}", LOW.replace("remove: 1", "remove: 4"), "{}; the flap guard removes only down to 4 ("),
    ],
)
def test_what_the_flap_guard_makes_of_it_is_told(replicas: str, low: str, guarded: str) -> None:
    """The removal is held, or shrinks to the largest safe one; a warning it is all the same."""
    without = told(low, HIGH, replicas=replicas, more=", flap_guard: false")
    example = without[without.index("at ") : without.index(" (")]
    assert guarded.format(example) in told(low, HIGH, replicas=replicas)


def test_limits_make_a_removal_less_steep() -> None:
    """What a limit forbids is not removed at once."""
    halves = LOW.replace("remove: 1", 'remove: "50%"')
    limit = ", scale_down: {limits: [{replicas: 1, per: 5m}]}"
    assert "at 6 replicas a cpu of 49 becomes 98 at 3" in told(halves, HIGH, replicas="{min: 3, max: 9}")
    assert warnings(halves, HIGH, replicas="{min: 3, max: 9}", more=limit) == []


def test_bounds_that_schedules_give_count() -> None:
    """A schedule that lowers min allows a steeper removal; one without that is never in force without another."""
    night = f", schedules: [{{name: night, {OFFICE}, min: 1}}]"
    assert warnings(LOW, HIGH, replicas="{min: 3, max: 10}") == []
    assert "at 2 replicas" in told(LOW, HIGH, replicas="{min: 3, max: 10}", more=night)
    by_turns = (
        ', schedules: [{name: day, start: "0 8 * * *", end: "0 18 * * *", min: 4}'
        ', {name: night, start: "0 18 * * *", end: "0 8 * * *", min: 3}]'
    )
    assert "at 2 replicas" in told(LOW, HIGH)
    assert warnings(LOW, HIGH, more=by_turns) == []


@pytest.mark.parametrize(
    "more",
    [
        ", scale_up: {select: disabled}",
        ", scale_down: {select: disabled}",
        ", guards: [{name: g, metric: cpu, above: 70, block: up}]",
        ", guards: [{name: g, metric: cpu, below: 60, block: down}]",
    ],
)
def test_what_the_policy_forbids_does_not_flap(more: str) -> None:
    """No flap without both a removal and an increase."""
    assert not any("flap" in warning for warning in warnings(LOW, HIGH, more=more))


def test_a_guard_that_comes_too_late_or_watches_something_else_forbids_no_flap() -> None:
    """A guard forbids a flap only where it surely blocks by then."""
    late = ", guards: [{name: g, metric: cpu, above: 70, for: 6m, block: up}]"
    other = ", guards: [{name: g, metric: memory, above: 70, block: up}]"
    assert "flap" in told(LOW, HIGH, more=late)
    assert "flap" in told(LOW, HIGH, more=other)


def test_a_rule_that_fires_later_does_not_prevent_a_flap() -> None:
    """The rule that adds at once for such a value is not asked yet when the one that removes fires."""
    low, high = LOW.replace("10m", "1m").replace("50", "90"), HIGH
    assert "at 2 replicas a cpu of 89 becomes 178 at 1, above 70" in told(low, high)


def test_values_at_which_a_rule_adds_anyway_are_no_example() -> None:
    """The largest value below both bounds is."""
    low, high = LOW.replace("50", "90").replace("10m", "5m"), HIGH.replace("70", "40")
    assert "at 2 replicas a cpu of 39 becomes 78 at 1, above 40" in told(low, high)


def test_the_rules_of_a_group_must_agree_to_flap() -> None:
    """A rule removes only where its group does."""
    low = LOW.replace("50", "60").replace("}", ", group: idle}")
    idle = LOW.replace("name: low", "name: idle").replace("50", "20").replace("}", ", group: idle}")
    assert "with high" in told(LOW.replace("50", "60"), HIGH)
    assert warnings(low, idle, HIGH) == []


# Flaps of other strategies


def test_a_step_that_removes_too_much_is_told_at_its_place() -> None:
    """Each removing interval against each adding bound; one may be right and another wrong."""
    low = (
        "{name: low, metric: cpu, strategy: steps, below: 40, "
        "steps: [{upper: -30, remove: 4}, {lower: -30, upper: 0, remove: 2}]}"
    )
    assert told(low, HIGH, replicas="{min: 2, max: 10}") == (
        "rules[0].steps[1].remove: the rule would flap with high: at 4 replicas a cpu of 39 becomes 78 at 2, above 70; "
        "the flap guard removes only down to 3 "
        "(remove fewer replicas, or at lower values, or let high add only above 80)"
    )
    assert warnings(low.replace("remove: 2", "remove: 1"), HIGH, replicas="{min: 2, max: 10}") == []


def test_steps_that_add_and_counts_that_steps_give_are_played_as_well() -> None:
    """Percentages, minimum, exactly."""
    high = "{name: high, metric: cpu, strategy: steps, above: 70, steps: [{lower: 0, exactly: 5}]}"
    low = LOW.replace("remove: 1", 'remove: "50%"').replace("50,", "40,")
    assert "with high: at 2 replicas a cpu of 39 becomes 78 at 1, above 70" in told(low, high)
    assert warnings(low, high.replace("exactly: 5", "exactly: 1")) == []
    minimum = '{name: low, metric: cpu, strategy: steps, below: 40, steps: [{upper: 0, remove: "10%", minimum: 3}]}'
    assert "at 6 replicas a cpu of 39 becomes 78 at 3, above 70" in told(minimum, HIGH, replicas="{min: 3, max: 9}")
    assert warnings(minimum.replace("3}]", "2}]"), HIGH, replicas="{min: 3, max: 9}") == []
    exactly = "{name: low, metric: cpu, strategy: steps, below: 40, steps: [{upper: 0, exactly: 2}]}"
    assert "rules[0].steps[0].exactly: the rule would flap with high: at 9 replicas" in told(
        exactly, HIGH, replicas="{min: 2, max: 9}"
    )
    assert warnings(exactly, HIGH, replicas="{min: 2, max: 3}") == []


def test_a_target_flaps_with_a_bound_below_it() -> None:
    """A target removes until the others carry what it says; it does not flap with itself."""
    high = HIGH.replace("70", "55")
    assert told(TARGET, high) == (
        "rules[0].target: the rule would flap with high: at 2 replicas a cpu of 29 becomes 58 at 1, above 55; "
        "the flap guard holds this removal (write target: 55 or less, or let high add only above 60)"
    )
    assert warnings(TARGET, high.replace("55", "60")) == []
    assert warnings(TARGET) == []


def test_a_target_holds_the_removals_that_would_flap_with_it() -> None:
    """At 2 replicas with 49 each a target of 60 asks for 2, and the largest count asked for counts."""
    assert warnings(LOW, TARGET) == []
    rules = (
        {"name": "low", "metric": "cpu", "below": 50, "remove": 1},
        {"name": "target", "metric": "cpu", "strategy": "target", "target": 60},
    )
    decision = decide(written(*rules, flap_guard=False), observation(2, windows={"cpu": window([49.0])}), History())
    assert decision.desired == 2


def test_a_table_on_a_load_that_moves_flaps_with_itself() -> None:
    """Its rows are for what does not depend on the count."""
    table = "{name: rows, metric: cpu, strategy: table, table: {0: 2, 50: 4}}"
    assert told(table, replicas="{min: 1, max: 4}") == (
        "rules[0].table: the rule must flap with itself: at 4 replicas a cpu of 49 becomes 98 at 2, "
        "for which rows asks for more "
        "(use a metric that does not rise when replicas are removed, or strategy: target)"
    )
    assert warnings(table.replace("cpu", "memory")) == []


REMOVALS: Any = st.sampled_from([{"remove": 1}, {"remove": 3}, {"remove": "25%"}, {"remove": "60%"}])
ADDITIONS: Any = st.sampled_from([{"add": 1}, {"add": 3}, {"add": "50%"}])
EXACTLY: Any = st.integers(1, 8).map(lambda count: {"exactly": count})
BOUNDS = st.integers(1, 12).map(lambda tens: tens * 10)
ANY_RULE: Any = st.one_of(
    st.builds(lambda below, step: {"below": below, **step}, BOUNDS, REMOVALS),
    st.builds(lambda above, step: {"above": above, **step}, BOUNDS, ADDITIONS),
    st.builds(
        lambda target, tolerance: {"strategy": "target", "target": target, "tolerance": tolerance},
        BOUNDS,
        st.sampled_from(["0%", "10%", "30%"]),
    ),
    st.builds(
        lambda below, width, far, near: {
            "strategy": "steps",
            "below": below,
            "steps": [{"upper": -width, **far}, {"lower": -width, "upper": 0, **near}],
        },
        BOUNDS,
        st.integers(1, 30),
        REMOVALS | EXACTLY,
        REMOVALS | EXACTLY,
    ),
    st.builds(
        lambda above, width, near, far: {
            "strategy": "steps",
            "above": above,
            "steps": [{"lower": 0, "upper": width, **near}, {"lower": width, **far}],
        },
        BOUNDS,
        st.integers(1, 30),
        ADDITIONS | EXACTLY,
        ADDITIONS | EXACTLY,
    ),
    st.builds(
        lambda rows: {"strategy": "table", "table": rows},
        st.dictionaries(BOUNDS, st.integers(1, 9), min_size=1, max_size=3),
    ),
)


@settings(deadline=None)
@given(
    st.lists(ANY_RULE, min_size=1, max_size=3),
    st.integers(1, 4),
    st.integers(1, 6),
    st.sampled_from([(), ({"replicas": 2, "per": "1m"},), ({"percent": 50, "per": "1m"},)]),
)
@example(
    [
        {"strategy": "target", "target": 90, "tolerance": "30%"},
        {
            "strategy": "steps",
            "below": 80,
            "steps": [{"upper": -2, "remove": 1}, {"lower": -2, "upper": 0, "exactly": 5}],
        },
    ],
    4,
    1,
    (),
)
def test_the_flap_check_tells_what_a_simulation_would(
    parts: list[dict[str, Any]], least: int, more: int, limits: tuple[dict[str, Any], ...]
) -> None:
    """What is told flaps as told; where nothing is told no count flaps, at no value but one that hits a bound exactly.

    A target without a tolerance then leaves each replica just what a table's row or a step begins with.
    """
    rules = [{"name": f"r{index}", "metric": "cpu", **part} for index, part in enumerate(parts)]
    down = {"limits": list(limits)}
    policy = written(*rules, least=least, most=least + more, flap_guard=False, scale_down=down)

    def desired(count: int, value: float) -> int:
        moving = Window(15, NOW, (value,), redistributes=True)
        return decide(policy, observation(count, windows={"cpu": moving}), History()).desired

    found = flaps(policy, with_built_in({}), Effort(1_000_000))
    for flap in found:
        value = flap.bound - (1 if flap.rounder else 1e-7)
        assert desired(flap.before, value) == flap.after < flap.before
        assert desired(flap.after, value * flap.before / flap.after) > flap.after
    if not found:
        for count in range(least + 1, least + more + 1):
            for whole in range(130):
                value = whole + 0.513  # of no count up to ten is this a share of a multiple of ten
                left = desired(count, value)
                assert left >= count or desired(left, value * count / left) <= left


def test_a_flap_between_large_bounds_is_found() -> None:
    """Not every count is played, and yet the worst one: a percentage of a large count, or a count of a small one."""
    for step, before, after in (('"50%"', 200, 100), ("5000", 5001, 1), ("1", 2, 1), ('"1%"', 2, 1)):
        low = LOW.replace("50", "36").replace("remove: 1", f"remove: {step}")
        least = "100" if step == '"50%"' else "1"
        assert f"at {before} replicas" in told(low, HIGH, replicas=f"{{min: {least}, max: 10000}}")
        assert f" at {after}, above 70" in told(low, HIGH, replicas=f"{{min: {least}, max: 10000}}")


# Windows


# Rules that size


@pytest.mark.parametrize(
    ("way", "cooldown", "late", "cure"),
    [
        ("scale_up", "1m", "too few replicas", "3m holds relative steps, and such counts only after"),
        (
            "scale_down",
            "10m",
            "more replicas than it needs",
            "5m holds relative steps, and such counts only after",
        ),
    ],
)
def test_a_cooldown_that_ruins_a_rule_that_sizes_is_told(way: str, cooldown: str, late: str, cure: str) -> None:
    """A written cooldown on a `target` is told with its length, its effect and the cure."""
    instead = "; for slower reductions write stabilization: 5m" if way == "scale_down" else ""

    assert told(TARGET, more=f", {way}: {{cooldown: {cooldown}}}") == (
        f"{way}.cooldown: target sizes the service for its load, but this cooldown delays each correction by up to "
        f"{cooldown} after a change; if the load changes meanwhile, the service has {late} "
        f"(remove it; the default of {cure} a change by somebody else{instead})"
    )


@pytest.mark.parametrize(
    ("rules", "more"),
    [
        pytest.param([TARGET], "", id="unwritten"),
        pytest.param([TARGET], ", scale_up: {cooldown: 0s}, scale_down: {cooldown: 0s}", id="written as none"),
        pytest.param([TARGET], ", scale_down: {stabilization: 10m}", id="a stabilization"),
        pytest.param([HIGH], ", scale_up: {cooldown: 10m}", id="no rule that sizes"),
    ],
)
def test_a_cooldown_that_ruins_nothing_is_not(rules: list[str], more: str) -> None:
    """What is unwritten, or 0s, or holds only relative steps, gives no warning."""
    assert placeless(*rules, more=more) == []


def test_a_cooldown_of_the_defaults_is_told_at_its_place() -> None:
    """A cooldown that `defaults` write for a `target` is told as well."""
    text = policies(f"name: a, services: [a], replicas: {{min: 1, max: 10}}, rules: [{TARGET}]")
    loaded, _ = loader.from_document(read(f"{text}defaults: {{scale_up: {{cooldown: 2m}}}}\n", "a.yml"))
    assert loaded is not None

    (warning,) = map(str, loaded.warnings(15))

    assert "this cooldown delays each correction by up to 2m" in warning


Q = "{name: q, metric: q, strategy: target, target: 100000}"


@pytest.mark.parametrize(
    ("metric", "what"),
    [
        ("query: sum(q)", "q is one value for all replicas"),
        ("query: max(q)", "q is one value for all replicas"),
        ("query: 'sum(q{s=\"$service\"})'", "q is a sum over all replicas of a service"),
        ("query: 'sum by (s) (rate(q[1m]))', by: s", "q is a sum over all replicas of a service"),
        ("query: count(q) by (s), by: s", "q is a sum over all replicas of a service"),
    ],
)
def test_a_total_that_a_target_takes_for_an_average_is_told(metric: str, what: str) -> None:
    """A target on one value, or on a sum, without `kind` counts the load again with each replica: told with numbers."""
    assert told(Q, metrics=f"metrics: {{q: {{{metric}}}}}\n") == (
        f"rules[0].metric: {what}, and without kind a target treats it as an average per replica: 200000 at 1 replica "
        "asks for 2, and still 200000 at 2 replicas for 4, and so on (write kind: total in the metric q, or "
        "kind: average if each replica has this value)"
    )


@pytest.mark.parametrize(
    ("metric", "rule"),
    [
        pytest.param("query: sum(q), kind: total", Q, id="a total that says so"),
        pytest.param("query: sum(q), kind: average", Q, id="an average that says so"),
        pytest.param("query: avg by (s) (q), by: s", Q, id="an average by its query"),
        pytest.param("query: sum by (s) (q) / count by (s) (q), by: s", Q, id="a quotient"),
        pytest.param("query: 'sum by (s, t) (q)', by: s, task: t", Q, id="tasks, which are averaged"),
        pytest.param("query: sum(q)", "{name: q, metric: q, above: 5, for: 1m, add: 1}", id="a threshold"),
    ],
)
def test_a_metric_that_says_what_it_is_gives_no_warning(metric: str, rule: str) -> None:
    """With `kind`, with an average by its query or its tasks, and for other strategies there is nothing to warn of."""
    assert placeless(rule, metrics=f"metrics: {{q: {{{metric}}}}}\n") == []


PEAK = "metrics: {q: {query: 'max_over_time(sum(rate(q[1m]))[5m:])', kind: total}}\n"
QUEUED = "{name: high, metric: q, above: 70, for: 1m, add: 1}"


def test_a_range_longer_than_the_cooldown_is_told() -> None:
    """A rule that looks back further than its cooldown acts again on the same load: told with both lengths."""
    assert told(QUEUED, metrics=PEAK, more=", scale_up: {cooldown: 30s}") == (
        "rules[0].metric: q looks back 5m, longer than the cooldown up of 30s, so it still shows the load before a "
        "change, and the rule may act on that load again "
        "(look back 30s or less, or give scale_up a cooldown of 5m or more)"
    )
    unwritten = Q.replace("100000", "100")
    average = "metrics: {q: {query: 'max_over_time(q[5m])', by: s}}\n"
    assert told(unwritten, metrics=average) == (
        "rules[0].metric: q looks back 5m, longer than 3m after a change, so it still shows the load before a "
        "change, and the rule may act on that load again (look back 3m or less)"
    )


@pytest.mark.parametrize(
    ("rule", "metrics", "more"),
    [
        pytest.param(QUEUED, PEAK, ", scale_up: {cooldown: 5m}", id="as long as the cooldown"),
        pytest.param(Q, PEAK, "", id="a target on a total, which more replicas leave as it is"),
        pytest.param("{name: t, metric: q, strategy: table, table: {1: 2, 9: 4}}", PEAK, "", id="a table"),
        pytest.param(LOW, "metrics: {q: {query: 'q[9h]'}}\n", "", id="the built-in metrics"),
        pytest.param("{name: low, metric: q, below: 7, for: 1m, remove: 1}", PEAK, "", id="the other way"),
    ],
)
def test_a_range_that_the_cooldown_outlasts_is_not(rule: str, metrics: str, more: str) -> None:
    """Where the range is no longer than the cooldown, or what is old is not counted again, nothing is told."""
    assert [said for said in placeless(rule, metrics=metrics, more=more) if "looks back" in said] == []


def test_a_window_shorter_than_two_steps_is_told() -> None:
    """A `for` that few samples cover says little."""
    rule = "{name: r, metric: memory, above: 80, for: 29s, add: 1}"
    assert warnings(rule, replicas="{min: 1, max: 2}") == [
        (
            "a.yml:3:108: policies[0].rules[0].for: 29s is shorter than two window steps of 15s, so one odd sample may "
            "decide (give at least 30s, or a smaller interval)"
        )
    ]
    assert warnings(rule.replace("29s", "30s")) == []
    assert warnings(rule.replace("29s", "0s")) == []
    assert len(warnings(rule.replace("29s", "119s"), step=60)) == 1


def test_a_metric_and_a_guard_have_window_steps_of_their_own() -> None:
    """Per metric step, guards too."""
    metrics = "metrics: {slow: {query: 'sum(x)', step: 1m}}\n"
    rule = "{name: r, metric: slow, above: 80, for: 90s, add: 1}"
    guard = ", guards: [{name: g, metric: slow, above: 90, for: 119s, block: both}]"
    assert "1m30s is shorter than two window steps of 1m," in told(rule, metrics=metrics)
    assert told(rule.replace("90s", "2m"), metrics=metrics, more=guard).startswith("guards[0].for: 1m59s is shorter")
    assert warnings(rule.replace("90s", "2m"), metrics=metrics, more=guard.replace("119s", "2m")) == []


# Rules that never decide

MORE = "{name: more, metric: memory, above: 80, for: 5m, add: 1}"
FEWER = "{name: fewer, metric: memory, below: 30, for: 10m, remove: 1}"


def test_a_rule_that_another_always_outdoes_is_told() -> None:
    """Of two increases the larger one counts, so that the rule that fires later and adds no more never decides."""
    late = MORE.replace("more", "late").replace("80", "90")
    assert told(MORE, late) == (
        "rules[1]: the rule never decides, because memory above 90 for 5m is also above 80 for 5m, and then "
        "more adds 1 "
        "(remove one of the two, or let late add more)"
    )
    assert warnings(MORE, late.replace("add: 1", "add: 2")) == []
    assert warnings(MORE, late.replace("5m", "4m")) == []
    assert warnings(MORE, late.replace("memory", "cpu")) == []
    assert warnings(MORE, late.replace("90", "70").replace("5m", "6m")) == []
    assert warnings(MORE.replace("}", ", ineffective_after: 3}"), late) == []


def test_a_larger_removal_under_a_stricter_bound_is_told() -> None:
    """Of two removals the smaller one counts: the one that is meant for a deeper calm never decides."""
    deep = FEWER.replace("fewer", "deep").replace("30", "10").replace("remove: 1", "remove: 3")
    assert told(FEWER, deep) == (
        "rules[1]: the rule never decides, because memory below 10 for 10m is also below 30 for 10m, and then "
        "fewer removes 1; of two removals the smaller one counts "
        "(remove one of the two, let deep have a shorter for, or write both as one rule with strategy: steps)"
    )
    assert warnings(FEWER, deep.replace("10m", "5m")) == []
    assert warnings(FEWER.replace("remove: 1", "remove: 4"), deep) == []
    assert (
        warnings(FEWER, deep.replace("}", ", group: g}"), FEWER.replace("fewer", "x").replace("}", ", group: g}")) == []
    )


def test_of_two_rules_that_do_the_same_the_later_one_is_told() -> None:
    """One of them is enough."""
    assert told(MORE, MORE.replace("more", "again")).startswith("rules[1]: the rule never decides")


@pytest.mark.parametrize(
    ("replicas", "first", "second", "overruled"),
    [
        ("{min: 4, max: 10}", '"50%"', "2", True),
        ("{min: 3, max: 10}", '"50%"', "2", False),
        ("{min: 1, max: 10}", "2", '"20%"', True),
        ("{min: 1, max: 15}", "2", '"20%"', False),
        ("{min: 1, max: 15}", '"30%"', '"20%"', True),
    ],
)
def test_a_percentage_is_compared_at_every_count(replicas: str, first: str, second: str, *, overruled: bool) -> None:
    """A percentage of few replicas may be less than a count, and of many more."""
    rules = (MORE.replace("add: 1", f"add: {first}"), MORE.replace("more", "x").replace("add: 1", f"add: {second}"))
    found = [
        warning for warning in placeless(*rules, replicas=replicas) if warning.startswith("rules[1]: the rule never")
    ]
    assert bool(found) is overruled


def test_a_share_of_the_samples_counts() -> None:
    """Most samples of a time are not all of a part of it."""
    most = MORE.replace("more", "most").replace("5m", "10m").replace("}", ', at_least: "80%"}')
    assert warnings(MORE, most) == []
    fewer = MORE.replace("more", "some").replace("5m", "10m").replace("}", ', at_least: "60%"}')
    assert "above 80 in 80 % of the samples for 10m is also above 80 in 60 % of" in told(fewer, most)
    assert told(fewer, most).startswith("rules[1]")


THRESHOLDS: Any = st.builds(
    lambda side, bound, lasts, step, share: {
        **({"above": bound, "add": step} if side else {"below": bound, "remove": step}),
        "for": lasts,
        **({"at_least": share} if lasts != "0s" else {}),
    },
    st.booleans(),
    st.integers(1, 4),
    st.sampled_from(["0s", "15s", "20s", "45s"]),
    st.sampled_from([1, 2, "40%"]),
    st.sampled_from(["50%", "100%"]),
)


@settings(deadline=None)
@given(
    st.lists(THRESHOLDS, min_size=2, max_size=4),
    st.integers(1, 9),
    st.lists(st.integers(0, 5), min_size=6, max_size=6),
)
def test_a_rule_that_never_decides_can_be_left_out(parts: list[dict[str, Any]], count: int, samples: list[int]) -> None:
    """Whatever the samples and the count: the decision is the same without it."""
    rules = [{"name": f"r{index}", "metric": "memory", **part} for index, part in enumerate(parts)]
    policy = written(*rules, least=1, most=9)
    found = advice.warnings(PolicySet(policies=(policy,)), 15)
    idle = [re.findall(r"rule (r\d)", warning.path)[0] for warning in found if "never decides" in warning.what]
    without = [rule for rule in rules if rule["name"] not in idle]
    seen = observation(count, windows={"memory": window([float(sample) for sample in samples])})
    assert (
        decide(policy, seen, History()).desired == decide(written(*without, least=1, most=9), seen, History()).desired
    )


@pytest.mark.parametrize(
    ("rule", "guard", "never"),
    [
        (MORE, "above: 60, block: up", "adds"),
        (MORE, "above: 80, for: 5m, block: both", "adds"),
        (FEWER, "below: 30, block: down", "removes"),
        (
            "{name: s, metric: memory, strategy: steps, above: 80, steps: [{lower: 0, exactly: 3}]}",
            "above: 70, block: both",
            "adds or removes",
        ),
    ],
)
def test_a_rule_that_a_guard_always_blocks_is_told(rule: str, guard: str, never: str) -> None:
    """A guard on the same metric, beyond its bound whenever the rule fires."""
    found = told(rule, more=f", guards: [{{name: g, metric: memory, {guard}}}]")
    assert found.startswith(f"rules[0]: the rule never {never} replicas while its data are complete, because memory ")
    assert "the guard g blocks" in found


@pytest.mark.parametrize(
    ("rule", "guard"),
    [
        (MORE, "above: 60, block: down"),
        (MORE, "above: 81, block: up"),
        (MORE, "above: 60, for: 6m, block: up"),
        (MORE, "below: 90, block: up"),
        (MORE.replace("}", ', at_least: "90%"}'), "above: 60, block: up"),
        (MORE.replace("memory", "cpu"), "above: 60, block: up"),
        (FEWER, "below: 20, block: down"),
        (
            "{name: s, metric: memory, strategy: steps, above: 80, steps: [{lower: 0, exactly: 3}]}",
            "above: 70, block: up",
        ),
    ],
)
def test_a_rule_that_a_guard_blocks_at_times_is_not(rule: str, guard: str) -> None:
    """That is what guards are for."""
    assert warnings(rule, more=f", guards: [{{name: g, metric: memory, {guard}}}]") == []


def test_a_rule_whose_direction_is_disabled_is_told() -> None:
    """`remove` rules under `scale_down.select: disabled`, `add` rules under `scale_up.select: disabled`."""
    assert told(MORE, FEWER, more=", scale_down: {select: disabled}") == (
        "rules[1]: the rule never removes replicas, because scale_down is disabled "
        "(give scale_down another select, or remove the rule)"
    )
    assert told(MORE, FEWER, more=", scale_up: {select: disabled}").startswith(
        "rules[0]: the rule never adds replicas, and only holds removals, because scale_up is disabled"
    )
    assert warnings(MORE, FEWER, more=", scale_down: {select: min}") == []
    assert warnings(TARGET, more=", scale_down: {select: disabled}") == []


def test_a_rule_whose_direction_is_paused_is_told() -> None:
    """A policy that is paused altogether needs no warning."""
    assert told(MORE, FEWER, more=", paused: up").startswith("rules[0]: the rule never adds replicas, and only holds")
    assert told(MORE, FEWER, more=", paused: down").startswith(
        "rules[1]: the rule never removes replicas, because the policy is paused"
    )
    assert warnings(MORE, FEWER, more=", paused: true") == []
    assert warnings(TARGET, more=", paused: up") == []


def test_bounds_that_leave_rules_nothing_to_do_are_told() -> None:
    """`min` and `max` are the same, and no schedule moves them."""
    assert told(MORE, replicas="{min: 3, max: 3}") == (
        "replicas: min and max are both 3, so no rule ever changes the count (raise max, or lower min)"
    )
    assert warnings(MORE, replicas="{min: 3, max: 3}", more=f", schedules: [{{name: s, {OFFICE}, min: 5}}]") == []


def test_bounds_that_labels_may_give_are_not_known() -> None:
    """A policy that services choose by label may have a min of 3 and a max of 3 that no service has."""
    entry_ = "name: a, replicas: {min: 3, max: 3}, fallback: {after: 5m, replicas: 2}, rules: [" + MORE + "]"
    loaded, _ = loader.from_document(read(policies(entry_), "a.yml"))
    assert loaded is not None
    assert loaded.warnings(15) == []


def test_a_group_of_one_is_told() -> None:
    """Its name is probably misspelt."""
    grouped = FEWER.replace("}", ", group: idle}")
    assert told(grouped, MORE).startswith("rules[0].group: no other rule is in the group idle")
    other = grouped.replace("fewer", "cpu-low").replace("memory", "cpu")
    assert warnings(grouped, other, MORE) == []
    assert len(warnings(grouped, other.replace("idle", "iddle"), MORE)) == 2


def test_a_rule_that_only_adds_keeps_its_group_from_removing() -> None:
    """All rules of a group must want fewer."""
    grouped = (FEWER.replace("}", ", group: idle}"), MORE.replace("}", ", group: idle}"))
    assert told(*grouped) == (
        "rules[1].group: more never wants fewer replicas, so no rule of the group idle ever removes any "
        "(remove group here)"
    )
    table = "{name: t, metric: memory, strategy: table, table: {0: 1, 5: 2}, group: idle}"
    assert warnings(grouped[0], table) == []


def test_what_is_below_nothing_is_told() -> None:
    """The built-in metrics are never negative; of another metric nobody knows."""
    assert told(FEWER.replace("30", "0")).startswith(
        "rules[0].below: the bound is never passed, because memory is never below 0 ("
    )
    guard = ", guards: [{name: g, metric: cpu, below: -1, block: up}]"
    assert told(MORE, more=guard).startswith(
        "guards[0].below: the bound is never passed, because cpu is never below -1 ("
    )
    own = "metrics: {memory: {query: 'sum(x)', redistributes: true}}\n"
    assert warnings(FEWER.replace("30", "0"), metrics=own) == []


def test_a_step_whose_interval_cannot_be_is_told() -> None:
    """An interval that ends below 0; at 0 itself there may be a value."""
    steps = (
        "{name: s, metric: memory, strategy: steps, below: 20, "
        "steps: [{upper: -25, remove: 2}, {lower: -25, upper: 0, remove: 1}]}"
    )
    assert told(steps) == (
        "rules[0].steps[0]: the step never counts, because it ends at -5, and memory is never below 0 "
        "(remove the step, or correct the interval)"
    )
    assert warnings(steps.replace("25", "20")) == []
    above = steps.replace("below: 20", "above: -10").replace("upper: -25, remove: 2", "lower: 0, upper: 10, add: 1")
    above = above.replace("lower: -25, upper: 0, remove: 1", "lower: 10, add: 2")
    assert told(above).startswith("rules[0].steps[0]: the step never counts, because it ends at 0")


def test_counts_beyond_the_bounds_are_told() -> None:
    """Rows above max; a table whose every row comes to the same count."""
    table = "{name: t, metric: memory, strategy: table, table: {0: 1, 50: 5, 80: 12}}"
    assert told(table) == (
        "rules[0].table: the rule asks for up to 12 replicas, but the largest max is 10 "
        "(raise max, or ask for fewer replicas)"
    )
    assert warnings(table, replicas="{min: 1, max: 12}") == []
    assert warnings(table, more=f", schedules: [{{name: s, {OFFICE}, max: 12}}]") == []
    assert told(table, replicas="{min: 12, max: 20}").startswith(
        "rules[0].table: every row leads to 12 replicas within min 12 and max 20 ("
    )
    high = table.replace("0: 1, 50: 5", "0: 10, 50: 11")
    assert told(high).startswith("rules[0].table: every row leads to 10 replicas within min 1 and max 10 (")
    one = "{name: t, metric: memory, strategy: table, table: {50: 10}}"
    assert warnings(one) == []
    steps = "{name: s, metric: memory, strategy: steps, above: 80, steps: [{lower: 0, exactly: 11}]}"
    assert told(steps).startswith("rules[0].steps: the rule asks for up to 11 replicas")
    assert warnings(steps.replace("11", "10")) == []


# Fallback, schedules and limits


def test_a_fallback_that_can_never_act_is_told() -> None:
    """There are never fewer replicas than min."""
    fallback = ", fallback: {after: 5m, replicas: 3}"
    assert told(MORE, replicas="{min: 3, max: 9}", more=fallback) == (
        "fallback.replicas: the fallback never raises a count to 3, because min is at least 3 "
        "(give more than min, or remove the fallback)"
    )
    assert warnings(MORE, replicas="{min: 2, max: 9}", more=fallback) == []
    lower = f", schedules: [{{name: s, {OFFICE}, min: 2}}]"
    assert warnings(MORE, replicas="{min: 3, max: 9}", more=fallback + lower) == []


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("0 8 * * *", "0 8 * * 0-6"),
        ("0 8 * * mon-fri", "0 8 * * fri"),
        ("* * * * *", "0 18 * * *"),
        ("0 * * * *", "0 18 * * *"),
        ("0,30 8 * * *", "30 8 * * *"),
    ],
)
def test_a_schedule_that_begins_whenever_it_ends_is_told(start: str, end: str) -> None:
    """It is in force at all times."""
    schedule = f', schedules: [{{name: s, start: "{start}", end: "{end}", timezone: Europe/Berlin, max: 9}}]'
    assert told(MORE, more=schedule) == (
        "schedules[0]: the schedule is in force at all times, because it begins again whenever it ends "
        "(let it begin less often, or give its bounds in replicas)"
    )


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("0 8 * * mon-fri", "0 18 * * mon-fri"),
        ("0 22 * * *", "0 6 * * *"),
        ("0 8 * * fri", "0 8 * * mon-fri"),
        ("* 0-22 * * *", "* * * * *"),
        ("0 8 1-30 * *", "0 8 * * *"),
        ("0 8 1-28 * *", "0 8 28,29 * *"),
        ("0 0 29 2 *", "0 0 1 3 *"),
        ("30 8 * * *", "0,30 8 * * *"),
    ],
)
def test_a_schedule_that_ends_at_some_time_is_not(start: str, end: str) -> None:
    """Also where it seldom does."""
    schedule = f', schedules: [{{name: s, start: "{start}", end: "{end}", timezone: Europe/Berlin, max: 9}}]'
    assert warnings(MORE, more=schedule) == []


def test_a_schedule_that_hardly_ever_begins_is_told() -> None:
    """The fifth Monday of a February comes once in 28 years; the 29th itself every four years."""
    schedule = ', schedules: [{name: s, start: "0 0 * 2 mon#5", end: "0 0 1 3 *", max: 9}]'
    assert (
        told(MORE, more=schedule) == "schedules[0].start: the schedule begins only once in 28 years (correct the day)"
    )
    assert warnings(MORE, more=schedule.replace("* 2 mon#5", "29 2 *")) == []


@pytest.mark.parametrize("rules", [(HIGH,), ()], ids=["only-adds", "no-rules"])
def test_a_schedule_that_raises_what_nothing_lowers_is_told(rules: tuple[str, ...]) -> None:
    """The count that a schedule raised stays where it is, as long as no rule removes and no max is lower."""
    schedule = f", schedules: [{{name: s, {OFFICE}, min: 6}}]"
    why = "no rule removes replicas" if rules else "there are no rules"
    assert told(*rules, replicas="{min: 2, max: 12}", more=schedule) == (
        f"schedules[0].min: the schedule raises the count to 6, and nothing lowers it to 2 again, because {why} "
        "and no max is below 12 "
        "(give replicas a max of 2, or add a rule that removes, or a schedule with that max)"
    )


@pytest.mark.parametrize(
    ("rules", "replicas", "schedules"),
    [
        pytest.param([MORE, LESS], "{min: 2, max: 12}", f"{OFFICE}, min: 6", id="a rule removes"),
        pytest.param([TARGET], "{min: 2, max: 12}", f"{OFFICE}, min: 6", id="a target goes both ways"),
        pytest.param([], "{min: 2, max: 2}", f"{OFFICE}, min: 6", id="the policy's max"),
        pytest.param([], "{min: 2, max: 9}", f"{OFFICE}, max: 6", id="it raises nothing"),
        pytest.param([], "{min: 2, max: 9}", f"{OFFICE}, min: 2, max: 6", id="it asks for what is there"),
        pytest.param(
            [], "{min: 2, max: 9}", f"{OFFICE}, min: 6}}, {{name: night, {NIGHT}, max: 2", id="another schedule's max"
        ),
        pytest.param(
            [],
            "{min: 2, max: 9}",
            f"{OFFICE}, min: 6}}, {{name: night, {NIGHT}, min: 0, max: 0",
            id="it sleeps at night",
        ),
        pytest.param(
            [], "{min: 2, max: 9}", 'start: "* * * * *", end: "0 6 * * *", min: 6', id="in force at all times"
        ),
    ],
)
def test_a_schedule_that_something_undoes_is_not_told(rules: list[str], replicas: str, schedules: str) -> None:
    """Rules that remove lower the count again, and so does a max that is in force at some time."""
    told = placeless(*rules, replicas=replicas, more=f", schedules: [{{name: s, {schedules}}}]")
    assert [each for each in told if "nothing lowers" in each] == []


def test_what_needs_rules_is_told_in_a_policy_without_any() -> None:
    """Nothing can lack data there, and a guard has nothing to forbid."""
    more = (
        f", schedules: [{{name: s, {OFFICE}, max: 6}}], fallback: {{after: 10m, replicas: 6}}, "
        "guards: [{name: full, metric: memory, above: 90, block: up}]"
    )
    fallback, guard = placeless(more=more)
    assert fallback == (
        "fallback: the fallback never counts, because the policy has no rule that could lack data "
        "(give replicas or a schedule a greater min, or remove the fallback)"
    )
    assert guard == (
        "guards[0]: full never counts, because the policy has no rules, and guards do not hold bounds or schedules "
        "(remove the guard, or add rules)"
    )


def test_sleep_is_no_min_that_rules_or_fallback_see() -> None:
    """While the service sleeps they are not asked, so that its 0 is not the smallest min for them."""
    sleep = f", schedules: [{{name: s, {NIGHT}, min: 0, max: 0}}]"
    assert told(MORE, LESS, replicas="{min: 3, max: 3}", more=sleep) == (
        "replicas: min and max are both 3, so no rule ever changes the count (raise max, or lower min)"
    )
    assert warnings(replicas="{min: 3, max: 3}", more=sleep) == []
    fallback = f"{sleep}, fallback: {{after: 10m, replicas: 3}}"
    assert "the fallback never raises a count to 3, because min is at least 3" in told(
        MORE, LESS, replicas="{min: 3, max: 9}", more=fallback
    )


def test_a_max_that_no_min_leaves_room_for_is_told() -> None:
    """A schedule's max that is below every min in force counts for nothing."""
    schedule = f", schedules: [{{name: s, {OFFICE}, max: 2}}]"
    assert told(MORE, replicas="{min: 3, max: 9}", more=schedule) == (
        "schedules[0].max: max 2 never counts, because min is at least 3 (give the schedule a min of 2 or less as well)"
    )
    assert warnings(MORE, replicas="{min: 2, max: 9}", more=schedule) == []
    assert warnings(MORE, replicas="{min: 3, max: 9}", more=schedule.replace("max: 2", "min: 1, max: 2")) == []
    other = schedule.replace("}]", f"}}, {{name: t, {OFFICE}, min: 1}}]")
    assert warnings(MORE, replicas="{min: 3, max: 9}", more=other) == []


def test_a_limit_that_needs_more_changes_than_are_known_is_told() -> None:
    """The history keeps 20 changes: a period that may hold more of them is not counted in full."""
    up = ", scale_up: {cooldown: 1m, limits: [{replicas: 40, per: 30m}]}"
    assert told(MORE, replicas="{min: 1, max: 60}", more=up) == (
        "scale_up.limits[0].per: 29 changes, 1m apart, may happen within 30m, but the limit only counts the newest 20 "
        "(give a cooldown of 1m26s or more, or a shorter period)"
    )


@pytest.mark.parametrize(
    ("rule", "most", "up"),
    [
        pytest.param(MORE, 60, "{cooldown: 1m26s, limits: [{replicas: 40, per: 30m}]}", id="the cure"),
        pytest.param(MORE, 60, "{cooldown: 1m, limits: [{replicas: 20, per: 30m}]}", id="20 changes of 1 are its all"),
        pytest.param(MORE, 21, "{cooldown: 1m, limits: [{replicas: 40, per: 30m}]}", id="20 changes of 1 lead to max"),
        pytest.param(MORE, 60, "{cooldown: 0s, limits: [{percent: 100, per: 15s}]}", id="no evaluations in between"),
        pytest.param(
            MORE.replace("add: 1", "add: 2"),
            60,
            "{cooldown: 1m, limits: [{replicas: 40, per: 30m}]}",
            id="20 changes of 2 are its all",
        ),
        pytest.param(FEWER, 60, "{cooldown: 1m, limits: [{replicas: 40, per: 30m}]}", id="nothing adds"),
    ],
)
def test_a_limit_whose_changes_are_all_known_is_not(rule: str, most: int, up: str) -> None:
    """A cooldown, the bounds, the steps and the limit itself each leave room for so many changes."""
    assert warnings(rule, replicas=f"{{min: 1, max: {most}}}", more=f", scale_up: {up}") == []


def test_the_history_keeps_as_many_changes_as_the_warning_says() -> None:
    """Otherwise it would be wrong."""
    events = tuple(ScaleEvent(NOW - 60.0 + age, age, age + 1) for age in range(KEPT_EVENTS + 5))
    assert len(prune(events, NOW)) == KEPT_EVENTS


# Metrics


def test_a_metric_that_nobody_uses_is_told_where_it_is_defined(tmp_path: Path) -> None:
    """Neither a rule nor a guard; in the document that defines it."""
    rule = "{name: r, metric: queue, above: 5, add: 1}"
    guard = ", guards: [{name: g, metric: lag, above: 5, block: up}]"
    metrics = "version: 1\nmetrics:\n  queue: {query: 'sum(x)'}\n  lag: {query: 'sum(y)'}\n  spare: {query: 'sum(z)'}\n"
    load(tmp_path, a=policies(entry("a", "[a]", guard, rules=rule)), b=metrics)
    (found,) = loader.read_policies([tmp_path]).warnings(15)
    assert str(found) == (
        f'{tmp_path}/b.yml:5:3: metrics.spare: no rule and no guard uses the metric "spare" '
        "(name it in a rule or a guard, or remove it) [unused-metric]"
    )


# All of them


def test_warnings_come_in_the_order_of_their_places() -> None:
    """Whatever they are about."""
    found = warnings(
        HIGH, LOW, MORE.replace("5m", "20s"), more=", fallback: {after: 5m, replicas: 1}, flap_guard: false"
    )
    assert [warning.split(" ")[1] for warning in found] == [
        "policies[0].fallback.replicas:",
        "policies[0].rules[1].below:",
        "policies[0].rules[2].for:",
    ]


def test_warnings_without_the_files_name_policy_and_part(tmp_path: Path) -> None:
    """A set whose files are not at hand is checked as well."""
    schedule = ', schedules: [{name: always, start: "0 * * * *", end: "0 18 * * *", min: 2}]'
    more = schedule + ", fallback: {after: 5m, replicas: 1}"
    load(tmp_path, a=policies(entry("a", "[a]", more, rules=f"{LOW}, {HIGH}")))
    found = advice.warnings(loader.load([tmp_path]), 15)
    assert [warning.path for warning in found] == [
        "policy a: rule low: below",
        "policy a: fallback: replicas",
        "policy a: schedule always",
    ]
    assert str(found[0]).startswith("policy a: rule low: below: the rule would flap with high: ")


def test_many_warnings_are_cut_off() -> None:
    """And the last one says so."""
    text = policies(*(entry(f"p{index}", f"[s{index}]", rules=f"{LOW}, {HIGH}") for index in range(MAX_PROBLEMS + 5)))
    loaded, _ = loader.from_document(read(text, "a.yml"))
    assert loaded is not None
    found = loaded.warnings(15)
    assert len(found) == MAX_PROBLEMS + 1
    assert "there may be more warnings" in str(found[-1])
    assert found[-1].id == LintId.INCOMPLETE


def test_what_takes_too_long_is_left_out() -> None:
    """And the last warning says so."""
    rules = [rule.replace("name: ", f"name: r{index}-") for index in range(50) for rule in (LOW, HIGH)]
    assert "there may be more warnings" in placeless(*rules)[-1]
    assert "there may be more" not in "".join(placeless(*rules[:20]))


def test_without_effort_nothing_is_found() -> None:
    """What is not played is not told."""
    rules = (
        {"name": "low", "metric": "cpu", "below": 50, "remove": 1},
        {"name": "high", "metric": "cpu", "above": 70, "add": 1},
    )
    effort = Effort(1)
    assert flaps(written(*rules), with_built_in({}), effort) == []
    assert effort.exhausted
    assert len(flaps(written(*rules), with_built_in({}), Effort(1000))) == 1
