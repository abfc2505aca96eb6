"""A hash table that was built in order has every entry, and goes on like any other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.state import hashtable
from penstock.state.hashtable import HashTable


def built(hashes: np.ndarray, slots: np.ndarray) -> HashTable:  # type: ignore[type-arg]
    table = HashTable()
    half = len(hashes) // 2
    blocks = [(hashes[:half], slots[:half]), (hashes[half:], slots[half:])]
    table.rebuild(iter(blocks), len(hashes))
    return table


def slots_found(table: HashTable, hashes: np.ndarray) -> list[set[int]]:  # type: ignore[type-arg]
    """Return all candidates of each hash, as probing on finds them."""
    result = []
    for one in hashes:
        wanted, found = np.array([one], np.uint64), set()
        slot, at = table.probe(wanted, table.home(wanted))
        while slot[0] >= 0:
            found.add(int(slot[0]))
            slot, at = table.probe(wanted, table.after(at))
        result.append(found)
    return result


@given(
    st.lists(st.integers(0, 2**64 - 1) | st.integers(2**64 - 2**40, 2**64 - 1), min_size=2),
    st.integers(1, 7),
)
def test_a_table_built_in_order_has_every_entry(numbers: list[int], step: int) -> None:
    hashes = np.array(numbers, np.uint64)
    slots = np.arange(len(hashes), dtype=np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashtable, "_SORTED_FROM", 0)
        patch.setattr(hashtable, "_SORTED_STEP", step)
        ordered = built(hashes, slots)
    for slot, seen in enumerate(slots_found(ordered, hashes)):
        assert slot in seen
    ordered.remove(hashes[::2], slots[::2])
    for slot, seen in enumerate(slots_found(ordered, hashes)):
        assert (slot in seen) == bool(slot % 2)
