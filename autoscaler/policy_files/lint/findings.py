"""All checks of the lint, over a whole set."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING

from autoscaler.policy_files.diagnostic import MAX_PROBLEMS, Diagnostic, path_in_words
from autoscaler.policy_files.lint import bounds, cooldowns, flaps, metrics, queries, schedules, undecided
from autoscaler.policy_files.lint.case import LintCase
from autoscaler.policy_files.lint.ids import LintId
from autoscaler.policy_files.lint.ignores import Ignores
from autoscaler.policy_files.lint.played import Effort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from autoscaler.policy.policy import Policy, PolicySet
    from autoscaler.policy_files.diagnostic import Path
    from autoscaler.policy_files.lint.case import Origin, Warned
    from autoscaler.policy_files.yaml_document import Document

_EFFORT = 200_000
"""One or two seconds. A thousand usual policies take a tenth of it."""
_CHECKS: tuple[Callable[[LintCase], Iterator[Warned]], ...] = (
    *metrics.CHECKS,
    *cooldowns.CHECKS,
    *flaps.CHECKS,
    *undecided.CHECKS,
    *bounds.CHECKS,
    *schedules.CHECKS,
)


def warnings(
    policies: PolicySet,
    step: int,
    origins: Mapping[str, Origin] | None = None,
    metric_origins: Mapping[str, Origin] | None = None,
    documents: Sequence[Document] = (),
) -> list[Diagnostic]:
    """Return the warnings about *policies*; *step* is the window step in seconds.

    A warning has its place if *origins* has it (`Loaded.warnings` knows them), and else the names of policy and part.
    Policies that take too long to examine are left out, and the last warning says so. Comments of the *documents*
    ignore some warnings.
    """
    ignores = Ignores(documents)
    effort, parsing = Effort(_EFFORT), Effort(_EFFORT)
    found = chain(
        _of_metrics(policies, parsing, metric_origins or {}, ignores),
        *(
            _of_policy(LintCase(policy, policies.metrics, step, effort), origins or {}, ignores)
            for policy in policies.policies
        ),
        ignores.unknown(),
    )
    told = list(islice(found, MAX_PROBLEMS))
    exhausted = effort.exhausted or parsing.exhausted
    if not exhausted:  # otherwise a comment may ignore a warning that was not looked for
        unchecked = set() if queries.INSTALLED else {LintId.PROMQL}
        told += islice(ignores.unused(unchecked), MAX_PROBLEMS - len(told))
    if exhausted or len(told) == MAX_PROBLEMS:
        what, cure = "there may be more warnings", "correct these first, or check fewer files at a time"
        told.append(Diagnostic("policies", 0, 0, "", what, cure, LintId.INCOMPLETE))
    return told


def _of_metrics(
    policies: PolicySet, effort: Effort, origins: Mapping[str, Origin], ignores: Ignores
) -> Iterator[Diagnostic]:
    """Yield the warnings about the metrics that documents define."""
    used = {metric for policy in policies.policies for metric in policy.look_backs}
    for name, origin in origins.items():
        warned = chain(metrics.unused(name, used), queries.misread(policies.metrics[name], effort))
        yield from _placed(warned, origin, ignores)


def _of_policy(case: LintCase, origins: Mapping[str, Origin], ignores: Ignores) -> Iterator[Diagnostic]:
    """Yield the warnings about one policy, in the order of their places."""
    policy = case.policy
    origin = origins.get(policy.name)
    warned = chain.from_iterable(check(case) for check in _CHECKS)
    if origin is None:
        yield from (Diagnostic("", 0, 0, _named(policy, path), what, cure, id_) for id_, path, what, cure in warned)
    else:
        yield from sorted(_placed(warned, origin, ignores))


def _placed(warned: Iterable[Warned], origin: Origin, ignores: Ignores) -> Iterator[Diagnostic]:
    """Yield the warnings that no comment ignores, each at its place. The place of a whole part is its key."""
    document, base = origin
    for id_, below, what, cure in warned:
        path = (*base, *below)
        found = document.problem(path, what, cure, of_key=not below, id_=id_)
        if not ignores.silence(document, path, found):
            yield found


def _named(policy: Policy, path: Path) -> str:
    """Return the place in words, for policies without a text: ``policy web: rule low: below``."""
    part, *rest = path
    parts = getattr(policy, str(part))
    if rest and isinstance(rest[0], int):
        index, *rest = rest
        part = f"{str(part).removesuffix('s')} {parts[index].name}"
    return ": ".join(each for each in (f"policy {policy.name}", str(part), path_in_words(tuple(rest))) if each)
