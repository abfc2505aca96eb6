"""Aggregate: groups kept as partial aggregates, results emitted as changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.columns import WEIGHT
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.deltas import materialised
from penstock.operators.expiry import Expiry
from penstock.operators.few_rows import FEW, Touched, few_rows
from penstock.operators.merging import Merging
from penstock.state.cell import Cell
from penstock.state.physical import to_series
from penstock.state.table import KeyedTable

_COUNT = "_penstock_rows"
_WIDE = (pl.Int128, pl.UInt128)


@dataclass(frozen=True, slots=True)
class PartialAggregates:
    """Aggregates split into partials: how to get them from rows, merge them, and finish them.

    ``keys`` are expressions over the input's rows; ``extract`` runs in ``group_by`` over rows,
    ``merge`` in ``group_by`` over partials, old before new, ``finish`` on one row of partials a
    group. ``schema`` is that of the partials.
    """

    keys: tuple[pl.Expr, ...]
    key_schema: pl.Schema
    extract: tuple[pl.Expr, ...]
    merge: tuple[pl.Expr, ...]
    finish: tuple[pl.Expr, ...]
    schema: pl.Schema

    @property
    def key_names(self) -> list[str]:
        """Output names of the keys."""
        return list(self.key_schema)

    def of_rows(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return one row of keys and partials a group."""
        if not self.keys:
            return frame.select(*self.extract)
        return frame.group_by(*self.keys).agg(*self.extract)


class RunningAggregate(Operator):
    """Keep the partials of every group; after each epoch emit how the touched groups changed.

    ``(k, 1)`` then ``(k, 2)`` with ``sum`` -> ``+(k, 1)`` then ``-(k, 1) +(k, 3)``.

    State: one row of partials a group, freed when the expiry says so (a key bounded by the
    watermark, or a time to live), or, under retraction, when no row is left in the group. Without
    keys there is one group that always exists: an empty input has a result too.
    """

    def __init__(
        self,
        partials: PartialAggregates,
        *,
        input_schema: pl.Schema,
        changelog: bool,
        expiry: Callable[[KeyedTable], Expiry] | None = None,
    ) -> None:
        self._partials = partials
        self._input_schema = input_schema
        self._changelog = changelog
        self._copies = _copies(partials)
        self._merging = Merging(partials.merge, partials.schema)
        self._few = (
            None
            if changelog
            else few_rows(partials.keys, partials.extract, partials.schema, input_schema)
        )
        self._table = KeyedTable(partials.key_schema, partials.schema)
        self._started: Cell = Cell(value=False)
        self._expiry = expiry(self._table) if expiry else None
        self.state = {"groups": self._table, "started": self._started}
        if self._expiry is not None:
            self.state = {**self.state, **self._expiry.state}

    @property
    def wants_idle_steps(self) -> bool:
        """A global aggregate emits its first row before any input."""
        return not self._partials.keys and not self._started.value

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Merge the epoch's partials into the groups and emit the difference."""
        delta = deltas[0]
        result = None
        if delta is not None or self.wants_idle_steps:
            frame = delta if delta is not None else self._nothing()
            result = self._update(frame, tick)
            self._started.value = True
        if self._expiry is not None:
            self._free(self._expiry.expired(tick))
        return result

    def _free(self, slots: np.ndarray) -> None:
        self._table.delete(slots)

    def _nothing(self) -> pl.DataFrame:
        weight = {WEIGHT: pl.Int64()} if self._changelog else {}
        return pl.DataFrame(schema={**self._input_schema, **weight})

    def _update(self, frame: pl.DataFrame, tick: Tick) -> Delta | None:
        if self._few is not None and 0 < frame.height <= FEW:
            touched = self._few.merge(frame, self._table)
            if touched is not None:
                return self._few_changes(touched, tick)
        fresh = self._partials.of_rows(frame)
        table, width = self._table, len(self._partials.key_names)
        if width:
            slots = table.assign(pl.DataFrame(fresh.get_columns()[:width]), unique=True)
        else:
            slots = table.assign(pl.DataFrame(height=1))
        existed = table.exists(slots)
        known = int(existed.sum())
        if 0 < known < len(slots):  # groups that existed first, so that they are a slice below
            order = np.argsort(~existed, kind="stable")
            slots, fresh = slots[order], fresh[order]
        columns = fresh.get_columns()
        keys, fresh = pl.DataFrame(columns[:width]), pl.DataFrame(columns[width:])
        old = table.get(slots[:known])
        merged = self._merging(old, fresh)
        table.set(slots, merged)
        if self._expiry is not None:
            self._expiry.touch(slots, keys, tick)
        return self._changes(slots, keys, old, merged)

    def _changes(
        self, slots: np.ndarray, keys: pl.DataFrame, old: pl.DataFrame, merged: pl.DataFrame
    ) -> Delta | None:
        """Return the delta of groups of which those of ``old`` existed before and come first."""
        known = old.height
        total = known + merged.height
        finished = self._finished(old.vstack(merged))
        whole = keys[:known].vstack(keys)
        weights = np.ones(total, dtype=np.int64)
        weights[:known] = -1
        columns = [*whole.get_columns(), *finished.get_columns(), pl.Series(WEIGHT, weights)]
        same = np.ones(known, dtype=bool)  # groups without aggregates never change
        if finished.width:
            same = equal_rows(finished[:known], finished[known : 2 * known])
        gone = self._gone(merged)
        changed = np.ones(total, dtype=bool)
        changed[:known] = ~same
        changed[known : 2 * known] = ~same
        if gone is not None:
            changed[:known] |= gone[:known]
            changed[known:] &= ~gone
            self._free(slots[gone])
        result = pl.DataFrame(columns)
        if not changed.all():
            result = result.filter(pl.Series(changed))
        return result if result.height else None

    def _few_changes(self, touched: Touched, tick: Tick) -> Delta | None:
        """Do what ``_changes`` does, with arrays."""
        if self._expiry is not None:
            keys = pl.DataFrame(touched.keys(np.arange(len(touched.slots))))
            self._expiry.touch(touched.slots, keys, tick)
        groups, was, partials = touched.changes()
        if not len(groups):
            return None
        columns = {
            name: to_series(name, values, None, dtype)
            for (name, dtype), values in zip(self._partials.schema.items(), partials, strict=True)
        }
        finished = self._finished(pl.DataFrame(list(columns.values())))
        kept = _telling(finished, was)
        if not kept.all():
            groups, was = groups[kept], was[kept]
            finished = finished.filter(pl.Series(kept)) if finished.width else finished
        if not len(groups):
            return None
        weights = np.where(was, -1, 1)
        return pl.DataFrame([*touched.keys(groups), *finished, pl.Series(WEIGHT, weights)])

    def _finished(self, partials: pl.DataFrame) -> pl.DataFrame:
        """Finish rows of partials, each to the last bit the same in every epoch."""
        if self._copies is not None:
            return pl.DataFrame([partials[n].cast(t).alias(o) for n, t, o in self._copies])
        return materialised(partials).select(self._partials.finish)

    def _gone(self, merged: pl.DataFrame) -> np.ndarray | None:
        """Tell which groups have lost their last row, if any."""
        if not self._changelog or not self._partials.keys:
            return None
        gone = (merged[_COUNT] <= 0).to_numpy()
        return gone if gone.any() else None


