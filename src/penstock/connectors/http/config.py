"""HTTP as a source that asks: for pages, or for events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

import polars as pl

from penstock.connectors.contract import MAX_LINE_BYTES, Source
from penstock.connectors.decoding import Decoder, wants_header
from penstock.connectors.formats import registry
from penstock.connectors.formats.contract import Format
from penstock.connectors.formats.json import Json
from penstock.connectors.http.asking import answered
from penstock.connectors.http.connection import SCHEMES, Connection, connection
from penstock.connectors.http.events import METADATA, EventsClient, Following
from penstock.connectors.http.pages import Pages, Paging
from penstock.connectors.http.polling import Polling, PollingClient
from penstock.connectors.mailbox import Mailbox, MailboxSource, places
from penstock.connectors.options import Stop, choice, duration, names
from penstock.connectors.record_rows import RecordRows
from penstock.errors import ConfigError
from penstock.instants import Duration, size_bytes


class ReceivedFacts:
    """What is true of every source that receives messages as a client: a base of their specs."""

    format: Decoder

    @property
    def replayable(self) -> bool:
        """Never by position alone; what can be asked for again is in the client's part of it."""
        return False

    @property
    def partitioned(self) -> bool:
        """Never: rows are in order of arrival."""
        return False

    @property
    def frame_is_epoch(self) -> bool:
        """Never."""
        return False


@dataclass(frozen=True)
class HttpSourceSpec(ReceivedFacts):
    """Asks a server for pages of rows, and again each ``interval``; with ``Stop.AT_END`` only once.

    Columns: those of ``format``; of json the rows are the elements of an array (``pages.rows_field``), or
    the one object; of other formats lines. The place in the pages is the position, which is stored
    with the rows. Dead letters: ``http HOST/PATH message n``.
    """

    connection: Connection
    format: Format
    pages: Pages
    interval: timedelta = timedelta(seconds=10)
    stop: Stop = Stop.NEVER
    max_answer_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        self.connection.check(self.name, *SCHEMES)
        refuse_header_line(self.format, self.name)
        if self.interval <= timedelta(0):
            raise ConfigError("interval must be longer than nothing", step=self.name)
        if self.pages.size is not None and self.pages.size <= 0:
            raise ConfigError("size must be positive", step=self.name, value=self.pages.size)
        in_body = self.pages.paging in (Paging.NEXT, Paging.CURSOR)
        if not isinstance(self.format, Json) and (in_body or self.pages.rows_field is not None):
            raise ConfigError(
                "only JSON has fields", step=self.name, hint="leave rows_field= and next_field= out"
            )

    @property
    def name(self) -> str:
        """``http HOST/PATH``."""
        return f"http {self.connection.place}"

    @cached_property
    def schema(self) -> pl.Schema:
        """Columns of the format."""
        return pl.Schema(self.format.schema)

    @property
    def bounded(self) -> bool:
        """Whether it stops at the end."""
        return self.stop is Stop.AT_END

    def probe(self) -> str:
        """Ask once, and read nothing of the answer."""
        return answered(self.connection, "GET", self.name)

    def open(self) -> Source:
        """Return the live source; ``seek`` begins to ask."""
        box = Mailbox()
        polling = Polling(
            self.name,
            self.connection,
            self.pages,
            not isinstance(self.format, Json),
            self.interval.total_seconds(),
            self.bounded,
            self.max_answer_bytes,
        )
        rows = RecordRows(self.name, self.format, (), tuple(self.schema), places(self.name))
        return MailboxSource(self.name, PollingClient(polling, box), box, rows)


