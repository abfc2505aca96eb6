"""Where a WebSocket server of ours listens, whether it takes messages or sends them."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from penstock.connectors.options import address, duration, names
from penstock.connectors.probing import can_listen
from penstock.connectors.sockets.config import LOOPBACK
from penstock.connectors.tls import Tls
from penstock.connectors.tokens import Tokens
from penstock.connectors.websocket.serving import Serving
from penstock.errors import ConfigError
from penstock.instants import Duration

SERVER = "websocket-server"


@dataclass(frozen=True)
class Listening:
    """Where a WebSocket server listens, and whom it lets in."""

    port: int
    host: str = LOOPBACK
    path: str = "/"
    tokens: tuple[str, ...] = field(default=(), repr=False)
    max_connections: int = 1024
    timeout: timedelta = timedelta(seconds=20)
    tls: Tls | None = None

    def check(self, step: str) -> None:
        """Raise ``ConfigError`` for what makes no sense."""
        if not 0 <= self.port <= 65_535:
            raise ConfigError(
                "a port is 0 to 65535", step=step, value=self.port, hint="0 takes any free one"
            )
        if not self.path.startswith("/"):
            raise ConfigError("the path begins with /", step=step, value=self.path)
        if self.max_connections <= 0 or self.timeout <= timedelta(0):
            raise ConfigError("max_connections and timeout must be positive", step=step)
        if self.tls is not None:
            self.tls.check(step)
            if self.tls.certificate is None:
                raise ConfigError(
                    "a server shows a certificate", step=step, hint="give certificate="
                )

    @property
    def name(self) -> str:
        """``websocket-server HOST:PORT/PATH``."""
        return f"{SERVER} {self.host}:{self.port}{self.path}"

    def probe(self) -> str:
        """Look up tokens and certificates; bind, and let the address go."""
        Tokens.opened(self.tokens, self.name)
        if self.tls is not None:
            self.tls.server(self.name)
        return can_listen(self.host, self.port, socket.SOCK_STREAM, self.name)

    def serving(self, max_message_bytes: int) -> Serving:
        """Return what the live server is told."""
        return Serving(
            self.name,
            self.host,
            self.port,
            self.path,
            self.tokens,
            max_message_bytes,
            self.max_connections,
            self.timeout.total_seconds(),
            self.tls,
        )


def listening(
    at: str | int,
    path: str | None,
    token: str | Iterable[str],
    max_connections: int,
    timeout: Duration,
    pem: tuple[str | None, str | None, str | None, str | None],
) -> Listening:
    """Return what ``"host:port/path"`` and options describe."""
    where, slash, found = str(at).partition("/")
    host, port = address(
        int(where) if where.isdigit() else where, step=SERVER, default_host=LOOPBACK
    )
    return Listening(
        port,
        host,
        path if path is not None else slash + found or "/",
        names(token),
        max_connections,
        duration(timeout, step=SERVER, option="timeout"),
        None if pem == (None, None, None, None) else Tls(*pem),
    )
