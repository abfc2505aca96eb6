"""Functions that begin a stream at sockets: TCP, listening and connecting, and UDP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from penstock.connectors.contract import MAX_LINE_BYTES
from penstock.deferred import Deferred
from penstock.instants import Duration
from penstock.scans import from_source
from penstock.stream import Stream

if TYPE_CHECKING:
    from penstock.connectors.formats.contract import Format
    from penstock.connectors.sockets import config as sockets
else:
    sockets = Deferred("penstock.connectors.sockets.config")

SchemaLike = Mapping[str, Any] | pl.Schema


def scan_tcp(
    address: str | int,
    format: str | Format = "text",  # noqa: A002
    schema: SchemaLike | None = None,
    *,
    max_line_bytes: int = MAX_LINE_BYTES,
    max_connections: int = 256,
    epoch_rows: int | None = None,
    durable: bool | str | Path | None = None,
    durable_max_bytes: int | str | None = None,
    **options: Any,
) -> Stream:
    """Listen on a TCP port and read lines from all who connect; it never ends.

    ``address``: ``"host:port"``, ``":port"`` or a port number (loopback only). Columns are those of
    the ``format``, whose options follow. Lines that cannot be decoded are dead letters. In a run
    with a checkpoint lines go through a topic first and are not lost in a crash once they are there;
    ``durable``, ``durable_max_bytes``: see ``from_source``.

    >>> import penstock as ps
    >>> ps.scan_tcp(":9009", "json", {"user": str, "amount": float}).columns
    ['user', 'amount']
    """
    spec = sockets.tcp_listen(
        address,
        format,
        schema,
        max_line_bytes=max_line_bytes,
        max_connections=max_connections,
        **options,
    )
    return from_source(
        spec, epoch_rows=epoch_rows, durable=durable, durable_max_bytes=durable_max_bytes
    )


def scan_tcp_client(
    address: str | int,
    format: str | Format = "text",  # noqa: A002
    schema: SchemaLike | None = None,
    *,
    on_close: str = "reconnect",
    backoff: Duration = "100ms",
    max_backoff: Duration = "10s",
    max_line_bytes: int = MAX_LINE_BYTES,
    epoch_rows: int | None = None,
    durable: bool | str | Path | None = None,
    durable_max_bytes: int | str | None = None,
    **options: Any,
) -> Stream:
    """Connect to a TCP server and read its lines, as ``scan_tcp`` does of its clients.

    ``on_close``: ``"reconnect"``, after pauses that double from ``backoff`` to ``max_backoff``, or
    ``"end"`` when the server closes the connection in order. ``durable`` as in ``scan_tcp``.
    """
    spec = sockets.tcp_connect(
        address,
        format,
        schema,
        on_close=on_close,
        backoff=backoff,
        max_backoff=max_backoff,
        max_line_bytes=max_line_bytes,
        **options,
    )
    return from_source(
        spec, epoch_rows=epoch_rows, durable=durable, durable_max_bytes=durable_max_bytes
    )


def scan_udp(
    address: str | int,
    format: str | Format = "text",  # noqa: A002
    schema: SchemaLike | None = None,
    *,
    holds: str = "message",
    receive_buffer_bytes: int = 8 << 20,
    epoch_rows: int | None = None,
    durable: bool | str | Path | None = None,
    durable_max_bytes: int | str | None = None,
    **options: Any,
) -> Stream:
    """Receive UDP datagrams, each one ``"message"`` or several ``"lines"``; it never ends.

    Datagrams may be lost before they arrive. Address, columns, dead letters and ``durable`` as in
    ``scan_tcp``.
    """
    spec = sockets.udp(
        address,
        format,
        schema,
        holds=holds,
        receive_buffer_bytes=receive_buffer_bytes,
        **options,
    )
    return from_source(
        spec, epoch_rows=epoch_rows, durable=durable, durable_max_bytes=durable_max_bytes
    )
