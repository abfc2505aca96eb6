"""History, then a live topic: every row of the two once, on its side of the cut."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock as ps
from penstock.connectors.batches.config import BatchesSpec
from penstock.connectors.contract import Position, SourceSpec
from penstock.connectors.files.config import files
from penstock.connectors.handover.config import HandoverSpec
from penstock.connectors.sockets.config import tcp_listen
from penstock.connectors.topics.config import topic
from penstock.errors import ConfigError, PlanError
from penstock.testing import check_source
from penstock.topics import Topic

SCHEMA = pl.Schema({"ts": pl.Datetime("us", "UTC"), "n": pl.Int64()})
ZERO = datetime(2024, 1, 1, tzinfo=UTC)
LIMIT = 60.0
Rows = Sequence[tuple[int | None, int]]


def instant(second: int | None) -> datetime | None:
    return None if second is None else ZERO + timedelta(seconds=second)


def frame(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame([(instant(s), n) for s, n in rows], schema=SCHEMA, orient="row")


def history_of(folder: Path, rows: Rows) -> SourceSpec:
    path = folder / "history.ndjson"
    told = ({"ts": at.isoformat() if (at := instant(s)) else None, "n": n} for s, n in rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in told))
    return files(path, "json", dict(SCHEMA))


def live_of(folder: Path, rows: Rows, partitions: int = 1, stop: str = "at end") -> SourceSpec:
    with Topic.create(folder / "live", partitions=partitions, schema=SCHEMA) as live:
        for number, row in enumerate(rows):
            live.append(frame([row]), partition=number % partitions)
    return topic(str(folder / "live"), stop=stop)


def read(spec: HandoverSpec, sizes: Sequence[int]) -> list[tuple[datetime | None, int]]:
    """Read to the end in polls of these sizes; a size of 0 opens the source anew at its position."""
    position: Position | None = None
    source, found, turn = spec.open(), [], 0
    source.seek(None)
    while True:
        size = sizes[turn % len(sizes)]
        turn += 1
        if size == 0:
            source.close()
            source = spec.open()
            source.seek(json.loads(json.dumps(position)))
            continue
        polled = source.poll(size, 0)
        position = polled.position
        source.acknowledge(position)
        found += polled.frame.rows()
        if polled.ended:
            source.close()
            return found


arrivals = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(0, 30)), st.integers(0, 5)), max_size=15
)


@settings(max_examples=40)
@given(
    old=arrivals,
    new=arrivals,
    at=st.one_of(st.none(), st.integers(-1, 31)),
    sizes=st.lists(st.integers(0, 4), min_size=1, max_size=6).filter(any),
)
def test_each_side_of_the_cut_comes_from_its_source(
    old: Rows, new: Rows, at: int | None, sizes: list[int]
) -> None:
    folder = Path(tempfile.mkdtemp())
    spec = HandoverSpec(history_of(folder, old), live_of(folder, new), "ts", instant(at))
    if at is None:
        known = [s for s, _ in old if s is not None]
        wanted = [*old, *((s, n) for s, n in new if s is None or not known or s > max(known))]
    else:
        wanted = [(s, n) for s, n in old if s is None or s < at]
        wanted += [(s, n) for s, n in new if s is None or s >= at]
    assert read(spec, sizes) == frame(wanted).rows()


def test_it_keeps_the_contract_of_sources(tmp_path: Path) -> None:
    old, new = [(s, s) for s in range(10)], [(s, 10 + s) for s in range(5, 20)]
    history, live = history_of(tmp_path, old), live_of(tmp_path, new, partitions=2)
    wanted = frame([*old, *((s, n) for s, n in new if s > 9)])
    check_source(lambda: HandoverSpec(history, live, "ts"), expected=wanted)


def test_partitions_of_the_two_are_told_apart(tmp_path: Path) -> None:
    spec = HandoverSpec(
        history_of(tmp_path, [(1, 1)]), live_of(tmp_path, [(2, 2), (3, 3)], 2), "ts"
    )
    with closing(spec.open()) as source:
        source.seek(None)
        assert list(source.partitions()) == [0]
        seen = []
        while len(seen) < 3:
            polled = source.poll(10, 0)
            seen += [(polled.partition, n) for n in polled.frame["n"]]
            live = set(source.partitions())
        assert seen == [(0, 1), (1 << 15, 2), ((1 << 15) + 1, 3)]
        assert 0 not in live


@pytest.mark.parametrize(
    ("dtype", "at", "cut"),
    [
        (pl.Datetime("ms"), datetime(1970, 1, 1, 0, 0, 1), 1000),
        (pl.Datetime("ns", "Europe/Berlin"), datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), 10**9),
        (pl.Datetime("us", "UTC"), date(1970, 1, 2), 86_400 * 10**6),
        (pl.Date(), date(1970, 1, 3), 2),
        (pl.Date(), datetime(1970, 1, 3, 1), 3),
        (pl.Datetime("us"), None, None),
    ],
)
def test_the_cut_is_in_units_of_the_column(
    tmp_path: Path, dtype: pl.DataType, at: datetime | date | None, cut: int | None
) -> None:
    schema = {"ts": dtype}
    old, new = (BatchesSpec([], schema) for _ in range(2))
    assert HandoverSpec(old, new, "ts", at).cut() == cut


def test_a_query_goes_on_over_runs_and_windows_span_the_cut(tmp_path: Path) -> None:
    """Stopped within history and within the live part; each minute is counted once, whole."""
    old, new = [(s, 0) for s in range(600)], [(s, 1) for s in range(300, 1200)]
    history_of(tmp_path, old)
    live_of(tmp_path, new)
    for stop in ("never", "at end"):
        rows = ps.history_then_live(
            ps.scan_ndjson(tmp_path / "history.ndjson", dict(SCHEMA)),
            ps.scan_topic(tmp_path / "live", stop=stop),
            on="ts",
            at=instant(450),
        )
        timed = rows.with_watermark("ts", max_ahead=None, idle_timeout=None)
        counts = timed.group_by(ps.tumbling("1m")).agg(n=pl.len(), new=pl.col("n").sum())
        query = counts.sink_topic(tmp_path / "out", partitions=1)
        query.start(checkpoint=tmp_path / "checkpoint", checkpoint_interval="5ms")
        if stop == "never":
            while query.progress().rows_in < 600 and not query.wait(0.01):
                pass
            query.stop()
            stopped = tmp_path / "live"
            with Topic.open(stopped) as live:
                live.append(frame([(s, 1) for s in range(1200, 1260)]))
        else:
            assert query.drain(LIMIT)
    found = ps.scan_topic(tmp_path / "out", stop="at end").collect().sort("window_start")
    assert found["n"].to_list() == [60] * 21
    assert found["new"].to_list() == [0] * 7 + [30] + [60] * 13


def test_a_socket_listens_while_history_is_read(tmp_path: Path) -> None:
    spec = tcp_listen(":0", "json", dict(SCHEMA))
    live = ps.from_source(spec, durable=tmp_path / "kept")
    both = ps.history_then_live(ps.from_source(history_of(tmp_path, [(1, 1)])), live, on="ts")
    with closing(both.node.spec.open()) as source:  # type: ignore[attr-defined]
        source.seek(None)
        assert source.partitions() == (0,)
        assert Topic.exists(tmp_path / "kept")


def test_what_cannot_be_handed_over_is_refused(tmp_path: Path) -> None:
    old, new = history_of(tmp_path, [(1, 1)]), live_of(tmp_path, [(2, 2)])
    endless = replace(new, path=str(tmp_path / "live"), stop=type(new.stop).NEVER)  # type: ignore[type-var, call-arg, attr-defined]
    with pytest.raises(ConfigError, match="history must end"):
        HandoverSpec(endless, new, "ts")
    with pytest.raises(ConfigError, match="cannot bring again"):
        HandoverSpec(old, tcp_listen(":0", "json", dict(SCHEMA)), "ts")
    with pytest.raises(ConfigError, match="'n' is String in history and Int64"):
        HandoverSpec(
            files(tmp_path / "history.ndjson", "json", {**SCHEMA, "n": pl.String}), new, "ts"
        )
    with pytest.raises(ConfigError, match="not a Datetime or Date column"):
        HandoverSpec(old, new, "n")
    with pytest.raises(ConfigError, match="must both have a time zone"):
        HandoverSpec(old, new, "ts", datetime(2024, 1, 1))
    with pytest.raises(PlanError, match="live is not a plain scan"):
        ps.history_then_live(ps.from_source(old), ps.from_source(new).filter(pl.col("n") > 1), "ts")
