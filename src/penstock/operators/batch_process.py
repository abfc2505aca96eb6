"""BatchProcess: a user's code once an epoch, for all touched keys together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from penstock.columns import WEIGHT
from penstock.errors import PenstockError, PlanError
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.deltas import concat
from penstock.operators.expiry import Expiry
from penstock.operators.process import ProcessSpec
from penstock.operators.refusing import refuse
from penstock.operators.results import fitted
from penstock.processors import BatchProcessor
from penstock.state.table import KeyedTable


class BatchProcess(Operator):
    """Call a processor with the rows and the state of the touched keys.

    State: the declared columns of each key, until the processor leaves the key out, or the expiry.
    When user code raises, it is called again with half of the keys, then with half of the rows of
    a key, until the rows at fault are found: these become dead letters and change no state.
    """

    def __init__(
        self,
        processor: BatchProcessor,
        spec: ProcessSpec,
        expiry: Callable[[KeyedTable], Expiry] | None = None,
    ) -> None:
        self._processor = processor
        self._spec = spec
        self.step_name = spec.name
        self._table = KeyedTable(spec.key_schema, spec.state)
        self._stored = pl.Schema({**spec.key_schema, **spec.state})
        self._expiry = expiry(self._table) if expiry else None
        self._opened = False
        self.state = {"keys": self._table, **(self._expiry.state if self._expiry else {})}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Call the processor and take over the state it returns."""
        if not self._opened:
            self._processor.open()
            self._opened = True
        delta, found = deltas[0], []
        if delta is not None:
            hidden = [WEIGHT] if WEIGHT in delta.columns else []
            rows = delta.select(*self._spec.input, *hidden)
            slots = self._table.assign(rows.select(self._spec.keys))
            found = self._run(rows, slots, tick)
        if self._expiry is not None:
            self._table.delete(self._expiry.expired(tick))
        return concat(found)

    def _run(self, rows: pl.DataFrame, slots: np.ndarray, tick: Tick) -> list[pl.DataFrame]:
        unique, first = np.unique(slots, return_index=True)
        touched = unique[np.argsort(first)]
        try:
            output, kept, state = self._call(rows, touched)
        except PenstockError:
            raise
        except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - user code
            return self._smaller(rows, slots, touched, tick, error)
        values = state.select(*self._spec.state)
        if values.width:
            self._table.set(kept, values)
        if self._expiry is not None and kept.size:
            self._expiry.touch(kept, state.select(self._spec.keys), tick)
        self._table.delete(np.setdiff1d(touched, kept))
        return [output]

    def _smaller(
        self,
        rows: pl.DataFrame,
        slots: np.ndarray,
        touched: np.ndarray,
        tick: Tick,
        error: BaseException,
    ) -> list[pl.DataFrame]:
        if len(touched) == 1:
            return self._fewer(rows, touched, tick, error)
        half = len(touched) // 2
        found = []
        for part in (touched[:half], touched[half:]):
            mine = np.isin(slots, part)
            found += self._run(rows.filter(mine), slots[mine], tick)
        return found

    def _fewer(
        self, rows: pl.DataFrame, touched: np.ndarray, tick: Tick, error: BaseException
    ) -> list[pl.DataFrame]:
        """Call the processor with each half of the rows of one key; refuse a row alone."""
        self._table.delete(touched[~self._table.exists(touched)])
        if rows.height == 1:
            refuse(rows, self._spec.name, error, tick)
            return []
        half, found = rows.height // 2, []
        for part in (rows[:half], rows[half:]):  # the first may free the key, or make it
            found += self._run(part, self._table.assign(part.select(self._spec.keys)), tick)
        return found

    def _call(
        self, rows: pl.DataFrame, touched: np.ndarray
    ) -> tuple[pl.DataFrame, np.ndarray, pl.DataFrame]:
        before = self._table.keys(touched)
        if self._spec.state:
            before = before.hstack(self._table.get(touched))
        given = self._processor.process(rows, before.select(*self._stored))
        if not (isinstance(given, tuple) and len(given) == 2):
            raise PlanError(
                f"process returned {type(given).__name__}, not a tuple of output and state",
                step=self._spec.name,
            )
        output = fitted(given[0], self._spec.output, self._spec.name)
        state = fitted(given[1], self._stored, f"{self._spec.name} state")
        kept = self._table.lookup(state.select(self._spec.keys))
        if len(np.unique(kept)) < len(kept) or not np.isin(kept, touched).all():
            raise PlanError(
                "the state returned has a key twice, or one that has no rows in this batch",
                step=self._spec.name,
                hint="return at most one row for each key of the state you were given",
            )
        return output, kept, state
