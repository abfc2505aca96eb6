"""HTTP as a source that listens: what it takes, from whom, and how much."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

import polars as pl

from penstock.connectors.contract import Source
from penstock.connectors.formats import registry
from penstock.connectors.formats.contract import Format
from penstock.connectors.http_server.app import Limits
from penstock.connectors.http_server.bodies import Bodies
from penstock.connectors.http_server.rows import METADATA, BadRows, Decoding
from penstock.connectors.http_server.source import HttpServerSource
from penstock.connectors.options import address, choice, duration, names
from penstock.connectors.probing import can_listen
from penstock.connectors.sockets.config import LOOPBACK
from penstock.connectors.tls import Tls
from penstock.connectors.tokens import Tokens
from penstock.errors import ConfigError
from penstock.instants import Duration, size_bytes

_STEP = "http-server"
AUTHORIZATION = "Authorization"


@dataclass(frozen=True)
class HttpServerSpec:
    """Listens for HTTP requests whose bodies hold rows, and answers when these are durable.

    Columns: those of ``format``, and of ``metadata``: any of ``received``, ``client``, ``path``. With
    the formats json and csv a body is read as its Content-Type says: JSON (an object, an array, or one a
    line), CSV (with a header, unless ``header=absent``), or a form; of another type as ``format``.

    In a run that keeps its rows in a topic first, 200 means that the rows are on the disk; in any
    other the answer is 202. ``bad_rows``: refuse a request with a bad row (400), or make dead
    letters of the bad ones. Requests with an idempotency key that came before are answered as then.
    """

    format: Format
    port: int
    host: str = LOOPBACK
    path: str = "/"
    metadata: tuple[str, ...] = ()
    bad_rows: BadRows = BadRows.REJECT
    tokens: tuple[str, ...] = field(default=(), repr=False)
    token_header: str = AUTHORIZATION
    idempotency_header: str | None = "Idempotency-Key"
    idempotency_keys: int = 1000
    max_body_bytes: int = 16 << 20
    max_waiting_bytes: int = 64 << 20
    max_connections: int = 1024
    requests_per_second: float | None = None
    body_timeout: timedelta = timedelta(seconds=30)
    answer_timeout: timedelta = timedelta(seconds=30)
    keep_alive: timedelta = timedelta(seconds=15)
    tls: Tls | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ConfigError(
                "a port is 0 to 65535", step=self.name, value=self.port, hint="0 takes any free one"
            )
        if not self.path.startswith("/"):
            raise ConfigError("the path begins with /", step=self.name, value=self.path)
        for option, value in self._sizes().items():
            if value is not None and not value > 0:
                raise ConfigError(f"{option} must be positive", step=self.name, value=value)
        if self.idempotency_keys < 0:
            raise ConfigError(
                "idempotency_keys cannot be negative", step=self.name, value=self.idempotency_keys
            )
        if self.tls is not None:
            self.tls.check(self.name)
            if self.tls.certificate is None:
                raise ConfigError(
                    "a server shows a certificate", step=self.name, hint="give certificate="
                )
        _ = self.schema

    def _sizes(self) -> dict[str, float | None]:
        return {
            "max_body_bytes": self.max_body_bytes,
            "max_waiting_bytes": self.max_waiting_bytes,
            "max_connections": self.max_connections,
            "requests_per_second": self.requests_per_second,
            "body_timeout": self.body_timeout.total_seconds(),
            "answer_timeout": self.answer_timeout.total_seconds(),
            "keep_alive": self.keep_alive.total_seconds(),
        }

    @property
    def name(self) -> str:
        """``http-server HOST:PORT/PATH``."""
        return f"http-server {self.host}:{self.port}{self.path}"

    @cached_property
    def schema(self) -> pl.Schema:
        """Columns of every frame."""
        for name in self.metadata:
            if name not in METADATA:
                raise ConfigError(
                    f"requests have no {name!r}", step=self.name, value=name, alternatives=METADATA
                )
            if name in self.format.schema:
                raise ConfigError(
                    f"the rows have a column {name!r} already; it cannot be metadata too",
                    step=self.name,
                    value=name,
                )
        beside = {name: dtype for name, dtype in METADATA.items() if name in self.metadata}
        return pl.Schema({**self.format.schema, **beside})

    @property
    def bounded(self) -> bool:
        """Never."""
        return False

    @property
    def replayable(self) -> bool:
        """Never: what was answered is not sent again."""
        return False

    @property
    def partitioned(self) -> bool:
        """Never: rows are in order of arrival."""
        return False

    @property
    def frame_is_epoch(self) -> bool:
        """Never."""
        return False

    def probe(self) -> str:
        """Look up tokens and certificates; bind, and let the address go."""
        Tokens.opened(self.tokens, self.name)
        if self.tls is not None:
            self.tls.server(self.name)
        return can_listen(self.host, self.port, socket.SOCK_STREAM, self.name)

    def open(self) -> Source:
        """Bind; ``seek`` begins to listen."""
        keys = self.idempotency_keys
        limits = Limits(
            self.name,
            self.host,
            self.port,
            self.path,
            Bodies(self.format),
            self.tokens,
            self.token_header,
            self.idempotency_header if keys else None,
            self.max_body_bytes,
            self.max_waiting_bytes,
            self.max_connections,
            self.requests_per_second,
            self.body_timeout.total_seconds(),
            self.answer_timeout.total_seconds(),
            self.keep_alive.total_seconds(),
            self.tls,
        )
        beside = tuple(name for name in METADATA if name in self.metadata)
        decoding = Decoding(self.name, self.schema, beside, self.bad_rows)
        return HttpServerSource(decoding, limits, known_keys=keys)


def http_server(
    at: str | int,
    format: str | Format = "json",  # noqa: A002 - the word that users know
    schema: Mapping[str, Any] | None = None,
    *,
    path: str | None = None,
    metadata: str | Iterable[str] = (),
    bad_rows: BadRows | str = BadRows.REJECT,
    token: str | Iterable[str] = (),
    token_header: str = AUTHORIZATION,
    idempotency_header: str | None = "Idempotency-Key",
    idempotency_keys: int = 1000,
    max_body_bytes: int | str = 16 << 20,
    max_waiting_bytes: int | str = 64 << 20,
    max_connections: int = 1024,
    requests_per_second: float | None = None,
    body_timeout: Duration = "30s",
    answer_timeout: Duration = "30s",
    keep_alive: Duration = "15s",
    ca: str | None = None,
    certificate: str | None = None,
    certificate_key: str | None = None,
    key_password: str | None = None,
    **options: Any,
) -> HttpServerSpec:
    """Describe a port that takes rows by HTTP: ``"host:port/path"``, ``":port"`` (loopback) or a number.

    ``token``: one or several of which a request must show one, as references. ``options`` go to the
    format.
    """
    where, slash, found = str(at).partition("/")
    host, port = address(
        int(where) if where.isdigit() else where, step=_STEP, default_host=LOOPBACK
    )
    if registry.SYNONYMS.get(str(format), format) == "csv":
        options = {"header": True, **options}
    files = (ca, certificate, certificate_key, key_password)
    return HttpServerSpec(
        registry.of_messages(format, schema, step=_STEP, **options),
        port,
        host,
        path if path is not None else slash + found or "/",
        names(metadata),
        choice(BadRows, bad_rows, step=_STEP, option="bad_rows"),
        names(token),
        token_header,
        idempotency_header,
        idempotency_keys,
        size_bytes(max_body_bytes, step=_STEP, option="max_body_bytes"),
        size_bytes(max_waiting_bytes, step=_STEP, option="max_waiting_bytes"),
        max_connections,
        requests_per_second,
        duration(body_timeout, step=_STEP, option="body_timeout"),
        duration(answer_timeout, step=_STEP, option="answer_timeout"),
        duration(keep_alive, step=_STEP, option="keep_alive"),
        None if files == (None, None, None, None) else Tls(*files),
    )
