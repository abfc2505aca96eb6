"""HTTP as a sink: where rows are posted, how many at once, and which answers are the rows' fault."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl

from penstock.connectors.contract import Accepts, Guarantee, Sink
from penstock.connectors.http.asking import answered
from penstock.connectors.http.connection import (
    HEADER_NAME,
    OPTIONS,
    SCHEMES,
    Connection,
    connection,
)
from penstock.connectors.http.sending import BodyFormat, Encoding
from penstock.connectors.http.sink import HttpSink, Sending
from penstock.connectors.options import choice, duration
from penstock.errors import ConfigError
from penstock.instants import Duration

_METHODS = ("POST", "PUT", "PATCH")
POISON = frozenset({400, 413, 422})
"""Statuses that say that the rows are at fault."""


class Changes(enum.Enum):
    """Whether changes are sent."""

    REFUSE = "refuse"
    WEIGHT = "weight"
    """As rows with ``_weight``: above 0 inserted so often, below deleted."""


@dataclass(frozen=True)
class HttpSinkSpec:
    """Sends rows to an HTTP server, in batches: at least once, and each batch under the same key again.

    The key is made of sink, epoch and rows. A server that takes a key once has every row once.
    ``poison`` statuses make dead letters of the rows at fault; 408, 425, 429, 500, 502, 503, 504 and lost
    connections are tried again for ``retry_for``; any other status ends the run.
    """

    connection: Connection
    format: BodyFormat = BodyFormat.JSON
    batch_rows: int = 500
    method: str = "POST"
    key_header: str | None = "Idempotency-Key"
    requests_per_second: float | None = None
    poison: frozenset[int] = POISON
    retry_for: timedelta = timedelta(minutes=1)
    changes: Changes = Changes.REFUSE
    immediate: bool = False

    def __post_init__(self) -> None:
        self.connection.check(self.name, *SCHEMES)
        if self.method not in _METHODS:
            raise ConfigError(
                f"rows cannot be sent by {self.method!r}",
                step=self.name,
                value=self.method,
                alternatives=_METHODS,
            )
        if self.batch_rows <= 0:
            raise ConfigError("batch_rows must be positive", step=self.name, value=self.batch_rows)
        if self.requests_per_second is not None and not self.requests_per_second > 0:
            raise ConfigError("requests_per_second must be positive", step=self.name)
        if self.key_header is not None and not HEADER_NAME.fullmatch(self.key_header):
            raise ConfigError("this is no name of a header", step=self.name, value=self.key_header)
        wrong = [status for status in self.poison if not 400 <= status < 500]
        if wrong:
            raise ConfigError(
                "only a status from 400 to 499 says that rows are at fault",
                step=self.name,
                value=wrong[0],
            )

    @property
    def name(self) -> str:
        """``http HOST/PATH``."""
        return f"http {self.connection.place}"

    @property
    def guarantee(self) -> Guarantee:
        """At least once: a server does not tell what it has."""
        return Guarantee.AT_LEAST_ONCE

    @property
    def accepts(self) -> Accepts:
        """Rows, or changes with their weight."""
        return Accepts.CHANGES if self.changes is Changes.WEIGHT else Accepts.APPEND

    @property
    def key(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def _encoding(self) -> Encoding:
        return Encoding(self.name, self.format, self.batch_rows, self.changes is Changes.WEIGHT)

    def validate(self, schema: pl.Schema) -> None:
        """Raise ``ConfigError`` if rows of this schema cannot be sent."""
        self._encoding.check(schema)

    def probe(self) -> str:
        """Ask what may be sent, and send nothing."""
        return answered(self.connection, "OPTIONS", self.name)

    def open(self) -> Sink:
        """Return the live sink; the first batch connects."""
        return HttpSink(
            Sending(
                self.name,
                self.connection,
                self._encoding,
                self.method,
                self.key_header,
                self.requests_per_second,
                self.poison,
                self.retry_for.total_seconds(),
            )
        )


def http_sink(
    url: str,
    *,
    format: BodyFormat | str = BodyFormat.JSON,  # noqa: A002
    batch_rows: int = 500,
    method: str = "POST",
    key_header: str | None = "Idempotency-Key",
    requests_per_second: float | None = None,
    poison: Iterable[int] = POISON,
    retry_for: Duration = "1m",
    changes: Changes | str = Changes.REFUSE,
    immediate: bool = False,
    **options: Any,
) -> HttpSinkSpec:
    """Describe a server that rows are posted to: ``http_sink("https://hooks.local/orders", token=...)``.

    ``options`` are those of a connection (``connection.OPTIONS``).
    """
    step = "http"
    reached, others = connection(url, step, options)
    for option in others:
        raise ConfigError(
            f"there is no option {option!r}", step=step, value=option, alternatives=_OPTIONS
        )
    return HttpSinkSpec(
        reached,
        choice(BodyFormat, format, step=step, option="format"),
        batch_rows,
        method.upper(),
        key_header,
        requests_per_second,
        frozenset(poison),
        duration(retry_for, step=step, option="retry_for"),
        choice(Changes, changes, step=step, option="changes"),
        immediate,
    )


_OPTIONS = (
    "format",
    "batch_rows",
    "method",
    "key_header",
    "requests_per_second",
    "poison",
    "retry_for",
    "changes",
    "immediate",
    *OPTIONS,
)
