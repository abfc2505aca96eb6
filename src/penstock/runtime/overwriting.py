"""Rows that come of a replay, and newer ones that a table may have got meanwhile.

    letter of key 1   v = 1      refused at 10:00
    row of key 1      v = 2      written at 10:05     -> the table has 2
    replay at 11:00              1 is written again? it would take the place of 2

A replayed row is the last to arrive, and of append-only rows with a key the last one wins. So it is
written only if the sink has no row of its key, unless the run is told to overwrite.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import polars as pl

from penstock.columns import WEIGHT
from penstock.connectors.contract import Accepts
from penstock.letter_rows import letters
from penstock.runtime.checkpointer import Checkpointer
from penstock.runtime.executor import EpochOutput, Executor
from penstock.runtime.letters import stamped
from penstock.runtime.options import RunOptions
from penstock.runtime.outlets import Outlet

_REASON = (
    "a row of this key is there already, and may be newer; replay it with replay_overwrites=True "
    "(--overwrite) to write it all the same"
)

_log = logging.getLogger("penstock")


class NoOverwriting:
    """Takes out of the output of replays what is there already; the engine writes nothing else meanwhile."""

    def __init__(
        self,
        executor: Executor,
        outlets: Mapping[int, Outlet],
        checkpointer: Checkpointer,
        options: RunOptions,
    ) -> None:
        self._executor = executor
        self._outlets = outlets
        self._allowed = options.replay_overwrites
        self._waiting: dict[int, list[pl.DataFrame]] = {}
        self._cannot_tell: set[int] = set()
        checkpointer.wait()
        for vertex in executor.graph.sinks:
            self._waiting[vertex.number] = checkpointer.staged(vertex.number)

    def sift(self, output: EpochOutput, now: int) -> None:
        """Make dead letters of rows whose key is there."""
        if self._allowed:
            return
        for number, frame in list(output.sinks.items()):
            spec = self._outlets[number].spec
            changes = WEIGHT in frame.columns
            if changes or spec.immediate or spec.accepts is not Accepts.UPSERT or not frame.height:
                continue
            there = self._present(number, frame.select(spec.key))
            gone = frame.filter(there)
            if gone.height:
                output.sinks[number] = frame.filter(~there)
                name = self._executor.graph.vertices[number].name
                found = letters(gone, spec.name, [_REASON] * gone.height)
                output.dead.extend(stamped(letter, name, now) for letter in found)
                self._executor.stats[number].dead += gone.height

    def _present(self, number: int, keys: pl.DataFrame) -> pl.Series:
        there = self._outlets[number].present(keys)
        if there is None:
            there = pl.repeat(value=False, n=keys.height, dtype=pl.Boolean, eager=True)
            self._warn(number)
        for frame in self._waiting[number]:
            rows = keys.with_row_index("_penstock_place")
            found = rows.join(
                frame.select(keys.columns), on=keys.columns, how="semi", nulls_equal=True
            )
            there |= pl.Series(rows["_penstock_place"].is_in(found["_penstock_place"].to_list()))
        return there

    def _warn(self, number: int) -> None:
        if number not in self._cannot_tell:
            self._cannot_tell.add(number)
            _log.warning(
                "%s cannot tell which keys it has: what is replayed takes the place of newer rows",
                self._outlets[number].spec.name,
            )
