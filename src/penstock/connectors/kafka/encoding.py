"""From rows to messages: the key and value of each, as bytes."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from penstock.columns import WEIGHT
from penstock.connectors.changes import keyed_changes
from penstock.connectors.file_sink import formats as files
from penstock.connectors.formats.avro_schema import schema_of
from penstock.connectors.formats.avro_writing import records
from penstock.connectors.formats.wire import head
from penstock.connectors.kafka.messages import HEADERS
from penstock.connectors.schema_registry import SchemaRegistry, registered
from penstock.errors import ConfigError, ConnectorError, Fault

KEY, VALUE, STAMP, HEAD = "key", "value", "timestamp", "headers"


class ValueFormat(enum.Enum):
    """What a message holds."""

    JSON = "json"
    """The columns as an object; of changes by key the newest row, or no value for a deletion."""
    DEBEZIUM = "debezium"
    """``{"before": row or null, "after": row or null, "op": "c" or "d"}``: any changes."""
    AVRO = "avro"
    """The columns as a record; changes by key as with JSON."""
    RAW = "raw"
    """The column ``value``; ``key``, ``timestamp`` and ``headers`` where the stream has them."""


class KeyFormat(enum.Enum):
    """How key columns become the key of a message."""

    TEXT = "text"
    """The one column as text or as its bytes."""
    JSON = "json"
    """An object of the key columns."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows, and the message of each: as many, in the same order.

    ``rows`` has the weight where they are changes. A row that is refused can be ``replayable``. A key
    whose row is refused has to be deleted where ``keyed``.
    """

    rows: pl.DataFrame
    messages: pl.DataFrame
    replayable: bool = True
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class Encoding:
    """How rows of one stream become messages.

    Messages have columns ``key`` and ``value`` (Binary), and ``timestamp`` (ms) and ``headers``
    where there are any.
    """

    step: str
    value: ValueFormat
    key: tuple[str, ...]
    key_format: KeyFormat
    timestamp: str | None
    headers: str | None
    registry: SchemaRegistry | None = None
    subject: str = ""

    def check(self, schema: pl.Schema) -> None:
        """Raise ``ConfigError`` for columns that are not there, or that cannot be encoded."""
        beside = [name for name in (self.timestamp, self.headers) if name is not None]
        for name in (*self.key, *beside):
            if name not in schema:
                raise ConfigError(
                    f"there is no column {name!r}",
                    step=self.step,
                    value=name,
                    alternatives=schema.names(),
                )
        if self.timestamp is not None and not isinstance(schema[self.timestamp], pl.Datetime):
            raise self._wrong(self.timestamp, schema, "a Datetime")
        if self.headers is not None and schema[self.headers] != HEADERS:
            raise self._wrong(self.headers, schema, str(HEADERS))
        for name in self.key if self.key_format is KeyFormat.TEXT else ():
            if schema[name].is_nested() or isinstance(schema[name], pl.Duration | pl.Object):
                raise ConfigError(
                    f"column {name!r} is {schema[name]}, which has no text for a key",
                    step=self.step,
                    value=name,
                    hint='give key_format="json", or cast it to String',
                )
        if self.value is ValueFormat.RAW:
            self._check_raw(schema)
            return
        values = pl.Schema({n: d for n, d in schema.items() if n != self.headers})
        if self.value is ValueFormat.AVRO:
            schema_of(values)
        else:
            files.check(values, files.FileFormat.NDJSON, self.step)

    def _check_raw(self, schema: pl.Schema) -> None:
        wanted = {VALUE: (pl.Binary, pl.String), KEY: (pl.Binary, pl.String)}
        for name, dtype in schema.items():
            if name not in (KEY, VALUE, STAMP, HEAD):
                raise ConfigError(
                    f"a raw message has no {name!r}",
                    step=self.step,
                    value=name,
                    alternatives=(KEY, VALUE, STAMP, HEAD),
                    hint='select these, or give format="json"',
                )
            if name in wanted and dtype not in wanted[name]:
                raise self._wrong(name, schema, "Binary or String")
        if VALUE not in schema:
            raise ConfigError(
                "a raw message needs a column 'value'",
                step=self.step,
                value=VALUE,
                alternatives=schema.names(),
            )

    def _wrong(self, name: str, schema: pl.Schema, wanted: str) -> ConfigError:
        return ConfigError(
            f"column {name!r} is {schema[name]}, not {wanted}", step=self.step, value=name
        )

    def encode(self, frames: Iterable[pl.DataFrame]) -> Iterator[Part]:
        """Return the messages of an epoch, in order."""
        for frame in frames:
            self._refuse_changes(frame)
            if self.value is ValueFormat.RAW:
                yield Part(frame, self._raw(frame))
            elif self.value is ValueFormat.DEBEZIUM:
                yield self._enveloped(frame)
            elif WEIGHT in frame.columns:
                yield from self._upserted(frame)
            else:
                yield Part(frame, frame.select(**self._beside(frame), value=self._object(frame)))

    def _refuse_changes(self, frame: pl.DataFrame) -> None:
        keyed = bool(self.key) and self.value in (ValueFormat.JSON, ValueFormat.AVRO)
        if WEIGHT in frame.columns and not keyed and self.value is not ValueFormat.DEBEZIUM:
            raise ConnectorError(
                "changes cannot be written as rows",
                step=self.step,
                fault=Fault.USER,
                hint='give key=, or format="debezium"',
            )

    def _raw(self, frame: pl.DataFrame) -> pl.DataFrame:
        found = {VALUE: pl.col(VALUE).cast(pl.Binary)}
        if KEY in frame.columns:
            found[KEY] = pl.col(KEY).cast(pl.Binary)
        if STAMP in frame.columns:
            found[STAMP] = pl.col(STAMP).dt.epoch("ms")
        if HEAD in frame.columns:
            found[HEAD] = pl.col(HEAD)
        return frame.select(**found)

    def _upserted(self, frame: pl.DataFrame) -> Iterator[Part]:
        """A change is not to be replayed: newer ones of its key may have come since."""
        changes = keyed_changes([frame], self.key, self.step)
        gone = changes.deletes.select(key=self._key(frame.schema), value=pl.lit(None, pl.Binary()))
        weighted = changes.deletes.with_columns(pl.lit(-1, pl.Int64).alias(WEIGHT))
        yield Part(weighted, gone, replayable=False)
        rows = changes.upserts
        written = rows.select(**self._beside(rows), value=self._object(rows))
        yield Part(rows, written, replayable=False, keyed=True)

    def _enveloped(self, frame: pl.DataFrame) -> Part:
        appended = WEIGHT not in frame.columns
        if appended:
            frame = frame.with_columns(pl.lit(1, pl.Int64).alias(WEIGHT))
        frame = frame.select(pl.all().repeat_by(pl.col(WEIGHT).abs())).explode(frame.columns)
        row = pl.struct(self._written(frame.columns)).struct.json_encode()
        removed = pl.col(WEIGHT) < 0
        value = pl.concat_str(
            pl.when(removed)
            .then(pl.lit('{"before":'))
            .otherwise(pl.lit('{"before":null,"after":')),
            row,
            pl.when(removed)
            .then(pl.lit(',"after":null,"op":"d"}'))
            .otherwise(pl.lit(',"op":"c"}')),
        )
        written = frame.select(**self._beside(frame), value=value.cast(pl.Binary))
        rows = frame.drop(WEIGHT) if appended else frame.with_columns(pl.col(WEIGHT).sign())
        return Part(rows, written, replayable=appended)

    def _beside(self, frame: pl.DataFrame) -> dict[str, pl.Expr]:
        found = {KEY: self._key(frame.schema)} if self.key else {}
        if self.timestamp is not None and self.timestamp in frame.columns:
            found[STAMP] = pl.col(self.timestamp).dt.epoch("ms")
        if self.headers is not None and self.headers in frame.columns:
            found[HEAD] = pl.col(self.headers)
        return found

    def _key(self, schema: pl.Schema) -> pl.Expr:
        if self.key_format is KeyFormat.JSON:
            return pl.struct(self.key).struct.json_encode().cast(pl.Binary)
        key = pl.col(self.key[0])
        return key if schema[self.key[0]] == pl.Binary else key.cast(pl.String).cast(pl.Binary)

    def _object(self, rows: pl.DataFrame) -> pl.Expr | pl.Series:
        names = self._written(rows.columns)
        if self.value is not ValueFormat.AVRO:
            return pl.struct(names).struct.json_encode().cast(pl.Binary)
        values = rows.select(names)
        if self.registry is None:
            return records(values, b"")
        text = schema_of(values.schema, self.subject.removesuffix("-value")).text
        return records(values, head(registered(self.registry, self.subject, "AVRO", text)))

    def _written(self, columns: Iterable[str]) -> list[str]:
        return [name for name in columns if name not in (self.headers, WEIGHT)]
