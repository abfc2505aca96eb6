"""Rows to bodies: which rows go together, as which bytes, under which key.

    epoch 7, rows 0..249, batches of 100  ->  keys ORDERS-7-0-100, ORDERS-7-100-100, ORDERS-7-200-50

The same rows of an epoch always make the same requests, however they came in frames, so a request that
is sent again after a crash has the key it had before.
"""

from __future__ import annotations

import enum
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from penstock.columns import WEIGHT
from penstock.connectors.file_sink import formats as files
from penstock.errors import ConfigError, ConnectorError, Fault


class BodyFormat(enum.Enum):
    """What a request holds."""

    JSON = "json"
    """An array of objects."""
    NDJSON = "ndjson"
    """An object a line."""
    ROW = "row"
    """One object: a request for each row."""
    CSV = "csv"
    """Records under a line of names."""


CONTENT_TYPES = {
    BodyFormat.JSON: "application/json",
    BodyFormat.NDJSON: "application/x-ndjson",
    BodyFormat.ROW: "application/json",
    BodyFormat.CSV: "text/csv; header=present",
}


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are sent together: ``first`` counts them within the epoch."""

    epoch: int
    first: int
    rows: pl.DataFrame

    def part(self, start: int, end: int) -> Batch:
        """Return some of the rows."""
        return Batch(self.epoch, self.first + start, self.rows[start:end])

    def key(self, sink_id: str) -> str:
        """Return what names these rows, of this epoch, wherever they are sent again."""
        return f"{sink_id}-{self.epoch}-{self.first}-{self.rows.height}"


@dataclass(frozen=True, slots=True)
class Encoding:
    """How rows become bodies."""

    step: str
    form: BodyFormat
    batch_rows: int
    with_weight: bool

    def check(self, schema: pl.Schema) -> None:
        """Raise ``ConfigError`` for columns that cannot be written."""
        form = files.FileFormat.CSV if self.form is BodyFormat.CSV else files.FileFormat.NDJSON
        files.check(schema, form, self.step)
        if self.with_weight and WEIGHT in schema:
            raise ConfigError(f"a column is called {WEIGHT}", step=self.step, value=WEIGHT)

    def batches(self, epoch: int, frames: Iterable[pl.DataFrame]) -> Iterator[Batch]:
        """Cut the rows of an epoch into batches, whatever frames they come in."""
        held, first = pl.DataFrame(), 0
        most = 1 if self.form is BodyFormat.ROW else self.batch_rows
        for frame in frames:
            if WEIGHT in frame.columns and not self.with_weight:
                raise ConnectorError(
                    "changes cannot be sent as rows",
                    step=self.step,
                    fault=Fault.USER,
                    hint='give changes="weight", or end the stream with .emit("final")',
                )
            whole = pl.concat([held, frame]) if held.height else frame
            full = whole.height // most * most
            for start in range(0, full, most):
                yield Batch(epoch, first + start, whole[start : start + most])
            held, first = whole[full:], first + full
        if held.height:
            yield Batch(epoch, first, held)

    def body(self, batch: Batch) -> bytes:
        """Return the bytes of a request."""
        rows = batch.rows
        if self.form is BodyFormat.CSV:
            into = io.BytesIO()
            rows.write_csv(into)
            return into.getvalue()
        if self.form is BodyFormat.NDJSON:
            return rows.write_ndjson().encode()
        objects = rows.select(pl.struct(pl.all()).struct.json_encode()).to_series()
        if self.form is BodyFormat.ROW:
            return str(objects[0]).encode()
        return b"[" + ",".join(objects).encode() + b"]"