@dataclass(frozen=True)
class SseSourceSpec(ReceivedFacts):
    """Follows a stream of server-sent events, and goes on behind the last id when it was lost.

    Columns: what ``format`` decodes from the data, and those of ``metadata``: ``event``, ``id``. Of
    ``events``, if given, only these are rows. An event without an id cannot be asked for again: what
    a server without ids sends while nobody is connected is lost.
    """

    connection: Connection
    format: Format
    events: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    max_event_bytes: int = MAX_LINE_BYTES

    def __post_init__(self) -> None:
        self.connection.check(self.name, *SCHEMES)
        refuse_header_line(self.format, self.name)
        if self.max_event_bytes <= 0:
            raise ConfigError("max_event_bytes must be positive", step=self.name)
        _ = self.schema

    @property
    def name(self) -> str:
        """``sse HOST/PATH``."""
        return f"sse {self.connection.place}"

    @cached_property
    def schema(self) -> pl.Schema:
        """Columns of every frame."""
        return with_metadata(self.format, self.metadata, METADATA, self.name)

    @property
    def bounded(self) -> bool:
        """Never."""
        return False

    def probe(self) -> str:
        """Ask once, and read nothing of the answer."""
        return answered(self.connection, "GET", self.name)

    def open(self) -> Source:
        """Return the live source; ``seek`` connects."""
        box = Mailbox()
        beside = tuple(name for name in METADATA if name in self.metadata)
        following = Following(self.name, self.connection, self.events, beside, self.max_event_bytes)
        rows = RecordRows(self.name, self.format, beside, tuple(self.schema), places(self.name))
        return MailboxSource(self.name, EventsClient(following, box), box, rows)


def http(
    url: str,
    format: str | Format = "json",  # noqa: A002 - the word that users know
    schema: Mapping[str, Any] | None = None,
    *,
    pages: Paging | str = Paging.NONE,
    rows_field: str | None = None,
    next_field: str | None = None,
    parameter: str | None = None,
    first_page: int = 1,
    size: int | None = None,
    size_parameter: str = "limit",
    interval: Duration = "10s",
    stop: Stop | str = Stop.NEVER,
    max_answer_bytes: int | str = 64 << 20,
    **options: Any,
) -> HttpSourceSpec:
    """Describe pages to ask for: ``http("https://api.local/orders", schema={...}, pages="link")``.

    ``pages``: ``"none"``, ``"link"``, ``"next"``, ``"cursor"``, ``"number"`` or ``"offset"``. ``options`` are
    those of a connection (``connection.OPTIONS``) and of the format.
    """
    step = "http"
    paging = choice(Paging, pages, step=step, option="pages")
    reached, others = connection(url, step, options)
    return HttpSourceSpec(
        reached,
        registry.of_messages(format, schema, step=step, **others),
        Pages(
            paging,
            rows_field,
            next_field or ("next_cursor" if paging is Paging.CURSOR else "next"),
            parameter or _PARAMETERS.get(paging, ""),
            first_page,
            size,
            size_parameter,
        ),
        duration(interval, step=step, option="interval"),
        choice(Stop, stop, step=step, option="stop"),
        size_bytes(max_answer_bytes, step=step, option="max_answer_bytes"),
    )


_PARAMETERS = {Paging.CURSOR: "cursor", Paging.NUMBER: "page", Paging.OFFSET: "offset"}


def sse(
    url: str,
    format: str | Format = "json",  # noqa: A002
    schema: Mapping[str, Any] | None = None,
    *,
    events: str | Iterable[str] = (),
    metadata: str | Iterable[str] = (),
    max_event_bytes: int | str = MAX_LINE_BYTES,
    **options: Any,
) -> SseSourceSpec:
    """Describe events to follow: ``sse("https://mastodon.example/api/v1/streaming/public", ...)``.

    ``timeout`` (90 s): how long a server may be silent before it is asked anew. ``options`` as of ``http``.
    """
    step = "sse"
    reached, others = connection(url, step, {"timeout": "90s", **options})
    return SseSourceSpec(
        reached,
        registry.of_messages(format, schema, step=step, **others),
        names(events),
        names(metadata),
        size_bytes(max_event_bytes, step=step, option="max_event_bytes"),
    )


def with_metadata(
    form: Decoder, metadata: tuple[str, ...], known: tuple[str, ...], step: str
) -> pl.Schema:
    """Return the columns of a format and the wanted ones beside it, which are String."""
    for name in metadata:
        if name not in known:
            raise ConfigError(
                f"messages have no {name!r}", step=step, value=name, alternatives=known
            )
        if name in form.schema:
            raise ConfigError(
                f"the rows have a column {name!r} already; it cannot be metadata too",
                step=step,
                value=name,
            )
    wanted = [name for name in known if name in metadata]
    return pl.Schema({**form.schema, **dict.fromkeys(wanted, pl.String())})


def refuse_header_line(form: Decoder, step: str) -> None:
    """Raise ``ConfigError`` for a format that messages of their own cannot have."""
    if wants_header(form):
        raise ConfigError(
            f"the format {form.name} takes its columns from a header line, messages have none",
            step=step,
            value=form.name,
            hint="use the format without a header, and give its columns",
        )
