"""An HTTP server whose answers a test gives, and which remembers what it was asked."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Said:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: Callable[[Callable[[bytes], None]], None] | None = None
    """Writes the body itself, as long as it likes; the connection is closed behind it."""
    cut: bool = False
    """Whether the connection breaks off instead of an answer."""


Answers = Callable[[Asked], Said]


class Server:
    """``url`` and everything asked so far."""

    def __init__(self, answers: Answers, port: int = 0) -> None:
        self.answers = answers
        self.asked: list[Asked] = []
        self.changed = threading.Condition()
        self.open: set[socket.socket] = set()

        self._server = _bound(port, type("Handler", (_Handler,), {"served": self}))
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop at once, as if it were killed: connections are reset."""
        self._server.shutdown()
        self._server.server_close()
        for each in list(self.open):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._thread.join(60)


def _bound(port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    """Listen; a port that was given may be taken for a moment, even by who tries to connect to it."""
    until = time.monotonic() + 60
    while True:
        try:
            return ThreadingHTTPServer(("127.0.0.1", port), handler)
        except OSError:
            if not port or time.monotonic() > until:
                raise
            time.sleep(0.01)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Server

    def setup(self) -> None:
        super().setup()
        self.served.open.add(self.request)

    def finish(self) -> None:
        self.served.open.discard(self.request)
        super().finish()

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self._answer()

    def do_OPTIONS(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        asked = Asked(self.command, parts.path, query, headers, body)
        said = self.served.answers(asked)
        with self.served.changed:
            self.served.asked.append(asked)
            self.served.changed.notify_all()
        self._say(said)

    def _say(self, said: Said) -> None:
        if said.cut:
            self.close_connection = True
            return
        self.send_response(said.status)
        for name, value in {"Content-Type": "application/json", **said.headers}.items():
            self.send_header(name, value)
        if said.pieces is None:
            self.send_header("Content-Length", str(len(said.body)))
            self.end_headers()
            self.wfile.write(said.body)
            return
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            said.pieces(self._piece)
        except OSError:
            return

    def _piece(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()


@contextmanager
def serving(answers: Answers, port: int = 0) -> Iterator[Server]:
    server = Server(answers, port)
    try:
        yield server
    finally:
        server.close()
