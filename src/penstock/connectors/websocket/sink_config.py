"""WebSockets as a sink: where to send from, and what becomes of those who are slow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from penstock.columns import WEIGHT
from penstock.connectors.contract import Accepts, Guarantee, Sink
from penstock.connectors.file_sink import formats as files
from penstock.connectors.http.sink_config import Changes
from penstock.connectors.options import choice
from penstock.connectors.websocket.endpoint import SERVER, Listening, listening
from penstock.connectors.websocket.sink import Broadcasting, BroadcastSink, Holds, Slow
from penstock.errors import ConfigError
from penstock.instants import Duration, size_bytes


@dataclass(frozen=True)
class WebSocketServerSinkSpec:
    """Sends rows to everybody who is connected: at most once, to nobody else, and never waits for one.

    After a crash the rows since the last checkpoint are sent again. A client that reads too slowly
    is closed or misses messages (``slow``), once ``max_client_bytes`` wait for it.
    """

    listening: Listening
    holds: Holds = Holds.ROW
    slow: Slow = Slow.DROP
    max_client_bytes: int = 4 << 20
    changes: Changes = Changes.REFUSE

    def __post_init__(self) -> None:
        self.listening.check(self.name)
        if self.max_client_bytes <= 0:
            raise ConfigError("max_client_bytes must be positive", step=self.name)

    @property
    def name(self) -> str:
        """``websocket-server HOST:PORT/PATH``."""
        return self.listening.name

    @property
    def guarantee(self) -> Guarantee:
        """At most once: who is not there misses it."""
        return Guarantee.AT_MOST_ONCE

    @property
    def accepts(self) -> Accepts:
        """Rows, or changes with their weight."""
        return Accepts.CHANGES if self.changes is Changes.WEIGHT else Accepts.APPEND

    @property
    def key(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def immediate(self) -> bool:
        """Sent at once: who watches wants to see it now."""
        return True

    def validate(self, schema: pl.Schema) -> None:
        """Raise ``ConfigError`` if rows of this schema cannot be sent."""
        files.check(schema, files.FileFormat.NDJSON, self.name)
        if WEIGHT in schema:
            raise ConfigError(f"a column is called {WEIGHT}", step=self.name, value=WEIGHT)

    def probe(self) -> str:
        """Bind, and let the address go."""
        return self.listening.probe()

    def open(self) -> Sink:
        """Return the live sink; ``begin`` listens."""
        return BroadcastSink(
            Broadcasting(
                self.listening.serving(64 << 10),
                self.holds,
                self.slow,
                self.max_client_bytes,
                self.changes is Changes.WEIGHT,
            )
        )


def websocket_server_sink(
    at: str | int,
    *,
    path: str | None = None,
    holds: Holds | str = Holds.ROW,
    slow: Slow | str = Slow.DROP,
    max_client_bytes: int | str = 4 << 20,
    changes: Changes | str = Changes.REFUSE,
    token: str | Iterable[str] = (),
    max_connections: int = 1024,
    timeout: Duration = "20s",
    ca: str | None = None,
    certificate: str | None = None,
    certificate_key: str | None = None,
    key_password: str | None = None,
) -> WebSocketServerSinkSpec:
    """Describe a port from which rows are sent to all who connect; ``at`` as of ``websocket_server``."""
    files_of = (ca, certificate, certificate_key, key_password)
    return WebSocketServerSinkSpec(
        listening(at, path, token, max_connections, timeout, files_of),
        choice(Holds, holds, step=SERVER, option="holds"),
        choice(Slow, slow, step=SERVER, option="slow"),
        size_bytes(max_client_bytes, step=SERVER, option="max_client_bytes"),
        choice(Changes, changes, step=SERVER, option="changes"),
    )
