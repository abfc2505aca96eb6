"""Functions that begin a stream at HTTP and WebSockets: listening, asking, following."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from penstock.deferred import Deferred
from penstock.instants import Duration
from penstock.scans import from_source
from penstock.stream import Stream

if TYPE_CHECKING:
    from penstock.connectors.formats.contract import Format
    from penstock.connectors.http import config as http
    from penstock.connectors.http_server import config as http_server
    from penstock.connectors.websocket import config as websocket
else:
    http = Deferred("penstock.connectors.http.config")
    http_server = Deferred("penstock.connectors.http_server.config")
    websocket = Deferred("penstock.connectors.websocket.config")

SchemaLike = Mapping[str, Any] | pl.Schema
Durable = bool | str | Path | None


def scan_http_server(
    address: str | int,
    format: str | Format = "json",  # noqa: A002
    schema: SchemaLike | None = None,
    *,
    token: str | Iterable[str] = (),
    bad_rows: str = "reject",
    metadata: str | Iterable[str] = (),
    epoch_rows: int | None = None,
    durable: Durable = None,
    durable_max_bytes: int | str | None = None,
    **options: Any,
) -> Stream:
    """Listen for HTTP requests that hold rows: JSON, NDJSON, CSV, forms. Needs the extra ``http``.

    ``address``: ``"host:port/path"``, ``":port"`` or a port number (loopback only). In a run with a
    checkpoint on a local disk a request is answered 200 when its rows are on the disk, and repeated
    requests with an ``Idempotency-Key`` add nothing: exactly once. In others it is answered 202.

    ``token``: what a request must show (``"${env:NAME}"``). ``bad_rows``: ``"reject"`` requests with a bad
    row (400, with its place), or ``"dead letter"``. ``metadata``: columns to add (``received``,
    ``client``, ``path``). More ``options`` (limits, time-outs, TLS): ``docs/connectors/http.md``.

    >>> import penstock as ps
    >>> ps.scan_http_server(":8080/orders", "json", {"user": str, "amount": float}).columns
    ['user', 'amount']
    """
    spec = http_server.http_server(
        address,
        format,
        schema,
        token=token,
        bad_rows=bad_rows,
        metadata=metadata,
        **options,
    )
    return from_source(
        spec, epoch_rows=epoch_rows, durable=durable, durable_max_bytes=durable_max_bytes
    )


def scan_http(
    url: str,
    format: str | Format = "json",  # noqa: A002
    schema: SchemaLike | None = None,
    *,
    pages: str = "none",
    rows_field: str | None = None,
    interval: Duration = "10s",
    stop: str = "never",
    token: str | None = None,
    epoch_rows: int | None = None,
    durable: Durable = None,
    durable_max_bytes: int | str | None = None,
    **options: Any,
) -> Stream:
    """Ask a server for pages of rows, and again each ``interval``. Needs the extra ``http``.

    ``pages``, how one leads to the next: ``"none"``, ``"link"`` (the header), ``"next"`` (a URL in
    ``next_field``), ``"cursor"`` (of ``next_field``, as ``parameter``), ``"number"``, ``"offset"``.
    ``rows_field``: where in a JSON document the array of rows is (``"data.items"``). ``stop``:
    ``"never"``, or ``"at end"``: behind the last page. How far it came is kept with the rows. More
    ``options`` (headers, user and password, time-outs, TLS): ``docs/connectors/http.md``.
    """
    spec = http.http(
        url,
        format,
        schema,
        pages=pages,
        rows_field=rows_field,
        interval=interval,
        stop=stop,
        token=token,
        **options,
    )
    return from_source(
        spec, epoch_rows=epoch_rows, durable=durable, durable_max_bytes=durable_max_bytes
    )


def scan_sse(
    url: str,
    format: str | Format = "json",  # noqa: A002
    schema: SchemaLike | None = None,
    *,
    events: str | Iterable[str] = (),
    metadata: str | Iterable[str] = (),
    token: str | None = None,
    epoch_rows: int | None = None,
    durable: Durable = None,
    durable_max_bytes: int | str | None = None,
    **options: Any,
) -> Stream:
    """Follow server-sent events, from the last id on when the connection was lost. Extra ``http``.

    Columns: what the ``format`` decodes from an event's data; ``metadata`` adds ``event`` and ``id``.
    ``events``: the types that are rows, all by default. More ``options``: ``docs/connectors/http.md``.
    """
    spec = http.sse(url, format, schema, events=events, metadata=metadata, token=token, **options)
    return from_source(
        spec, epoch_rows=epoch_rows, durable=durable, durable_max_bytes=durable_max_bytes
    )


def scan_websocket(
    url: str,
    format: str | Format = "json",  # noqa: A002
    schema: SchemaLike | None = None,
    *,
    cursor_field: str | None = None,
    rewind: int | str = 0,
    greeting: str | Iterable[str] = (),
    token: str | None = None,
    epoch_rows: int | None = None,
    durable: Durable = None,
    durable_max_bytes: int | str | None = None,
    **options: Any,
) -> Stream:
    """Follow the messages of a WebSocket server, each one row. Needs the extra ``websocket``.

    ``cursor_field``: a number in each message from which the server goes on when it is asked to
    (``time_us`` of Jetstream), ``rewind`` how far behind it to begin (``"5s"``); what comes again is
    left out. ``greeting``: messages to send when connected. More ``options``:
    ``docs/connectors/websocket.md``.
    """
    spec = websocket.websocket(
        url,
        format,
        schema,
        cursor_field=cursor_field,
        rewind=rewind,
        greeting=greeting,
        token=token,
        **options,
    )
    return from_source(
        spec, epoch_rows=epoch_rows, durable=durable, durable_max_bytes=durable_max_bytes
    )


def scan_websocket_server(
    address: str | int,
    format: str | Format = "json",  # noqa: A002
    schema: SchemaLike | None = None,
    *,
    token: str | Iterable[str] = (),
    reply: str = "none",
    metadata: str | Iterable[str] = (),
    epoch_rows: int | None = None,
    durable: Durable = None,
    durable_max_bytes: int | str | None = None,
    **options: Any,
) -> Stream:
    """Listen for WebSocket connections; each message is a row. Needs the extra ``websocket``.

    ``address`` and ``token`` as of ``scan_http_server``. ``reply="count"`` tells senders how many of their
    messages are durable. ``metadata``: ``client``. More ``options``: ``docs/connectors/websocket.md``.
    """
    spec = websocket.websocket_server(
        address, format, schema, token=token, reply=reply, metadata=metadata, **options
    )
    return from_source(
        spec, epoch_rows=epoch_rows, durable=durable, durable_max_bytes=durable_max_bytes
    )
