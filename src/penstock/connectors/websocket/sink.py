"""Rows to everybody who is connected; nobody can hold the others up.

apply -> messages -> queue of each client, up to max_client_bytes -> client
                          full: the client is closed, or misses messages until there is room
"""

from __future__ import annotations

import asyncio
import enum
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from penstock.columns import WEIGHT
from penstock.connectors.contract import SinkIdentity
from penstock.connectors.websocket.serving import Server, Serving
from penstock.errors import ConnectorError, Fault

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

_TRY_AGAIN_LATER = 1013
_HANDED_S = 60.0


class Slow(enum.Enum):
    """What becomes of a client that does not read as fast as rows come."""

    DROP = "drop"
    """It is closed, with status 1013."""
    SKIP = "skip"
    """It misses messages, and goes on once there is room."""


class Holds(enum.Enum):
    """What a message holds."""

    ROW = "row"
    """An object."""
    BATCH = "batch"
    """An array of objects: the rows of an epoch, 500 at most."""


_BATCH_ROWS = 500


@dataclass(frozen=True, slots=True)
class Broadcasting:
    """What a live broadcast sink is told; see ``WebSocketServerSinkSpec``."""

    serving: Serving
    holds: Holds
    slow: Slow
    max_client_bytes: int
    with_weight: bool


class _Reader:
    """One client and what it is still to be sent; used on the event loop alone."""

    def __init__(self, connection: ServerConnection, max_bytes: int) -> None:
        self.connection = connection
        self._max_bytes = max_bytes
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._more = asyncio.Event()
        self.dropped = False

    def offer(self, message: bytes) -> bool:
        """Queue a message; False if there is no room. One that is larger than that needs all of it."""
        if self._queue and self._bytes + len(message) > self._max_bytes:
            return False
        self._queue.append(message)
        self._bytes += len(message)
        self._more.set()
        return True

    def drop(self) -> None:
        """Send nothing more."""
        self.dropped = True
        self._queue.clear()
        self._bytes = 0
        self._more.set()

    async def send(self) -> None:
        """Send what is queued, until it is dropped or goes."""
        while not self.dropped:
            await self._more.wait()
            while self._queue:
                message = self._queue[0]  # it counts until the client has it
                await self.connection.send(message, text=True)
                if self._queue:
                    self._queue.popleft()
                    self._bytes -= len(message)
            self._more.clear()
            if self.dropped:
                break
        await self.connection.close(_TRY_AGAIN_LATER, "too slow")


class BroadcastSink:
    """A live WebSocket server that sends rows, and takes nothing."""

    def __init__(self, broadcasting: Broadcasting) -> None:
        self._broadcasting = broadcasting
        self._step = broadcasting.serving.step
        self._readers: set[_Reader] = set()
        self.skipped = 0
        """Messages that slow clients have missed."""
        self.dropped = 0
        """Clients that were closed because they were slow."""
        self._server: Server | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, once it has begun."""
        assert self._server is not None, "begun"
        return self._server.address

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._readers)

    def begin(
        self,
        identity: SinkIdentity | None,  # noqa: ARG002 - what was sent is not recorded
        schema: pl.Schema | None = None,  # noqa: ARG002 - messages need none
    ) -> int | None:
        """Begin to listen."""
        self._server = Server(self._broadcasting.serving, self._attend)
        self._server.start()
        return None

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:  # noqa: ARG002
        """Queue the rows for everybody who is connected now."""
        for frame in frames:
            if WEIGHT in frame.columns and not self._broadcasting.with_weight:
                raise ConnectorError(
                    "changes cannot be sent as rows",
                    step=self._step,
                    fault=Fault.USER,
                    hint='give changes="weight", or end the stream with .emit("final")',
                )
            if frame.height and self._readers:
                self._hand(self._messages(frame))

    def close(self) -> None:
        """Close all connections, and the port."""
        if self._server is not None:
            self._server.close()

    def _messages(self, frame: pl.DataFrame) -> list[bytes]:
        objects = frame.select(pl.struct(pl.all()).struct.json_encode()).to_series()
        if self._broadcasting.holds is Holds.ROW:
            return objects.cast(pl.Binary).to_list()
        starts = range(0, len(objects), _BATCH_ROWS)
        return [
            b"[" + ",".join(objects[start : start + _BATCH_ROWS]).encode() + b"]"
            for start in starts
        ]

    def _hand(self, messages: Sequence[bytes]) -> None:
        """Wait until the event loop has the messages, so that they do not pile up before it."""
        handed = threading.Event()
        assert self._server is not None
        if self._server.call(self._spread, messages, handed):
            handed.wait(_HANDED_S)

    def _spread(self, messages: Sequence[bytes], handed: threading.Event) -> None:
        for reader in [reader for reader in self._readers if not reader.dropped]:
            for message in messages:
                if reader.offer(message):
                    continue
                if self._broadcasting.slow is Slow.DROP:
                    self.dropped += 1
                    reader.drop()
                    reader.connection.transport.abort()
                    break
                self.skipped += 1
        handed.set()

    async def _attend(self, connection: ServerConnection) -> None:
        reader = _Reader(connection, self._broadcasting.max_client_bytes)
        self._readers.add(reader)
        sending = asyncio.ensure_future(reader.send())
        try:
            async for _ in connection:  # notices that the client goes, and answers its pings
                pass
        finally:
            self._readers.discard(reader)
            sending.cancel()
            await asyncio.wait([sending])
            if not sending.cancelled():
                sending.exception()  # closed: nothing to be told
