"""Groups of windows: those of the engine where the grouping is the window's, and the same rows anyway."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest

import penstock as ps
from penstock.errors import PlanError
from penstock.stream import Stream
from penstock.testing import Driven, Epoch, scripted
from tests.sql_plan.oracle import DuckDB, same_rows

START = datetime(2024, 1, 1)
T = pl.DataFrame(
    {
        "k": [n % 3 for n in range(50)],
        "ts": [START + timedelta(seconds=n * n % 97 // 2 + n) for n in range(50)],
        "v": range(50),
    }
).sort("ts")
TUMBLE = "FROM TUMBLE(t, ts, INTERVAL '10' SECOND)"
SESSION = "FROM SESSION(t PARTITION BY k, ts, INTERVAL '4' SECOND)"


def stream() -> Stream:
    return ps.scan_batches([T[:17], T[17:18], T[18:]], event_time="ts")


BUCKET = "time_bucket(INTERVAL 10 SECOND, ts)"


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        (
            f"SELECT k, window_start, sum(v) {TUMBLE} GROUP BY k, window_start",
            f"SELECT k, {BUCKET} AS w, sum(v) FROM t GROUP BY k, w",
            "tumbling",
        ),
        (
            f"SELECT window_end, count(*) {TUMBLE} WHERE v > 5 GROUP BY window_end HAVING count(*) > 2",
            f"SELECT {BUCKET} + INTERVAL 10 SECOND AS w, count(*) FROM t WHERE v > 5 "
            "GROUP BY w HAVING count(*) > 2",
            "tumbling",
        ),
        (
            "SELECT k % 2, window_start, min(v) "
            "FROM TUMBLE(t, ts, INTERVAL '10' SECOND, INTERVAL '3' SECOND) GROUP BY k % 2, window_start",
            "SELECT k % 2 AS p, time_bucket(INTERVAL 10 SECOND, ts - INTERVAL 3 SECOND) "
            "+ INTERVAL 3 SECOND AS w, min(v) FROM t GROUP BY p, w",
            "tumbling",
        ),
        (
            "SELECT k, window_start, window_end, count(*) "
            "FROM HOP(t, ts, INTERVAL '5' SECOND, INTERVAL '15' SECOND) "
            "GROUP BY k, window_start, window_end",
            "SELECT k, time_bucket(INTERVAL 5 SECOND, ts) - INTERVAL 5 SECOND * i AS w, "
            "w + INTERVAL 15 SECOND, count(*) FROM t, range(3) r(i) GROUP BY k, w",
            "hopping",
        ),
        (
            f"SELECT window_start, count(*) {TUMBLE} WHERE window_start > TIMESTAMP '2024-01-01 00:00:15' "
            "GROUP BY window_start",
            f"SELECT {BUCKET} AS w, count(*) FROM t WHERE {BUCKET} > TIMESTAMP '2024-01-01 00:00:15' "
            "GROUP BY w",
            None,
        ),
        (
            f"SELECT k, max(window_start) {TUMBLE} GROUP BY k",
            f"SELECT k, max({BUCKET}) FROM t GROUP BY k",
            None,
        ),
    ],
)
def test_groups_of_windows(ours: str, theirs: str, kind: str | None) -> None:
    wanted = DuckDB({"t": T}).answer(theirs)
    for ending in ("", " EMIT ON WINDOW CLOSE") if kind else ("",):
        found = ps.sql(ours + ending, t=stream())
        assert (f"{kind}]" in found.explain()) == (kind is not None)
        assert found.is_changelog == (not ending)
        assert same_rows(found.collect().rows(), wanted)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (f"SELECT * {SESSION}", "gives groups"),
        (f"SELECT window_start, count(*) {SESSION} GROUP BY window_start", "gives groups"),
        (f"SELECT k, count(*) {SESSION} GROUP BY k", "gives groups"),
        (f"SELECT k, window_start, count(*) {SESSION} WHERE window_start IS NULL "
         "GROUP BY k, window_start", "gives groups"),
        (f"SELECT x.k {SESSION} AS x JOIN t ON x.k = t.k GROUP BY x.k, x.window_start", "gives groups"),
        ("SELECT k FROM SESSION(t, ts)", "the gap"),
        ("SELECT k FROM SESSION(t, v, INTERVAL '1' SECOND)", "needs a timestamp"),
        ("SELECT k FROM TUMBLE(t PARTITION BY k, ts, INTERVAL '1' SECOND)", "no PARTITION BY"),
        ("SELECT PROCTIME() FROM (SELECT k, count(*) FROM t GROUP BY k) AS x", "rows that stay"),
        ("SELECT k, count(*) FROM t GROUP BY k EMIT ON WINDOW CLOSE", "no window over the watermark"),
    ],
)  # fmt: skip
def test_what_is_no_window_is_refused(query: str, says: str) -> None:
    with pytest.raises(PlanError, match=says):
        ps.sql(query, t=stream())


def test_sessions_of_all_rows() -> None:
    query = (
        "SELECT count(*), window_start FROM SESSION(t, ts, INTERVAL '2' SECOND) "
        "GROUP BY window_start, window_end"
    )
    found = ps.sql(query, t=stream()).collect()
    gaps = (T["ts"].diff() > timedelta(seconds=2)).fill_null(value=True)
    starts = T["ts"].filter(gaps).to_list()
    assert sorted(found["window_start"].to_list()) == starts
    assert found["count"].sum() == T.height


def test_windows_of_a_zone_are_local_days_in_rows_and_in_groups() -> None:
    times = [datetime(2024, 3, 30, 23, 30), datetime(2024, 3, 31, 21, 30), datetime(2024, 4, 1, 1)]
    zoned = pl.Series("ts", times).dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Berlin")
    table = pl.DataFrame({"ts": zoned, "v": [1, 2, 4]})
    for call in (
        "TUMBLE(t, ts, INTERVAL '1 day')",
        "HOP(t, ts, INTERVAL '8 hours', INTERVAL '1 day')",
    ):
        query = f"SELECT window_start, window_end, sum(v) AS s FROM {call} GROUP BY window_start, window_end"
        rows = ps.sql(f"SELECT window_start, window_end, v FROM {call}", t=table).collect()
        summed = rows.group_by("window_start", "window_end").agg(s=pl.col("v").sum())
        timed = ps.scan_batches([table]).with_watermark("ts")
        assert same_rows(ps.sql(query, t=timed).collect().rows(), summed.rows())
    first = rows.filter(pl.col("v") == 1)
    lengths = first["window_end"] - first["window_start"]
    assert set(lengths) == {timedelta(hours=23)}  # the clocks go forward


@pytest.mark.parametrize(
    "call",
    [
        "TUMBLE({}, ts, INTERVAL '10' SECOND)",
        "HOP({}, ts, INTERVAL '5' SECOND, INTERVAL '10' SECOND)",
        "CUMULATE({}, ts, INTERVAL '5' SECOND, INTERVAL '10' SECOND)",
    ],
)
def test_a_join_of_windows_frees_what_the_watermark_has_passed(call: str) -> None:
    schema = pl.Schema({"k": pl.Int64(), "ts": pl.Datetime("us")})
    sources = (scripted(name, schema) for name in "ab")
    a, b = (s.with_watermark("ts", idle_timeout=None, max_ahead=None) for s in sources)
    joined = ps.sql(
        f"SELECT a.k FROM {call.format('a')} a JOIN {call.format('b')} b "
        "ON a.window_start = b.window_start AND a.window_end = b.window_end",
        a=a,
        b=b,
    )
    driven = Driven(joined)
    for second in range(0, 200, 5):
        at = datetime(2024, 1, 1) + timedelta(seconds=second)
        frame = pl.DataFrame({"k": [1], "ts": [at]}, schema=schema)
        (delta,) = driven.step(Epoch({"a": frame, "b": frame}))
        assert delta is not None
        assert driven.state_rows() <= 16


def test_arguments_by_name_are_those_of_the_function() -> None:
    with pytest.raises(
        PlanError, match="TUMBLE takes DATA, TIMECOL, SIZE, OFFSET, all of them by name"
    ):
        ps.sql(
            "SELECT * FROM TABLE(TUMBLE(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), "
            "STEP => INTERVAL '1' MINUTE))",
            t=stream(),
        )
