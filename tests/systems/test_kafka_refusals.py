"""Messages that a topic does not take: dead letters of their epoch, and all others are written."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import penstock as ps
from penstock.columns import WEIGHT
from penstock.connectors import registry
from penstock.connectors.contract import RefusingSink, SinkIdentity
from penstock.letter_rows import unpacked
from tests.servers.kafka import KafkaServer
from tests.systems.test_kafka import frames_of, new_topic, read_table

SMALL = "2000"
BIG = random.Random(1).randbytes(2500).hex()  # which no compression makes small enough


def rows(*pairs: tuple[str | None, str]) -> pl.DataFrame:
    return pl.DataFrame(pairs, schema={"k": pl.String, "v": pl.String}, orient="row")


def begun(kafka: KafkaServer, topic: str, token: int | None = 1, **options: Any) -> RefusingSink:
    sink = registry.sink(f"kafka://{kafka.servers}/{topic}", **options).open()
    assert isinstance(sink, RefusingSink)
    sink.begin(None if token is None else SinkIdentity(f"s-{topic}", token))
    return sink


def written(kafka: KafkaServer, topic: str) -> list[tuple[Any, ...]]:
    return read_table(kafka, topic, {"k": pl.String, "v": pl.String}).select("k", "v").rows()


@pytest.mark.parametrize("token", [1, None])
def test_what_is_too_large_is_a_letter(kafka: KafkaServer, token: int | None) -> None:
    topic = new_topic(kafka, 1, max_message_bytes=SMALL)
    sink = begun(kafka, topic, token)
    fine = [(f"{n}", "y" * 300) for n in range(40)]  # more than one message takes, together
    sink.apply(0, [rows(*fine[:20], ("big", BIG), *fine[20:])])
    letters = sink.refused(0)
    assert letters is not None
    assert [unpacked(row).rows() for row in letters["row"]] == [[("big", BIG)]]
    assert "larger than the 2,000 bytes" in letters["reason"][0] or token is None
    sink.apply(1, [rows(("z", "z"))])
    assert sink.refused(1) is None
    sink.close()
    assert sorted(written(kafka, topic)) == sorted([*fine, ("z", "z")])


@pytest.mark.parametrize("token", [1, None])
def test_what_only_the_broker_refuses_is_found(kafka: KafkaServer, token: int | None) -> None:
    """Times far behind: of these the client knows nothing."""
    topic = new_topic(kafka, 1, message_timestamp_before_max_ms="3600000")
    sink = begun(kafka, topic, token, timestamp="at")
    now = pl.lit(None, pl.Datetime("ms", "UTC"))
    good = rows(*((f"{n}", "y") for n in range(100))).with_columns(at=now)
    bad = good[37:38].with_columns(
        at=pl.datetime(2001, 1, 1, time_zone="UTC").cast(good["at"].dtype)
    )
    sink.apply(0, [pl.concat([good[:37], bad, good[38:]]), bad])
    letters = sink.refused(0)
    assert letters is not None
    assert letters.height == 2
    assert all("INVALID_TIMESTAMP" in reason for reason in letters["reason"])
    sink.close()
    found = [key for key, _ in written(kafka, topic)]
    assert sorted(found) == sorted(f"{n}" for n in range(100) if n != 37)


def test_a_message_without_key_for_a_compacted_topic(kafka: KafkaServer) -> None:
    topic = new_topic(kafka, 1, cleanup_policy="compact")
    sink = begun(kafka, topic, key="k")
    sink.apply(0, [rows(("a", "1"), (None, "2"), ("b", "3"))])
    letters = sink.refused(0)
    assert letters is not None
    assert "without a key" in letters["reason"][0]
    sink.close()
    assert written(kafka, topic) == [("a", "1"), ("b", "3")]


def test_a_key_whose_new_row_is_refused_is_deleted(kafka: KafkaServer) -> None:
    topic = new_topic(kafka, 1, max_message_bytes=SMALL)
    sink = begun(kafka, topic, key="k")
    weighted = rows(("a", "1"), ("a", BIG)).with_columns(pl.Series(WEIGHT, [-1, 1]))
    sink.apply(0, [rows(("a", "1"))])
    sink.apply(1, [weighted])
    letters = sink.refused(1)
    assert letters is not None
    assert letters["row"].null_count() == 1
    sink.close()
    assert written(kafka, topic) == [("a", "1"), (None, None)]


def test_letters_are_there_after_a_crash_until_the_next_epoch(kafka: KafkaServer) -> None:
    topic = new_topic(kafka, 1, max_message_bytes=SMALL)
    first = begun(kafka, topic)
    first.apply(0, [rows(("a", "1"), *((f"{n}", BIG) for n in range(300)))])
    first.close()
    again = begun(kafka, topic, token=2)
    again.apply(0, [rows(("never", "written"))])
    letters = again.refused(0)
    assert letters is not None
    assert letters.height == 300
    again.apply(1, [rows(("b", "2"))])
    assert again.refused(1) is None
    again.close()
    third = begun(kafka, topic, token=3)
    assert third.refused(1) is None
    third.close()
    assert written(kafka, topic) == [("a", "1"), ("b", "2")]


def test_a_run_goes_on_and_tells(kafka: KafkaServer, tmp_path: Path) -> None:
    topic = new_topic(kafka, 1, max_message_bytes=SMALL)
    stream = ps.scan_batches([rows(("a", "1"), ("b", BIG)), rows(("c", "3"))])
    query = ps.run(stream.sink_kafka(kafka.servers, topic), checkpoint=tmp_path / "kept")
    assert query.progress().dead_letters == 1
    assert frames_of(kafka, topic)["value"].len() == 2
