from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from autoscaler.coordination.pauses import ALL, LABEL, Pause, PauseCell, Pauses
from autoscaler.coordination.pausing import LARGEST, PauseRequest, PauseResult, Pausing, UnknownServiceError, report
from autoscaler.core.model import Direction
from autoscaler.errors import RefusedError, UnreachableError
from autoscaler.util.deadline import Deadline
from tests.support.builders import NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

UP, DOWN = Direction.UP, Direction.DOWN
LINE = "paused by ana since 2027-01-15 08:00 UTC"


@dataclass
class Shared:
    """The cell that all share, in memory; others can write between a look and a write, and answers can be lost."""

    cell: PauseCell | None = None
    writes: int = 0
    meanwhile: list[Callable[[], None]] = field(default_factory=list)
    """What happens before each of the next writes."""
    lost: list[bool] = field(default_factory=list)
    """For each of the next writes whose answer is lost: whether it is carried out."""

    def look(self, deadline: Deadline) -> PauseCell | None:  # noqa: ARG002 - the port's signature
        """The cell."""
        return self.cell

    def write(self, labels: Mapping[str, str], seen: PauseCell | None, deadline: Deadline) -> bool:  # noqa: ARG002
        """Compare and swap."""
        if self.meanwhile:
            self.meanwhile.pop(0)()
        lost = bool(self.lost)
        if seen != self.cell:
            return False
        if not lost or self.lost.pop(0):
            self.put(labels)
        if lost:
            raise UnreachableError("the connection was cut")
        return True

    def put(self, labels: Mapping[str, str]) -> None:
        """Write, whatever was seen."""
        self.writes += 1
        self.cell = PauseCell((self.cell.version if self.cell else 10) + 1, dict(labels))

    @property
    def pauses(self) -> Pauses:
        """What the cell says."""
        return Pauses.of_labels(self.cell.labels) if self.cell else Pauses()


@dataclass
class Bench:
    """Operators of a Swarm with three services."""

    store: Shared = field(default_factory=Shared)
    asked: int = 0
    """How often the services were listed."""

    def pause(self, *services: str, now: float = NOW, by: str = "ana", **wish: object) -> PauseResult:
        """`autoscaler pause`."""
        return self._pausing.pause(PauseRequest(services, by=by, **wish), now, Deadline(5))  # type: ignore[arg-type] # as the wish has them

    def resume(self, *services: str, now: float = NOW) -> PauseResult:
        """`autoscaler resume`."""
        return self._pausing.resume(services, now, Deadline(5))

    @property
    def _pausing(self) -> Pausing:
        return Pausing(self.store, self._list)

    def _list(self, _: Deadline) -> Sequence[str]:
        self.asked += 1
        return ["web", "api", "shop_worker"]


@pytest.fixture
def bench() -> Bench:
    """Nothing is paused yet."""
    return Bench()


def test_pause_and_resume(bench: Bench) -> None:
    """What is paused is told, with who did it; what is resumed is gone."""
    done = bench.pause("web", "api", reason="database moves")
    assert done.changed == ("web", "api")
    assert report(done, NOW, "was paused") == [
        f"api: up and down {LINE}: database moves",
        f"web: up and down {LINE}: database moves",
    ]

    done = bench.resume("web")
    assert (done.changed, done.unchanged) == (("web",), ())
    assert report(done, NOW, "was not paused") == [f"api: up and down {LINE}: database moves"]
    assert report(bench.resume("api"), NOW, "was not paused") == ["Nothing is paused."]


def test_without_a_service_all_are_meant(bench: Bench) -> None:
    """Without a service all of them are paused and resumed together, and nobody needs to list them."""
    assert report(bench.pause(), NOW, "was paused") == [f"all services: up and down {LINE}"]
    assert bench.store.pauses.holding("any", NOW)

    bench.resume()

    assert (bench.store.pauses, bench.asked) == (Pauses(), 0)


def test_what_was_paused_by_its_name_is_resumed_by_its_name(bench: Bench) -> None:
    """To end the pause of all services leaves what somebody paused by its name, and tells it, and vice versa."""
    bench.pause("web", by="bob")
    bench.pause()

    assert report(bench.resume("web"), NOW, "was not paused") == [f"all services: up and down {LINE}"]
    bench.pause("web", by="bob")
    assert report(bench.resume(), NOW, "was not paused") == [
        "web: up and down paused by bob since 2027-01-15 08:00 UTC"
    ]


def test_the_time_is_counted_from_now(bench: Bench) -> None:
    """A pause with a duration ends that long after it was begun, to the second."""
    bench.pause("web", direction=UP, lasting=7200, now=NOW + 0.7)

    assert bench.store.pauses.of == {"web": {UP: Pause(NOW, NOW + 7200, "ana")}}


def test_twice_is_once(bench: Bench) -> None:
    """Who pauses or resumes what is so already changes nothing, writes nothing, and is told."""
    bench.pause("web")
    done = bench.pause("web", now=NOW + 60, by="bob")

    assert (done.changed, done.unchanged, bench.store.writes) == ((), ("web",), 1)
    assert report(done, NOW, "was paused already") == ["web: was paused already", f"web: up and down {LINE}"]

    bench.resume("web")
    done = bench.resume("web")
    assert (done.changed, done.unchanged, bench.store.writes) == ((), ("web",), 2)


