"""Stands in for the socket proxy of deploy/stack.yml, whose image this machine cannot pull.

It takes the same flags, and lets through what their regular expressions match as a whole, and nothing else.
"""

import re
import socket
import sys
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SOCKET = "/var/run/docker.sock"
ALLOWED = {
    method: [re.compile(argument.partition("=")[2]) for argument in sys.argv if argument.startswith(f"-allow{method}=")]
    for method in ("GET", "POST")
}
PORT = next(int(argument.partition("=")[2]) for argument in sys.argv if argument.startswith("-proxyport="))


class Engine(HTTPConnection):
    """A connection to the engine's socket."""

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(SOCKET)


class Proxy(BaseHTTPRequestHandler):
    """Passes on what is allowed."""

    protocol_version = "HTTP/1.1"

    def pass_on(self) -> None:
        """Ask the engine, or refuse."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        if not any(pattern.fullmatch(path) for pattern in ALLOWED.get(self.command, [])):
            self.reply(403, b'{"message":"forbidden by the proxy"}')
            return
        engine = Engine("docker")
        engine.request(self.command, self.path, body or None, {"Content-Type": "application/json"})
        answer = engine.getresponse()
        self.reply(answer.status, answer.read())
        engine.close()

    def reply(self, status: int, body: bytes) -> None:
        """Answer with JSON."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = do_PUT = do_HEAD = pass_on  # noqa: N815 - the names that the standard library calls


if __name__ == "__main__":
    ThreadingHTTPServer(("", PORT), Proxy).serve_forever()
