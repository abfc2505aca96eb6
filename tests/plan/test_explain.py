"""What ``explain()`` says of a plan."""

import polars as pl

import penstock as ps
from penstock.testing import scripted

SCHEMA = {"ts": pl.Datetime("us"), "k": pl.String, "v": pl.Int64}


def _live(name: str = "s") -> ps.Stream:
    return scripted(name, SCHEMA, bounded=False)


def _timed(name: str = "s") -> ps.Stream:
    return _live(name).with_watermark("ts", "1s")


def test_state_that_nothing_frees_is_named() -> None:
    assert "keeps a row for every key" in _live().group_by("k").len().explain()
    assert "keeps every distinct key" in _live().unique("k").explain()
    assert "keeps all rows of both sides" in _live().join(_live("t"), on="k").explain()
    assert "keeps 3 rows for every key" in _live().top_k(3, by="v", group_by="k").explain()
    assert "keeps all rows, and" in _live().with_columns(m=pl.col("v").max().over("k")).explain()
    assert (
        "what is carried for every key"
        in _live().with_columns(pl.col("v").cum_sum().over("k")).explain()
    )


def test_state_that_is_freed_is_not() -> None:
    for stream in (
        _live().group_by("k", ttl="1h").len(),
        _timed().group_by("k", ps.tumbling("10s")).len(),
        _timed().group_by("ts").len(),
        _timed().unique(["ts", "k"]),
        _timed().join(_timed("t"), on=["ts", "k"]),
        _timed().join_asof(_timed("t"), on="ts", by="k"),
        _timed().join_interval(_timed("t"), on="k", lower="-1s", upper="1s"),
    ):
        assert "for ever" not in stream.explain()


def test_a_shared_step_is_shown_once() -> None:
    stream = _timed()
    text = stream.join(stream, on=["ts", "k"]).explain()
    assert text.count("Scan s") == 1
    assert "shown above" in text
