"""What every state primitive owes the checkpointer.

A snapshot is a list of **parts**: one full part, then deltas in order. A part is a dict of frames;
an empty dict means that nothing changed.

    full() -> delta() delta() {} delta() ...        (must_rewrite: delta() comes out as a full one)
      |          |       |          |
      +----------+-------+----------+---> load([full, delta, delta, delta]) into an empty primitive

The frames hold the slots or row ids in the columns ``SLOT`` and ``ROW``. A part that contains the
frame ``FULL`` replaces everything before it: the checkpointer starts a new list of parts with it.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import polars as pl

SLOT = "_penstock_slot"
"""UInt32; the dense number of a key."""

ROW = "_penstock_row"
"""Int64; the number of a row in a RowStore, ascending in order of arrival."""

FULL = "full"
"""Name of the (empty) frame that marks a part as a full one."""

FULL_MARK = pl.DataFrame(schema={SLOT: pl.UInt32})

Part = dict[str, pl.DataFrame]


@runtime_checkable
class Stateful(Protocol):
    """State that can be written as a full part and deltas, and loaded again."""

    def __len__(self) -> int:
        """Return the number of living rows (or keys)."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes held, in memory or on disk."""
        ...

    @property
    def must_rewrite(self) -> bool:
        """Whether the next delta() comes out as a full part, because ids were renumbered."""
        ...

    def delta(self) -> Part:
        """Return what changed since the last delta() or full(), and forget that it changed."""
        ...

    def full(self) -> Part:
        """Return everything, and forget that it changed."""
        ...

    def load(self, parts: list[Part]) -> None:
        """Restore from parts, oldest first, into an empty primitive."""
        ...


def since_last_full(parts: list[Part]) -> list[Part]:
    """Drop the parts that a later full part replaces."""
    for position in range(len(parts) - 1, -1, -1):
        if FULL in parts[position]:
            return parts[position:]
    return parts
