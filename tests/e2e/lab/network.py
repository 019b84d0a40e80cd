"""A network of its own for an engine: what it makes there meets no other engine's, and goes with it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from .process import Child, LabError, ended, processes, run, wait_for
from .scratch import Scratch

_LINKS = range(1, 200)


class Network:
    """A network namespace joined to ours by a pair of interfaces.

    `address` is where programs inside are reached from here (ports published with `mode: host`); at `host_address`
    programs here can listen for those inside, containers included. A process that does nothing holds it, so that it
    outlives the engine's restarts and goes, interfaces and firewall rules with it, when that process ends.
    """

    address: str
    host_address: str
    link: str

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._holder: Child | None = None

    def __enter__(self) -> Self:
        self._holder = Child(
            "network holder",
            ["unshare", "--net", "--", "sleep", "infinity"],
            self._scratch.path / "network.log",
            keep_fds=[self._scratch.lock_fd],
            death_signal="KILL",
        )
        try:
            self._holder.wait_ready(lambda: _namespace(self._pid) != _namespace(os.getpid()), timeout=5)
            self._join()
        except BaseException:
            self._holder.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_processes()
        if self._holder is not None:
            self._holder.stop()
        # The kernel takes a namespace down in the background; its interfaces are gone only then.
        wait_for(f"the interface {self.link} to be gone", lambda: self.link not in _links(), timeout=10)

    def inside(self, *argv: str | Path) -> list[str]:
        """The command that runs *argv* inside this network (mounts and processes stay the machine's)."""
        # Not `ip netns exec`: that mounts a fresh /sys without the cgroups, and dockerd refuses to start.
        return ["nsenter", f"--net=/proc/{self._pid}/ns/net", "--", *map(str, argv)]

    def end_processes(self) -> list[int]:
        """Kill whatever still runs inside, with its descendants; returns the pids, usually none.

        What runs in this namespace was started by this lab, and a container's processes descend from a shim that does.
        """
        own = {self._pid, *self._descendants_inside()}
        own.discard(self._pid)
        ended(sorted(own))
        return sorted(own)

    @contextlib.contextmanager
    def outbound(self) -> Iterator[None]:
        """Let programs inside reach what this machine reaches (package registries), for the time of the context.

        At other times there is no route: the engine tries to pull an image before it starts a task, and the names of
        registries should fail to resolve at once, not after 20 s. IPv4 forwarding stays switched on afterwards, as
        after every start of a Docker engine.
        """
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        with contextlib.ExitStack() as rules:
            route = ("default", "via", self.host_address)
            run(*self.inside("ip", "route", "add", *route))
            rules.callback(run, *self.inside("ip", "route", "delete", *route))
            for table, chain, match, verdict in (
                ("nat", "POSTROUTING", ("--source", self.address), "MASQUERADE"),
                ("filter", "FORWARD", ("--in-interface", self.link), "ACCEPT"),
                ("filter", "FORWARD", ("--out-interface", self.link), "ACCEPT"),
            ):
                rule = (chain, *match, "--jump", verdict)
                run("iptables", "--wait", "5", "--table", table, "--insert", *rule)
                rules.callback(run, "iptables", "--wait", "5", "--table", table, "--delete", *rule)
            yield

    @property
    def _pid(self) -> int:
        if self._holder is None:
            raise LabError("the network is used before it was entered; use it as a context manager")
        return self._holder.pid

    def _join(self) -> None:
        """Connect the two sides. The interface's name is the claim on its addresses: labs side by side cannot meet."""
        for number in _LINKS:
            self.link = f"swarmlab{number}"
            self.host_address, self.address = f"10.213.{number}.1", f"10.213.{number}.2"
            if self.link in _links():
                continue
            try:
                run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", str(self._pid))
            except LabError:
                if self.link in _links():  # another lab was faster
                    continue
                raise
            break
        else:
            raise LabError(
                f"all interfaces swarmlab{_LINKS.start}…{_LINKS.stop - 1} are taken; end the labs that hold them"
            )
        run("ip", "address", "add", f"{self.host_address}/30", "dev", self.link)
        run("ip", "link", "set", self.link, "up")
        run(*self.inside("ip", "link", "set", "lo", "up"))
        run(*self.inside("ip", "address", "add", f"{self.address}/30", "dev", "eth0"))
        run(*self.inside("ip", "link", "set", "eth0", "up"))

    def _descendants_inside(self) -> set[int]:
        parents = dict(processes())
        namespace = _namespace(self._pid)
        inside = {pid for pid in parents if pid != self._pid and _namespace(pid) == namespace}
        grown = True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in inside} - inside
            inside |= more
            grown = bool(more)
        return inside


def _links() -> set[str]:
    return set(os.listdir("/sys/class/net"))  # noqa: PTH208 -- only names are wanted


def _namespace(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")  # noqa: PTH115 -- not a path: "net:[4026531840]"
    except OSError:
        return None
