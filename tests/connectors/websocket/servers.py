"""WebSocket servers as Jetstream and Mastodon speak, on threads of their own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve

LIMIT_S = 60.0
Handler = Callable[[ServerConnection], Awaitable[None]]


class Server:
    """``url``, and the targets of the handshakes so far."""

    def __init__(self, handler: Handler, port: int = 0) -> None:
        self._handler = handler
        self._port = port
        self.targets: list[str] = []
        self.headers: list[Any] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(LIMIT_S)

    async def _run(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        async with serve(self._handle, "127.0.0.1", self._port, close_timeout=0.2) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self.url = f"ws://127.0.0.1:{self.port}"
            self._ready.set()
            await self._ending.wait()
            for connection in list(server.connections):
                connection.transport.abort()

    async def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.targets.append(connection.request.path)
        self.headers.append(connection.request.headers)
        await self._handler(connection)

    def close(self) -> None:
        """End as if it were killed: connections break off."""
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(LIMIT_S)


@contextmanager
def serving(handler: Handler, port: int = 0) -> Iterator[Server]:
    server = Server(handler, port)
    try:
        yield server
    finally:
        server.close()


class Jetstream:
    """Events with ``time_us``, two of each time; replayed from ``cursor`` on; breaks off after some."""

    def __init__(self, total: int, burst: int) -> None:
        self.events = [
            json.dumps({"did": f"d{n}", "time_us": 1_700_000_000_000_000 + n // 2, "n": n})
            for n in range(total)
        ]
        self.burst = burst

    async def __call__(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        query = parse_qs(urlsplit(connection.request.path).query)
        cursor = int(query.get("cursor", ["0"])[0])
        found = [each for each in self.events if json.loads(each)["time_us"] >= cursor]
        for event in found[: self.burst]:
            await connection.send(event)
        if len(found) > self.burst:
            connection.transport.close()
            return
        await connection.wait_closed()
