"""Gaps are filled as buckets close, and asked once up to the last bucket."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

import penstock as ps
from penstock.testing import Driven, Epoch, scripted

START = datetime(2024, 1, 1)
SCHEMA = pl.Schema({"k": pl.Int64(), "ts": pl.Datetime("us"), "v": pl.Int64()})
BUCKET = "time_bucket_gapfill(INTERVAL '10 seconds', ts)"


def rows(*cells: tuple[int, int, int]) -> pl.DataFrame:
    timed = [(k, START + timedelta(seconds=second), v) for k, second, v in cells]
    return pl.DataFrame(timed, schema=SCHEMA, orient="row")


def seconds(frame: pl.DataFrame | None) -> list[tuple[object, ...]]:
    found = [] if frame is None else frame.rows()
    return sorted([((at - START).seconds, *rest) for at, *rest in found], key=lambda r: r[:2])


def test_each_bucket_leaves_once_when_it_is_over() -> None:
    source = scripted("t", SCHEMA).with_watermark("ts", idle_timeout=None, max_ahead=None)
    query = f"SELECT {BUCKET} AS m, k, sum(v) AS s, locf(sum(v)) AS l FROM t GROUP BY m, k"
    stream = ps.sql(query, t=source)
    assert not stream.is_changelog
    driven, found = Driven(stream), []
    for frame in (
        rows((1, 0, 1), (2, 11, 2)),
        rows((2, 31, 3)),
        rows((1, 45, 4)),
        rows((2, 50, 5)),
    ):
        (delta,) = driven.step(Epoch({"t": frame}))
        found.append(seconds(delta))
        driven.restart(full=True)
    (delta,) = driven.step(Epoch(ended=frozenset({"t"})))
    assert found == [
        [(0, 1, 1, 1)],
        [(10, 1, None, 1), (10, 2, 2, 2)],
        [(20, 1, None, 1), (20, 2, None, 2), (30, 1, None, 1), (30, 2, 3, 3)],
        [(40, 1, 4, 4), (40, 2, None, 3)],
    ]
    assert seconds(delta) == [(50, 1, None, 4), (50, 2, 5, 5)]


def test_a_line_waits_for_the_bucket_behind_the_gap() -> None:
    source = scripted("t", SCHEMA).with_watermark("ts", idle_timeout=None, max_ahead=None)
    driven = Driven(
        ps.sql(f"SELECT {BUCKET}, interpolate(sum(v)) AS i FROM t GROUP BY 1", t=source)
    )
    found = []
    for frame in (rows((1, 0, 1)), rows((1, 40, 3)), rows((1, 55, 0))):
        (delta,) = driven.step(Epoch({"t": frame}))
        found.append(seconds(delta))
    assert found == [
        [],
        [(0, 1.0)],
        [(10, 1.5), (20, 2.0), (30, 2.5), (40, 3.0)],
    ]


def test_asked_once_they_are_filled_up_to_the_last_bucket() -> None:
    with ps.Session() as session:
        session.sql(
            """CREATE TABLE t (ts TIMESTAMP, v INT);
            INSERT INTO t VALUES ('2024-01-01 00:00:05', 1), ('2024-01-01 00:00:31', 4)"""
        )
        found = session.sql(f"SELECT {BUCKET}, locf(max(v)) + 1 AS l FROM t GROUP BY 1 ORDER BY 1")
    assert seconds(found) == [(0, 2), (10, 2), (20, 2), (30, 5)]
