"""Where changes of a session's relations go: sinks, other tables, and histories of changes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from penstock.columns import DEAD_LETTER_SCHEMA, WEIGHT
from penstock.connectors.contract import SinkIdentity, SinkSpec
from penstock.errors import PlanError
from penstock.operators.deltas import consolidate, repeat_rows, weighted
from penstock.runtime.outlets import Outlet
from penstock.sql_session.new_rows import checked
from penstock.sql_session.relations import Table, View

OPERATION = "changelog_op"
_KEPT_REFUSED = 1_000
_INSERT, _DELETE, _UPDATE_INSERT, _UPDATE_DELETE = 1, 2, 3, 4


class Delivery:
    """A sink of the outside world. What fails stays failed until the session is opened again."""

    def __init__(self, spec: SinkSpec | None, error: BaseException | None = None) -> None:
        self.spec = spec
        self.error = error
        self._outlet: Outlet | None = None
        self._refused = pl.DataFrame(schema=DEAD_LETTER_SCHEMA)

    def open(
        self,
        identity: SinkIdentity | None,
        schema: pl.Schema,
        staged: Sequence[tuple[int, pl.DataFrame]],
    ) -> None:
        """Connect, and hand over again what may not have been applied."""
        if self.spec is None:
            return
        try:
            self._outlet = Outlet(self.spec)
            self._outlet.begin(identity, schema)
        except Exception as error:  # noqa: BLE001 - raised again by wait(), shown by SHOW SINKS
            self.error = error
        for epoch, frame in staged:
            self.hand(epoch, frame)

    def hand(self, epoch: int, frame: pl.DataFrame) -> None:
        """Hand over what an epoch gave."""
        if self.error is not None or self._outlet is None:
            return
        try:
            self._outlet.apply(epoch, [frame])
            self.refused()
        except Exception as error:  # noqa: BLE001 - as in open
            self.error = error

    def refused(self) -> pl.DataFrame:
        """Return the latest rows that the sink's system refused for their values."""
        found = [] if self._outlet is None else self._outlet.take_refused()
        letters = [frame.select(*DEAD_LETTER_SCHEMA) for frame in found]
        self._refused = pl.concat([self._refused, *letters]).tail(_KEPT_REFUSED)
        return self._refused

    @property
    def applied(self) -> int:
        """The last epoch that the sink holds for certain."""
        if self._outlet is None or self._outlet.applied is None:
            return -1
        return self._outlet.applied

    def flush(self) -> None:
        """Wait until all was written; keeps what went wrong."""
        if self._outlet is None or self.error is not None:
            return
        try:
            self._outlet.flush()
        except Exception as error:  # noqa: BLE001 - as in open
            self.error = error

    def close(self) -> None:
        """Let go of the sink."""
        if self._outlet is not None:
            self._outlet.close()
            self._outlet = None


@dataclass(slots=True)
class Outflow:
    """A query whose changes go on: ``delivery`` to a sink, else into the table ``into``.

    ``history``: the table holds the changes themselves, each a row with an operation.
    """

    name: str
    view: View
    delivery: Delivery | None = None
    into: str | None = None
    history: bool = False

    @property
    def state(self) -> str:
        """``writing``, or what went wrong."""
        if self.delivery is not None and self.delivery.error is not None:
            return f"failed: {str(self.delivery.error).partition(chr(10))[0]}"
        return "writing"

    def frame_schema(self) -> pl.Schema:
        """Columns of what goes to a sink."""
        schema = dict(self.view.schema)
        if self.view.changelog:
            schema[WEIGHT] = pl.Int64()
        return pl.Schema(schema)


def into_table(table: Table, delta: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Return what a query's delta does to a table that holds ``before`` (rows with weights).

    Of a table with a primary key the rows of the touched keys are replaced, whatever was there.
    """
    given = delta if WEIGHT in delta.columns else weighted(delta, 1)
    weights = given[WEIGHT]
    given = given.select(pl.col(column.name).cast(column.dtype) for column in table.given)
    given = checked(table, given).with_columns(weights)
    if not table.key:
        return given
    given = consolidate(given)
    new = repeat_rows(given.filter(pl.col(WEIGHT) > 0))
    if new.select(table.key).is_duplicated().any():
        raise PlanError(
            f"table {table.name!r} would have two rows with one key", step="sql", value=table.name
        )
    old = before.join(given.select(table.key).unique(), on=table.key, how="semi", nulls_equal=True)
    gone = old.with_columns(-pl.col(WEIGHT))
    return consolidate(pl.concat([gone, weighted(new, 1)]))


def operations(delta: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Return a delta as rows: 1 inserted, 2 deleted, and by key 4 the row before and 3 after."""
    given = consolidate(delta if WEIGHT in delta.columns else weighted(delta, 1))
    gone = pl.col(WEIGHT) < 0
    both = (gone.any() & (~gone).any()).over(list(key)) if key else pl.lit(value=False)
    operation = (
        pl.when(gone & both)
        .then(_UPDATE_DELETE)
        .when(gone)
        .then(_DELETE)
        .when(both)
        .then(_UPDATE_INSERT)
        .otherwise(_INSERT)
    )
    named = given.with_columns(
        operation.cast(pl.Int16).alias(OPERATION), pl.col(WEIGHT).abs().alias(WEIGHT)
    )
    columns = [c for c in given.columns if c != WEIGHT]
    return repeat_rows(named.select(*columns, OPERATION, WEIGHT))


def packed(frame: pl.DataFrame) -> bytes:
    """Return a frame as Arrow IPC."""
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="zstd")
    return buffer.getvalue()


def unpacked(data: bytes) -> pl.DataFrame:
    """Return the frame that ``packed`` wrote."""
    return pl.read_ipc(io.BytesIO(data))
