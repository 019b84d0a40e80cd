"""What the configs of every Swarm, simulated or real, do for the lease: subclass it and say which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from autoscaler.adapters.docker.engine_api import AlreadyExistsError, NotFoundError, VersionConflictError
from autoscaler.adapters.docker.lease import CONFIG, HOLDER_LABEL, RENEWS_LABEL, SwarmLease
from autoscaler.errors import RefusedError
from autoscaler.util.deadline import Deadline

if TYPE_CHECKING:
    from autoscaler.adapters.docker.engine_api import ConfigApi
    from autoscaler.coordination.lease import Cell

ONE, OTHER = "node-1-aaaa", "node-2-bbbb"
Document = dict[str, Any]


class Engine(Protocol):
    """A Swarm without a lease."""

    @property
    def api(self) -> ConfigApi:
        """What is tested."""

    def remove(self, name: str) -> None:
        """`docker config rm`."""


def soon() -> Deadline:
    """Time enough."""
    return Deadline(20)


def spec(**more: Any) -> Document:
    """A config to create."""
    return {"Name": CONFIG, "Labels": {"a": "1"}, "Data": "YQ=="} | more


def version(engine: Engine) -> int:
    """The config's version index."""
    index: int = engine.api.config(CONFIG, soon())["Version"]["Index"]
    return index


class LeaseContract:
    """The cases. A subclass has the fixture `engine_of_lease`."""

    def test_a_config_is_kept(self, engine_of_lease: Engine) -> None:
        """A config is there after its creation, and not before, with its labels and its data."""
        with pytest.raises(NotFoundError, match=f"config {CONFIG} not found"):
            engine_of_lease.api.config(CONFIG, soon())

        engine_of_lease.api.create_config(spec(), soon())

        assert engine_of_lease.api.config(CONFIG, soon())["Spec"] == spec()

    def test_a_config_is_created_once(self, engine_of_lease: Engine) -> None:
        """A second config of the same name is refused, and changes nothing."""
        engine_of_lease.api.create_config(spec(), soon())

        with pytest.raises(AlreadyExistsError, match="already exists"):
            engine_of_lease.api.create_config(spec(Labels={"b": "2"}), soon())

        assert engine_of_lease.api.config(CONFIG, soon())["Spec"] == spec()

    def test_labels_are_replaced(self, engine_of_lease: Engine) -> None:
        """An update without data replaces all labels and keeps the data; also the same labels are a new version."""
        api = engine_of_lease.api
        api.create_config(spec(), soon())
        versions = [version(engine_of_lease)]

        for _ in range(2):
            api.update_config(CONFIG, versions[-1], {"Name": CONFIG, "Labels": {"b": "2"}}, soon())
            versions.append(version(engine_of_lease))

        assert api.config(CONFIG, soon())["Spec"] == spec(Labels={"b": "2"})
        assert versions == sorted(set(versions))

    @pytest.mark.parametrize("off", [-1, 1])
    def test_another_version_is_refused(self, engine_of_lease: Engine, off: int) -> None:
        """An update of a version that is not the present one is refused, and changes nothing."""
        api = engine_of_lease.api
        api.create_config(spec(), soon())
        before = api.config(CONFIG, soon())

        with pytest.raises(VersionConflictError, match="update out of sequence"):
            api.update_config(CONFIG, version(engine_of_lease) + off, spec(Labels={"b": "2"}), soon())

        assert api.config(CONFIG, soon()) == before

    @pytest.mark.parametrize("change", [{"Data": "Yg=="}, {"Name": "another"}], ids=["data", "name"])
    def test_all_but_labels_is_for_good(self, engine_of_lease: Engine, change: Document) -> None:
        """The data and the name of a config cannot be changed."""
        engine_of_lease.api.create_config(spec(), soon())

        with pytest.raises(RefusedError, match="only updates to Labels are allowed"):
            engine_of_lease.api.update_config(CONFIG, version(engine_of_lease), spec() | change, soon())

    def test_no_data(self, engine_of_lease: Engine) -> None:
        """A config needs data."""
        with pytest.raises(RefusedError, match="config data must be larger than 0"):
            engine_of_lease.api.create_config(spec(Data=""), soon())

    def test_no_config(self, engine_of_lease: Engine) -> None:
        """What is not there cannot be updated."""
        with pytest.raises(NotFoundError, match=f"config {CONFIG} not found"):
            engine_of_lease.api.update_config(CONFIG, 1, spec(), soon())

    # the lease in it

    def test_the_lease_is_written_and_seen(self, engine_of_lease: Engine) -> None:
        """Who wrote the lease is seen by all, and the version that it renewed, if it did; each write makes another."""
        store = SwarmLease(engine_of_lease.api)
        seen: list[Cell | None] = [store.look(soon())]

        for holder, renewal in ((ONE, False), (ONE, True), (OTHER, False), ("", False)):
            assert store.write(holder, seen[-1], soon(), renewal=renewal)
            seen.append(store.look(soon()))

        cells = [cell for cell in seen if cell is not None]
        first, *_ = versions = [cell.version for cell in cells]
        assert [(cell.holder, cell.renews) for cell in cells] == [(ONE, 0), (ONE, first), (OTHER, 0), ("", 0)]
        assert seen[0] is None
        assert versions == sorted(set(versions))

    def test_the_lease_is_written_only_as_it_was_seen(self, engine_of_lease: Engine) -> None:
        """Of two that saw the same lease, or none, one writes; the other is told, and nothing of it is written."""
        one, other = SwarmLease(engine_of_lease.api), SwarmLease(engine_of_lease.api)

        assert [one.write(ONE, None, soon()), other.write(OTHER, None, soon())] == [True, False]
        seen = one.look(soon())
        assert [other.write(OTHER, seen, soon()), one.write(ONE, seen, soon())] == [True, False]

        last = one.look(soon())
        assert last is not None
        assert last.holder == OTHER

    def test_a_lease_that_somebody_removed(self, engine_of_lease: Engine) -> None:
        """Where the config was removed since it was seen nothing is written; a new one can be made."""
        store = SwarmLease(engine_of_lease.api)
        store.write(ONE, None, soon())
        seen = store.look(soon())
        engine_of_lease.remove(CONFIG)

        assert store.look(soon()) is None
        assert not store.write(ONE, seen, soon())
        assert store.write(ONE, None, soon())

    @pytest.mark.parametrize(
        "labels", [{}, {"theirs": "1"}, {RENEWS_LABEL: "-1"}, {RENEWS_LABEL: "9" * 5000}, {HOLDER_LABEL: ""}]
    )
    def test_labels_of_somebody_else(self, engine_of_lease: Engine, labels: dict[str, str]) -> None:
        """A config without a holder is a lease that nobody holds, whatever else its labels say."""
        engine_of_lease.api.create_config(spec(Labels=labels), soon())
        store = SwarmLease(engine_of_lease.api)

        seen = store.look(soon())

        assert seen is not None
        assert (seen.holder, seen.renews) == ("", 0)
        assert store.write(ONE, seen, soon())