def test_the_same_service_named_twice(bench: Bench) -> None:
    """A service that is named twice is meant once."""
    assert bench.pause("web", "web").changed == ("web",)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["wbe"], "Swarm has no service 'wbe' (did you mean web?)"),
        (["worker"], "Swarm has no service 'worker' (did you mean shop_worker?)"),
        (["zzz"], "Swarm has no service 'zzz' (docker service ls shows those that there are)"),
        (["*"], "Swarm has no service '*' (docker service ls shows those that there are)"),
        ([""], "Swarm has no service '' (docker service ls shows those that there are)"),
        (
            ["web", "ap", "wab"],
            "Swarm has no service 'ap' (did you mean api?)\nSwarm has no service 'wab' (did you mean web?)",
        ),
        (["a\nb" + "x" * 100], f"Swarm has no service 'a b{'x' * 60}…' (docker service ls shows those that there are)"),
    ],
)
@pytest.mark.parametrize("act", ["pause", "resume"])
def test_a_service_that_is_not_there(bench: Bench, names: list[str], problem: str, act: str) -> None:
    """Names that no service has are told with those that are near, all at once, and nothing is written."""
    with pytest.raises(UnknownServiceError) as caught:
        getattr(bench, act)(*names)

    assert str(caught.value) == problem
    assert bench.store.writes == 0


def test_the_pause_of_a_removed_service_can_be_ended(bench: Bench) -> None:
    """A service that was removed while it was paused can be resumed, also where its label is damaged."""
    bench.store.put({f"{LABEL}gone": "?", **Pauses().with_pause("old", [UP], Pause(NOW, None, "ana")).labels()})

    assert bench.resume("gone", "old").changed == ("gone", "old")
    assert (bench.store.pauses, bench.asked) == (Pauses(), 0)


# writers at the same time


@pytest.mark.fault("pauses-race")
def test_nothing_of_another_writer_is_lost(bench: Bench) -> None:
    """Who writes at the same time as others reads anew and adds what it wanted to what they wrote."""
    others = Bench(bench.store)

    def another(name: str) -> Callable[[], None]:
        return lambda: bench.store.put(bench.store.pauses.with_pause(name, [UP], Pause(NOW, None, name)).labels())

    bench.store.meanwhile += [another(f"other-{number}") for number in range(10)]
    bench.pause("web")
    bench.store.meanwhile += [lambda: bench.store.put(bench.store.pauses.without("web").labels())]
    others.pause("api")

    assert set(bench.store.pauses.of) == {"api", *(f"other-{number}" for number in range(10))}


def test_a_writer_that_is_never_through_gives_up(bench: Bench) -> None:
    """After twenty rounds in which others were faster it is said that they were."""
    labels = iter(range(100))
    bench.store.meanwhile += [lambda: bench.store.put({"theirs": str(next(labels))})] * 30

    with pytest.raises(UnreachableError, match="others keep changing the pauses"):
        bench.pause("web")
    assert len(bench.store.meanwhile) == 10


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_write_without_an_answer_is_looked_after(bench: Bench, *, carried_out: bool) -> None:
    """Where the answer to a write is lost it is read what became of it, and written again where it is not there."""
    bench.store.lost = [carried_out]

    done = bench.pause("web")

    assert (done.changed, bench.store.writes) == (("web",), 1)
    assert bench.store.pauses.holding("web", NOW)


def test_a_store_that_loses_every_write(bench: Bench) -> None:
    """Where no write is ever carried out the last error is told."""
    bench.store.lost = [False] * 100

    with pytest.raises(UnreachableError, match="the connection was cut"):
        bench.pause("web")


# sizes


def test_the_pauses_stay_small(bench: Bench) -> None:
    """What would make the pauses too large to be kept in Swarm is refused, with what to do instead; less is not."""
    full = {f"{LABEL}s{number}": "x" * 100 for number in range(LARGEST // 100)}
    bench.store.put(full)

    with pytest.raises(RefusedError, match=f"Swarm keeps at most {LARGEST} of them .pause all services at once"):
        bench.pause("web")
    assert bench.resume("s1").changed == ("s1",)


def test_a_hundred_services_fit(bench: Bench) -> None:
    """A hundred services can be paused by name, each with a reason of the longest."""
    names = [f"{'s' * 58}-{number:04d}" for number in range(100)]
    pausing = Pausing(bench.store, lambda _: names)

    pausing.pause(PauseRequest(names, by="somebody@a-manager", reason="r" * 200), NOW, Deadline(5))

    assert len(bench.store.pauses.of) == 100


def test_what_is_long_over_makes_room(bench: Bench) -> None:
    """A write leaves out what has long been over."""
    bench.pause("web", lasting=60)
    bench.pause("api", now=NOW + 3660)

    assert set(bench.store.pauses.of) == {"api"}


def test_texts_are_made_one_line(bench: Bench) -> None:
    """A name and a reason are kept as one line without control characters, and cut where they are long."""
    bench.pause("web", by="\x1b[31m ana\n", reason="one\ttwo\r\n" + "x" * 300)

    pause = bench.store.pauses.of["web"][UP]
    assert (pause.by, pause.reason[:9], len(pause.reason)) == ("[31m ana", "one two x", 200)


def test_nobody_has_a_name(bench: Bench) -> None:
    """Without a name it is somebody."""
    bench.pause(by=" ")

    assert bench.store.pauses.of[ALL][DOWN].by == "somebody"
