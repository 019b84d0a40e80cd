"""Small builders of policies, windows and observations, and a service that keeps its spec as Swarm keeps it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING, Any

from autoscaler.core.model import Decision, Observation, ScaleEvent
from autoscaler.core.window import Window
from autoscaler.errors import PolicyError
from autoscaler.policy.policy import Policy, Replicas, ScaleDown, ScaleUp
from autoscaler.policy_files import loader
from autoscaler.strategies import Threshold
from autoscaler.swarm.cluster import STATE_LABEL, ServiceView, SpecBefore
from autoscaler.swarm.history import ServiceHistory, prune
from autoscaler.swarm.scale_state import ScaleState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from autoscaler.core.reasons import Reason

STEP = 15
NOW = 1_800_000_000
"""A multiple of every step that the tests use."""
MISSING = nan


def threshold(  # noqa: PLR0913 - as many as a rule in a policy file has keys
    name: str = "cpu-high",
    *,
    metric: str = "cpu",
    above: float | None = None,
    below: float | None = None,
    lasting: str = "0s",
    add: int | str | None = None,
    remove: int | str | None = None,
) -> Threshold:
    """A threshold rule as a policy file would write it, keys left out where they are None."""
    given = {"above": above, "below": below, "add": add, "remove": remove}
    keys = {key: value for key, value in given.items() if value is not None}
    return Threshold.model_validate({"name": name, "metric": metric, "for": lasting, **keys})


CPU_HIGH = threshold("cpu-high", above=70, lasting="1m", add=1)
CPU_LOW = threshold("cpu-low", below=30, lasting="1m", remove=1)
MEMORY_HIGH = threshold("memory-high", metric="memory", above=80, add=1)


def policy(
    *rules: Threshold, least: int = 1, most: int = 10, up_cooldown: int = 180, down_cooldown: int = 300
) -> Policy:
    """A policy of *rules* (by default `CPU_HIGH` and `CPU_LOW`) for the service `web`, cooldowns in seconds."""
    return Policy(
        name="web",
        services=("web",),
        replicas=Replicas(min=least, max=most),
        rules=rules or (CPU_HIGH, CPU_LOW),
        # Built unvalidated: a policy file writes durations as text, a test thinks in seconds.
        scale_up=ScaleUp.model_construct(cooldown=up_cooldown),
        scale_down=ScaleDown.model_construct(cooldown=down_cooldown),
    )


def written(*rules: Mapping[str, Any], least: int = 1, most: int = 100, **keys: Any) -> Policy:
    """A policy for the service `web` as a file writes it, checked; cooldown and stabilization 0s by default."""
    behaviour = {
        way: {"cooldown": "0s", "stabilization": "0s", **keys.pop(way, {})} for way in ("scale_up", "scale_down")
    }
    replicas = {"min": least, "max": most}
    content = {"name": "web", "services": ["web"], "replicas": replicas, "rules": list(rules), **behaviour, **keys}
    return Policy.model_validate(content, by_alias=True, by_name=False)


def policy_file(folder: Path, *rules: str, more: str = "") -> Path:
    """A policy file with *rules*, each a flow mapping on a line of its own from line 6 on, and *more* keys after."""
    file = folder / "web.yml"
    lines = [
        "version: 1",
        "policies:",
        "- name: web",
        "  services: [web]",
        "  rules:",
        *(f"  - {rule}" for rule in rules),
    ]
    file.write_text("\n".join([*lines, "  replicas: {min: 1, max: 10}", *([f"  {more}"] if more else [])]))
    return file


def refused(folder: Path, *rules: str, more: str = "") -> list[str]:
    """What is wrong with the policy file of *rules* and *more*, without the file's name."""
    try:
        loader.load([policy_file(folder, *rules, more=more)])
    except PolicyError as error:
        return [problem.removeprefix(f"{folder}/web.yml:") for problem in error.problems]
    return []


def window(
    values: Sequence[float], *, step: int = STEP, reporting: Sequence[int] | None = None, owed: int | None = None
) -> Window:
    """The window of *values* that ends at `NOW`; *owed* tasks should stand behind each sample."""
    counts = None if reporting is None else tuple(reporting)
    due = None if owed is None else (owed,) * len(values)
    return Window(step, NOW // step * step, tuple(values), counts, due, unit="%")


def steady(value: float, samples: int = 8) -> Window:
    """A window without holes, always at *value*: long enough for a `for` of a minute."""
    return window((value,) * samples)


def observation(  # noqa: PLR0913 - an observation has that many facts
    requested: int = 3,
    *,
    windows: Mapping[str, Window] | None = None,
    running: int | None = None,
    at: float = NOW,
    mode: str = "replicated",
    rollout: str = "",
    pending: str = "",
    stuck: bool = False,
    changed_externally: str = "",
    unplaced_since: tuple[float, ...] = (),
) -> Observation:
    """What is seen of the service `web`: all its replicas run, unless *running* says otherwise."""
    return Observation(
        service="web",
        at=at,
        requested=requested,
        running=requested if running is None else running,
        windows=windows or {},
        mode=mode,
        rollout=rollout,
        pending=pending,
        stuck=stuck,
        changed_externally=changed_externally,
        unplaced_since=unplaced_since,
    )


def told(decision: Decision) -> list[tuple[Reason, str | None]]:
    """The decision's reasons and whose they are, in their order."""
    return [(why.reason, why.rule) for why in decision.reasons]


@dataclass(slots=True)
class FakeService:
    """A service whose spec, previous spec and time of update change as Swarm changes them."""

    requested: int
    at: float = NOW
    """When it was last updated."""
    label: str = ""
    before: SpecBefore | None = None
    version: int = 1

    def view(self, id_: str = "id1") -> ServiceView:
        """The service as Swarm lists it."""
        return ServiceView(
            id=id_,
            name="web",
            version=self.version,
            mode="replicated",
            requested=self.requested,
            created_at=NOW - 86_400,
            updated_at=self.at,
            labels={STATE_LABEL: self.label} if self.label else {},
            before=self.before,
        )

    def scaled_by_us(self, at: float, replicas: int, memory: ServiceHistory) -> ServiceHistory:
        """The autoscaler's own scale; returns what it remembers when Swarm's answer reaches it."""
        event = ScaleEvent(at, self.requested, replicas)
        events = prune((*memory.events, event), at)
        self._update(at, replicas, ScaleState(replicas, events).encode())
        return replace(memory, requested=replicas, events=events)

    def scaled_by_operator(self, at: float, replicas: int) -> None:
        """`docker service scale`, or any `docker service update`: labels stay."""
        self._update(at, replicas, self.label)

    def deployed(self, at: float, replicas: int) -> None:
        """`docker stack deploy`: the file's count, and our label gone."""
        self._update(at, replicas, "")

    def rolled_back(self, at: float) -> None:
        """`docker service rollback`: spec and previous spec change places."""
        assert self.before is not None
        self._update(at, self.before.requested or 0, self.before.state)

    def rolled_back_by_swarm(self, at: float) -> None:
        """The automatic rollback of a failed update: the previous spec is in force and gone from its place."""
        self.rolled_back(at)
        self.before = None

    def rollout_completed(self, at: float) -> None:
        """A transition of UpdateStatus: version and time of update move, the specs stay."""
        self.at = at
        self.version += 1

    def _update(self, at: float, requested: int, label: str) -> None:
        self.before = SpecBefore(self.requested, self.label)
        self.requested, self.label, self.at = requested, label, at
        self.version += 1
