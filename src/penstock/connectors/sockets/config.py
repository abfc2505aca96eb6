"""TCP and UDP sockets as sources. None of them can be replayed."""

from __future__ import annotations

import enum
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl

from penstock.connectors.contract import MAX_LINE_BYTES, Source
from penstock.connectors.decoding import Decoder, wants_header
from penstock.connectors.formats import registry
from penstock.connectors.formats.contract import Format
from penstock.connectors.options import address, choice, duration
from penstock.connectors.probing import can_connect, can_listen
from penstock.connectors.sockets.source import TcpClientSource, TcpServerSource
from penstock.connectors.sockets.udp import UdpSource
from penstock.errors import ConfigError
from penstock.instants import Duration

LOOPBACK = "127.0.0.1"


class OnClose(enum.Enum):
    """What a client does when the server closes the connection."""

    RECONNECT = "reconnect"
    END = "end"


class Datagram(enum.Enum):
    """What a datagram holds."""

    MESSAGE = "message"
    LINES = "lines"


class SocketFacts:
    """What is true of every socket that is read: a base of their specs."""

    __slots__ = ()
    format: Decoder

    @property
    def schema(self) -> pl.Schema:
        """Columns of the format."""
        return pl.Schema(self.format.schema)

    @property
    def bounded(self) -> bool:
        """Never, unless the spec says otherwise."""
        return False

    @property
    def replayable(self) -> bool:
        """Never: what a socket has given is gone."""
        return False

    @property
    def partitioned(self) -> bool:
        """Never: rows are in order of arrival."""
        return False

    @property
    def frame_is_epoch(self) -> bool:
        """Never."""
        return False


@dataclass(frozen=True, slots=True)
class TcpServerSpec(SocketFacts):
    """Listens for TCP connections and reads lines from all of them.

    Columns: those of ``format``. A line longer than ``max_line_bytes``, one that breaks off with
    its connection and one that cannot be decoded are dead letters at ``tcp peer:port line n``; a
    last line without newline before an orderly close is a row.

    Connections beyond ``max_connections`` are closed at once; unfinished lines of all connections
    together hold at most ``max_buffer_bytes``, then the connection with the longest one is closed.
    """

    format: Decoder
    port: int
    host: str = LOOPBACK
    max_line_bytes: int = MAX_LINE_BYTES
    max_connections: int = 256
    max_buffer_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        _check_format(self.name, self.format)
        _check_port(self.name, self.port, lowest=0)
        _check_positive(self.name, "max_line_bytes", self.max_line_bytes)
        _check_positive(self.name, "max_connections", self.max_connections)
        _check_positive(self.name, "max_buffer_bytes", self.max_buffer_bytes)

    @property
    def name(self) -> str:
        """``tcp listen HOST:PORT``."""
        return f"tcp listen {self.host}:{self.port}"

    def probe(self) -> str:
        """Listen for a moment."""
        return can_listen(self.host, self.port, socket.SOCK_STREAM, self.name)

    def open(self) -> Source:
        """Bind and listen."""
        return TcpServerSource(
            (self.host, self.port),
            self.format,
            name=self.name,
            max_line_bytes=self.max_line_bytes,
            max_connections=self.max_connections,
            max_buffer_bytes=self.max_buffer_bytes,
        )


@dataclass(frozen=True, slots=True)
class TcpClientSpec(SocketFacts):
    """Connects to a TCP server and reads lines; connects again, with growing pauses, if it is lost.

    Columns and dead letters as of `TcpServerSpec`. The first pause is ``backoff``, each further one
    twice as long up to ``max_backoff``; a line that arrives makes it short again. With
    ``OnClose.END`` an orderly close by the server ends the source.
    """

    format: Decoder
    host: str
    port: int
    on_close: OnClose = OnClose.RECONNECT
    backoff: timedelta = timedelta(milliseconds=100)
    max_backoff: timedelta = timedelta(seconds=10)
    max_line_bytes: int = MAX_LINE_BYTES

    def __post_init__(self) -> None:
        _check_format(self.name, self.format)
        _check_port(self.name, self.port, lowest=1)
        _check_positive(self.name, "max_line_bytes", self.max_line_bytes)
        if not timedelta(0) < self.backoff <= self.max_backoff:
            raise ConfigError(
                "backoff must be positive and at most max_backoff",
                step=self.name,
                value=self.backoff,
            )

    @property
    def name(self) -> str:
        """``tcp HOST:PORT``."""
        return f"tcp {self.host}:{self.port}"

    @property
    def bounded(self) -> bool:
        """Whether the server's close ends it."""
        return self.on_close is OnClose.END

    def probe(self) -> str:
        """Connect, and leave."""
        return can_connect(self.host, self.port, self.name)

    def open(self) -> Source:
        """Return the source; the first poll connects."""
        return TcpClientSource(
            (self.host, self.port),
            self.format,
            name=self.name,
            ends=self.on_close is OnClose.END,
            backoff_s=self.backoff.total_seconds(),
            max_backoff_s=self.max_backoff.total_seconds(),
            max_line_bytes=self.max_line_bytes,
        )


