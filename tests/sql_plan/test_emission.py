"""EMIT ON WINDOW CLOSE: once, when the watermark passes, and refused where it never could."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.columns import WEIGHT
from penstock.errors import PlanError

START = datetime(2026, 3, 1, 12)


def at(*minutes: float) -> list[datetime]:
    return [START + timedelta(minutes=m) for m in minutes]


def bids() -> ps.Stream:
    frames = [
        pl.DataFrame({"ts": at(0, 0.5), "k": ["a", "b"], "v": [1, 2]}),
        pl.DataFrame({"ts": at(0.9, 1.2), "k": ["a", "a"], "v": [4, 8]}),
        pl.DataFrame({"ts": at(2.5), "k": ["b"], "v": [16]}),
    ]
    return ps.scan_batches(frames, event_time="ts")


def emitted(view: str, **tables: ps.Stream) -> list[pl.DataFrame]:
    seen: list[pl.DataFrame] = []
    text = f"CREATE VIEW v AS {view}; CREATE SINK s FROM v WITH (connector = 'console')"
    (query,) = ps.sql_script(text, **tables)
    stream = ps.Stream(query.roots[0].input)
    stream.sink_callback(seen.append, every_epoch=True).start().wait(60)
    return [frame for frame in seen if frame.height]


WINDOWS = """SELECT k, sum(v) AS total FROM TUMBLE(bids, ts, INTERVAL '1 minute')
    GROUP BY window_start, window_end, k"""


def test_each_window_is_emitted_once_in_the_epoch_that_closes_it() -> None:
    found = emitted(f"{WINDOWS} EMIT ON WINDOW CLOSE", bids=bids())
    assert all(WEIGHT not in frame.columns for frame in found)
    rows = [sorted(frame.rows()) for frame in found]
    assert rows == [[("a", 5), ("b", 2)], [("a", 8), ("b", 16)]]  # the end closes the last one


def test_changes_are_the_default_and_can_be_asked_for() -> None:
    for suffix in ("", "EMIT CHANGES"):
        found = emitted(f"{WINDOWS} {suffix}", bids=bids())
        assert all(WEIGHT in frame.columns for frame in found)
        assert ("a", 1, -1) in [row for frame in found for row in frame.rows()]


def test_what_follows_the_aggregation_sees_final_results() -> None:
    found = emitted(f"{WINDOWS} HAVING sum(v) > 4 EMIT ON WINDOW CLOSE", bids=bids())
    rows = [sorted(frame.rows()) for frame in found]
    assert rows == [[("a", 5)], [("a", 8), ("b", 16)]]


def test_a_join_of_windows_is_emitted_once() -> None:
    text = """WITH w AS (SELECT window_start, window_end, k, sum(v) AS total
                FROM TUMBLE(bids, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, k)
        SELECT w.window_start, w.k, total FROM w JOIN (
            SELECT window_start, max(total) AS most FROM w GROUP BY window_start
        ) m ON w.window_start = m.window_start AND w.total = m.most EMIT ON WINDOW CLOSE"""
    found = emitted(text, bids=bids())
    assert [row[1:] for frame in found for row in frame.rows()] == [("a", 5), ("a", 8), ("b", 16)]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT k, sum(v) AS s FROM bids GROUP BY k", "no window over the watermark"),
        ("SELECT k, v FROM bids", "there is no window"),
        ("SELECT sum(v) AS s FROM bids", "no window over the watermark"),
    ],
)
def test_a_query_without_windows_is_refused(query: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        emitted(f"{query} EMIT ON WINDOW CLOSE", bids=bids())


def test_a_source_without_a_watermark_is_refused() -> None:
    plain = ps.scan_batches([pl.DataFrame({"ts": at(0), "k": ["a"], "v": [1]})])
    with pytest.raises(PlanError, match="WATERMARK FOR ts"):
        emitted(f"{WINDOWS} EMIT ON WINDOW CLOSE", bids=plain)
    with pytest.raises(PlanError, match="are both given"):
        emitted(f"{WINDOWS} EMIT CHANGES EMIT ON WINDOW CLOSE", bids=bids())


def test_a_source_declares_its_watermark(tmp_path: Path) -> None:
    rows = pl.DataFrame({"ts": at(0, 0.5, 1.5, 0.7), "v": [1, 2, 4, 8]})
    rows.write_csv(tmp_path / "rows.csv")
    text = f"""
        CREATE SOURCE rows (ts TIMESTAMP, v INT, WATERMARK FOR ts AS ts - INTERVAL '10 seconds')
            WITH (connector = 'file', path = '{tmp_path}/rows.csv');
        CREATE SINK s AS
            SELECT window_end, sum(v) AS total FROM TUMBLE(rows, ts, INTERVAL '1 minute')
            GROUP BY window_end EMIT ON WINDOW CLOSE
            WITH (connector = 'sqlite', path = '{tmp_path}/out.db', table = 't');
    """
    ps.run(*ps.sql_script(text))
    found = _read(tmp_path / "out.db")
    assert [total for _, total in found] == [3, 4]


def _read(path: Path) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM t ORDER BY 1").fetchall()
