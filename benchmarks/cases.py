"""The cases: data, the streaming query, and the batch query that gives the same answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

import penstock as ps

EPOCH_ROWS = 65_536
_START = datetime(2024, 1, 1)


@dataclass(frozen=True)
class Case:
    """One benchmark. ``stream`` and ``batch`` take the inputs that ``make`` returns."""

    name: str
    title: str
    rows: int
    make: Callable[[int], list[pl.DataFrame]]
    stream: Callable[[list[ps.Stream]], ps.Stream]
    batch: Callable[[list[pl.DataFrame]], pl.DataFrame]


def _times(rows: int, per_second: int, rng: np.random.Generator, jitter_us: int = 0) -> pl.Series:
    micros = np.arange(rows, dtype=np.int64) * (1_000_000 // per_second)
    if jitter_us:
        micros = np.maximum(micros - rng.integers(0, jitter_us, rows), 0)
    base = int((_START - datetime(1970, 1, 1)).total_seconds()) * 1_000_000
    return pl.Series("ts", micros + base).cast(pl.Datetime("us"))


def events(rows: int, keys: int = 60_000, per_second: int = 100_000, seed: int = 1) -> pl.DataFrame:
    """Rows (ts, k, v), in order of time, over ``keys`` keys."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "ts": _times(rows, per_second, rng),
            "k": rng.integers(0, keys, rows),
            "v": rng.random(rows) * 100,
        }
    )


def _one(**options: int) -> Callable[[int], list[pl.DataFrame]]:
    return lambda rows: [events(rows, **options)]


def _tumbling(streams: list[ps.Stream]) -> ps.Stream:
    stream = streams[0].with_watermark("ts")
    return stream.group_by("k", ps.tumbling("10s")).agg(
        pl.len().alias("n"), pl.col("v").sum().alias("s"), pl.col("v").max().alias("m")
    )


def _tumbling_batch(frames: list[pl.DataFrame]) -> pl.DataFrame:
    start = pl.col("ts").dt.truncate("10s").alias("window_start")
    grouped = (
        frames[0]
        .lazy()
        .group_by("k", start)
        .agg(pl.len().alias("n"), pl.col("v").sum().alias("s"), pl.col("v").max().alias("m"))
    )
    return grouped.collect()


def _hopping(streams: list[ps.Stream]) -> ps.Stream:
    stream = streams[0].with_watermark("ts")
    return stream.group_by("k", ps.hopping("10s", slide="2s")).agg(
        pl.len().alias("n"), pl.col("v").sum().alias("s")
    )


def _hopping_batch(frames: list[pl.DataFrame]) -> pl.DataFrame:
    pane = pl.col("ts").dt.truncate("2s").alias("pane")
    panes = (
        frames[0].lazy().group_by("k", pane).agg(pl.len().alias("n"), pl.col("v").sum().alias("s"))
    )
    moved = [
        panes.with_columns((pl.col("pane") - pl.duration(seconds=2 * back)).alias("window_start"))
        for back in range(5)
    ]
    grouped = (
        pl.concat(moved).group_by("k", "window_start").agg(pl.col("n").sum(), pl.col("s").sum())
    )
    return grouped.collect()


def _join_inputs(rows: int) -> list[pl.DataFrame]:
    half = rows // 2
    rng = np.random.default_rng(1)
    left = pl.DataFrame({"k": rng.permutation(half), "a": rng.random(half)})
    right = pl.DataFrame({"k": rng.permutation(half), "b": rng.random(half)})
    return [left, right]


def _sessions_batch(frames: list[pl.DataFrame]) -> pl.DataFrame:
    gap = pl.duration(seconds=5)
    numbered = (
        frames[0]
        .lazy()
        .sort("k", "ts")
        .with_columns(
            ((pl.col("ts") - pl.col("ts").shift() > gap) | (pl.col("k") != pl.col("k").shift()))
            .fill_null(value=True)
            .cum_sum()
            .alias("session")
        )
    )
    grouped = numbered.group_by("k", "session").agg(
        pl.col("ts").min().alias("window_start"),
        (pl.col("ts").max() + gap).alias("window_end"),
        pl.len().alias("n"),
        pl.col("v").sum().alias("s"),
    )
    return grouped.collect()


JSON_SCHEMA = {
    "ts": pl.Datetime("us"),
    "user": pl.Int64,
    "page": pl.String,
    "ms": pl.Float64,
    "ok": pl.Boolean,
}


def json_file(rows: int, folder: Path) -> Path:
    """Write NDJSON of about 120 bytes a line; returns the file."""
    rng = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            "ts": _times(rows, 100_000, rng).dt.to_string("%Y-%m-%dT%H:%M:%S%.6f"),
            "user": rng.integers(0, 100_000, rows),
            "page": pl.Series(rng.integers(0, 1000, rows)).cast(pl.String)
            + "/some/page/of/the/site.html",
            "ms": rng.random(rows) * 100,
            "ok": rng.random(rows) > 0.5,
        }
    )
    path = folder / "events.ndjson"
    frame.write_ndjson(path)
    return path


def _arithmetic(frame: pl.LazyFrame | ps.Stream) -> pl.LazyFrame | ps.Stream:
    kept = frame.filter(pl.col("v") > 25)
    return kept.select("k", x=pl.col("v") * 2.5 + 1, y=pl.col("v") / (pl.col("k") + 1))


CASES = {
    case.name: case
    for case in (
        Case(
            "a",
            "filter + arithmetic",
            10_000_000,
            _one(),
            lambda s: _arithmetic(s[0]),  # type: ignore[arg-type,return-value]
            lambda f: _arithmetic(f[0].lazy()).collect(),  # type: ignore[union-attr]
        ),
        Case(
            "b",
            "tumbling 10 s count/sum/max, 60k keys",
            10_000_000,
            _one(),
            _tumbling,
            _tumbling_batch,
        ),
        Case("c", "hopping 10 s / 2 s count/sum", 4_000_000, _one(), _hopping, _hopping_batch),
        Case(
            "d",
            "running count, 1 M keys, changelog",
            5_000_000,
            _one(keys=1_000_000),
            lambda s: s[0].group_by("k").agg(pl.len().alias("n")),
            lambda f: f[0].lazy().group_by("k").agg(pl.len().alias("n")).collect(),
        ),
        Case(
            "e",
            "top 10 per key, 10k keys",
            5_000_000,
            _one(keys=10_000),
            lambda s: s[0].top_k(10, by="v", group_by="k"),
            lambda f: f[0].lazy().sort("v", descending=True).group_by("k").head(10).collect(),
        ),
        Case(
            "f",
            "inner join, 1 M keys each",
            2_000_000,
            _join_inputs,
            lambda s: s[0].join(s[1], on="k"),
            lambda f: f[0].lazy().join(f[1].lazy(), on="k").collect(),
        ),
        Case(
            "g",
            "sessions, gap 5 s, 100k keys",
            4_000_000,
            _one(keys=100_000, per_second=20_000),
            lambda s: (
                s[0]
                .with_watermark("ts")
                .group_by("k", ps.session("5s"))
                .agg(pl.len().alias("n"), pl.col("v").sum().alias("s"))
            ),
            _sessions_batch,
        ),
    )
}
