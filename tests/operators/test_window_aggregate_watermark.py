"""Windows close when the watermark passes them, also after others have closed before."""

from __future__ import annotations

import datetime as dt

import polars as pl

import penstock.windows as ps
from penstock.testing import Epoch, outputs, scripted

SCHEMA = {"t": pl.Datetime("ms"), "k": pl.Int64}


def test_a_row_that_waited_while_another_window_closed() -> None:
    """[10, 20) is open when [0, 10) closes, gets no more rows, and closes as soon as it is due."""
    start = dt.datetime(2025, 1, 1)
    stream = scripted("s", SCHEMA).with_watermark("t", "1s", max_ahead=None)
    counts = stream.group_by(ps.tumbling("10s")).agg(pl.len())
    epochs = [
        Epoch({"s": pl.DataFrame({"t": [start + dt.timedelta(seconds=s) for s in second], "k": 0})})
        for second in ([1, 5], [11, 15], [21, 25])
    ]
    epochs = [
        Epoch({"s": e.rows["s"].cast({"t": pl.Datetime("ms"), "k": pl.Int64})}) for e in epochs
    ]
    starts = [
        [] if delta is None else [row[0].second for row in delta.rows()]
        for delta in outputs(counts, epochs)
    ]
    assert starts == [[], [0], [10]]
