"""The server of the dashboard, on a thread of the process that it shows."""

from __future__ import annotations

import secrets
import socket
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from penstock.dashboard.contract import Watched
from penstock.dashboard.guard import LOOPBACK, Guard, is_loopback
from penstock.dashboard.hub import Hub
from penstock.dashboard.routes import ENDPOINTS, Routes
from penstock.errors import ConfigError

PORT = 4747
"""The first port that is tried where none is given."""

_PORTS_TRIED = 10
_INTERVAL_S = 0.25
"""Four snapshots a second: what an eye can follow, at a cost nobody can measure."""

_PATIENCE_S = 5.0


class Dashboard:
    """Shows the runs of this process in a browser.

    ``host``: loopback unless another is given, which then takes a token (one is made up if none is
    given). ``port``: this one, or the first free one from 4747 on; 0: any. Raises ``ConfigError`` if
    the port is taken. ``title``: what the page is headed by; the program's name if none is given.

    >>> import penstock as ps
    >>> with ps.Dashboard(port=0) as dashboard:
    ...     query = ps.scan_rate(10, total=3).sink_callback(lambda _: None).start(ui=dashboard)
    ...     dashboard.address.startswith("http://127.0.0.1:")
    ...     query.stop()
    True
    """

    def __init__(
        self,
        *,
        host: str = LOOPBACK,
        port: int | None = None,
        token: str | None = None,
        title: str | None = None,
        interval_s: float = _INTERVAL_S,
    ) -> None:
        if token is None and not is_loopback(host):
            token = secrets.token_urlsafe(24)
        self._host, self._token = host, token
        self._hub = Hub(title or Path(sys.argv[0]).name or "python", interval_s)
        self._socket = _listening(host, port)
        self._port = self._socket.getsockname()[1]
        document = Path(__file__).with_name("openapi.json").read_bytes()
        self._routes = Routes(self._hub, document)
        paths = [
            Route(e.path, getattr(self._routes, e.answer), methods=[e.method]) for e in ENDPOINTS
        ]
        app = Starlette(routes=[*paths, Route("/{path:path}", self._routes.page)])
        config = uvicorn.Config(
            Guard(app, token=token),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run,
            kwargs={"sockets": [self._socket]},
            name="dashboard",
            daemon=True,
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """Where to look; with the token, if there is one."""
        wildcard = self._host in ("0.0.0.0", "::")  # noqa: S104 - compared, not listened on
        host = socket.gethostname() if wildcard else self._host
        named = f"[{host}]" if ":" in host else host
        token = f"?token={self._token}" if self._token else ""
        return f"http://{named}:{self._port}/{token}"

    def add(self, run: Watched, name: str = "pipeline") -> str:
        """Show a run; returns the name under which it is shown."""
        return self._hub.add(run, name)

    def close(self) -> None:
        """End the server; the runs go on."""
        self._routes.closing = True
        self._server.should_exit = True
        self._thread.join(_PATIENCE_S)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _listening(host: str, port: int | None) -> socket.socket:
    wanted = [*range(PORT, PORT + _PORTS_TRIED), 0] if port is None else [port]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in wanted:
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, number))
        except OSError as error:
            found.close()
            refusal = error
        else:
            found.listen(128)
            return found
    raise ConfigError(
        f"the dashboard cannot listen on {host}:{wanted[-1]}: {refusal.strerror or refusal}",
        step="ui",
        value=wanted[-1],
        hint="give another port (--port N), or none to take a free one",
    )
