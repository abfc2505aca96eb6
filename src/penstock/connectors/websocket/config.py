"""WebSockets as sources and as a sink: whom to follow, where to listen, what messages hold."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

import polars as pl

from penstock.connectors.contract import MAX_LINE_BYTES, Source
from penstock.connectors.formats import registry
from penstock.connectors.formats.contract import Format
from penstock.connectors.http.config import (
    ReceivedFacts,
    refuse_header_line,
    with_metadata,
)
from penstock.connectors.http.connection import Connection, connection
from penstock.connectors.mailbox import Mailbox, MailboxSource, places
from penstock.connectors.options import choice, duration, names
from penstock.connectors.record_rows import RecordRows
from penstock.connectors.websocket.client import Following, WebSocketClient
from penstock.connectors.websocket.connection import SCHEMES, connected
from penstock.connectors.websocket.cursor import Cursor
from penstock.connectors.websocket.endpoint import SERVER, Listening, listening
from penstock.connectors.websocket.listening import METADATA, ListeningClient
from penstock.errors import ConfigError
from penstock.instants import Duration, size_bytes

_MICROSECONDS = timedelta(microseconds=1)


@dataclass(frozen=True)
class WebSocketSourceSpec(ReceivedFacts):
    """Follows the messages of a WebSocket server; connects again, with growing pauses, if it is lost.

    Columns: those of ``format``, a row for each message. With a ``cursor`` the newest one is the
    position, and the server is asked to go on from it; what it sends again is left out. Without one,
    what is sent while nobody is connected is lost. ``greeting``: messages to send when connected.
    """

    connection: Connection
    format: Format
    cursor: Cursor | None = None
    greeting: tuple[str, ...] = field(default=(), repr=False)
    subprotocols: tuple[str, ...] = ()
    max_message_bytes: int = MAX_LINE_BYTES

    def __post_init__(self) -> None:
        self.connection.check(self.name, *SCHEMES)
        refuse_header_line(self.format, self.name)
        if self.max_message_bytes <= 0:
            raise ConfigError("max_message_bytes must be positive", step=self.name)
        if self.cursor is not None and self.cursor.rewind < 0:
            raise ConfigError("rewind cannot be negative", step=self.name)
        if self.connection.user is not None:
            raise ConfigError(
                "a WebSocket has no user and password", step=self.name, hint="give token="
            )

    @property
    def name(self) -> str:
        """``websocket HOST/PATH``."""
        return f"websocket {self.connection.place}"

    @cached_property
    def schema(self) -> pl.Schema:
        """Columns of the format."""
        return pl.Schema(self.format.schema)

    @property
    def bounded(self) -> bool:
        """Never."""
        return False

    def probe(self) -> str:
        """Connect, and close the connection."""
        return connected(self.connection, self.subprotocols, self.name)

    def open(self) -> Source:
        """Return the live source; ``seek`` connects."""
        box = Mailbox()
        following = Following(
            self.name,
            self.connection,
            self.cursor,
            self.greeting,
            self.subprotocols,
            self.max_message_bytes,
        )
        rows = RecordRows(self.name, self.format, (), tuple(self.schema), places(self.name))
        return MailboxSource(self.name, WebSocketClient(following, box), box, rows)


class Reply(enum.Enum):
    """What senders are told."""

    NONE = "none"
    COUNT = "count"
    """``{"accepted": n}``: the first n messages of the connection are durable."""


@dataclass(frozen=True)
class WebSocketServerSpec(ReceivedFacts):
    """Listens for WebSocket connections; each message is a row.

    Columns: those of ``format``, and ``client`` if ``metadata`` names it. While too much waits,
    connections are not read. ``Reply.COUNT`` tells senders what is durable.
    """

    listening: Listening
    format: Format
    metadata: tuple[str, ...] = ()
    reply: Reply = Reply.NONE
    max_message_bytes: int = MAX_LINE_BYTES

    def __post_init__(self) -> None:
        self.listening.check(self.name)
        refuse_header_line(self.format, self.name)
        if self.max_message_bytes <= 0:
            raise ConfigError("max_message_bytes must be positive", step=self.name)
        _ = self.schema

    @property
    def name(self) -> str:
        """``websocket-server HOST:PORT/PATH``."""
        return self.listening.name

    @cached_property
    def schema(self) -> pl.Schema:
        """Columns of every frame."""
        return with_metadata(self.format, self.metadata, METADATA, self.name)

    @property
    def bounded(self) -> bool:
        """Never."""
        return False

    def probe(self) -> str:
        """Bind, and let the address go."""
        return self.listening.probe()

    def open(self) -> Source:
        """Bind; ``seek`` begins to listen."""
        box = Mailbox()
        client = ListeningClient(
            self.listening.serving(self.max_message_bytes),
            box,
            metadata=self.metadata,
            counts=self.reply is Reply.COUNT,
        )
        rows = RecordRows(
            self.name, self.format, self.metadata, tuple(self.schema), places(self.name)
        )
        return MailboxSource(self.name, client, box, rows)


def websocket(
    url: str,
    format: str | Format = "json",  # noqa: A002 - the word that users know
    schema: Mapping[str, Any] | None = None,
    *,
    cursor_field: str | None = None,
    cursor_parameter: str = "cursor",
    rewind: int | str = 0,
    greeting: str | Iterable[str] = (),
    subprotocols: str | Iterable[str] = (),
    max_message_bytes: int | str = MAX_LINE_BYTES,
    **options: Any,
) -> WebSocketSourceSpec:
    """Describe a server to follow: ``websocket("wss://jetstream.local/subscribe", cursor_field="time_us")``.

    ``rewind``: how far behind the cursor to begin, a duration (of cursors in microseconds) or a number.
    ``timeout`` (20 s): how long a server may leave a ping unanswered. ``options`` are those of a
    connection (``http.connection.OPTIONS``) and of the format.
    """
    step = "websocket"
    reached, others = connection(url, step, {"timeout": "20s", **options})
    cursor = None
    if cursor_field is not None:
        behind = rewind
        if isinstance(rewind, str):
            behind = duration(rewind, step=step, option="rewind") // _MICROSECONDS
        cursor = Cursor(cursor_field, cursor_parameter, int(behind))
    return WebSocketSourceSpec(
        reached,
        registry.of_messages(format, schema, step=step, **others),
        cursor,
        (greeting,) if isinstance(greeting, str) else tuple(greeting),
        names(subprotocols),
        size_bytes(max_message_bytes, step=step, option="max_message_bytes"),
    )


def websocket_server(
    at: str | int,
    format: str | Format = "json",  # noqa: A002
    schema: Mapping[str, Any] | None = None,
    *,
    path: str | None = None,
    metadata: str | Iterable[str] = (),
    reply: Reply | str = Reply.NONE,
    max_message_bytes: int | str = MAX_LINE_BYTES,
    token: str | Iterable[str] = (),
    max_connections: int = 1024,
    timeout: Duration = "20s",
    ca: str | None = None,
    certificate: str | None = None,
    certificate_key: str | None = None,
    key_password: str | None = None,
    **options: Any,
) -> WebSocketServerSpec:
    """Describe a port that takes messages: ``"host:port/path"``, ``":port"`` (loopback) or a number."""
    files_of = (ca, certificate, certificate_key, key_password)
    return WebSocketServerSpec(
        listening(at, path, token, max_connections, timeout, files_of),
        registry.of_messages(format, schema, step=SERVER, **options),
        names(metadata),
        choice(Reply, reply, step=SERVER, option="reply"),
        size_bytes(max_message_bytes, step=SERVER, option="max_message_bytes"),
    )
