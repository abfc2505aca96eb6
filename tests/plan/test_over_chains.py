"""Steps over the same keys put together, against the same steps apart."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operators.histories import bag, changing, driven, fewer, histories

from penstock.lowering import table
from penstock.stream import Stream
from penstock.testing import integrate, outputs, scripted

SCHEMA: dict[str, Any] = {"k": pl.Int64, "a": pl.Int64, "b": pl.Int64}
_ROWS = st.tuples(st.none() | st.integers(0, 1), st.none() | st.integers(0, 3), st.integers(0, 2))
C = pl.col


def ranked(rows: Stream) -> Stream:
    rank = C("a").rank("ordinal", descending=True).over("k")
    late = rows.with_columns(r=rank)
    late = late.with_columns(s=C("b").first().over("k"), n=(C("r") + C("b")).sum().over("k"))
    return late.with_columns(m=C("n").rank("ordinal").over("k"))


def kinds(stream: Stream) -> list[str]:
    graph = table.lower(stream.sink_callback(print).roots)
    return [vertex.kind for vertex in graph.vertices if vertex.kind == "recompute"]


@fewer
@given(data=st.data())
def test_together_as_apart(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 4))
    rows = data.draw(histories(SCHEMA, _ROWS, count))
    make: Any = {True: changing, False: scripted}
    stream = ranked(make[rows.changelog]("l", SCHEMA))
    expected = 1 if rows.changelog else 2  # the first stays apart over append-only rows
    restarts = data.draw(st.sets(st.integers(0, count - 1)))
    epochs = driven("l", [rows])
    found = []
    for together in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not together:
                patch.setattr(table, "chained", list)
            assert kinds(stream) == ["recompute"] * (expected if together else 3)
            deltas = outputs(stream, epochs, restart_after=restarts)
        found.append([bag(integrate(stream, deltas[: n + 1])) for n in range(count)])
    assert found[0] == found[1]


def test_what_stays_apart() -> None:
    rows = changing("l", SCHEMA)
    first = rows.with_columns(r=C("a").rank("ordinal").over("k"))
    second = C("r").rank("ordinal")
    assert len(kinds(first.with_columns(m=second.over("k")))) == 1
    assert len(kinds(first.with_columns(m=second.over("b")))) == 2
    assert len(kinds(first.named("mine").with_columns(m=second.over("k")))) == 2
    assert len(kinds(first.with_columns(k=second.over("k")))) == 2  # writes the key
    risky = C("b").cast(pl.Int8).sum().over("k")
    assert len(kinds(first.with_columns(m=risky))) == 2
    both = first.with_columns(m=second.over("k")).join(first, on="k", how="semi")
    assert len(kinds(both)) == 2  # somebody else reads what is in between
