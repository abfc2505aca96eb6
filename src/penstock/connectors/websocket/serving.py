"""A WebSocket server on a thread of its own: who may connect, how many, and what is done with each."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from penstock.connectors.drivers import load_driver
from penstock.connectors.sockets.source import listening
from penstock.connectors.tls import Tls
from penstock.connectors.tokens import Tokens, bearer
from penstock.errors import ConnectorError, Fault

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

_BACKLOG = 1024
_START_S = 10.0
_SILENT = logging.Logger("penstock websocket server", logging.CRITICAL + 1)
"""What the library says of single connections goes nowhere: a stranger could fill a disk with it."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What a live server is told; see ``WebSocketServerSpec``."""

    step: str
    host: str
    port: int
    path: str
    tokens: tuple[str, ...] = field(repr=False)
    max_message_bytes: int
    max_connections: int
    timeout_s: float
    tls: Tls | None


Handler = Callable[["ServerConnection"], Awaitable[None]]


class Server:
    """Binds when it is made, so that the address is known; takes connections from ``start`` on."""

    def __init__(self, serving: Serving, handler: Handler) -> None:
        load_driver("websockets.asyncio.server", "websocket", serving.step)
        self._serving = serving
        self._handler = handler
        self._tokens = Tokens.opened(serving.tokens, serving.step)
        self._tls = None if serving.tls is None else serving.tls.server(serving.step)
        self._socket = listening(serving.step, (serving.host, serving.port), _BACKLOG)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._open = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._listening = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=serving.step, daemon=True)

    def start(self) -> None:
        """Begin to listen; returns when connections are taken."""
        self._thread.start()
        self._listening.wait(_START_S)
        if self._error is not None or not self._listening.is_set():
            raise ConnectorError(
                f"the server did not start: {self._error}",
                step=self._serving.step,
                fault=Fault.OURS,
                retry=True,
            ) from self._error

    def call(self, function: Callable[..., object], *arguments: object) -> bool:
        """Call a function on the event loop, soon; False if there is none any more."""
        try:
            assert self._loop is not None, "started"
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return False
        return True

    def close(self) -> None:
        """Close all connections and the port."""
        if not self._thread.is_alive():
            self._socket.close()
            return
        if self._ending is not None and self.call(self._ending.set):
            self._thread.join(_START_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - raised by start
            self._error = error
        finally:
            self._listening.set()
            self._socket.close()

    async def _serve(self) -> None:
        from websockets.asyncio.server import serve

        serving = self._serving
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        async with serve(
            self._handle,
            sock=self._socket,
            ssl=self._tls,
            process_request=self._admit,
            compression=None,
            max_size=serving.max_message_bytes,
            open_timeout=serving.timeout_s,
            ping_interval=serving.timeout_s,
            ping_timeout=serving.timeout_s,
            close_timeout=1,
            server_header=None,
            logger=_SILENT,
        ):
            self._listening.set()
            await self._ending.wait()

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse a handshake at another path, without a token, or one too many."""
        where = urlsplit(request.path)
        given = bearer(request.headers.get("Authorization", "").encode("latin-1", "replace"))
        if given is None:  # a page in a browser can set no header
            given = "".join(parse_qs(where.query).get("token", [])[:1]).encode()
        if where.path != self._serving.path:
            return connection.respond(404, "nothing is here\n")
        if not self._tokens.admit(given):
            return connection.respond(401, "no token, or a wrong one\n")
        if self._open >= self._serving.max_connections:
            return connection.respond(503, "too many connections\n")
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        self._open += 1
        try:
            with contextlib.suppress(ConnectionClosed):
                await self._handler(connection)
        finally:
            self._open -= 1


def client_of(connection: ServerConnection) -> str:
    """Return ``host:port`` of a peer."""
    address = connection.remote_address
    return f"{address[0]}:{address[1]}" if address else "unknown"
