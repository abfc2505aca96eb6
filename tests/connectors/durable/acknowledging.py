"""A protocol with acknowledgements, as HTTP and MQTT have them, in its smallest form.

A sender connects and sends lines ``sender number word``, in order of number. It gets back
``sender number`` when everything up to that number is safe, and sends what was not acknowledged again
on its next connection. The source drops what its position says it has had already.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import polars as pl

from penstock.columns import dead_letters
from penstock.connectors.contract import Polled, Position

SCHEMA = pl.Schema({"sender": pl.String(), "number": pl.Int64()})
BAD = "bad"
"""The word of a line that is a dead letter."""


@dataclass(frozen=True)
class AcknowledgingSpec:
    port: int
    name: str = "acknowledging"
    bounded: bool = False
    replayable: bool = False
    partitioned: bool = False
    frame_is_epoch: bool = False

    @property
    def schema(self) -> pl.Schema:
        return SCHEMA

    def open(self) -> AcknowledgingSource:
        return AcknowledgingSource(self.port)


@dataclass
class AcknowledgingSource:
    port: int
    _had: dict[str, int] = field(default_factory=dict)
    _safe: dict[str, int] = field(default_factory=dict)
    _partial: dict[socket.socket, bytes] = field(default_factory=dict)
    _closed: bool = False

    def __post_init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.settimeout(0.0)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def seek(self, position: Position | None) -> None:
        self._had = dict(position) if isinstance(position, dict) else {}
        self._safe = dict(self._had)

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        lines: list[bytes] = []
        if not self._closed:
            for key, _ in self._selector.select(min(timeout_s, 0.05)):
                lines += self._serve(key.fileobj)
        good, bad, again = [], [], False
        for line in lines:
            sender, number, word = line.decode().split(" ")
            if int(number) <= self._had.get(sender, -1):
                again = True
                continue
            self._had[sender] = int(number)
            (bad if word == BAD else good).append((sender, int(number)))
        if again:  # the acknowledgement was lost with its connection
            self.acknowledge(self._safe)
        frame = pl.DataFrame(good, schema=SCHEMA, orient="row")
        places = [f"{sender} {number}" for sender, number in bad]
        dead = dead_letters("words", places, [b""] * len(bad), [BAD] * len(bad)) if bad else None
        return Polled(frame, dict(self._had), dead=dead)

    def _serve(self, sock: object) -> list[bytes]:
        assert isinstance(sock, socket.socket)
        if sock is self._listener:
            peer, _ = sock.accept()
            self._partial[peer] = b""
            self._selector.register(peer, selectors.EVENT_READ)
            return []
        try:
            chunk = sock.recv(4096)
        except OSError:
            chunk = b""
        if not chunk:
            self._selector.unregister(sock)
            self._partial.pop(sock)
            sock.close()
            return []
        *lines, self._partial[sock] = (self._partial[sock] + chunk).split(b"\n")
        return lines

    def partitions(self) -> Sequence[int]:
        return (0,)

    def acknowledge(self, position: Position) -> None:
        assert isinstance(position, dict)
        self._safe = dict(position)
        said = "".join(f"{sender} {number}\n" for sender, number in position.items()).encode()
        for peer in list(self._partial):
            with suppress(OSError):
                peer.sendall(said)

    def close(self) -> None:
        self._closed = True
        for peer in [*self._partial, self._listener]:
            peer.close()
        self._selector.close()
