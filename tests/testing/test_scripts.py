"""Scripted sources in a real engine."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.errors import ConfigError, ConnectorError, QueryFailed
from penstock.query import Query
from penstock.testing import (
    Crash,
    CrashPoints,
    abort,
    end,
    pause,
    refused,
    rows,
    scripted,
    scripted_spec,
)

SCHEMA = {"n": pl.Int64}
LIMIT_S = 30


def values(frames: list[pl.DataFrame]) -> list[int]:
    return [n for frame in frames for n in frame["n"].to_list()]


def test_rows_come_in_order_and_the_end_ends() -> None:
    seen: list[pl.DataFrame] = []
    script = [rows({"n": [1, 2]}), rows(pl.DataFrame({"n": [3]})), end()]
    query = scripted("s", SCHEMA, script=script).sink_callback(seen.append)
    assert query.start().wait(LIMIT_S)
    assert values(seen) == [1, 2, 3]


def test_an_abort_fails_one_run_and_lets_the_next_one_pass(tmp_path: Path) -> None:
    script = [rows({"n": [1]}), abort(ConnectorError("gone")), rows({"n": [2]}), end()]
    spec = scripted_spec("s", SCHEMA, script=script)
    query = ps.from_source(spec).sink_topic(str(tmp_path / "out"))
    with pytest.raises(QueryFailed, match="gone"):
        query.start(checkpoint=tmp_path / "checkpoint", checkpoint_interval=0).wait(LIMIT_S)
    assert query.start(checkpoint=tmp_path / "checkpoint").wait(LIMIT_S)
    found = ps.scan_topic(str(tmp_path / "out"), stop="at end").collect()
    assert sorted(found["n"].to_list()) == [1, 2]
    assert spec.acknowledged[-1] == {"places": {"0": {"action": 3, "row": 0}}, "turn": 0}


def test_an_abort_may_come_several_times() -> None:
    fault = abort(ConnectorError("gone"), times=2)
    stream = scripted("s", SCHEMA, script=[fault, end()])
    for _ in range(2):
        with pytest.raises(QueryFailed):
            stream.collect()
    assert stream.collect().is_empty()


def test_a_pause_holds_one_partition_until_it_is_released() -> None:
    gate, seen = pause(), list[pl.DataFrame]()
    other = pause()
    script = {
        0: [rows({"n": [1]}), gate, rows({"n": [2]}), end()],
        1: [rows({"n": [3]}), other, end()],
    }
    query: Query = scripted("s", SCHEMA, script=script).sink_callback(seen.append).start()
    for each in (gate, other):
        assert each.reached.wait(LIMIT_S)
        assert not each.released
    assert not query.wait(0)
    gate.release()
    other.release()
    assert query.wait(LIMIT_S)
    assert sorted(values(seen)) == [1, 2, 3]


def test_refused_rows_are_dead_letters() -> None:
    script = [refused((b"?", "odd"), (b"!", "loud")), end()]
    query = scripted("s", SCHEMA, script=script).sink_callback(lambda frame: None).start()
    assert query.wait(LIMIT_S)
    assert query.dead_letters()["reason"].to_list() == ["odd", "loud"]


def test_mistakes_are_explained() -> None:
    with pytest.raises(ConfigError, match="no script"):
        scripted_spec("s", SCHEMA).open()
    with pytest.raises(QueryFailed, match="the schema is"):
        scripted("s", SCHEMA, script=[rows(pl.DataFrame({"m": [1]})), end()]).sink_callback(
            print
        ).start().wait(LIMIT_S)


@pytest.mark.parametrize(
    "name",
    [
        "storage.hold.before",
        "storage.list.before",
        "storage.write.torn",
        "storage.create.after",
        "sink.begin.after",
        "sink.apply.inside",
        "source.seek.before",
        "source.acknowledge.before",
    ],
)
def test_a_run_dies_at_a_point_by_name_and_the_next_one_recovers(name: str, tmp_path: Path) -> None:
    from penstock.checkpoints.storage import LocalStorage

    def query() -> Query:
        script = [rows({"n": [1]}), rows({"n": [2]}), end()]
        return scripted("s", SCHEMA, script=script).sink_topic(str(tmp_path / "out"))

    points = CrashPoints(name=name)
    storage = points.storage(LocalStorage(tmp_path / "checkpoint"))
    with pytest.raises(QueryFailed, match=name) as caught:
        points.query(query()).start(checkpoint=storage, checkpoint_interval=0).wait(LIMIT_S)
    assert isinstance(caught.value.__cause__, Crash)
    assert points.reached[-1].name == name
    assert query().start(checkpoint=tmp_path / "checkpoint").wait(LIMIT_S)
    found = ps.scan_topic(str(tmp_path / "out"), stop="at end").collect()
    assert sorted(found["n"].to_list()) == [1, 2]
