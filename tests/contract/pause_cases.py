"""What the configs of every Swarm, simulated or real, do for pauses: subclass it and say which."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import pytest

from autoscaler.adapters.docker.pauses import CONFIG, SwarmPauses
from autoscaler.coordination.pauses import ALL, LABEL, Pause, Pauses
from autoscaler.coordination.pausing import LARGEST, PauseRequest, Pausing
from autoscaler.core.model import Direction
from autoscaler.errors import RefusedError
from autoscaler.util.deadline import Deadline

if TYPE_CHECKING:
    from autoscaler.adapters.docker.engine_api import ConfigApi
    from autoscaler.coordination.pauses import PauseCell

NOW = 1_800_000_000.0
PAUSE = Pause(NOW, NOW + 60, "ana@manager-1", "„database“ moves\u2026 <b>{}\"'\\")


class Engine(Protocol):
    """A Swarm without pauses."""

    @property
    def api(self) -> ConfigApi:
        """What is tested."""

    def another(self) -> ConfigApi:
        """A client of somebody else's."""

    def remove(self, name: str) -> None:
        """`docker config rm`."""


def soon() -> Deadline:
    """Time enough."""
    return Deadline(20)


def labels(cell: PauseCell | None) -> dict[str, str]:
    """The labels of a cell that is there."""
    assert cell is not None
    return dict(cell.labels)


class PauseContract:
    """The cases. A subclass has the fixture `engine_of_pauses`."""

    def test_pauses_are_kept_as_they_are(self, engine_of_pauses: Engine) -> None:
        """What is written is read, to the letter, at another version each time; before, nothing is there."""
        store = SwarmPauses(engine_of_pauses.api)
        seen = [store.look(soon())]
        assert seen == [None]
        written = [
            Pauses().with_pause(ALL, tuple(Direction), PAUSE),
            Pauses().with_pause("web", (Direction.UP,), PAUSE).with_pause("api", (Direction.DOWN,), PAUSE),
            Pauses(damaged={"web": "{"}, foreign={"theirs": ""}),
            Pauses(),
        ]

        for pauses in written:
            assert store.write(pauses.labels(), seen[-1], soon())
            seen.append(store.look(soon()))
            assert Pauses.of_labels(labels(seen[-1])) == pauses

        assert len({cell.version for cell in seen if cell}) == len(written)

    def test_pauses_are_written_only_as_they_were_seen(self, engine_of_pauses: Engine) -> None:
        """Of two that saw the same pauses, or none, one writes; the other is told, and nothing of it is written."""
        one, other = SwarmPauses(engine_of_pauses.api), SwarmPauses(engine_of_pauses.api)

        assert [one.write({"a": "1"}, None, soon()), other.write({"b": "2"}, None, soon())] == [True, False]
        seen = one.look(soon())
        assert [other.write({"b": "2"}, seen, soon()), one.write({"a": "2"}, seen, soon())] == [True, False]

        assert labels(one.look(soon())) == {"b": "2"}

    def test_pauses_that_somebody_removed(self, engine_of_pauses: Engine) -> None:
        """Where the config was removed nothing is paused or written to what was seen; it can be made anew."""
        store = SwarmPauses(engine_of_pauses.api)
        store.write({"a": "1"}, None, soon())
        seen = store.look(soon())
        engine_of_pauses.remove(CONFIG)

        assert store.look(soon()) is None
        assert not store.write({"a": "2"}, seen, soon())
        assert store.write({"a": "2"}, None, soon())

    def test_a_config_without_labels(self, engine_of_pauses: Engine) -> None:
        """A config of that name that somebody else made, without labels, pauses nothing, and can be written."""
        engine_of_pauses.api.create_config({"Name": CONFIG, "Data": "YQ=="}, soon())
        store = SwarmPauses(engine_of_pauses.api)

        seen = store.look(soon())

        assert labels(seen) == {}
        assert store.write({"a": "1"}, seen, soon())

    def test_the_largest_pauses_are_kept(self, engine_of_pauses: Engine) -> None:
        """As many pauses as are allowed fit into the labels of a config."""
        store = SwarmPauses(engine_of_pauses.api)
        full = {f"{LABEL}s{number:04d}": "x" * 200 for number in range(LARGEST // 222)}

        assert store.write(full, None, soon())

        assert labels(store.look(soon())) == full
        with pytest.raises(RefusedError, match="pause all services at once"):
            Pausing(store, lambda _: ["web"]).pause(PauseRequest(["web"], reason="x" * 200), NOW, soon())

    @pytest.mark.fault("pauses-race")
    def test_nothing_is_lost_among_many_writers(self, engine_of_pauses: Engine) -> None:
        """Of operators that pause and resume at the same time each has what it asked for."""
        names = [f"s{number}" for number in range(7)]  # the others write 19 times at most, and 20 tries are made

        def act(name: str) -> None:
            pausing = Pausing(SwarmPauses(engine_of_pauses.another()), lambda _: names)
            pausing.pause(PauseRequest([name], by=name), NOW, soon())
            pausing.pause(PauseRequest(by=name), NOW, soon())
            pausing.resume([name], NOW, soon())
            pausing.pause(PauseRequest([name], Direction.UP, 60, by=name), NOW, soon())

        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(act, names))

        paused = Pauses.of_labels(labels(SwarmPauses(engine_of_pauses.api).look(soon())))
        assert set(paused.of) == {*names, ALL}
        assert all(paused.of[name] == {Direction.UP: Pause(NOW, NOW + 60, name)} for name in names)
