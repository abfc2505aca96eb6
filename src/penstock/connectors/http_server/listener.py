"""The thread on which an HTTP server runs: uvicorn, with time-outs for those who are slow."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from penstock.connectors.drivers import load_driver
from penstock.connectors.http_server.app import App, Limits
from penstock.connectors.http_server.deliveries import Answer, Delivery, Inbox
from penstock.connectors.sockets.source import listening
from penstock.connectors.tokens import Tokens
from penstock.errors import ConnectorError, Fault

if TYPE_CHECKING:
    import uvicorn

_BACKLOG = 1024
_START_S = 10.0
_FINISH_S = 5
"""How long requests that were taken may still be answered after the close."""


class Listener:
    """Binds when it is made, so that the address is known; takes requests from ``start`` on."""

    def __init__(self, limits: Limits, inbox: Inbox) -> None:
        load_driver("uvicorn", "http", limits.step)
        load_driver("httptools", "http", limits.step)
        self._limits = limits
        self._tokens = Tokens.opened(limits.tokens, limits.step)
        self._tls = None if limits.tls is None else limits.tls.server(limits.step)
        self._inbox = inbox
        self._socket = listening(limits.step, (limits.host, limits.port), _BACKLOG)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._server: uvicorn.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listening = threading.Event()
        self._released = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=limits.step, daemon=True)

    def start(self) -> None:
        """Begin to listen; returns when connections are taken."""
        self._thread.start()
        self._listening.wait(_START_S)
        if self._error is not None or not self._listening.is_set():
            raise ConnectorError(
                f"the server did not start: {self._error}",
                step=self._limits.step,
                fault=Fault.OURS,
                retry=True,
            ) from self._error

    def answer(self, answers: Sequence[tuple[Delivery, Answer]]) -> None:
        """Have requests answered; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(_set, answers)
            except RuntimeError:  # closed in between: nobody waits any more
                return

    def close(self) -> None:
        """Listen no more; requests that were read already may still be answered for a while."""
        if not self._thread.is_alive():
            self._socket.close()
            return
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._stop)
        except RuntimeError:  # it has ended by itself
            return
        self._released.wait(_START_S)

    def _stop(self) -> None:
        if self._server is not None:
            for each in self._server.servers:
                each.close()
            self._server.should_exit = True
        self._socket.close()
        self._released.set()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - raised by start
            self._error = error
        finally:
            self._listening.set()
            self._released.set()
            self._socket.close()

    async def _serve(self) -> None:
        import uvicorn

        from penstock.connectors.http_server.guarded import GuardedProtocol

        self._loop = asyncio.get_running_loop()
        limits = self._limits
        protocol: Any = functools.partial(
            GuardedProtocol, head_s=limits.body_timeout_s, most=limits.max_connections
        )
        config = uvicorn.Config(
            App(limits, self._tokens, self._inbox),
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=max(1, round(limits.keep_alive_s)),
            timeout_graceful_shutdown=_FINISH_S,
            backlog=_BACKLOG,
        )
        config.load()
        config.ssl = self._tls
        self._server = uvicorn.Server(config)
        serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started and not serving.done():
            await asyncio.sleep(0.001)
        self._listening.set()
        await serving


def _set(answers: Sequence[tuple[Delivery, Answer]]) -> None:
    for delivery, answer in answers:
        if not delivery.future.done():
            delivery.future.set_result(answer)
