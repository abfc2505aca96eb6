"""The topic against plain lists, and its edges."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from penstock.errors import ConfigError, ConnectorError, FencedError
from penstock.topics import Durability, Retention, Topic
from penstock.topics.store import FILE


def values(*texts: str) -> pl.DataFrame:
    return pl.DataFrame({"value": [text.encode() for text in texts]})


def contents(topic: Topic, partition: int) -> list[bytes]:
    found: list[bytes] = []
    offset = topic.start_offsets()[partition]
    while (records := topic.read(partition, offset)).frame.height:
        found += records.frame["value"].to_list()
        offset = records.next_offset
    return found


@pytest.fixture
def topic(tmp_path: Path) -> Iterator[Topic]:
    with Topic.create(tmp_path / "t", partitions=3) as made:
        yield made


def test_what_goes_in_comes_out_with_offsets(topic: Topic) -> None:
    assert topic.append(values("a", "b"), partition=1) == {1: range(2)}
    assert topic.append(values("c"), partition=1) == {1: range(2, 3)}
    records = topic.read(1, 1)
    frame = records.with_offsets()
    assert frame.select("value", "offset", "partition").rows() == [(b"b", 1, 1), (b"c", 2, 1)]
    assert records.next_offset == 3
    assert topic.end_offsets() == {0: 0, 1: 3, 2: 0}


def test_all_raw_columns_are_kept(topic: Topic) -> None:
    at = datetime(2024, 2, 29, 12, tzinfo=UTC)
    frame = pl.DataFrame(
        {
            "key": [b"k", None],
            "value": [None, b""],
            "timestamp": [at, at],
            "headers": [[{"name": "trace", "value": b"\x00"}], None],
        }
    )
    topic.append(frame, partition=0)
    assert topic.read(0, 0).frame.rows() == frame.rows()


def test_one_key_stays_in_one_partition_in_order(topic: Topic) -> None:
    rows = [(f"k{n % 50}".encode(), f"{n}".encode()) for n in range(1000)]
    frame = pl.DataFrame(rows, schema={"key": pl.Binary, "value": pl.Binary}, orient="row")
    topic.append(frame.head(500))
    topic.append(frame.tail(500))
    homes: dict[bytes, int] = {}
    seen: dict[bytes, list[bytes]] = {}
    for partition in range(3):
        for key, value in topic.read(partition, 0).frame.select("key", "value").iter_rows():
            assert homes.setdefault(key, partition) == partition
            seen.setdefault(key, []).append(value)
    assert seen == {k: [v for key, v in rows if key == k] for k, _ in rows}
    assert set(homes.values()) == {0, 1, 2}


def test_rows_without_key_take_turns(topic: Topic) -> None:
    landed = [next(iter(topic.append(values("x")))) for _ in range(6)]
    assert sorted(landed) == [0, 0, 1, 1, 2, 2]


def test_typed_topic_keeps_the_schema(tmp_path: Path) -> None:
    schema = pl.Schema(
        {
            "user": pl.String(),
            "level": pl.Enum(["low", "high"]),
            "kind": pl.Categorical(),
            "price": pl.Decimal(10, 2),
            "tags": pl.List(pl.String()),
            "at": pl.Datetime("ns", "Europe/Berlin"),
        }
    )
    with Topic.create(tmp_path / "t", partitions=2, schema=schema, key="user") as topic:
        frames = [
            pl.DataFrame(
                {
                    "user": [f"u{n}"],
                    "level": ["high"],
                    "kind": [f"kind{n}"],
                    "price": ["1.10"],
                    "tags": [["x", None]],
                    "at": [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=n)],
                },
                schema_overrides={"price": pl.String},
            ).cast(schema)
            for n in range(20)
        ]
        for frame in frames:
            topic.append(frame.select(reversed(frame.columns)))  # the order does not matter
    with Topic.open(tmp_path / "t") as topic:
        assert topic.schema == schema
        found = pl.concat([topic.read(p, 0).frame for p in range(2)])
        assert found.schema == schema
        assert sorted(found.rows()) == sorted(pl.concat(frames).rows())


def test_typed_topic_refuses_other_columns(tmp_path: Path) -> None:
    with Topic.create(tmp_path / "t", schema={"a": pl.Int64(), "b": pl.String()}) as topic:
        with pytest.raises(ConfigError, match="column 'a' is String, but Int64"):
            topic.append(pl.DataFrame({"a": ["1"], "b": ["x"]}))
        with pytest.raises(ConfigError, match="column 'b' is missing"):
            topic.append(pl.DataFrame({"a": [1]}))
        with pytest.raises(ConfigError, match="no column 'c'"):
            topic.append(pl.DataFrame({"a": [1], "b": ["x"], "c": [1]}))
        assert set(topic.end_offsets().values()) == {0}


def test_raw_topic_refuses_other_columns(topic: Topic) -> None:
    with pytest.raises(ConfigError, match="need a column 'value'"):
        topic.append(pl.DataFrame({"valeu": ["x"]}))
    with pytest.raises(ConfigError, match="no column 'colour'"):
        topic.append(values("a").with_columns(colour=pl.lit("red")))
    with pytest.raises(ConfigError, match="not Int64"):
        topic.append(pl.DataFrame({"value": [1]}))


def test_large_frames_are_cut_and_read_in_any_piece(topic: Topic) -> None:
    count = 200_000
    frame = pl.select(value=pl.int_range(count).cast(pl.String).cast(pl.Binary))
    topic.append(frame, partition=2)
    assert topic.read(2, 0, count).frame["value"].equals(frame["value"])
    for offset, rows in ((0, 1), (65_535, 2), (65_536, 70_000), (199_999, 5)):
        expected = frame["value"].slice(offset, rows)
        assert topic.read(2, offset, rows).frame["value"].equals(expected)


def test_reading_stops_at_max_bytes(topic: Topic) -> None:
    for _ in range(10):
        topic.append(values("x" * 1000), partition=0)
    assert topic.read(0, 0, max_bytes=1).frame.height == 1
    assert topic.read(0, 0).frame.height == 10


def test_offsets_outside_are_explained(topic: Topic) -> None:
    with pytest.raises(ConnectorError, match="ends at offset 0, so there is no offset 7"):
        topic.read(0, 7)
    with pytest.raises(ConfigError, match="no partition 3"):
        topic.read(3, 0)
    with pytest.raises(ConfigError, match="no partition 9"):
        topic.append(values("x"), partition=9)


def test_offsets_at_finds_the_first_record_of_a_time(topic: Topic) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    for n in range(0, 10, 2):
        times = [start + timedelta(hours=n), start + timedelta(hours=n + 1)]
        topic.append(values("x", "y").with_columns(timestamp=pl.Series(times)), partition=0)
    for hours, expected in ((-1, 0), (0, 0), (0.5, 1), (3, 3), (3.5, 4), (9, 9), (9.5, 10)):
        found = topic.offsets_at(start + timedelta(hours=hours))
        assert found == {0: expected, 1: 0, 2: 0}


def test_append_once_skips_repeats_and_fences(topic: Topic) -> None:
    assert topic.fence("p", 5) is None
    assert topic.append_once("p", 1, 5, [values("a"), values("b")], partition=0) == {0: range(2)}
    assert topic.append_once("p", 1, 5, [values("a"), values("b")], partition=0) is None
    assert topic.append_once("p", 0, 6, [values("z")], partition=0) is None
    with pytest.raises(FencedError, match="token 5 is below 6"):
        topic.append_once("p", 2, 5, [values("late")], partition=0)
    with pytest.raises(FencedError):
        topic.fence("p", 1)
    assert topic.fence("p", 7) == 1
    assert topic.append_once("q", 1, 0, [values("c")], partition=0) == {0: range(2, 3)}
    assert contents(topic, 0) == [b"a", b"b", b"c"]


def test_a_failing_frame_takes_the_whole_append_back(topic: Topic) -> None:
    def frames() -> Iterator[pl.DataFrame]:
        yield values("a")
        yield values("a")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        topic.append_once("p", 1, 1, frames(), partition=0)
    with pytest.raises(ConfigError):
        topic.append_all([values("a"), pl.DataFrame({"x": [1]})], partition=0)
    assert topic.end_offsets()[0] == 0
    assert topic.append_once("p", 1, 1, [values("b")], partition=0) == {0: range(1)}
    assert contents(topic, 0) == [b"b"]


def test_wait_returns_at_once_when_something_is_there(topic: Topic) -> None:
    topic.append(values("a"), partition=1)
    assert topic.wait({1: 0}, 0)
    assert not topic.wait({1: 1}, 0)
    assert not topic.wait({0: 0, 2: 0}, 0.01)


def test_an_append_wakes_a_waiting_thread(topic: Topic) -> None:
    woken: list[bool] = []
    waiter = threading.Thread(target=lambda: woken.append(topic.wait({0: 0}, 30)))
    waiter.start()
    with Topic.open(topic.path) as other:
        other.append(values("a"), partition=0)
    waiter.join(20)
    assert woken == [True]


def test_close_ends_a_wait(topic: Topic) -> None:
    woken: list[bool] = []
    waiter = threading.Thread(target=lambda: woken.append(topic.wait({0: 0}, 30)))
    waiter.start()
    topic.close()
    waiter.join(20)
    assert woken == [False]
    with pytest.raises(ConnectorError, match="closed"):
        topic.end_offsets()
    topic.close()


def test_retention_by_size_keeps_the_newest(tmp_path: Path) -> None:
    keep = Retention(size_bytes=100_000)
    with Topic.create(tmp_path / "t", partitions=1, retention=keep, compression="none") as topic:
        for n in range(100):
            topic.append(values(f"{n}" * 5000), durability=Durability.OS)
        topic.trim()
        start = topic.start_offsets()[0]
        left = contents(topic, 0)
        assert topic.end_offsets() == {0: 100}
        assert left == [f"{n}".encode() * 5000 for n in range(start, 100)]
        assert 50_000 < sum(map(len, left)) < 100_000
        with pytest.raises(ConnectorError, match=f"dropped partition 0 up to offset {start}"):
            topic.read(0, start - 1)


def test_retention_keeps_an_append_larger_than_the_limit(tmp_path: Path) -> None:
    with Topic.create(tmp_path / "t", partitions=1, retention=Retention(size_bytes=10)) as topic:
        topic.append(values("a"))
        topic.append(values("b"))
        topic.trim()
        assert contents(topic, 0) == [b"b"]


def test_retention_by_age_counts_from_the_append(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Topic.create(tmp_path / "t", partitions=1) as topic:
        topic.append(values("old").with_columns(timestamp=datetime(1999, 1, 1, tzinfo=UTC)))
        topic.set_retention(Retention(age=timedelta(hours=1)))
        topic.append(values("new"))
        topic.trim()
        assert contents(topic, 0) == [b"old", b"new"]
        later = time.time_ns() + 2 * 3600 * 10**9
        monkeypatch.setattr(time, "time_ns", lambda: later)
        topic.append(values("newest"))
        topic.trim()
        assert contents(topic, 0) == [b"newest"]
    with Topic.open(tmp_path / "t") as topic:
        assert topic.retention == Retention(age=timedelta(hours=1))


def test_a_trimmed_topic_gives_its_space_back(tmp_path: Path) -> None:
    with Topic.create(tmp_path / "t", partitions=1, compression="none") as topic:
        for _ in range(10):
            topic.append_all([values("x" * 5_000_000)], durability=Durability.OS)
        topic.set_retention(Retention(size_bytes=1))
        for _ in range(20):
            topic.trim()
    assert (tmp_path / "t" / FILE).stat().st_size < 25_000_000


def test_create_open_ensure(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no topic in"):
        Topic.open(tmp_path / "t")
    Topic.ensure(tmp_path / "t", partitions=2).close()
    with pytest.raises(ConfigError, match="already"):
        Topic.create(tmp_path / "t")
    with Topic.ensure(tmp_path / "t", partitions=5) as topic:
        assert topic.partitions == 2
    with pytest.raises(ConfigError, match="has the schema of raw records"):
        Topic.ensure(tmp_path / "t", schema={"a": pl.Int64()})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"partitions": 0}, "1 to 4096 partitions"),
        ({"schema": {}}, "at least one column"),
        ({"schema": {"a": pl.Int64()}, "key": "b"}, "no column 'b'"),
        ({"schema": {"a": pl.Int64()}, "timestamp": "a"}, "not Datetime"),
        ({"schema": {"a": pl.List(pl.Int64())}, "key": "a"}, "cannot be List"),
        ({"compression": "gzip"}, "no compression 'gzip'"),
    ],
)
def test_bad_options_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Topic.create(tmp_path / "t", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "t").exists()


def test_foreign_and_damaged_files_are_explained(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"some notes of mine" * 1000)
    with pytest.raises(ConnectorError, match="is not a topic, or is damaged"):
        Topic.open(tmp_path)
    with pytest.raises(ConnectorError, match="is not a topic, or is damaged"):
        Topic.create(tmp_path)
    (tmp_path / FILE).unlink()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("CREATE TABLE mine(a)")
    connection.close()
    with pytest.raises(ConfigError, match="is not a topic"):
        Topic.open(tmp_path)
    with pytest.raises(ConfigError, match="is not a topic"):
        Topic.ensure(tmp_path)


def test_a_damaged_batch_is_named(tmp_path: Path) -> None:
    with Topic.create(tmp_path / "t", partitions=1) as topic:
        topic.append(values("good"))
        topic.append(values("bad"))
    with sqlite3.connect(tmp_path / "t" / FILE) as connection:
        payload = connection.execute("SELECT payload FROM batches WHERE base = 1").fetchone()[0]
        changed = payload.replace(b"bad", b"mad")
        assert changed != payload
        connection.execute("UPDATE batches SET payload = ? WHERE base = 1", (changed,))
    connection.close()
    with Topic.open(tmp_path / "t") as topic:
        with pytest.raises(ConnectorError, match="partition 0 offset 1 is damaged"):
            topic.read(0, 0)
        assert topic.read(0, 0, max_rows=1).frame["value"].to_list() == [b"good"]


def test_an_unfinished_creation_is_no_topic_and_can_be_finished(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / FILE).close()
    (tmp_path / FILE).touch()
    assert not Topic.exists(tmp_path)
    with pytest.raises(ConfigError, match="there is no topic in"):
        Topic.open(tmp_path)
    Topic.create(tmp_path).close()
    assert Topic.exists(tmp_path)


def test_another_database_in_its_place_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute("CREATE TABLE other(x)")
    assert Topic.exists(tmp_path)
    with pytest.raises(ConfigError, match="is not a topic"):
        Topic.open(tmp_path)


def test_what_is_being_created_is_never_half_there(tmp_path: Path) -> None:
    ended = threading.Event()
    wrong: list[Exception] = []

    def look(number: int) -> None:
        try:
            while not ended.is_set():
                if Topic.exists(tmp_path / str(number)):
                    Topic.open(tmp_path / str(number)).close()
                    number += 1
        except Exception as error:  # noqa: BLE001 - asserted below
            wrong.append(error)

    watcher = threading.Thread(target=look, args=(0,))
    watcher.start()
    for number in range(30):
        Topic.create(tmp_path / str(number)).close()
    ended.set()
    watcher.join()
    assert not wrong
