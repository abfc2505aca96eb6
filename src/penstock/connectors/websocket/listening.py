"""Messages of all who connect: taken as they come, and counted back once they are durable."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.connectors.contract import Position
from penstock.connectors.mailbox import Entry, Mailbox
from penstock.connectors.websocket.serving import Server, Serving, client_of

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

METADATA = ("client",)
"""Columns that a message can have beside its own."""
_FULL_S = 0.01


class ListeningClient:
    """Receives what others send. With ``counts`` each is told how many of its messages are safe.

    ``{"accepted": 3}`` says that the first three messages of this connection are.
    """

    def __init__(
        self, serving: Serving, box: Mailbox, *, metadata: tuple[str, ...], counts: bool
    ) -> None:
        self._box = box
        self._with_client = "client" in metadata
        self._counts = counts
        self._sent: deque[tuple[ServerConnection, int]] = deque()
        self._safe = 0
        self._server = Server(serving, self._receive)
        self.address = self._server.address

    def begin(self, position: Position | None) -> None:  # noqa: ARG002
        """Begin to listen; nothing that was sent before can be asked for."""
        self._server.start()

    def run(self) -> None:
        """The server has a thread of its own."""

    def passed(self, entries: Sequence[Entry]) -> Position:  # noqa: ARG002
        """Say nothing of it."""
        return None

    def acknowledged(self, count: int) -> None:
        """Tell the senders of the first ``count`` messages that these are durable."""
        if self._counts:
            self._server.call(self._count_back, count)

    def close(self) -> None:
        """Close all connections."""
        self._server.close()

    def _count_back(self, count: int) -> None:
        newest: dict[ServerConnection, int] = {}
        while self._sent and self._safe < count:
            connection, number = self._sent.popleft()
            newest[connection] = number
            self._safe += 1
        for connection, number in newest.items():
            task = asyncio.ensure_future(_tell(connection, number))
            _telling.add(task)
            task.add_done_callback(_telling.discard)

    async def _receive(self, connection: ServerConnection) -> None:
        beside = (client_of(connection),) if self._with_client else ()
        number = 0
        while not self._box.closed:
            message = await connection.recv(decode=False)
            number += 1
            if self._counts:
                self._sent.append((connection, number))
            self._box.put([Entry(message, beside)])
            self._box.tell(quiet=True)
            while self._box.full and not self._box.closed:
                await asyncio.sleep(_FULL_S)


_telling: set[asyncio.Future[None]] = set()
"""Tasks that run; a loop itself holds them weakly."""


async def _tell(connection: ServerConnection, number: int) -> None:
    from websockets.exceptions import ConnectionClosed

    try:
        await connection.send(f'{{"accepted":{number}}}')
    except ConnectionClosed:
        return
