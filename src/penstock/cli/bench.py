"""``penstock bench``: how fast this machine runs four small pipelines."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated

import polars as pl
import typer

import penstock as ps
from penstock.cli.exits import EXITS
from penstock.tables_of_text import table

app = typer.Typer(add_completion=False)

BATCH_ROWS = 65_536
RUNS = 3
_START = datetime(2026, 1, 1)  # noqa: DTZ001 - a column of instants without a zone


def batches(count: int) -> Iterator[pl.DataFrame]:
    """Return ``count`` frames: 1,000 keys, values, and a row each millisecond."""
    for number in range(count):
        first = number * BATCH_ROWS
        row = pl.int_range(first, first + BATCH_ROWS)
        yield pl.select(
            key=row * 2_654_435_761 % 1_000,
            value=(row % 97).cast(pl.Float64),
            at=pl.lit(_START) + pl.duration(milliseconds=row),
        )


CASES: dict[str, Callable[[ps.Stream], ps.Stream]] = {
    "filter": lambda rows: rows.filter(pl.col("value") > 48).select("key", pl.col("value") * 2),
    "group by": lambda rows: rows.group_by("key").agg(pl.len(), pl.col("value").mean()),
    "windows": lambda rows: (
        rows.with_watermark("at", lateness="1s")
        .group_by("key", ps.tumbling("10s"))
        .agg(pl.col("value").sum())
    ),
    "join": lambda rows: rows.join(rows.unique("key").select("key", first="value"), on="key"),
}


def rows_per_second(case: Callable[[ps.Stream], ps.Stream], frames: list[pl.DataFrame]) -> float:
    """Run a pipeline once over the frames, and return how many of their rows it took a second."""
    query = case(ps.scan_batches(frames)).sink_callback(lambda _: None)
    begun = time.perf_counter()
    query.start().wait()
    return len(frames) * BATCH_ROWS / (time.perf_counter() - begun)


@app.command(epilog=EXITS)
def bench(
    rows: Annotated[int, typer.Option(min=BATCH_ROWS, help="Rows of each run.")] = 2_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,  # noqa: FBT002
) -> None:
    """Measure four small pipelines over rows in memory: the median, least and most of three runs."""
    frames = list(batches(rows // BATCH_ROWS))
    measured = {
        name: sorted(rows_per_second(case, frames) for _ in range(RUNS))
        for name, case in CASES.items()
    }
    if as_json:
        found = [{"name": name, "rows_per_s": speeds} for name, speeds in measured.items()]
        typer.echo(json.dumps(found, indent=2))
        return
    lines: list[tuple[str, ...]] = [("pipeline", "rows/s", "least", "most")]
    for name, speeds in measured.items():
        figures = (statistics.median(speeds), speeds[0], speeds[-1])
        lines.append((name, *(f"{figure:,.0f}" for figure in figures)))
    for line in table(lines, left=(0,)):
        typer.echo(line)
