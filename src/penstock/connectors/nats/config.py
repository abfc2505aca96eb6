"""NATS JetStream as source and sink: streams, their subjects, and the guarantee."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import polars as pl

from penstock.connectors.contract import Accepts, Guarantee, Sink, Source
from penstock.connectors.formats.contract import Format
from penstock.connectors.formats.schemas import SchemaLike
from penstock.connectors.messaging.facts import HEADERS, INSTANT, MessageRows, rows_options
from penstock.connectors.messaging.outgoing import Outgoing, Target, outgoing
from penstock.connectors.messaging.server import Server, connecting, server, split_path
from penstock.connectors.messaging.source import MessageSource
from penstock.connectors.nats.session import Session
from penstock.connectors.nats.sink import NatsSink, Writing
from penstock.connectors.nats.source import Reading, connect
from penstock.connectors.options import Start, Stop, check_start, choice, duration
from penstock.errors import ConfigError
from penstock.instants import Duration

PORT = 4222
DUPLICATES = timedelta(minutes=2)
_SUBJECT = re.compile(r"[^\s.]+(\.[^\s.]+)*")
_STREAM = re.compile(r"[^\s.*>/\\]+")


@dataclass(frozen=True)
class NatsSourceSpec(MessageRows):
    """Reads a stream of JetStream by its sequence: exactly once while the stream keeps its messages.

    Columns: what ``format`` decodes, and those of ``metadata``: ``sequence``, ``timestamp``, ``topic`` (the
    subject), ``headers``. Without a format ``value``, ``sequence`` and ``topic``. ``subject`` reads only
    what fits: ``orders.*``.

    Dead letters have the position ``nats STREAM SEQUENCE``.
    """

    server: Server = field(default_factory=lambda: Server("localhost", PORT))
    token: str | None = field(default=None, repr=False)
    stream: str = ""
    subject: str | None = None
    start: Start | datetime | int = Start.EARLIEST
    stop: Stop = Stop.NEVER

    columns: ClassVar[pl.Schema] = pl.Schema(
        {
            "value": pl.Binary(),
            "sequence": pl.Int64(),
            "timestamp": INSTANT,
            "topic": pl.String(),
            "headers": HEADERS,
        }
    )
    raw_metadata: ClassVar[tuple[str, ...]] = ("sequence", "topic")

    def __post_init__(self) -> None:
        if not _STREAM.fullmatch(self.stream):
            raise ConfigError(
                f"{self.stream!r} is no name of a stream",
                step=self.name,
                value=self.stream,
                hint="write nats://host:4222/STREAM",
            )
        check_start(self.start, self.name)
        if self.subject is not None:
            _check_subject(self.subject, self.name)
        _ = self.schema

    @property
    def name(self) -> str:
        """``nats STREAM@HOST:PORT``."""
        return f"nats {self.stream}@{self.server}"

    @property
    def bounded(self) -> bool:
        """Whether it stops at the end."""
        return self.stop is Stop.AT_END

    @property
    def replayable(self) -> bool:
        """Always: sequences can be read again while the stream keeps them."""
        return True

    def probe(self) -> str:
        """Connect, and look for the stream."""
        link = connect(self._reading, None)
        link.close()
        return "the stream is there"

    @property
    def _reading(self) -> Reading:
        return Reading(
            self.name,
            self.server,
            self.token,
            self.stream,
            self.subject,
            self.start,
            self.bounded,
            self.extra_columns if self.format is None else (*self.extra_columns, "sequence"),
        )

    def open(self) -> Source:
        """Return the live source; the first poll connects."""
        where = pl.format("{} {}", pl.lit(f"nats {self.stream}"), "sequence")
        return MessageSource(
            partial(connect, self._reading),
            name=self.name,
            schema=self.schema,
            rows=self.record_rows(lambda frame: frame.select(where).to_series()),
            patience_s=self.server.timeout_s,
        )


@dataclass(frozen=True, slots=True)
class NatsSinkSpec:
    """Publishes to a stream: at least once, and repetitions within its duplicate window are dropped.

    With a key rows are upserts under the header ``Penstock-Key``, deletions messages without payload.
    ``stream`` is created if it is not there, with ``duplicates`` as window.
    """

    server: Server
    outgoing: Outgoing
    token: str | None = field(default=None, repr=False)
    stream: str | None = None
    duplicates: timedelta = DUPLICATES
    immediate: bool = False

    def __post_init__(self) -> None:
        target = self.outgoing.target
        _check_subject(target.text, self.name)
        if any(word in ("*", ">") for word in target.text.split(".")):
            raise ConfigError(
                f"{target.text!r} is no subject to write to",
                step=self.name,
                value=target.text,
                hint='name one without * and >; {column} stands for a value: "totals.{user}"',
            )

    @property
    def name(self) -> str:
        """``nats SUBJECT@HOST:PORT``."""
        return f"nats {self.outgoing.target.text}@{self.server}"

    @property
    def guarantee(self) -> Guarantee:
        """At least once: after a pause longer than the window repetitions are not known."""
        return Guarantee.AT_LEAST_ONCE

    @property
    def accepts(self) -> Accepts:
        """Changes by key, any changes as Debezium, otherwise rows."""
        return self.outgoing.accepts

    @property
    def key(self) -> tuple[str, ...]:
        """Key columns."""
        return self.outgoing.encoding.key

    def validate(self, schema: pl.Schema) -> None:
        """Raise ``ConfigError`` if rows of this schema cannot be written."""
        self.outgoing.check(schema)

    def probe(self) -> str:
        """Connect, and look for the stream if one is named."""
        session = Session(self.server, self.token, self.name)
        try:
            there = self.stream is None or session.stream(self.stream) is not None
        finally:
            session.close()
        return "it answers" if there else "the stream will be made"

    def open(self) -> Sink:
        """Return the live sink; ``begin`` connects."""
        return NatsSink(
            Writing(
                self.name,
                self.server,
                self.token,
                self.outgoing,
                self.stream,
                self.duplicates.total_seconds(),
            )
        )


@connecting
def nats(
    host: str,
    format: str | Format | None = None,  # noqa: A002 - the word that users know
    schema: SchemaLike | None = None,
    *,
    stream: str | None = None,
    subject: str | None = None,
    metadata: str | Iterable[str] | None = None,
    start: Start | str | datetime | int = Start.EARLIEST,
    stop: Stop | str = Stop.NEVER,
    token: str | None = None,
    access: dict[str, Any],
    **options: Any,
) -> NatsSourceSpec:
    """Describe a stream to read: ``nats("localhost:4222/ORDERS", "json", {...}, subject="orders.*")``."""
    form = "write nats://host:4222/STREAM"
    where, found = (host, stream) if stream is not None else split_path(host, "nats", form)
    step = f"nats {found}"
    if not isinstance(start, datetime | int):
        start = choice(Start, start, step=step, option="start")
    return NatsSourceSpec(
        **rows_options(format, schema, metadata, options, step),
        server=server(where, step, (PORT, PORT), **access),
        token=token,
        stream=found,
        subject=subject,
        start=start,
        stop=choice(Stop, stop, step=step, option="stop"),
    )


@connecting
def nats_sink(
    host: str,
    *,
    subject: str | None = None,
    stream: str | None = None,
    format: str = "json",  # noqa: A002
    key: str | Iterable[str] = (),
    headers: str | None = None,
    duplicates: Duration = DUPLICATES,
    immediate: bool = False,
    token: str | None = None,
    access: dict[str, Any],
) -> NatsSinkSpec:
    """Describe a subject to write: ``nats_sink("localhost:4222/totals.{user}", stream="TOTALS")``."""
    form = "write nats://host:4222/subject"
    where, found = (host, subject) if subject is not None else split_path(host, "nats", form)
    step = f"nats {found}"
    return NatsSinkSpec(
        server(where, step, (PORT, PORT), **access),
        outgoing(step, Target(found, ". *>\t\r\n", empty="%_"), format, key, headers),
        token,
        stream,
        duration(duplicates, step=step, option="duplicates"),
        immediate,
    )


def _check_subject(subject: str, step: str) -> None:
    if not _SUBJECT.fullmatch(subject):
        raise ConfigError(
            f"{subject!r} is no subject", step=step, value=subject, hint="words with dots between"
        )