def _telling(finished: pl.DataFrame, was: np.ndarray) -> np.ndarray:
    """Tell which results to emit: an old one that equals the new one, ``pairs`` later, is none.

    Rows are the old results, then as many new ones in the same order, then those of new groups.
    """
    pairs = int(was.sum())
    kept = np.ones(len(was), dtype=bool)
    if pairs:
        same = np.ones(pairs, dtype=bool)  # groups without aggregates never change
        if finished.width:
            same = equal_rows(finished[:pairs], finished[pairs : 2 * pairs])
        kept[:pairs] = kept[pairs : 2 * pairs] = ~same
    return kept


def _copies(partials: PartialAggregates) -> list[tuple[str, pl.DataType, str]] | None:
    """Return (partial, type, output) where every result is a partial as it is, cast at most.

    Casting columns costs a tenth of what the start of a query does, which counts for few rows.
    """
    schema = pl.DataFrame(schema=partials.schema).select(partials.finish).schema
    found = []
    for expr, (output, dtype) in zip(partials.finish, schema.items(), strict=True):
        bare = expr.meta.undo_aliases()
        for name in partials.schema:
            if bare.meta.eq(pl.col(name)) or bare.meta.eq(pl.col(name).cast(dtype)):
                found.append((name, dtype, output))
                break
        else:
            return None
    return found


def equal_rows(left: pl.DataFrame, right: pl.DataFrame) -> np.ndarray:
    """Compare two frames of equal height row by row; null equals null, NaN equals NaN."""
    same = np.ones(left.height, dtype=bool)
    for one, other in zip(left.get_columns(), right.get_columns(), strict=True):
        if (
            one.dtype.is_integer()
            and one.dtype not in _WIDE
            and not one.has_nulls() | other.has_nulls()
        ):
            same &= one.to_numpy() == other.to_numpy()
        else:
            same &= one.eq_missing(other).to_numpy()
    return same


def count_partial(*, changelog: bool) -> tuple[pl.Expr, pl.Expr]:
    """Return the partial that counts the living rows of a group: (extract, merge)."""
    extract = pl.col(WEIGHT).sum() if changelog else pl.len().cast(pl.Int64)
    return extract.alias(_COUNT), pl.col(_COUNT).sum()
