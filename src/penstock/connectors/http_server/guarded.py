"""uvicorn's HTTP protocol, with limits that it lacks: on heads, on connections, on those who never read.

Imported when a server starts, as it is made of its driver.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

MAX_HEAD_BYTES = 64 << 10
"""Of request line and headers."""
_LINGER_S = 5.0
"""How long a closed connection may take to fetch its answer."""
_SILENT = logging.Logger("penstock http server", logging.CRITICAL + 1)
"""What uvicorn says of single requests goes nowhere: a stranger could fill a disk with it."""


class GuardedProtocol(HttpToolsProtocol):
    """A connection. A head has ``head_s`` seconds to arrive; beyond ``most`` connections: 503."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        head_s: float,
        most: int,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = _SILENT
        self.access_log = False
        self._head_s = head_s
        self._most = most
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Await a request, if there is room."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            self._refuse(b"503 Service Unavailable", b"retry-after: 1\r\n")
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes; those of a head are counted."""
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_timer is None:
                self._await_head()
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """Begin to read a head."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head, self._head_bytes = False, 0
        self._no_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What comes next is a head again."""
        super().on_message_complete()
        self._in_head = True

    def on_response_complete(self) -> None:
        """See to it that a connection that is to be closed is."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_later()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """A client that has sent everything may wait for its answer, without TLS."""
        cycle = self.cycle
        waiting = cycle is not None and not cycle.response_complete and not cycle.more_body
        if waiting and self.scheme == "http":
            cycle.keep_alive = False
            return True
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._no_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that is not used, and may not even be read."""
        super().timeout_keep_alive_handler()
        self._abort_later()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        super().send_400_response(msg)
        self._abort_later()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self._head_s, self._too_slow)

    def _too_slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._refuse(b"408 Request Timeout")

    def _refuse(self, status: bytes, *headers: bytes) -> None:
        self._no_timer()
        head = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n%b\r\n"
        self.transport.write(head % (status, b"".join(headers)))
        self.transport.close()
        self._abort_later()

    def _abort_later(self) -> None:
        self.loop.call_later(_LINGER_S, self.transport.abort)

    def _no_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
