"""The checks of the settings and the policies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from autoscaler.core.reasons import Reason
from autoscaler.doctor.checks import Check, Grade, hint, judged, listed, warning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autoscaler.doctor.checks import Verdict
    from autoscaler.doctor.facts import GivenPolicies, Installation
    from autoscaler.evaluation.survey import Survey
    from autoscaler.metrics.windows import Needed

SETTINGS, POLICIES = "settings", "policies"
_CHECK = "correct the line that is named, and run `autoscaler check`"
_UNREAD = "needs the services of Swarm"

_policies = judged(lambda installation: installation.policies, "needs valid settings")
_survey = judged(lambda installation: installation.survey, _UNREAD)
_needed = judged(lambda installation: installation.needed, _UNREAD)


def _valid(installation: Installation) -> Verdict:
    # The message about a setting that does not exist lists all that do.
    problems = (re.sub(r"; the settings are .*", ")", problem) for problem in installation.given.problems)
    return listed(problems, Grade.FAILURE, "correct the setting")


def _secrets(installation: Installation) -> Verdict:
    names = installation.given.open_secrets
    if not names:
        return None
    cure = f"give it as the secret {names[0].lower()} in /run/secrets, and remove the variable {names[0]}"
    return hint(f"the environment holds {' and '.join(names)}", cure)


@_policies
def _files(given: GivenPolicies, _: Installation) -> Verdict:
    return listed(given.problems, Grade.FAILURE, _CHECK)


@_policies
def _lint(given: GivenPolicies, _: Installation) -> Verdict:
    return listed(given.warnings, Grade.WARNING, _CHECK)


@_survey
def _names(found: Survey, _: Installation) -> Verdict:
    missing = _untouched(found, Reason.SERVICE_NOT_FOUND, "policy {policy} names {service}: ")
    return listed(missing, Grade.FAILURE, "correct the name in the policy, or deploy the service")


@_survey
def _matches(found: Survey, _: Installation) -> Verdict:
    # Exact names have a check of their own.
    return listed((said for said in found.nothing_matched if "Swarm has no service" not in said), Grade.WARNING)


@_survey
def _conflicts(found: Survey, _: Installation) -> Verdict:
    return listed(_untouched(found, Reason.POLICY_CONFLICT, "{service} is not scaled: "), Grade.FAILURE)


def _untouched(found: Survey, reason: Reason, opening: str) -> Sequence[str]:
    decisions = [record.decision for record in found.untouched]
    return [
        opening.format(policy=each.policy, service=each.service) + each.primary.detail
        for each in decisions
        if each.primary.reason is reason
    ]


@_survey
def _owners(found: Survey, _: Installation) -> Verdict:
    return listed(found.doubtful, Grade.WARNING)


@_needed
def _modes(needed: Sequence[Needed], _: Installation) -> Verdict:
    wrong = [
        f"{view.name} is {view.mode}, and the policy {policy.name} matches it"
        for view, policy in needed
        if view.mode != "replicated"
    ]
    if not wrong:
        return None
    names = ", ".join(view.name for view, _ in needed if view.mode != "replicated")
    return warning(wrong, f"write exclude: [{names}] in the policy, or deploy with mode: replicated")


@_needed
def _minimum(needed: Sequence[Needed], installation: Installation) -> Verdict:
    found = [
        (view.name, view.requested, least)
        for view, policy in needed
        if view.mode == "replicated" and view.requested < (least := policy.bounds(installation.at).min)
    ]
    if not found:
        return None
    seen = [f"{name} asks for {requested}, and min is {least}" for name, requested, least in found]
    name, _, least = found[0]
    return warning(seen, f"write replicas: {least} below deploy: of {name} in its stack file, and deploy it")


@_needed
def _limits(needed: Sequence[Needed], _: Installation) -> Verdict:
    unlimited = {"cpu": "cpu_limit", "memory": "memory_limit"}
    bases = {"cpu": "one core", "memory": "the memory of its node"}
    lacking = [
        (view.name, metric)
        for view, policy in needed
        for metric in policy.look_backs
        if metric in unlimited and getattr(view, unlimited[metric]) is None
    ]
    if not lacking:
        return None
    seen = [f"{name} has no {metric} limit, so 100 % of {metric} is {bases[metric]}" for name, metric in lacking]
    name, metric = lacking[0]
    option = "--limit-cpu CORES" if metric == "cpu" else "--limit-memory BYTES"
    cure = f"docker service update {option} {name}, and write the limit into its stack file"
    return (warning if any(metric == "memory" for _, metric in lacking) else hint)(seen, cure)


CHECKS = (
    Check(
        "D-SETTINGS",
        SETTINGS,
        "The settings are valid",
        "the autoscaler does not start with a wrong setting",
        "Correct the variable, the option or the secret that is named.",
        _valid,
    ),
    Check(
        "D-SECRETS",
        SETTINGS,
        "Secrets are given as files",
        "`docker service inspect` shows the environment to everybody who may use Docker",
        "Give the password or the token as a Docker secret, and remove the variable.",
        _secrets,
        ("D-SETTINGS",),
    ),
    Check(
        "D-POLICIES",
        POLICIES,
        "The policy files are valid",
        "the autoscaler does not start with invalid policies, and a running one keeps its last valid set",
        "Correct the line that is named, and run `autoscaler check`.",
        _files,
        ("D-SETTINGS",),
    ),
    Check(
        "D-LINT",
        POLICIES,
        "The policies say what is meant",
        "the rules are valid, and will probably not act as you expect",
        "Correct the line that is named, or silence it there: `# autoscaler ignore: ID`.",
        _lint,
        ("D-POLICIES",),
    ),
    Check(
        "D-NAMES",
        POLICIES,
        "Swarm has every service that a policy names",
        "a service under another name is not scaled at all",
        "Correct the name in the policy, or deploy the service.",
        _names,
        ("D-POLICIES", "D-READ"),
    ),
    Check(
        "D-GLOBS",
        POLICIES,
        "Every policy and every glob matches a service",
        "the policy has no effect",
        "Correct the glob or the labels, or remove the policy.",
        _matches,
        ("D-POLICIES", "D-READ"),
    ),
    Check(
        "D-CONFLICTS",
        POLICIES,
        "One policy applies to each service",
        "the autoscaler leaves a service alone if it cannot tell which policy is meant",
        "Name the service in one policy, exclude it in the others, or correct its label.",
        _conflicts,
        ("D-POLICIES", "D-READ"),
    ),
    Check(
        "D-OWNERS",
        POLICIES,
        "No other program scales the same services",
        "two programs undo each other's changes",
        "Take the service out of the policy, or remove the other program's label.",
        _owners,
        ("D-POLICIES", "D-READ"),
    ),
    Check(
        "D-MODES",
        POLICIES,
        "Policies apply to replicated services",
        "global services and jobs have no count that could be changed",
        "Exclude the service in the policy, or deploy it with `mode: replicated`.",
        _modes,
        ("D-POLICIES", "D-READ"),
    ),
    Check(
        "D-MINIMUM",
        POLICIES,
        "No service is deployed with fewer replicas than its minimum",
        "each deploy removes replicas, and the autoscaler adds them again afterwards",
        "Write at least the minimum as `replicas:` into the stack file, or use `autoscaler stack-file`.",
        _minimum,
        ("D-POLICIES", "D-READ"),
    ),
    Check(
        "D-LIMITS",
        POLICIES,
        "Services with rules in percent have limits",
        "without a limit a bound in percent may never be reached",
        "Give the service a limit: `docker service update --limit-cpu CORES --limit-memory BYTES SERVICE`.",
        _limits,
        ("D-POLICIES", "D-READ"),
    ),
)
