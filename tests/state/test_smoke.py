import datetime as dt

import numpy as np
import polars as pl
from penstock.state.rows import RowStore
from penstock.state.table import KeyedTable


def test_table() -> None:
    table = KeyedTable(
        pl.Schema({"k": pl.Float64, "s": pl.String}),
        pl.Schema({"v": pl.List(pl.Int64), "t": pl.Datetime("us", "UTC")}),
    )
    keys = pl.DataFrame(
        {"k": [0.0, -0.0, float("nan"), None, None], "s": ["a", "a", None, None, "x"]}
    )
    slots = table.assign(keys)
    assert slots.tolist() == [0, 0, 1, 2, 3]
    assert table.lookup(keys[::-1]).tolist() == [3, 2, 1, 0, 0]
    when = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    values = pl.DataFrame(
        {"v": [[1], [], None], "t": [when, None, when]},
        schema={"v": pl.List(pl.Int64), "t": pl.Datetime("us", "UTC")},
    )
    table.set(np.array([0, 1, 3]), values)
    assert table.get(np.array([3, 0, 1])).equals(values[[2, 0, 1]])
    assert table.get(np.array([2, -1])).rows() == [(None, None)] * 2
    copy = KeyedTable(table.index.schema, values.schema)
    copy.load([table.full()])
    assert copy.lookup(keys).tolist() == slots.tolist()
    assert copy.get(slots).equals(table.get(slots))


def test_rows() -> None:
    store = RowStore(pl.Schema({"a": pl.Int64, "s": pl.String}), smallest_garbage=2)
    store.append(np.array([3, 5, 3]), pl.DataFrame({"a": [1, 2, 3], "s": ["x", None, "z"]}))
    store.append(np.array([5]), pl.DataFrame({"a": [4], "s": ["w"]}))
    at, frame = store.lookup(np.array([5, 9, 3]))
    assert at.tolist() == [0, 0, 2, 2]
    assert frame.rows() == [(2, None), (4, "w"), (1, "x"), (3, "z")]
    slots, gone = store.expire("a", 3)
    assert slots.tolist() == [3, 5]
    assert len(store) == 2
    assert store.count(np.array([3, 5, 7])).tolist() == [1, 1, 0]
