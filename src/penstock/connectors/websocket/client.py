"""Following a WebSocket server: connected again where it was lost, from a cursor if it has one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.connectors.backoff import Pauses
from penstock.connectors.contract import Position
from penstock.connectors.drivers import load_driver
from penstock.connectors.http.connection import Connection
from penstock.connectors.http.failures import retry_after_s, unreachable
from penstock.connectors.http.pages import with_parameters
from penstock.connectors.mailbox import Entry, Mailbox
from penstock.connectors.websocket.connection import handshake_error, origin_headers
from penstock.connectors.websocket.cursor import Cursor, Held, Mark, Window, mark_of, reader
from penstock.errors import ConnectorError

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

_FULL_S = 0.01
"""How often a full mailbox is looked at; the server waits meanwhile, by TCP."""
_CLOSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Following:
    """What a live WebSocket source is told; see ``WebSocketSourceSpec``."""

    step: str
    connection: Connection
    cursor: Cursor | None
    greeting: tuple[str, ...]
    subprotocols: tuple[str, ...]
    max_message_bytes: int


class WebSocketClient:
    """Receives messages on an event loop of its own; a mark is a cursor and a checksum."""

    def __init__(self, following: Following, box: Mailbox) -> None:
        load_driver("websockets.asyncio.client", "websocket", following.step)
        self._following = following
        self._box = box
        self._pauses = Pauses(following.connection.backoff)
        self._url = following.connection.opened_url(following.step)
        self._headers = origin_headers(following.connection, following.step)
        secure = self._url.startswith("wss:")
        self._tls = following.connection.tls.client(following.step) if secure else None
        cursor = following.cursor
        self._reader = None if cursor is None else reader(cursor)
        self._received = Window(0 if cursor is None else cursor.rewind)
        self._passed = Window(self._received.rewind)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Task[None] | None = None

    def begin(self, position: Position | None) -> None:
        """Go on at a cursor."""
        if position is not None and self._reader is not None:
            held = msgspec.convert(position, Held)
            self._received.restore(held)
            self._passed.restore(held)

    def passed(self, entries: Sequence[Entry]) -> Position:
        """Return the cursor behind the last, and what is not to be taken again."""
        if self._reader is None:
            return None
        marks: Any = (entry.mark for entry in entries)
        self._passed.add(marks)
        held = self._passed.held()
        return None if held is None else {"cursor": held.cursor, "seen": list(map(list, held.seen))}

    def close(self) -> None:
        """End the connection."""
        loop, running = self._loop, self._running
        if loop is not None and running is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(running.cancel)

    def run(self) -> None:
        """Follow until the box is closed."""
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running = asyncio.current_task()
        while not self._box.closed:
            asked = await self._connected()
            self._box.tell(quiet=False)
            await asyncio.sleep(self._pauses.next_s(asked))

    async def _connected(self) -> float | None:
        """Follow one connection to its end; return the seconds that the server asks us to stay away."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import (
            ConnectionClosed,
            InvalidHandshake,
            InvalidStatus,
            InvalidURI,
        )

        following = self._following
        timeout_s = following.connection.timeout.total_seconds()
        try:
            async with connect(
                self._where(),
                additional_headers=self._headers,
                subprotocols=following.subprotocols or None,  # type: ignore[arg-type]  # NewType
                open_timeout=following.connection.connect_timeout.total_seconds(),
                ping_interval=timeout_s,
                ping_timeout=timeout_s,
                close_timeout=_CLOSE_S,
                max_size=following.max_message_bytes,
                ssl=self._tls,
                user_agent_header="penstock",
            ) as socket:
                for text in following.greeting:
                    await socket.send(text)
                await self._follow(socket)
        except InvalidStatus as error:
            failure = handshake_error(error.response.status_code, following.step)
            if failure is not None:
                raise failure from None
            return retry_after_s({k.lower(): v for k, v in error.response.headers.raw_items()})
        except InvalidURI:
            raise ConnectorError("this is no URL of a WebSocket", step=following.step) from None
        except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError) as error:
            failure = unreachable(error, following.step, "connecting")
            if not failure.retry:  # a certificate
                raise failure from None
        return None

    def _where(self) -> str:
        cursor, start = self._following.cursor, self._received.start
        if cursor is None or start is None:
            return self._url
        return with_parameters(self._url, {cursor.parameter: start})

    async def _follow(self, socket: ClientConnection) -> None:
        self._box.tell(quiet=True)
        while True:
            message = await socket.recv(decode=False)
            self._pauses.succeeded()
            mark: Mark | None = None
            if self._reader is not None:
                mark = mark_of(self._reader, message)
                if mark is not None:
                    if mark in self._received:
                        continue
                    self._received.add((mark,))
            self._box.put([Entry(message, (), mark)])
            self._box.tell(quiet=True)
            while self._box.full and not self._box.closed:
                await asyncio.sleep(_FULL_S)
