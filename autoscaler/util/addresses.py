"""The addresses that the HTTP server listens on, as people write them."""

from __future__ import annotations

import re

DEFAULT_LISTEN = "127.0.0.1:9595"
"""The address for the API unless a setting gives another one."""
_HIGHEST_PORT = 65535
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9._-]+)?")


def split_address(value: str) -> tuple[str, int]:
    """Return the host and the port of ``host:port`` or ``[::1]:port``; raise ValueError for anything else."""
    host, colon, port = value.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > _HIGHEST_PORT:
        raise ValueError(f"{value!r} has no port (write 127.0.0.1:9595, or [::1]:9595)")
    if not host:
        raise ValueError(f"{value!r} has no host (write 0.0.0.0:{port} for all, or 127.0.0.1:{port})")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed and _IPV6.fullmatch(host[1:-1]):
        return host[1:-1], int(port)
    if not bracketed and ":" in host:
        raise ValueError(f"{value!r} is ambiguous (write an IPv6 address in brackets, like [::1]:9595)")
    if not _HOST_NAME.fullmatch(host):
        raise ValueError(f"{host!r} is not a host (write an address or a name, like 127.0.0.1:9595)")
    return host, int(port)