@dataclass(frozen=True, slots=True)
class UdpSpec(SocketFacts):
    """Receives datagrams, each one message or several lines.

    Columns: those of ``format``. Undecodable messages are dead letters at ``udp peer:port datagram
    n`` (counted over all peers). What the kernel had to drop because nothing fetched it in time is
    counted in the source's ``lost`` (Linux). ``receive_buffer_bytes`` asks the kernel for room; it
    may grant less (``net.core.rmem_max``).
    """

    format: Decoder
    port: int
    host: str = LOOPBACK
    holds: Datagram = Datagram.MESSAGE
    receive_buffer_bytes: int = 8 << 20

    def __post_init__(self) -> None:
        _check_format(self.name, self.format)
        _check_port(self.name, self.port, lowest=0)
        _check_positive(self.name, "receive_buffer_bytes", self.receive_buffer_bytes)

    @property
    def name(self) -> str:
        """``udp HOST:PORT``."""
        return f"udp {self.host}:{self.port}"

    def probe(self) -> str:
        """Listen for a moment."""
        return can_listen(self.host, self.port, socket.SOCK_DGRAM, self.name)

    def open(self) -> Source:
        """Bind."""
        return UdpSource(
            (self.host, self.port),
            self.format,
            name=self.name,
            lines=self.holds is Datagram.LINES,
            receive_buffer_bytes=self.receive_buffer_bytes,
        )


def tcp_listen(
    at: str | int,
    format: str | Format = "text",  # noqa: A002 - the word that users know
    schema: Mapping[str, Any] | None = None,
    *,
    max_line_bytes: int = MAX_LINE_BYTES,
    max_connections: int = 256,
    max_buffer_bytes: int = 64 << 20,
    **options: Any,
) -> TcpServerSpec:
    """Describe a port that is listened on: ``"host:port"``, ``":port"`` (loopback) or a number.

    ``options`` go to the format. Raises ``ConfigError`` if address, format or options are wrong.
    """
    host, port = address(at, step="tcp", default_host=LOOPBACK)
    form = registry.of_messages(format, schema, step="tcp", **options)
    return TcpServerSpec(form, port, host, max_line_bytes, max_connections, max_buffer_bytes)


def tcp_connect(
    to: str | int,
    format: str | Format = "text",  # noqa: A002 - the word that users know
    schema: Mapping[str, Any] | None = None,
    *,
    on_close: OnClose | str = OnClose.RECONNECT,
    backoff: Duration = timedelta(milliseconds=100),
    max_backoff: Duration = timedelta(seconds=10),
    max_line_bytes: int = MAX_LINE_BYTES,
    **options: Any,
) -> TcpClientSpec:
    """Describe a server that is connected to; ``on_close``: ``"reconnect"`` or ``"end"``."""
    step = "tcp-connect"
    host, port = address(to, step=step, default_host=LOOPBACK)
    return TcpClientSpec(
        registry.of_messages(format, schema, step=step, **options),
        host,
        port,
        choice(OnClose, on_close, step=step, option="on_close"),
        duration(backoff, step=step, option="backoff"),
        duration(max_backoff, step=step, option="max_backoff"),
        max_line_bytes,
    )


def udp(
    at: str | int,
    format: str | Format = "text",  # noqa: A002 - the word that users know
    schema: Mapping[str, Any] | None = None,
    *,
    holds: Datagram | str = Datagram.MESSAGE,
    receive_buffer_bytes: int = 8 << 20,
    **options: Any,
) -> UdpSpec:
    """Describe a port that receives datagrams; one ``holds`` a ``"message"`` or ``"lines"``."""
    host, port = address(at, step="udp", default_host=LOOPBACK)
    return UdpSpec(
        registry.of_messages(format, schema, step="udp", **options),
        port,
        host,
        choice(Datagram, holds, step="udp", option="holds"),
        receive_buffer_bytes,
    )


def _check_format(step: str, decoder: Decoder) -> None:
    if wants_header(decoder):
        raise ConfigError(
            f"the format {decoder.name} takes its columns from a header line, a socket has none",
            step=step,
            value=decoder.name,
            hint="use the format without a header, and give its columns",
        )


def _check_port(step: str, port: int, *, lowest: int) -> None:
    if not lowest <= port <= 65_535:
        hint = "0 takes any free port" if lowest == 0 else None
        raise ConfigError(f"a port is {lowest} to 65535", step=step, value=port, hint=hint)


def _check_positive(step: str, option: str, value: int) -> None:
    if value <= 0:
        raise ConfigError(f"{option} must be positive", step=step, value=value)
