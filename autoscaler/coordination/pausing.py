"""The beginning and ending of pauses by several operators at the same time. Pure.

All requests are idempotent. So a write that lost its answer, or lost to another one, is simply tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoscaler.coordination.pauses import ALL, LONGEST_NAME, LONGEST_REASON, Pause, Pauses, shown
from autoscaler.core.model import Direction
from autoscaler.errors import RefusedError, UnreachableError
from autoscaler.swarm.cluster import unknown_service
from autoscaler.util.text import tidy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from autoscaler.coordination.pauses import PauseStore
    from autoscaler.util.deadline import Deadline

LARGEST = 48 * 1024
"""The most bytes of all labels, because every manager stores every write of them (docs/facts.md#label-sizes)."""
_ROUNDS = 20
"""How often the pauses are read again if others write at the same time. One writer succeeds in every round."""


class UnknownServiceError(RefusedError):
    """The request names a service that Swarm does not have."""


@dataclass(frozen=True, slots=True)
class PauseRequest:
    """A request to pause: services (none means all), a direction (none means both), how long, and why."""

    services: Sequence[str] = ()
    direction: Direction | None = None
    lasting: float | None = None
    """Seconds; None for a pause that somebody must end."""
    by: str = ""
    reason: str = ""

    def pause(self, now: float) -> Pause:
        """Return the requested pause, begun at *now*, to the second."""
        since = float(int(now))
        until = None if self.lasting is None else since + self.lasting
        return Pause(since, until, tidy(self.by, LONGEST_NAME) or "somebody", tidy(self.reason, LONGEST_REASON))


@dataclass(frozen=True, slots=True)
class PauseResult:
    """The result of a request to pause or resume."""

    pauses: Pauses
    """All pauses as they are now."""
    changed: tuple[str, ...]
    """The services whose pauses were changed; ALL for the pause of all services."""
    unchanged: tuple[str, ...]
    """The services that were already as requested."""


@dataclass(frozen=True, slots=True)
class Pausing:
    """Begins and ends pauses in *store*. *services* returns the names of all services. Both raise BackendError."""

    store: PauseStore
    services: Callable[[Deadline], Collection[str]]

    def pause(self, wish: PauseRequest, now: float, deadline: Deadline) -> PauseResult:
        """Pause what *wish* asks for. A pause that lasts longer is kept, so that nobody shortens another's.

        Raise UnknownServiceError, RefusedError if there are too many pauses already, and BackendError.
        """
        pause = wish.pause(now)
        directions = tuple(Direction) if wish.direction is None else (wish.direction,)

        def edit(pauses: Pauses, name: str) -> Pauses:
            return pauses.with_pause(name, directions, pause)

        self._check(wish.services, (), deadline)
        return self._change(wish.services, edit, now, deadline)

    def resume(self, services: Sequence[str], now: float, deadline: Deadline) -> PauseResult:
        """End the pauses of these *services*; without any, end the pause of all services.

        A service that was paused by its name stays paused until it is resumed by its name. Raise the errors of `pause`.
        """
        cell = self.store.look(deadline) if services else None
        paused = Pauses.of_labels(cell.labels) if cell else Pauses()
        self._check(services, {*paused.of, *paused.damaged}, deadline)
        return self._change(services, Pauses.without, now, deadline)

    def _check(self, named: Sequence[str], paused: Collection[str], deadline: Deadline) -> None:
        """Refuse names that are neither a service's nor *paused*. A paused service may be gone."""
        if not set(named) - set(paused):
            return
        known = {*self.services(deadline), *paused} - {ALL}
        problems = [unknown_service(name, known) for name in dict.fromkeys(named) if name not in known]
        if problems:
            raise UnknownServiceError("\n".join(problems))

    def _change(
        self, services: Sequence[str], edit: Callable[[Pauses, str], Pauses], now: float, deadline: Deadline
    ) -> PauseResult:
        """Apply *edit* for each service to the pauses as they are in Swarm, and write them."""
        names = tuple(dict.fromkeys(services)) or (ALL,)
        before: Pauses | None = None
        doubt: UnreachableError | None = None
        for _ in range(_ROUNDS):
            cell = self.store.look(deadline)
            found = Pauses.of_labels(cell.labels) if cell else Pauses()
            before = found if before is None else before
            wanted = found
            for name in names:
                wanted = edit(wanted, name)
            if wanted == found:
                return _done(before, found, names)
            wanted = wanted.pruned(now)
            _refuse_growth(found, wanted)
            try:
                if self.store.write(wanted.labels(), cell, deadline):
                    return _done(before, wanted, names)
            except UnreachableError as error:
                doubt = error  # it may have been written; the next read shows it
        if doubt is not None:
            raise doubt
        raise UnreachableError("others keep changing the pauses (try again)")


def _done(before: Pauses, after: Pauses, names: tuple[str, ...]) -> PauseResult:
    changed = tuple(name for name in names if _of(before, name) != _of(after, name))
    return PauseResult(after, changed, tuple(name for name in names if name not in changed))


def _of(pauses: Pauses, name: str) -> tuple[Mapping[Direction, Pause] | None, str | None]:
    return pauses.of.get(name), pauses.damaged.get(name)


def _refuse_growth(found: Pauses, wanted: Pauses) -> None:
    """Refuse pauses that would be too large, but never a change that makes them smaller."""
    size = _size(wanted)
    if size > LARGEST and size > _size(found):
        raise RefusedError(
            f"the pauses would have {size} bytes, but Swarm keeps at most {LARGEST} of them (pause all services at "
            "once, give shorter reasons, or resume services that no longer need a pause)"
        )


def _size(pauses: Pauses) -> int:
    return sum(len(label.encode()) + len(text.encode()) for label, text in pauses.labels().items())


def report(done: PauseResult, now: float, already: str) -> list[str]:
    """Return sentences on the pauses at *now*. First come the unchanged services, with the words *already*."""
    unchanged = [f"{shown(name)}: {already}" for name in done.unchanged]
    return [*unchanged, *(done.pauses.lines(now) or ["Nothing is paused."])]
