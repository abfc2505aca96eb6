"""An exactly-once sink in memory: what the simulation of operators writes to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

from penstock.connectors.contract import Accepts, Guarantee, SinkIdentity
from penstock.connectors.epochs import Recorded, is_applied, refuse_fenced, take_over


@dataclass
class Table:
    """Frames as they were applied, and the book of epochs; outlives the runs."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    book: dict[str, Recorded] = field(default_factory=dict)

    def rows(self, schema: pl.Schema) -> pl.DataFrame:
        """Return all that was written, with weights if it has any."""
        return pl.concat(self.frames) if self.frames else schema.to_frame()


@dataclass(frozen=True, eq=False)
class TableSpec:
    """Describes a table."""

    table: Table
    name: str = "table"
    guarantee: Guarantee = Guarantee.EXACTLY_ONCE
    accepts: Accepts = Accepts.CHANGES
    key: tuple[str, ...] = ()
    immediate: bool = False

    def validate(self, schema: pl.Schema) -> None:
        """Take anything."""

    def open(self) -> TableSink:
        return TableSink(self.table)


class TableSink:
    """Appends all frames of an epoch and its number, or nothing."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._identity = SinkIdentity("", 0)

    def begin(self, identity: SinkIdentity | None, schema: pl.Schema | None = None) -> int | None:
        assert identity is not None
        self._identity = identity
        record = take_over(self._table.book.get(identity.sink_id), identity, "table")
        self._table.book[identity.sink_id] = record
        return record.last

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        held = list(frames)
        recorded = self._table.book[self._identity.sink_id]
        refuse_fenced(recorded, self._identity, "table")
        if not held or is_applied(recorded, epoch):
            return
        self._table.frames.extend(held)
        self._table.epochs.append(epoch)
        self._table.book[self._identity.sink_id] = Recorded(epoch, self._identity.token)

    def close(self) -> None:
        """Nothing is held back."""
