"""Bytes found by bits, against a list of their places."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.connectors.formats import marks
from penstock.connectors.formats.marks import Marks

BYTES = st.binary(max_size=300) | st.lists(
    st.sampled_from([b'"', b"a" * 7, b"a" * 64, b"\n"]), max_size=60
).map(b"".join)


@given(BYTES, st.integers(1, 40))
def test_marks_are_where_the_bytes_are(block: bytes, eights: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marks, "_AT_ONCE", 8 * eights)
        found = Marks(np.frombuffer(block, np.uint8), np.equal, ord('"'))
    places = [at for at, byte in enumerate(block) if byte == ord('"')]
    assert found.places().tolist() == places
    everywhere = np.arange(len(block) + 1)
    before = [sum(place < at for place in places) for at in everywhere.tolist()]
    assert found.before(everywhere).tolist() == before


@given(BYTES, st.data())
def test_the_next_mark_is_found_up_to_a_last_place(block: bytes, data: st.DataObject) -> None:
    found = Marks(np.frombuffer(block, np.uint8), np.equal, ord('"'))
    starts = np.arange(len(block) + 1)
    last = np.array([data.draw(st.integers(start, len(block))) for start in starts.tolist()])
    expected = [
        at if (at := block.find(b'"', start, stop)) >= 0 else stop
        for start, stop in zip(starts.tolist(), last.tolist(), strict=True)
    ]
    assert found.next(starts, last).tolist() == expected


def test_what_is_below_a_value_is_marked() -> None:
    found = Marks(np.frombuffer(b"a\tb\n", np.uint8), np.less, ord(" "))
    assert found.places().tolist() == [1, 3]


def test_a_place_behind_the_block_has_no_mark() -> None:
    found = Marks(np.frombuffer(b'a"', np.uint8), np.equal, ord('"'))
    behind = np.array([2, 1000, 2050])
    assert found.next(behind, behind + 9).tolist() == (behind + 9).tolist()
