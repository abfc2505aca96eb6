"""A source that listens, polled in the background, and a client that sends what it is told to."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import polars as pl

from penstock.connectors.contract import promise_acknowledgement
from penstock.connectors.http_server.config import HttpServerSpec, http_server
from penstock.connectors.http_server.source import HttpServerSource

SCHEMA = {"a": pl.Int64, "b": pl.String}
LIMIT_S = 60.0


class Running:
    """What was polled so far; polls are acknowledged at once, as a topic does."""

    def __init__(self, source: HttpServerSource) -> None:
        self.source = source
        self.frames: list[pl.DataFrame] = []
        self.dead: list[pl.DataFrame] = []
        self.positions: list[Any] = []
        self.stopping = threading.Event()

    @property
    def address(self) -> tuple[str, int]:
        return self.source.address

    def rows(self) -> list[tuple[Any, ...]]:
        return [row for frame in self.frames for row in frame.rows()]

    def run(self) -> None:
        while not self.stopping.is_set():
            polled = self.source.poll(1000, 0.05)
            self.frames.append(polled.frame)
            if polled.dead is not None:
                self.dead.append(polled.dead)
            self.positions.append(json.loads(json.dumps(polled.position)))
            self.source.acknowledge(polled.position)


@contextmanager
def running(
    spec: HttpServerSpec | None = None, position: Any = None, **options: Any
) -> Iterator[Running]:
    """Listen, poll and acknowledge in the background."""
    opened = (spec or http_server(0, schema=SCHEMA, **options)).open()
    assert isinstance(opened, HttpServerSource)
    with closing(opened) as source:
        promise_acknowledgement(source)
        source.seek(position)
        found = Running(source)
        thread = threading.Thread(target=found.run, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            found.stopping.set()
            thread.join(LIMIT_S)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def send(
    address: tuple[str, int],
    body: bytes | None,
    content_type: str = "application/json",
    *,
    method: str = "POST",
    path: str = "/",
    headers: Mapping[str, str] | None = None,
    context: ssl.SSLContext | None = None,
) -> Reply:
    """Send one request over a connection of its own."""
    made: http.client.HTTPConnection
    if context is None:
        made = http.client.HTTPConnection(*address, timeout=LIMIT_S)
    else:
        made = http.client.HTTPSConnection(*address, timeout=LIMIT_S, context=context)
    with closing(made) as connection:
        connection.request(method, path, body, {"Content-Type": content_type, **(headers or {})})
        with connection.getresponse() as response:
            names = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, names, response.read())


def raw(address: tuple[str, int], *pieces: bytes, shut: bool = False) -> bytes:
    """Send bytes as they are; return everything that comes until the server closes."""
    with socket.create_connection(address, timeout=LIMIT_S) as peer:
        try:
            for piece in pieces:
                peer.sendall(piece)
            if shut:
                peer.shutdown(socket.SHUT_WR)
        except OSError:  # closed already: what it said can be read
            pass
        return received(peer)


def received(peer: socket.socket) -> bytes:
    chunks = []
    try:
        while chunk := peer.recv(65_536):
            chunks.append(chunk)
    except ConnectionResetError:
        pass
    return b"".join(chunks)
