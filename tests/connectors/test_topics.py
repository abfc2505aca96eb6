"""Topic source and sink."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from penstock.columns import WEIGHT
from penstock.connectors.contract import Polled, SinkIdentity, SinkSpec, Source, SourceSpec
from penstock.connectors.topics.config import Start, Stop, TopicSinkSpec, TopicSourceSpec, Trimmed
from penstock.connectors.topics.source import TopicSource
from penstock.errors import ConfigError, ConnectorError, FencedError
from penstock.topics import Retention, Topic
from tests.connectors.number_format import Number


def drain(source: Source, max_rows: int = 100) -> list[Polled]:
    polls: list[Polled] = []
    while not polls or not (polls[-1].caught_up or polls[-1].ended):
        polls.append(source.poll(max_rows, 0))
        polled = polls[-1]
        assert (
            polled.frame.height + (polled.dead.height if polled.dead is not None else 0) <= max_rows
        )
    return polls


def rows(polls: list[Polled]) -> pl.DataFrame:
    return pl.concat([polled.frame for polled in polls])


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A raw topic with the values 0 to 29, ten in each of three partitions."""
    folder = tmp_path / "topic"
    with Topic.create(folder, partitions=3) as topic:
        for number in range(30):
            topic.append(pl.DataFrame({"value": [f"{number}"]}), partition=number % 3)
    return str(folder)


def test_specs_fit_the_contract(path: str) -> None:
    assert isinstance(TopicSourceSpec(path), SourceSpec)
    assert isinstance(TopicSinkSpec(path), SinkSpec)
    assert TopicSourceSpec(path) == TopicSourceSpec(path)
    assert len({TopicSourceSpec(path, start={1: 2}), TopicSourceSpec(path, start={1: 2})}) == 1


def test_raw_rows_of_all_partitions_in_turn(path: str) -> None:
    spec = TopicSourceSpec(path)
    source = spec.open()
    source.seek(None)
    polls = drain(source, max_rows=4)
    assert [polled.partition for polled in polls] == [0, 1, 2] * 3
    found = rows(polls)
    assert found.schema == spec.schema
    assert found.columns == ["key", "value", "timestamp", "offset", "partition"]
    numbers = found.select(
        n=pl.col("value").cast(pl.String).cast(pl.Int64), o="offset", p="partition"
    )
    assert sorted(numbers.rows()) == [(n, n // 3, n % 3) for n in range(30)]
    source.close()


def test_records_that_are_there_are_the_lag(path: str) -> None:
    source = TopicSourceSpec(path).open()
    assert isinstance(source, TopicSource)
    source.seek(None)
    assert source.lag() is None
    source.poll(4, 0)
    assert source.lag() == 26
    drain(source)
    assert source.lag() == 0
    source.close()


def test_a_position_brings_the_same_rows_again(path: str) -> None:
    source = TopicSourceSpec(path).open()
    source.seek(None)
    first = source.poll(5, 0)
    rest = drain(source, 7)
    source.close()
    again = TopicSourceSpec(path).open()
    again.seek(first.position)
    assert rows(drain(again, 7)).equals(rows(rest))
    again.close()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"partitions": (1,)}, list(range(1, 30, 3))),
        ({"start": {0: 9, 1: 9, 2: 10}}, [27, 28]),
        ({"start": Start.LATEST}, []),
        ({"start": datetime.now(UTC) + timedelta(days=1)}, []),
        ({"start": datetime(2000, 1, 1, tzinfo=UTC)}, list(range(30))),
    ],
)
def test_where_it_starts(path: str, options: dict[str, object], expected: list[int]) -> None:
    source = TopicSourceSpec(path, **options).open()  # type: ignore[arg-type]
    source.seek(None)
    found = rows(drain(source))["value"].cast(pl.String).cast(pl.Int64)
    assert sorted(found) == expected
    source.close()


def test_stopping_at_the_end_leaves_what_comes_later(path: str) -> None:
    spec = TopicSourceSpec(path, stop=Stop.AT_END)
    assert spec.bounded
    source = spec.open()
    source.seek(None)
    first = source.poll(3, 0)
    with Topic.open(path) as topic:
        topic.append(pl.DataFrame({"value": ["late"]}), partition=0)
    source.close()
    source = spec.open()
    source.seek(first.position)  # the end is that of the first opening
    polls = drain(source)
    assert polls[-1].ended
    assert rows([first, *polls]).height == 30
    source.close()


