"""Stands in for the socket proxy of deploy/stack.yml, whose image this machine cannot pull.

It takes the same flags and decides as the proxy does (wollomatic/socket-proxy 1.12, cmd/socket-proxy/
handlehttprequest.go and internal/config/config.go): by the method and the decoded path, without the query; the
expression of the method is put between ^ and $, which match at the ends of the path only, and of nothing else.
"""

import re
import socket
import sys
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Allowlist:
    """What the flags of the command line let through."""

    def __init__(self, flags: list[str]) -> None:
        found = (re.match(r"-allow([A-Z]+)=(.*)", flag, re.DOTALL) for flag in flags)
        self.expressions = {match[1]: match[2] for match in found if match}
        # Go's ^ and $ are Python's \A and \Z; no brackets around, for the proxy puts none there.
        self._compiled = {method: re.compile(rf"\A{text}\Z") for method, text in self.expressions.items()}

    def refusal(self, method: str, target: str) -> int:
        """The status that the proxy refuses a request with; 0 where it lets it through."""
        if re.search(r"%(?![0-9A-Fa-f]{2})", urlsplit(target).path):
            return 400  # Go's server does not read such a request
        if method not in self._compiled:
            return 405
        return 0 if self._compiled[method].search(unquote(urlsplit(target).path)) else 403


def flag(name: str, default: str) -> str:
    """The value of the flag -name=value."""
    return next((given.partition("=")[2] for given in sys.argv if given.startswith(f"-{name}=")), default)


class Engine(HTTPConnection):
    """A connection to the engine's socket."""

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(flag("socketpath", "/var/run/docker.sock"))


class Proxy(BaseHTTPRequestHandler):
    """Passes on what is allowed."""

    protocol_version = "HTTP/1.1"
    allowlist = Allowlist(sys.argv)
    told = flag("loglevel", "info") == "debug"

    def pass_on(self) -> None:
        """Ask the engine, or refuse."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        refusal = self.allowlist.refusal(self.command, self.path)
        if refusal:
            self.reply(refusal, b"refused by the proxy\n", "text/plain")
            return
        if self.told:
            sys.stdout.write(f"allowed request {self.command} {self.path} from {self.client_address[0]}\n")
            sys.stdout.flush()
        engine = Engine("docker")
        engine.request(self.command, self.path, body or None, {"Content-Type": "application/json"})
        answer = engine.getresponse()
        self.reply(answer.status, answer.read(), "application/json")
        engine.close()

    def reply(self, status: int, body: bytes, kind: str) -> None:
        """Answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = do_HEAD = do_OPTIONS = pass_on  # noqa: N815 - the standard library calls them so


if __name__ == "__main__":
    ThreadingHTTPServer((flag("listenip", ""), int(flag("proxyport", "2375"))), Proxy).serve_forever()
