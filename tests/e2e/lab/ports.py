"""Ports nobody listens on."""

import socket


def free_port(address: str = "127.0.0.1") -> int:
    """A TCP port that was free a moment ago on *address*; whoever binds it soon gets it."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