def test_a_waiting_poll_returns_on_an_append_and_on_close(path: str) -> None:
    source = TopicSourceSpec(path, start=Start.LATEST).open()
    source.seek(None)
    found: list[Polled] = []

    def work() -> None:
        found.append(source.poll(10, 60))
        found.append(source.poll(10, 60))

    thread = threading.Thread(target=work)
    thread.start()
    with Topic.open(path) as topic:
        topic.append(pl.DataFrame({"value": ["new"]}), partition=2)
        while not found:
            thread.join(0.01)
    source.close()
    thread.join(30)
    assert [polled.frame.height for polled in found] == [1, 0]
    assert found[0].caught_up


def test_typed_rows_come_back_as_they_are(tmp_path: Path) -> None:
    frame = pl.DataFrame({"offset": [7, 8], "user": ["a", "b"]})
    with Topic.create(tmp_path / "t", partitions=1, schema=frame.schema) as topic:
        topic.append(frame)
    path = str(tmp_path / "t")
    source = TopicSourceSpec(path, metadata=("partition",)).open()
    source.seek(None)
    assert rows(drain(source)).rows() == [(7, "a", 0), (8, "b", 0)]
    source.close()
    with pytest.raises(ConfigError, match="have a column 'offset' already"):
        _ = TopicSourceSpec(path, metadata=("offset",)).schema
    with pytest.raises(ConfigError, match="takes no format"):
        _ = TopicSourceSpec(path, format=Number()).schema
    with pytest.raises(ConfigError, match="no 'headers'"):
        _ = TopicSourceSpec(path, metadata=("headers",)).schema


def test_a_format_decodes_values_and_refuses_the_bad(tmp_path: Path) -> None:
    with Topic.create(tmp_path / "t", partitions=1) as topic:
        values = [b"1", b"x", None, b"4"]
        topic.append(pl.DataFrame({"value": values, "key": [b"a", b"b", b"c", b"d"]}))
    path = str(tmp_path / "t")
    source = TopicSourceSpec(path, format=Number(), metadata=("key", "offset")).open()
    source.seek(None)
    polled = source.poll(10, 0)
    assert polled.frame.columns == ["n", "key", "offset"]
    assert polled.frame.rows() == [(1, b"a", 0), (4, b"d", 3)]
    assert polled.dead is not None
    assert polled.dead.rows() == [
        (f"topic {path}", f"topic {path}[0]:1", b"x", "not a number"),
        (f"topic {path}", f"topic {path}[0]:2", None, "the record has no value"),
    ]
    source.close()


def test_trimmed_records_fail_or_are_skipped(tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    with Topic.create(path, partitions=1) as topic:
        for number in range(5):
            topic.append(pl.DataFrame({"value": [f"{number}"]}))
        sources = [
            TopicSourceSpec(path, on_trimmed=choice).open()
            for choice in (Trimmed.FAIL, Trimmed.SKIP)
        ]
        for source in sources:
            source.seek(None)
        topic.set_retention(Retention(size_bytes=1))
        topic.trim()
    with pytest.raises(ConnectorError, match="retention has dropped"):
        sources[0].poll(10, 0)
    assert rows(drain(sources[1]))["value"].to_list() == [b"4"]
    for source in sources:
        source.close()


def test_a_topic_made_anew_is_noticed(path: str, tmp_path: Path) -> None:
    source = TopicSourceSpec(path).open()
    source.seek(None)
    position = source.poll(1, 0).position
    source.close()
    Topic.create(tmp_path / "other", partitions=3).close()
    other = TopicSourceSpec(str(tmp_path / "other")).open()
    with pytest.raises(ConnectorError, match="not the one that the checkpoint was taken with"):
        other.seek(position)
    other.close()


def test_bad_source_options_are_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="needs a time zone"):
        TopicSourceSpec(path, start=datetime(2024, 1, 1))
    with pytest.raises(ConfigError, match="no 'ofset'"):
        TopicSourceSpec(path, metadata=("ofset",))
    with pytest.raises(ConfigError, match="no partition 3"):
        _ = TopicSourceSpec(path, partitions=(3,)).schema
    with pytest.raises(ConfigError, match="no partition is named"):
        TopicSourceSpec(path, partitions=())
    with pytest.raises(ConfigError, match="there is no topic"):
        _ = TopicSourceSpec(path + "x").schema


