"""The closed set of warnings that `autoscaler check` gives about valid policies."""

from __future__ import annotations

from enum import StrEnum


class LintId(StrEnum):
    """The stable name of a kind of warning, by which a comment in a policy file ignores it."""

    UNUSED_METRIC = "unused-metric"
    PROMQL = "promql"
    SHORT_WINDOW = "short-window"
    SUM_AS_AVERAGE = "sum-as-average"
    WRITTEN_COOLDOWN = "written-cooldown"
    RANGE_BEYOND_COOLDOWN = "range-beyond-cooldown"
    LIMIT_BEYOND_HISTORY = "limit-beyond-history"
    FLAPS = "flaps"
    OVERRULED_RULE = "overruled-rule"
    BLOCKED_RULE = "blocked-rule"
    FORBIDDEN_RULE = "forbidden-rule"
    GROUP_OF_ONE = "group-of-one"
    GROUP_NEVER_REMOVES = "group-never-removes"
    BELOW_ZERO = "below-zero"
    FIXED_COUNT = "fixed-count"
    BEYOND_MAX = "beyond-max"
    ONE_COUNT_TABLE = "one-count-table"
    IDLE_FALLBACK = "idle-fallback"
    NO_RULES = "no-rules"
    RARE_SCHEDULE = "rare-schedule"
    ENDLESS_SCHEDULE = "endless-schedule"
    MAX_BELOW_MIN = "max-below-min"
    RAISED_NEVER_LOWERED = "raised-never-lowered"
    UNKNOWN_IGNORE = "unknown-ignore"
    UNUSED_IGNORE = "unused-ignore"
    INCOMPLETE = "incomplete"

    @property
    def meaning(self) -> str:
        """Return the meaning of the warning, as the documentation prints it."""
        return _TEXTS[self][0]

    @property
    def cure(self) -> str:
        """Return what to do about the warning, as the documentation prints it."""
        return _TEXTS[self][1]

    @property
    def can_be_ignored(self) -> bool:
        """Return whether a comment can silence the warning. It cannot for those about comments and the lint itself."""
        return self not in {LintId.UNKNOWN_IGNORE, LintId.UNUSED_IGNORE, LintId.INCOMPLETE}


_TEXTS = {
    LintId.UNUSED_METRIC: (
        "No rule and no guard uses a metric that the file defines.",
        "Name the metric in a rule or a guard, or remove it.",
    ),
    LintId.PROMQL: (
        "The library promql-parser (extra `promql`) refuses a query: a misspelt function, or `rate` without a range.",
        "Correct the query, or ignore this if your server accepts it. The library does not know MetricsQL.",
    ),
    LintId.SHORT_WINDOW: (
        "A `for` is shorter than two window steps, so one odd sample may decide.",
        "Write a longer `for`, or take a smaller interval.",
    ),
    LintId.SUM_AS_AVERAGE: (
        "A `target` treats a total as an average per replica, because the metric has no `kind`.",
        "Write `kind: total` or `kind: average` in the metric.",
    ),
    LintId.WRITTEN_COOLDOWN: (
        "A cooldown in the policy delays each correction of a rule that sizes the service for its load.",
        "Remove the cooldown. Write a `stabilization` for slower reductions.",
    ),
    LintId.RANGE_BEYOND_COOLDOWN: (
        "A query looks back further than the cooldown, so a rule may act twice on the same load.",
        "Shorten the range, or lengthen the cooldown.",
    ),
    LintId.LIMIT_BEYOND_HISTORY: (
        "The period of a limit may have more changes than the history keeps.",
        "Give a longer cooldown or a shorter period.",
    ),
    LintId.FLAPS: (
        "After a removal the remaining replicas carry so much load that a rule adds replicas again.",
        "Move the two bounds apart, or remove fewer replicas at once.",
    ),
    LintId.OVERRULED_RULE: (
        "Another rule always fires with this one and has the last word.",
        "Remove one of the two rules, or let them differ in `for`.",
    ),
    LintId.BLOCKED_RULE: (
        "A guard on the same metric blocks a rule whenever the rule fires.",
        "Move one of the two bounds, or guard by another metric.",
    ),
    LintId.FORBIDDEN_RULE: (
        "A rule works in one direction only, and the policy disables or pauses that direction.",
        "Allow the direction, or remove the rule.",
    ),
    LintId.GROUP_OF_ONE: (
        "A group has one rule, which has no other rule to agree with.",
        "Name the group in another rule, or remove it.",
    ),
    LintId.GROUP_NEVER_REMOVES: (
        "A rule of a group never wants fewer replicas, so no rule of the group ever removes any.",
        "Remove the rule from the group.",
    ),
    LintId.BELOW_ZERO: (
        "A bound or a step needs a value below 0 of a metric that is never negative.",
        "Correct the bound or the interval.",
    ),
    LintId.FIXED_COUNT: (
        "`min` and `max` are the same, so no rule changes the count.",
        "Raise max, or lower min.",
    ),
    LintId.BEYOND_MAX: ("A rule asks for more replicas than the largest max.", "Raise max, or ask for fewer replicas."),
    LintId.ONE_COUNT_TABLE: (
        "Every row of a table leads to the same count within the bounds.",
        "Give counts between the bounds, or other bounds.",
    ),
    LintId.IDLE_FALLBACK: (
        "A fallback asks for no more replicas than min does.",
        "Give more than min, or remove the fallback.",
    ),
    LintId.NO_RULES: (
        "A policy without rules has a fallback or a guard, which never counts there.",
        "Add rules, or remove it.",
    ),
    LintId.RARE_SCHEDULE: ("Many years lie between two starts of a schedule.", "Correct the day."),
    LintId.ENDLESS_SCHEDULE: (
        "A schedule is in force at all times, because it begins again whenever it ends.",
        "Let it begin less often, or give its bounds in `replicas`.",
    ),
    LintId.MAX_BELOW_MIN: (
        "A schedule's max never counts, because min is always larger.",
        "Give the schedule a smaller min as well.",
    ),
    LintId.RAISED_NEVER_LOWERED: (
        "A schedule raises the count, and nothing lowers it again.",
        "Give a smaller max, or add a rule that removes.",
    ),
    LintId.UNKNOWN_IGNORE: (
        "A comment ignores something that is not an id of this table, or that cannot be ignored.",
        "Correct the id.",
    ),
    LintId.UNUSED_IGNORE: (
        "A comment ignores a warning that does not exist at that place.",
        "Remove the comment, or move it to the line that the warning names.",
    ),
    LintId.INCOMPLETE: (
        "There are too many warnings, or the policies take too long to examine. There may be more.",
        "Correct the others first, or check fewer files at a time.",
    ),
}
