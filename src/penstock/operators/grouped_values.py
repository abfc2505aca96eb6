"""Something kept for each value of each group, found by value and by group."""

from __future__ import annotations

import numpy as np
import polars as pl

from penstock.state.arrays import Ids
from penstock.state.runs import SortedRuns
from penstock.state.table import KeyedTable

GROUP = "group"
VALUE = "value"

_SMALLEST_GARBAGE = 4096
"""Dead pairs in the index by group that are not worth building it again."""


class GroupedValues:
    """A row for each value of each group. ``group`` is the type of the slots of groups.

    The entries of a group are found through sorted runs, which are not part of the state: they are
    built from the entries when they are first needed.
    """

    def __init__(self, group: pl.DataType, value: pl.DataType, kept: pl.Schema) -> None:
        self.table = KeyedTable(pl.Schema({GROUP: group, VALUE: value}), kept)
        self._runs: SortedRuns | None = None
        self._indexed = 0

    def free(self, groups: Ids) -> None:
        """Forget all values of some groups (unique)."""
        if groups.size and len(self.table):
            self.table.delete(self.find(groups)[1])

    def find(self, groups: Ids) -> tuple[Ids, Ids, pl.DataFrame]:
        """Return positions in ``groups`` (unique), ascending, with each entry and its key."""
        if self._runs is None:
            self._rebuild()
        assert self._runs is not None
        positions, entries = self._runs.find(groups)
        # An entry may be gone, belong to another group by now, or be there twice.
        good = self.table.is_live(entries)
        good[1:] &= (positions[1:] != positions[:-1]) | (entries[1:] != entries[:-1])
        positions, entries = positions[good], entries[good]
        values = self.table.keys(entries)
        mine = values[GROUP].to_numpy() == groups[positions]
        return positions[mine], entries[mine], values.filter(mine)

    def index(self, groups: Ids, entries: Ids) -> None:
        """Note new entries of groups."""
        if self._runs is None:
            return
        if self._indexed > 2 * len(self.table) + _SMALLEST_GARBAGE:
            self._runs = None
            return
        if entries.size:
            self._runs.add(groups, entries)
            self._indexed += entries.size

    def _rebuild(self) -> None:
        entries = self.table.live_slots()
        self._runs, self._indexed = SortedRuns(), entries.size
        if entries.size:
            groups = self.table.keys(entries)[GROUP].to_numpy().astype(np.int64)
            self._runs.add(groups, entries)
