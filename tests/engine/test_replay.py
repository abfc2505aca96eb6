"""Dead letters are given again to the step that refused them, each once whatever crashes."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import penstock as ps
from penstock.checkpoints.storage import LocalStorage, MemoryStorage, Storage
from penstock.cli.main import main
from penstock.errors import ConfigError, PlanError
from penstock.plan.sinks import SinkNode
from penstock.runtime.launch import launch
from penstock.runtime.letter_files import wanted
from penstock.runtime.options import RunOptions
from penstock.testing import Action, Crash, CrashPoints, ManualClock, end, rows, scripted
from tests.simulation.inline import one_thread
from tests.simulation.tables import Table, TableSpec

SCHEMA: dict[str, Any] = {"k": pl.String, "v": pl.String}
START = datetime(2024, 1, 1)
NUMBER = pl.col("v").str.to_integer()
REPAIRED = pl.col("v").replace("x", "100").str.to_integer()


def source(**more: Any) -> ps.Stream:
    script: list[Action] = [
        rows({"k": ["a", "a"], "v": ["1", "x"]}),
        rows({"k": ["b", "a", "b"], "v": ["2", "x", "y"]}),
        end(),
    ]
    return scripted("s", SCHEMA, script=script, **more)


def table_of(path: Path, table: str = "t") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return sorted(connection.execute(f"SELECT * FROM {table}").fetchall())


def letters(checkpoint: Path | Storage, *columns: str) -> list[tuple[Any, ...]]:
    return ps.read_dead_letters(checkpoint).select(columns).rows()


PIPELINES: dict[str, Callable[[ps.Stream, pl.Expr], ps.Stream]] = {
    "map": lambda s, number: s.select("k", n=number).group_by("k").agg(pl.col("n").sum()),
    "map_rows": lambda s, number: (
        s.map_rows(
            lambda row: {"k": row["k"], "n": pl.select(number_of(number, row)).item()},
            {"k": pl.String, "n": pl.Int64},
        )
        .group_by("k")
        .agg(pl.col("n").sum())
    ),
    "group_by": lambda s, number: s.group_by("k").agg(n=number.sum()),
    "join": lambda s, number: (
        s.join(
            scripted("o", {"w": pl.Int64}, script=[rows({"w": [1, 2, 100]}), end()]),
            left_on=number,
            right_on="w",
            how="left",
        )
        .group_by("k")
        .agg(n=pl.col("w").sum())
    ),
}


def number_of(number: pl.Expr, row: dict[str, Any]) -> pl.Expr:
    return pl.lit(pl.DataFrame([row], schema=SCHEMA).select(number).to_series())


@pytest.mark.parametrize("verb", PIPELINES)
def test_replay_after_a_repair(verb: str, tmp_path: Path) -> None:
    folder, out = tmp_path / "c", tmp_path / "out.db"

    def run(number: pl.Expr, **options: Any) -> ps.Query:
        stream = PIPELINES[verb](source(), number)
        query = stream.sink_sqlite(out, "t", key="k")
        return ps.run(query, checkpoint=folder, allow_lost_state=True, **options)

    if verb in (
        "group_by",
        "join",
    ):  # of a changed aggregation nothing is kept; so replay unchanged
        run(NUMBER)
        run(NUMBER, replay_dead_letters=True)
        assert table_of(out) == [("a", 1), ("b", 2)]
        found = letters(folder, "first", "replayed")
        assert found == [(None, True)] * 3 + [(0, False), (1, False), (2, False)]
        return
    run(NUMBER)
    assert table_of(out) == [("a", 1), ("b", 2)]
    assert letters(folder, "bytes", "replayed") == [
        (b'{"k":"a","v":"x"}', False),
        (b'{"k":"a","v":"x"}', False),
        (b'{"k":"b","v":"y"}', False),
    ]
    for _ in range(2):
        run(REPAIRED, replay_dead_letters=True)
        assert table_of(out) == [("a", 201), ("b", 2)]
    run(REPAIRED)
    assert table_of(out) == [("a", 201), ("b", 2)]
    found = letters(folder, "offset", "first", "replayed")
    assert found == [(0, None, True), (1, None, True), (2, None, True), (3, 2, True), (4, 2, False)]


def launched(query: ps.Query, storage: Storage, **options: Any) -> None:
    """Run on one thread, so that a run is the same each time, call for call."""
    with one_thread():
        chosen = RunOptions(checkpoint=storage, checkpoint_interval_s=0.0, **options)
        launch(query.roots, chosen, ManualClock()).run()


@dataclass
class World:
    """What outlives a crash: the checkpoint, and two tables."""

    storage: MemoryStorage = field(default_factory=MemoryStorage)
    rows: Table = field(default_factory=Table)
    totals: Table = field(default_factory=Table)

    def run(self, number: pl.Expr, points: CrashPoints | None = None, **options: Any) -> None:
        numbered = source().with_columns(n=number)
        totals = numbered.group_by("k").agg(pl.col("n").sum())
        ends = [(numbered, TableSpec(self.rows)), (totals, TableSpec(self.totals))]
        query = ps.Query(*(SinkNode(input=s.node, spec=spec) for s, spec in ends))
        if points is None:
            launched(query, self.storage, **options)
        else:
            launched(points.query(query), points.storage(self.storage), **options)

    def copy(self) -> World:
        files = MemoryStorage()
        files.files.update(self.storage.files)
        return World(files, deepcopy(self.rows), deepcopy(self.totals))

    def check(self, told: str) -> None:
        """Each row came once, and is counted once."""
        assert self.storage.list("dead-letters-wanted/") == [], told
        assert [done for (done,) in letters(self.storage, "replayed")][:3] == [True] * 3, told
        found = pl.concat(self.rows.frames)
        assert sorted(found["n"]) == [1, 2, 100, 100], told
        sums = pl.concat(self.totals.frames).group_by("k", "n").agg(pl.col("_weight").sum())
        alive = sums.filter(pl.col("_weight") != 0)
        assert sorted(alive.rows()) == [("a", 201, 1), ("b", 2, 1)], told
        for table in (self.rows, self.totals):
            assert table.epochs == sorted(set(table.epochs)), told


def test_a_crash_at_any_point_of_a_replay_neither_loses_nor_doubles() -> None:
    before = World()
    before.run(NUMBER)
    number, died = 0, True
    while died:
        world, points = before.copy(), CrashPoints(at=number)
        try:
            world.run(REPAIRED, points, replay_dead_letters=True)
            died = False
        except Crash:
            pass
        world.run(REPAIRED, replay_dead_letters=True)
        world.check(f"point {number}: {points.reached[-1]}")
        number += 1
    assert number > 50


@pytest.mark.parametrize("nth", range(4))
def test_a_crash_around_a_commit_of_a_replay_on_a_disk(nth: int, tmp_path: Path) -> None:
    def query(number: pl.Expr) -> ps.Query:
        return source().with_columns(n=number).sink_sqlite(tmp_path / "rows.db", "t")

    storage = LocalStorage(tmp_path / "c")
    launched(query(NUMBER), storage)
    points = CrashPoints(name="storage.create.after", nth=nth)
    with contextlib.suppress(Crash):
        launched(points.query(query(REPAIRED)), points.storage(storage), replay_dead_letters=True)
    assert points.dead
    launched(query(REPAIRED), storage, replay_dead_letters=True)
    assert sorted(n for *_, n in table_of(tmp_path / "rows.db")) == [1, 2, 100, 100]
    assert letters(storage, "replayed")[:3] == [(True,)] * 3


def test_rows_that_a_source_refused_are_decoded_again(tmp_path: Path) -> None:
    data = tmp_path / "rows.csv"
    data.write_text("k,n\na,1\na,2.5\nb,3\n")
    out = tmp_path / "out.db"

    def run(dtype: Any, **options: Any) -> None:
        stream = ps.scan_csv(data, schema={"n": dtype, "k": pl.String})
        sums = stream.with_columns(n=pl.col("n").cast(pl.Float64)).sink_sqlite(out, "t")
        ps.run(sums, checkpoint=tmp_path / "c", allow_lost_state=True, **options)

    run(pl.Int64)
    assert table_of(out) == [(1.0, "a"), (3.0, "b")]
    assert letters(tmp_path / "c", "operator", "bytes", "row") == [("source-1", b"a,2.5", None)]
    for _ in range(2):
        run(pl.Float64, replay_dead_letters=True)
        assert table_of(out) == [(1.0, "a"), (2.5, "a"), (3.0, "b")]


def test_a_source_may_refuse_again(tmp_path: Path) -> None:
    data = tmp_path / "rows.ndjson"
    data.write_text('{"n": 1}\n{"n": "x"}\n')
    query = ps.scan_ndjson(data, schema={"n": pl.Int64}).sink_sqlite(tmp_path / "out.db", "t")
    ps.run(query, checkpoint=tmp_path / "c")
    ps.run(query, checkpoint=tmp_path / "c", replay_dead_letters=True)
    found = letters(tmp_path / "c", "bytes", "first", "replayed")
    assert found == [(b'{"n": "x"}', None, True), (b'{"n": "x"}', 0, False)]


def test_only_the_chosen_letters(tmp_path: Path) -> None:
    def run(number: pl.Expr, **options: Any) -> None:
        query = source().with_columns(n=number).sink_sqlite(tmp_path / "out.db", "t")
        ps.run(query, checkpoint=tmp_path / "c", **options)

    run(NUMBER)
    run(REPAIRED, replay_dead_letters=[1])
    assert letters(tmp_path / "c", "replayed") == [(False,), (True,), (False,)]
    run(REPAIRED, replay_dead_letters="with_columns")
    assert [n for *_, n in table_of(tmp_path / "out.db")] == [1, 100, 100, 2]
    with pytest.raises(ps.QueryFailed, match="there is no dead letter 1 that was not replayed"):
        run(REPAIRED, replay_dead_letters=[1])
    with pytest.raises(ps.QueryFailed, match="no dead letter is of a step 'fliter'"):
        run(REPAIRED, replay_dead_letters="fliter")
    with pytest.raises(PlanError, match="none is given"):
        source().sink_callback(print).start(replay_dead_letters=True)


def test_a_deletion_that_was_refused_takes_back_what_its_insertion_gives(tmp_path: Path) -> None:
    script: list[Action] = [rows({"k": ["a"], "v": ["1"]}), rows({"k": ["a"], "v": ["x"]}), end()]

    def run(number: pl.Expr, **options: Any) -> None:
        latest = scripted("s", SCHEMA, script=script).unique("k", keep="last")
        again = latest.select("k", "v", length=pl.col("v").str.len_chars())
        wide = again.group_by("k").agg(pl.col("v").last(), pl.col("length").last())
        query = wide.select("k", n=number).sink_sqlite(tmp_path / "out.db", "t", key="k")
        ps.run(query, checkpoint=tmp_path / "c", allow_lost_state=True, **options)

    bad = pl.col("v").replace("1", "one").str.to_integer(strict=True)
    run(bad)
    assert letters(tmp_path / "c", "weight", "bytes") == [
        (1, b'{"k":"a","v":"1","length":1}'),
        (-1, b'{"k":"a","v":"1","length":1}'),
        (1, b'{"k":"a","v":"x","length":1}'),
    ]
    run(REPAIRED, replay_dead_letters=True)
    assert table_of(tmp_path / "out.db") == [("a", 100)]


def test_rows_of_windows_that_have_closed_come_too_late(tmp_path: Path) -> None:
    times = [START + timedelta(seconds=s) for s in (0, 10, 100, 110)]
    script: list[Action] = [rows({"t": times, "v": ["1", "x", "2", "3"]}), end()]

    def run(number: pl.Expr, **options: Any) -> None:
        stream = scripted("s", {"t": pl.Datetime("us"), "v": pl.String}, script=script)
        timed = stream.with_watermark("t", max_ahead=None).with_columns(n=number)
        windows = timed.group_by(ps.tumbling("1m")).agg(pl.col("n").sum())
        query = windows.select("n").sink_sqlite(tmp_path / "out.db", "t")
        ps.run(query, checkpoint=tmp_path / "c", allow_lost_state=True, **options)

    run(NUMBER)
    run(REPAIRED, replay_dead_letters=True)
    assert table_of(tmp_path / "out.db") == [(1,), (5,)]
    reasons = letters(tmp_path / "c", "reason", "first", "replayed")
    assert len(reasons) == 2
    reason, *rest = reasons[1]
    assert "too late to be replayed: the watermark has passed t=2024-01-01 00:00:10" in reason
    assert rest == [0, False]


def test_late_rows_reach_a_sink_that_no_window_stands_before(tmp_path: Path) -> None:
    times = [START + timedelta(seconds=s) for s in (0, 10, 100)]
    script: list[Action] = [rows({"t": times, "v": ["1", "x", "2"]}), end()]

    def run(number: pl.Expr, **options: Any) -> None:
        stream = scripted("s", {"t": pl.Datetime("us"), "v": pl.String}, script=script)
        timed = stream.with_watermark("t", max_ahead=None).select(n=number)
        ps.run(timed.sink_sqlite(tmp_path / "out.db", "t"), checkpoint=tmp_path / "c", **options)

    run(NUMBER)
    run(REPAIRED, replay_dead_letters=True)
    assert table_of(tmp_path / "out.db") == [(1,), (2,), (100,)]


def test_what_is_no_row_cannot_be_replayed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def query() -> ps.Query:
        left = scripted("l", {"a": pl.String}, script=[rows({"a": ["1", "3"]}), end()])
        right = scripted("r", {"b": pl.String}, script=[rows({"b": ["9"]}), end()])
        date = pl.format("2024-01-{}", pl.col("a") + pl.col("b")).str.to_date("%Y-%m-%d")
        return left.join_where(right, date.is_not_null()).sink_sqlite(tmp_path / "o.db", "t")

    ps.run(query(), checkpoint=tmp_path / "c")
    assert letters(tmp_path / "c", "step", "row") == [("join_where", None)]
    ps.run(query(), checkpoint=tmp_path / "c", replay_dead_letters=True)
    assert letters(tmp_path / "c", "replayed") == [(False,)]
    with pytest.raises(ps.QueryFailed, match="is no row that could be given to it again"):
        ps.run(query(), checkpoint=tmp_path / "c", replay_dead_letters=[0])


def test_a_step_that_is_not_there_any_more(tmp_path: Path) -> None:
    query = source().with_columns(n=NUMBER).sink_sqlite(tmp_path / "out.db", "t")
    ps.run(query, checkpoint=tmp_path / "c")
    other = source().map_rows(lambda row: row, SCHEMA).sink_sqlite(tmp_path / "out.db", "u")
    with pytest.raises(ps.QueryFailed, match=r"no step of the pipeline.* is map-1") as failed:
        ps.run(other, checkpoint=tmp_path / "c", allow_lost_state=True, replay_dead_letters=True)
    assert isinstance(failed.value.__cause__, ConfigError)


def test_many_letters_go_in_large_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.runtime.replaying._ONE_BY_ONE", 2)
    script: list[Action] = [rows({"k": list("abcdef"), "v": ["x", "y", "x", "z", "y", "1"]}), end()]

    def run(number: pl.Expr, **options: Any) -> None:
        stream = scripted("s", SCHEMA, script=script).with_columns(n=number)
        ps.run(stream.sink_sqlite(tmp_path / "out.db", "t"), checkpoint=tmp_path / "c", **options)

    run(NUMBER)
    run(REPAIRED, replay_dead_letters=True)
    assert [n for *_, n in table_of(tmp_path / "out.db")] == [100, 100, 1]
    again = ps.read_dead_letters(tmp_path / "c").filter(~pl.col("replayed"))
    assert again.select("bytes", "first").rows() == [
        (b'{"k":"b","v":"y"}', 1),
        (b'{"k":"d","v":"z"}', 3),
        (b'{"k":"e","v":"y"}', 4),
    ]


def test_a_running_query_takes_up_what_is_asked_for_meanwhile(tmp_path: Path) -> None:
    query = source().with_columns(n=NUMBER).sink_sqlite(tmp_path / "out.db", "t")
    ps.run(query, checkpoint=tmp_path / "c")
    endless = scripted("s", SCHEMA, script=[rows({"k": [], "v": []})], bounded=False)
    running = endless.with_columns(n=REPAIRED).sink_sqlite(tmp_path / "out.db", "t")
    running.start(checkpoint=tmp_path / "c", checkpoint_interval=0.05)
    try:
        assert main(["dead-letters", "replay", str(tmp_path / "c"), "--offset", "0"]) == 0
        deadline = datetime.now() + timedelta(seconds=60)
        while not letters(tmp_path / "c", "replayed")[0][0]:
            assert datetime.now() < deadline
            assert not running.wait(0.05)
    finally:
        running.stop()
    assert (100,) in [row[-1:] for row in table_of(tmp_path / "out.db")]
    assert wanted(LocalStorage(tmp_path / "c")) == {}
