"""Joins as of a time: state is freed by the watermark, and a lookup sees the moment."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest

import penstock as ps
from penstock.stream import Stream
from penstock.testing import Driven, Epoch, scripted

START = datetime(2024, 1, 1)
BID = pl.Schema({"k": pl.Int64(), "ts": pl.Datetime("us"), "n": pl.Int64()})
RATE = pl.Schema({"k": pl.Int64(), "ts": pl.Datetime("us"), "rate": pl.Int64()})


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


def timed(name: str, schema: pl.Schema) -> Stream:
    return scripted(name, schema).with_watermark("ts", idle_timeout=None, max_ahead=None)


def query(text: str) -> Driven:
    return Driven(ps.sql(text, bid=timed("bid", BID), rates=timed("rates", RATE)))


def frames(second: int) -> dict[str | tuple[str, int], pl.DataFrame]:
    return {
        "bid": pl.DataFrame([(1, at(second), second)], schema=BID, orient="row"),
        "rates": pl.DataFrame([(1, at(second), -second)], schema=RATE, orient="row"),
    }


@pytest.mark.parametrize(
    "joined",
    [
        "JOIN rates FOR SYSTEM_TIME AS OF bid.ts AS r ON r.k = bid.k",
        "ASOF JOIN rates r ON r.k = bid.k AND r.ts <= bid.ts",
        "ASOF LEFT JOIN rates r ON r.k = bid.k AND r.ts >= bid.ts",
    ],
)
def test_what_the_watermark_has_passed_is_freed(joined: str) -> None:
    driven = query(f"SELECT bid.n, r.rate FROM bid {joined}")
    found = []
    for second in range(40):
        (delta,) = driven.step(Epoch(frames(second)))
        found += [] if delta is None else delta.rows()
        assert driven.state_rows() <= 8
    assert found == [(n, -n) for n in range(39)]


def test_the_result_has_the_event_time_of_the_rows() -> None:
    joined = "bid JOIN rates FOR SYSTEM_TIME AS OF bid.ts AS r ON r.k = bid.k"
    text = f"""
        WITH x AS (SELECT bid.ts, r.rate FROM {joined})
        SELECT window_start, sum(rate) AS s FROM TUMBLE(x, ts, INTERVAL '10 seconds')
        GROUP BY window_start EMIT ON WINDOW CLOSE
    """
    driven = query(text)
    found = []
    for second in range(0, 30, 5):
        (delta,) = driven.step(Epoch(frames(second)))
        found += [] if delta is None else delta.rows()
    assert found == [(at(0), -5), (at(10), -25)]


def test_a_lookup_keeps_what_was_there_when_a_row_came() -> None:
    with ps.Session() as session:
        session.sql(
            """
            CREATE TABLE bid (k INT, n INT) APPEND ONLY;
            CREATE TABLE side (k INT PRIMARY KEY, name TEXT);
            CREATE MATERIALIZED VIEW v AS SELECT b.n, s.name FROM bid b
                LEFT JOIN side FOR SYSTEM_TIME AS OF PROCTIME() AS s ON s.k = b.k;
            INSERT INTO bid VALUES (1, 1);
            INSERT INTO side VALUES (1, 'one');
            INSERT INTO bid VALUES (1, 2);
            UPDATE side SET name = 'won';
            INSERT INTO bid VALUES (1, 3);
            DELETE FROM side;
            INSERT INTO bid VALUES (1, 4);
            """
        )
        assert session.table("v").rows() == [(1, None), (2, "one"), (3, "won"), (4, None)]


def test_a_lookup_keeps_nothing_of_the_left() -> None:
    stream = ps.sql(
        "SELECT b.n, s.rate FROM bid b JOIN s FOR SYSTEM_TIME AS OF PROCTIME() ON s.k = b.k",
        bid=scripted("bid", BID),
        s=scripted("s", RATE),
    )
    assert not stream.is_changelog
    driven = Driven(stream)
    driven.step(Epoch({"s": frames(0)["rates"]}))
    before = driven.state_rows()
    for second in range(20):
        driven.step(Epoch({"bid": frames(second)["bid"]}))
    assert driven.state_rows() == before