def stored(path: str) -> pl.DataFrame:
    with Topic.open(path) as topic:
        return pl.concat([topic.read(number, 0).frame for number in range(topic.partitions)])


def test_sink_applies_each_epoch_once(tmp_path: Path) -> None:
    spec = TopicSinkSpec(str(tmp_path / "t"), partition_by=("user",))
    frames = [
        pl.DataFrame({"user": ["a", "b"], "n": [1, 2]}),
        pl.DataFrame({"user": ["c"], "n": [3]}),
    ]
    sink = spec.open()
    assert sink.begin(SinkIdentity("p/s", 1)) is None
    sink.apply(1, [])
    sink.apply(2, iter(frames))
    sink.apply(2, frames)
    sink.close()
    newer = spec.open()
    assert newer.begin(SinkIdentity("p/s", 2)) == 2
    newer.apply(3, [])
    newer.apply(4, [frames[1]])
    zombie = spec.open()
    with pytest.raises(FencedError):
        zombie.begin(SinkIdentity("p/s", 1))
    with pytest.raises(FencedError):
        zombie.apply(5, frames)
    newer.close()
    zombie.close()
    assert sorted(stored(spec.path).rows()) == [("a", 1), ("b", 2), ("c", 3), ("c", 3)]


def test_sink_without_identity_just_appends(tmp_path: Path) -> None:
    sink = TopicSinkSpec(str(tmp_path / "t"), partitions=1).open()
    assert sink.begin(None) is None
    for _ in range(2):
        sink.apply(1, [pl.DataFrame({"n": [1]})])
    sink.close()
    assert stored(str(tmp_path / "t"))["n"].to_list() == [1, 1]


def test_sink_keeps_the_weight_of_a_changelog(tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    sink = TopicSinkSpec(path, partitions=1).open()
    sink.begin(None)
    sink.apply(1, [pl.DataFrame({"n": [1, 2], WEIGHT: [-1, 1]})])
    sink.apply(2, [pl.DataFrame({"n": [3]})])
    sink.close()
    assert stored(path).rows() == [(1, -1), (2, 1), (3, 1)]
    assert TopicSourceSpec(path).schema.names() == ["n", WEIGHT]
    plain = TopicSinkSpec(path, weight_column="w").open()
    plain.begin(None)
    with pytest.raises(ConfigError, match="no column 'w' for the weight"):
        plain.apply(3, [pl.DataFrame({"n": [1], WEIGHT: [1]})])
    plain.close()


def test_sink_writes_into_a_raw_topic(tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    Topic.create(path, partitions=1).close()
    spec = TopicSinkSpec(path)
    spec.validate(pl.Schema({"value": pl.String()}))
    sink = spec.open()
    sink.begin(None)
    sink.apply(1, [pl.DataFrame({"value": ["x"], "key": ["k"]})])
    sink.close()
    assert stored(path).select("key", "value").rows() == [(b"k", b"x")]
    with pytest.raises(ConfigError, match="a raw topic takes"):
        spec.validate(pl.Schema({"value": pl.String(), "n": pl.Int64()}))


def test_sink_refuses_what_does_not_fit(tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    Topic.create(path, schema={"n": pl.Int64()}).close()
    spec = TopicSinkSpec(path)
    spec.validate(pl.Schema({"n": pl.Int64()}))
    with pytest.raises(ConfigError, match="the topic holds"):
        spec.validate(pl.Schema({"n": pl.String()}))
    with pytest.raises(ConfigError, match="no column 'user'"):
        TopicSinkSpec(path, partition_by=("user",)).validate(pl.Schema({"n": pl.Int64()}))
    with pytest.raises(ConfigError, match="a name of the engine's own"):
        TopicSinkSpec(path, weight_column="_penstock_w")
    sink = TopicSinkSpec(path, weight_column="weight").open()
    sink.begin(None)
    frame = pl.DataFrame({"n": [1], "weight": [2], WEIGHT: [1]})
    with pytest.raises(ConfigError, match="under it"):
        sink.apply(1, [frame])
    sink.close()
