"""A network of its own for an engine: what it makes there meets no other engine's, and goes with it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from .process import Child, LabError, ended, processes, run, wait_for
from .scratch import Scratch

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
_LINKS = range(1 + 25 * _WORKER, 26 + 25 * _WORKER)
"""Other ones for each worker of a parallel run: a link that is gone must not be another lab's a moment later."""


class Namespace:
    """A network namespace; a context manager.

    A process that does nothing holds it, so that it outlives the programs inside and goes when that process ends, with
    its interfaces and firewall rules.
    """

    def __init__(self, scratch: Scratch, name: str = "network") -> None:
        self._scratch = scratch
        self._name = name
        self._holder: Child | None = None

    def __enter__(self) -> Self:
        self._holder = Child(
            f"{self._name} holder",
            ["unshare", "--net", "--", "sleep", "infinity"],
            self._scratch.path / f"{self._name}.log",
            keep_fds=[self._scratch.lock_fd],
            death_signal="KILL",
        )
        try:
            self._holder.wait_ready(lambda: _namespace(self.pid) != _namespace(os.getpid()))
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

    def inside(self, *argv: str | Path) -> list[str]:
        """The command that runs *argv* inside this network (mounts and processes stay the machine's)."""
        # Not `ip netns exec`: that mounts a fresh /sys without the cgroups, and dockerd refuses to start.
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *map(str, argv)]

    def end_processes(self) -> list[int]:
        """Kill whatever still runs inside, with its descendants; returns the pids, usually none.

        What runs in this namespace was started by this lab, and a container's processes descend from a shim that does.
        """
        own = {self.pid, *self._descendants_inside()}
        own.discard(self.pid)
        ended(sorted(own))
        return sorted(own)

    @property
    def pid(self) -> int:
        """The process that holds it."""
        if self._holder is None:
            raise LabError("the namespace is used before it was entered; use it as a context manager")
        return self._holder.pid

    def _join(self) -> None:
        """Make the interfaces inside."""
        run(*self.inside("ip", "link", "set", "lo", "up"))

    def _descendants_inside(self) -> set[int]:
        parents = dict(processes())
        namespace = _namespace(self.pid)
        inside = {pid for pid in parents if pid != self.pid and _namespace(pid) == namespace}
        grown = True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in inside} - inside
            inside |= more
            grown = bool(more)
        return inside


class Network(Namespace):
    """A network namespace joined to ours by a pair of interfaces.

    `address` is where programs inside are reached from here (ports published with `mode: host`); at `host_address`
    programs here can listen for those inside, containers included.
    """

    address: str
    host_address: str
    link: str

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        # The kernel takes a namespace down in the background; its interfaces are gone only then.
        wait_for(f"the interface {self.link} to be gone", lambda: self.link not in _links())

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

    def _join(self) -> None:
        """Connect the two sides. The interface's name is the claim on its addresses: labs side by side cannot meet."""
        for number in _LINKS:
            self.link = f"swarmlab{number}"
            self.host_address, self.address = f"10.213.{number}.1", f"10.213.{number}.2"
            if self.link in _links():
                continue
            try:
                run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", str(self.pid))
            except LabError:
                if self.link in _links():  # another lab was faster
                    continue
                raise
            break
        else:
            raise LabError(
                f"all interfaces swarmlab{_LINKS.start}…{_LINKS.stop - 1} are taken; end the labs that hold them"
            )
        self._forget_rules()
        run("ip", "address", "add", f"{self.host_address}/30", "dev", self.link)
        run("ip", "link", "set", self.link, "up")
        run(*self.inside("ip", "link", "set", "lo", "up"))
        run(*self.inside("ip", "address", "add", f"{self.address}/30", "dev", "eth0"))
        run(*self.inside("ip", "link", "set", "eth0", "up"))

    def _forget_rules(self) -> None:
        """Remove what a lab left of `outbound` that had this link before and was killed."""
        for table in ("nat", "filter"):
            for line in run("iptables", "--wait", "5", "--table", table, "--list-rules").splitlines():
                action, *rule = line.split()
                if action == "-A" and {self.link, f"{self.address}/32"} & set(rule):
                    run("iptables", "--wait", "5", "--table", table, "--delete", *rule)


class Switch(Namespace):
    """A bridge that joins networks to each other; a context manager.

    It is in a namespace of its own, where no other lab, no firewall rule and no engine of the machine can meet it: the
    addresses are the same in every lab.
    """

    def __init__(self, scratch: Scratch) -> None:
        super().__init__(scratch, "switch")
        self._ports: dict[Network, int] = {}

    def plug(self, network: Network) -> str:
        """Give *network* a port; returns its address there, by which the other networks reach it."""
        number = self._ports[network] = len(self._ports) + 1
        port, address = self._port(network), f"10.214.0.{number}"
        run(
            *self.inside("ip", "link", "add", port, "type", "veth", "peer", "name", "swarm0", "netns", f"{network.pid}")
        )
        run(*self.inside("ip", "link", "set", port, "master", "bridge", "up"))
        run(*network.inside("ip", "address", "add", f"{address}/24", "dev", "swarm0"))
        run(*network.inside("ip", "link", "set", "swarm0", "up"))
        return address

    def cut(self, network: Network) -> None:
        """Let nothing pass to and from *network*, in silence: nobody is told, as when a switch fails."""
        self._set_port(network, "disabled")

    def mend(self, network: Network) -> None:
        """Let everything pass again."""
        self._set_port(network, "forwarding")

    def _join(self) -> None:
        run(*self.inside("ip", "link", "add", "bridge", "type", "bridge"))
        run(*self.inside("ip", "link", "set", "bridge", "up"))

    def _set_port(self, network: Network, state: str) -> None:
        run(*self.inside("bridge", "link", "set", "dev", self._port(network), "state", state))

    def _port(self, network: Network) -> str:
        return f"port{self._ports[network]}"


def _links() -> set[str]:
    return set(os.listdir("/sys/class/net"))  # noqa: PTH208 -- only names are wanted


def _namespace(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")  # noqa: PTH115 -- not a path: "net:[4026531840]"
    except OSError:
        return None
