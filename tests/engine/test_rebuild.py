"""Views are rebuilt from history, or begun anew, and nothing else is touched."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import penstock as ps
from penstock.checkpoints.resetting import reset
from penstock.checkpoints.storage import LocalStorage, MemoryStorage
from penstock.checkpoints.store import CheckpointStore
from penstock.cli.main import main
from penstock.errors import CheckpointError, ConfigError, ConnectorError, QueryFailed
from penstock.runtime.engine import Engine
from penstock.runtime.rebuilding import Replay
from penstock.topics.partitioning import partition_of
from tests.engine.test_changed_pipelines import LIMIT, ROWS, Row, source, sums, table


def run(
    kept: MemoryStorage | Path,
    *queries: ps.Query,
    rebuild: str | list[str] = (),  # type: ignore[assignment]
    allow: bool | list[str] = False,
) -> None:
    started = ps.start(
        *queries, checkpoint=kept, rebuild=rebuild, allow_lost_state=allow, restart=None
    )
    assert started.wait(LIMIT)


def total(rows: list[Row], key: str) -> int:
    return sum(row[2] for row in rows if row[1] == key)


def test_a_changed_filter_is_applied_to_the_past_too(tmp_path: Path) -> None:
    kept = MemoryStorage()
    everything = source(ROWS[:12]).filter(pl.col("amount") >= 0)
    run(kept, sums(everything, tmp_path, "sums"), sums(source(ROWS[:12]), tmp_path, "other"))
    late = [row for row in ROWS if row[2] > 6 and row[1] != "k0"]
    changed = source(ROWS).filter((pl.col("amount") > 6) & (pl.col("key") != "k0"))
    run(
        kept,
        sums(changed, tmp_path, "sums"),
        sums(source(ROWS), tmp_path, "other"),
        rebuild="running-aggregate-1",
    )
    assert table(tmp_path, "sums") == {key: total(late, key) for key in ("k1", "k2")}
    assert table(tmp_path, "other") == {key: total(ROWS, key) for key in ("k0", "k1", "k2")}


def test_options_of_a_named_step_are_changed_by_rebuilding_it(tmp_path: Path) -> None:
    kept = MemoryStorage()

    def query(rows: list[Row], amount: pl.Expr) -> ps.Query:
        grouped = source(rows).group_by("key").agg(n=amount).named("view")
        return grouped.sink_sqlite(tmp_path / "out.db", "view", key="key")

    run(kept, query(ROWS[:12], pl.col("amount").sum()))
    run(kept, query(ROWS, pl.col("amount").min()), rebuild="view")
    assert table(tmp_path, "view") == {"k0": 0, "k1": 1, "k2": 2}


def test_a_new_step_over_changes_is_filled_from_history(tmp_path: Path) -> None:
    kept = MemoryStorage()

    def queries(rows: list[Row], *, more: bool) -> list[ps.Query]:
        base = source(rows)
        grouped = base.group_by("key").agg(n=pl.col("amount").sum()).named("sums")
        plain = grouped.sink_sqlite(tmp_path / "out.db", "sums", key="key")
        parity = (pl.col("n") % 2).cast(pl.String).alias("key")
        odd = grouped.group_by(parity).agg(n=pl.len().cast(pl.Int64)).named("odd")
        return [plain, odd.sink_sqlite(tmp_path / "out.db", "odd", key="key")][: 1 + more]

    run(kept, *queries(ROWS[:12], more=False))
    with pytest.raises(QueryFailed, match="would get changes of rows that it has never seen"):
        run(kept, *queries(ROWS, more=True))
    run(kept, *queries(ROWS, more=True), rebuild=["odd"])
    expected = {key: total(ROWS, key) for key in ("k0", "k1", "k2")}
    assert table(tmp_path, "sums") == expected
    assert table(tmp_path, "odd") == Counter(str(n % 2) for n in expected.values())


def test_a_new_sink_gets_what_is_there_already(tmp_path: Path) -> None:
    kept = MemoryStorage()
    run(kept, sums(source(ROWS[:12]), tmp_path, "a"))
    again = source(ROWS[:12])
    two = [sums(again, tmp_path, "a"), sums(again, tmp_path, "b")]
    run(kept, *two, rebuild="sink-2")
    assert table(tmp_path, "a") == table(tmp_path, "b") != {}


def test_a_new_append_only_sink_gets_all_rows_of_the_past(tmp_path: Path) -> None:
    kept = MemoryStorage()
    run(kept, sums(source(ROWS[:12]), tmp_path, "a"))
    rows = source(ROWS)
    run(
        kept,
        sums(rows, tmp_path, "a"),
        rows.sink_topic(tmp_path / "topic").named("copy"),
        rebuild="copy",
    )
    found = ps.scan_topic(tmp_path / "topic", stop="at end").collect()
    assert Counter(found["id"]) == Counter(row[0] for row in ROWS)


def test_windows_that_had_closed_stay_closed(tmp_path: Path) -> None:
    kept, topic = MemoryStorage(), tmp_path / "topic"
    rows = source(ROWS[:12]).with_columns(ts=pl.from_epoch("id", time_unit="s"))
    assert rows.sink_topic(topic, partitions=1).start().wait(LIMIT)

    def run_windows(least: int, wanted: int, rebuild: str = "") -> None:
        timed = ps.scan_topic(topic).filter(pl.col("amount") >= least)
        timed = timed.with_watermark("ts", "2s", idle_timeout=None)
        windows = timed.group_by("key", ps.tumbling("3s")).agg(n=pl.col("amount").sum())
        query = windows.sink_sqlite(tmp_path / "out.db", "windows")
        query.start(checkpoint=kept, restart=None, rebuild=[rebuild] if rebuild else [])
        deadline = time.monotonic() + LIMIT
        while (done := query.progress()).state != "running" or done.rows_in < wanted:
            assert time.monotonic() < deadline
            assert not query.wait(0.01)
        query.stop()

    def found() -> list[tuple[str, int]]:
        with closing(sqlite3.connect(tmp_path / "out.db")) as connection:
            return sorted(connection.execute("SELECT key, n FROM windows").fetchall())

    run_windows(0, 12)
    assert found() == sorted((f"k{n % 3}", n) for n in range(9))
    run_windows(2, 0, rebuild="window-aggregate-1")
    assert found() == sorted((f"k{n % 3}", n) for n in range(2, 9))
    more = source([(n, f"k{n % 3}", n) for n in range(12, 24)])
    more = more.with_columns(ts=pl.from_epoch("id", time_unit="s"))
    assert more.sink_topic(topic).start().wait(LIMIT)
    run_windows(2, 12)
    assert found() == sorted((f"k{n % 3}", n) for n in range(2, 21))


def keys_of_two_partitions() -> tuple[str, str]:
    """Return two keys that a topic of two partitions keeps apart."""
    names = pl.DataFrame({"key": [f"key{n}" for n in range(20)]})
    numbers, _ = partition_of(names, ["key"], 2)
    return names["key"][int(numbers.argmin())], names["key"][int(numbers.argmax())]


def test_partitions_that_are_read_up_to_their_offset_still_hold_time_back(tmp_path: Path) -> None:
    kept, topic = MemoryStorage(), tmp_path / "topic"
    slow, fast = keys_of_two_partitions()

    def written(rows: list[Row]) -> None:
        timed = source(rows, 1000).with_columns(ts=pl.from_epoch("id", time_unit="s"))
        assert timed.sink_topic(topic, partitions=2, partition_by="key").start().wait(LIMIT)

    def run_windows(wanted: int, rebuild: str = "") -> list[tuple[str, int]]:
        timed = ps.scan_topic(topic).with_watermark("ts", idle_timeout=None)
        windows = timed.group_by("key", ps.tumbling("3s")).agg(n=pl.col("amount").sum())
        query = windows.sink_sqlite(tmp_path / "out.db", "windows")
        query.start(checkpoint=kept, restart=None, rebuild=[rebuild] if rebuild else [])
        deadline = time.monotonic() + LIMIT
        while (done := query.progress()).state != "running" or done.rows_in < wanted:
            assert time.monotonic() < deadline
            assert not query.wait(0.01)
        query.stop()
        with closing(sqlite3.connect(tmp_path / "out.db")) as connection:
            return sorted(connection.execute("SELECT key, n FROM windows").fetchall())

    written([*((n, slow, 1) for n in range(6)), *((n, fast, 1) for n in range(60))])
    first = sorted([(slow, 3), (fast, 3)])
    assert run_windows(66) == first
    assert run_windows(0, rebuild="window-aggregate-1") == first
    written([(n, slow, 1) for n in range(6, 12)])
    assert run_windows(6) == sorted([(slow, 3), (fast, 3)] * 3)


def test_a_topic_is_read_again_up_to_the_offset_of_each_partition(tmp_path: Path) -> None:
    kept, topic = MemoryStorage(), tmp_path / "topic"

    def written(rows: list[Row]) -> None:
        query = source(rows).sink_topic(topic, partitions=3, partition_by="id")
        assert query.start().wait(LIMIT)

    def query(least: int) -> ps.Query:
        rows = ps.scan_topic(topic, stop="at end").filter(pl.col("amount") >= least)
        return sums(rows, tmp_path, "sums")

    written(ROWS[:12])
    run(kept, query(0))
    written(ROWS[12:])
    run(kept, query(5), rebuild="running-aggregate-1")
    read = [row for row in ROWS[:12] if row[2] >= 5]
    assert table(tmp_path, "sums") == {key: total(read, key) for key in ("k0", "k1", "k2")}


def test_what_cannot_be_corrected_is_refused(tmp_path: Path) -> None:
    kept = MemoryStorage()

    def query() -> ps.Query:
        counts = source(ROWS).group_by("key").agg(n=pl.col("amount").sum())
        return counts.sink_topic(tmp_path / "topic")

    run(kept, query())
    before = dict(kept.files)
    with pytest.raises(QueryFailed, match="cannot take back what was written") as caught:
        run(kept, query(), rebuild="running-aggregate-1")
    assert isinstance(caught.value.__cause__, CheckpointError)
    assert kept.files == before


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    kept = MemoryStorage()
    run(kept, sums(source(ROWS), tmp_path, "a"))
    with pytest.raises(QueryFailed, match="did you mean 'running-aggregate-1'") as caught:
        run(kept, sums(source(ROWS), tmp_path, "a"), rebuild="runing-aggregate-1")
    assert isinstance(caught.value.__cause__, ConfigError)


def test_a_source_that_lost_its_history_is_refused(tmp_path: Path) -> None:
    kept = MemoryStorage()
    path = tmp_path / "in.ndjson"
    path.write_text('{"key":"a","amount":1}\n' * 10)
    schema = {"key": pl.String, "amount": pl.Int64}

    def query() -> ps.Query:
        return sums(ps.scan_ndjson(path, schema=schema), tmp_path, "sums")

    run(kept, query())
    path.write_text('{"key":"a","amount":1}\n' * 4)
    with pytest.raises(QueryFailed, match="only 4 of them are there to be read again"):
        run(kept, query(), rebuild="running-aggregate-1")
    assert table(tmp_path, "sums") == {"a": 10}


class DiskGoneError(Exception):
    """The disk is gone."""


class Failing(MemoryStorage):
    """Fails at the n-th write or creation from when it is armed."""

    left: int | None = None

    def _count(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise DiskGoneError

    def write(self, path: str, data: bytes) -> None:
        self._count()
        super().write(path, data)

    def create(self, path: str, data: bytes) -> bool:
        self._count()
        return super().create(path, data)


def test_a_crash_while_rebuilding_leaves_the_old_state_or_the_new(tmp_path: Path) -> None:
    """At each write in turn, then a run that does not rebuild."""
    rows = ROWS[:12]
    old = {key: total(rows, key) for key in ("k0", "k1", "k2")}
    new = {key: total([r for r in rows if r[2] > 6], key) for key in ("k0", "k1", "k2")}
    outcomes = set()
    for point in range(8):
        folder = tmp_path / str(point)
        folder.mkdir()
        kept = Failing()
        changed = source(rows).filter(pl.col("amount") > 6)
        run(kept, sums(source(rows), folder, "sums"))
        kept.left = point
        failed = False
        try:
            run(kept, sums(changed, folder, "sums"), rebuild="running-aggregate-1")
        except QueryFailed:
            failed = True
            assert kept.left < 0
        kept.left = None
        assert table(folder, "sums") in (old, new)
        run(kept, sums(changed, folder, "sums"))
        found = table(folder, "sums")
        assert found in (old, new)
        assert failed or found == new
        more = source([*rows, (99, "k0", 100)]).filter(pl.col("amount") > 6)
        run(kept, sums(more, folder, "sums"))  # the state is that of the table
        assert table(folder, "sums")["k0"] == found["k0"] + 100
        outcomes.add((failed, found == new))
    assert {(True, False), (False, True)} <= outcomes


def test_the_rebuilt_state_is_that_of_an_uninterrupted_run(tmp_path: Path) -> None:
    kept = MemoryStorage()
    run(kept, sums(source(ROWS), tmp_path, "sums"))
    before = CheckpointStore(kept).peek()
    run(kept, sums(source(ROWS), tmp_path, "sums"), rebuild="running-aggregate-1")
    after = CheckpointStore(kept).peek()
    assert before is not None
    assert after is not None
    assert after.positions == before.positions
    assert after.rows == before.rows
    assert after.epoch > before.epoch


def test_reset_lets_one_view_begin_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "c"

    def queries(rows: list[Row]) -> list[ps.Query]:
        base = source(rows)
        high = base.filter(pl.col("amount") >= 0)
        return [sums(base, tmp_path, "a"), sums(high, tmp_path, "b")]

    run(kept, *queries(ROWS[:12]))
    assert main(["state", "reset", str(kept), "running-aggregate-2"]) == 0
    assert capsys.readouterr().out == "running-aggregate-2 starts empty\n"
    run(kept, *queries(ROWS))
    assert table(tmp_path, "a") == {key: total(ROWS, key) for key in ("k0", "k1", "k2")}
    assert table(tmp_path, "b") == {key: total(ROWS[12:], key) for key in ("k0", "k1", "k2")}


def test_what_changes_connect_is_reset_together(tmp_path: Path) -> None:
    kept = MemoryStorage()

    def query(rows: list[Row]) -> ps.Query:
        grouped = source(rows).group_by("key").agg(n=pl.col("amount").sum()).named("sums")
        parity = (pl.col("n") % 2).cast(pl.String).alias("key")
        odd = grouped.group_by(parity).agg(n=pl.len().cast(pl.Int64)).named("odd")
        return odd.sink_sqlite(tmp_path / "out.db", "odd", key="key")

    run(kept, query(ROWS[:12]))
    assert reset(kept, ["odd"], now=0) == ["sums", "odd"]
    run(kept, query(ROWS))
    expected = Counter(str(total(ROWS[12:], key) % 2) for key in ("k0", "k1", "k2"))
    assert table(tmp_path, "odd").items() >= expected.items()


def test_reset_refuses_unknown_names_and_a_checkpoint_in_use(tmp_path: Path) -> None:
    kept = tmp_path / "c"
    run(kept, sums(source(ROWS), tmp_path, "a"))
    with pytest.raises(ConfigError, match="holds state"):
        reset(LocalStorage(kept), ["running-aggregate-9"], now=0)
    holder = LocalStorage(kept)
    holder.hold(takeover=False)
    with pytest.raises(CheckpointError, match="another run holds"):
        reset(LocalStorage(kept), ["running-aggregate-1"], now=0)
    holder.release()
    assert reset(LocalStorage(kept), ["running-aggregate-1"], now=0) == ["running-aggregate-1"]


def test_restarts_do_not_rebuild_what_is_rebuilt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = MemoryStorage()
    run(kept, sums(source(ROWS[:12]), tmp_path, "sums"))
    failures, replays = [0], [0]
    loop, replay = Engine._loop, Replay.run

    def failing(engine: Engine) -> None:
        failures[0] += 1
        if failures[0] < 4:
            raise ConnectorError("away", retry=True)
        loop(engine)

    def counted(self: Replay, *arguments: Any) -> bool:
        replays[0] += 1
        return replay(self, *arguments)

    monkeypatch.setattr(Engine, "_loop", failing)
    monkeypatch.setattr(Replay, "run", counted)
    started = sums(source(ROWS), tmp_path, "sums").start(
        checkpoint=kept,
        rebuild="running-aggregate-1",
        restart=ps.Restart(initial_backoff="1ms"),
    )
    assert started.wait(LIMIT)
    assert (started.progress().restarts, replays) == (3, [1])
    assert table(tmp_path, "sums") == {key: total(ROWS, key) for key in ("k0", "k1", "k2")}
