"""The future of one service, evaluation by evaluation, on samples that a test chooses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from autoscaler.core.model import Recommended
from autoscaler.core.window import Window
from tests.support.builders import STEP
from tests.support.deciding import decide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autoscaler.core.model import Decision, History, Observation
    from autoscaler.policy.policy import Policy

    Sample = Callable[[str, int], float]
    """The value of a metric at the evaluation with a number."""


@dataclass
class Future:
    """Goes on from an observation: only time passes, and new samples come. Tasks that run go on running."""

    policy: Policy
    seen: Observation
    history: History
    passed: int = field(default=0, init=False)

    def decisions(self, sample: Sample, evaluations: int) -> Iterator[Decision]:
        """Yield the decision of each of the next *evaluations*, up to the first that changes the count."""
        for number in range(1, evaluations + 1):
            self._pass_step(sample, number)
            decision = decide(self.policy, self.seen, self.history)
            yield decision
            if decision.changes:
                return
            recommended = (*self.history.recommended, Recommended(decision.at, decision.recommended))
            self.history = replace(
                self.history,
                recommended=recommended[-400:],
                judged_at=decision.at if decision.judged else self.history.judged_at,
                streak=decision.streak,
            )

    def _pass_step(self, sample: Sample, number: int) -> None:
        seen, at = self.seen, self.seen.at + STEP
        windows = {}
        for metric in self.policy.look_backs:
            before = seen.windows.get(metric, Window(STEP, int(seen.at), ()))
            value = sample(metric, number)
            windows[metric] = replace(
                before,
                end=before.end + STEP,
                values=(*before.values, value),
                reporting=None if before.reporting is None else (*before.reporting, seen.running),
                owed=None if before.owed is None else (*before.owed, 0),
                running=None if before.running is None else (*before.running, float(seen.running)),
            )
        settled = seen.rollout_until is not None and at >= seen.rollout_until
        paused = {way: said for way, said in seen.paused.items() if at < seen.paused_until.get(way, at + 1)}
        self.seen = replace(
            seen, at=at, windows=windows, rollout="" if settled else seen.rollout, paused=paused, changed_externally=""
        )
