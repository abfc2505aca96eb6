"""Steps that run a user's Python: functions of batches and rows, and processors."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import polars as pl

import penstock as ps

from .arrivals import FOREVER, Seen
from .pairs import US, Drawn, Pair

Row = dict[str, Any]


def copies(value: Any) -> int:
    """Return how many rows a function makes of one: none of a 0, two of what is above 1."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return 1
    return 0 if value == 0 else 2 if value > 1 else 1


def repeated(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Repeat each row as often as a column says."""
    times = [copies(value) for value in frame[name].to_list()]
    return frame[[place for place, count in enumerate(times) for _ in range(count)]]


def mapped_batches(d: Drawn, pair: Pair) -> Pair:
    """Drop some rows and double some, or compute a column, in a function of batches."""
    name, new = d.one(pair.numbers), d.name()
    twice = (pl.col(name).cast(pl.Float64) * 2).alias(new)
    if d.one([True, False]):

        def widen(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.with_columns(twice)

        stream = pair.stream.map_batches(
            widen, {**pair.stream.schema, new: pl.Float64}, rows=d.one(["any", "same"])
        )
        return pair.then(f"map_batches {twice}", stream, lambda f: f.with_columns(twice))

    if d.one([True, False]):
        stream = pair.stream.map_batches(lambda frame: repeated(frame, name))
    else:
        stream = pair.stream.map_batches(
            lambda table: repeated(pl.DataFrame(table), name).to_arrow(), kind="arrow"
        )
    return pair.then(
        f"map_batches repeat {name}", stream, lambda f: repeated(f.collect(), name).lazy()
    )


def mapped_rows(d: Drawn, pair: Pair) -> Pair:
    """Make a dict, none or several of each row."""
    name, new = d.one(pair.numbers), d.name()
    kept = [name, *d.some([*pair.stream.columns])]
    whole = not isinstance(pair.stream.schema[name], pl.Float64)
    schema = {n: pair.stream.schema[n] for n in kept} | {new: pl.Int64() if whole else pl.Float64()}

    def function(row: Row) -> Any:
        value = row[name]
        made = {n: row[n] for n in kept} | {new: None if value is None else value * 2}
        count = copies(value)
        return made if count == 1 else None if count == 0 else [made] * count

    def change(rows: pl.LazyFrame) -> pl.LazyFrame:
        found = [function(row) for row in rows.collect().to_dicts()]
        flat = [m for made in found if made for m in (made if isinstance(made, list) else [made])]
        return pl.DataFrame(flat, schema=schema).lazy()

    return pair.then(f"map_rows {kept} {new}", pair.stream.map_rows(function, schema), change)


def processed(d: Drawn, pair: Pair) -> Pair:
    """Count and sum up the rows of a key in a processor, in one of three ways."""
    if not pair.ordered:
        return pair
    key, name = d.one(pair.keys), d.one(pair.numbers)
    names = [d.name(), d.name(), d.name()]
    schema = pair.stream.schema
    total = pl.Float64() if isinstance(schema[name], pl.Float64) else pl.Int64()
    output = dict(zip(names, (schema[key], pl.Int64(), total), strict=True))
    makers = [one_by_one, frame_by_frame]
    if not schema[key].is_float():  # Polars 2.1 does not join a lone NaN with a lone NaN
        makers.append(all_at_once)
    make = d.one(makers)
    stream = pair.stream.process(make(key, name, output), by=key)

    def change(rows: pl.LazyFrame) -> pl.LazyFrame:
        sums: dict[Any, tuple[int, Any]] = {}
        found = []
        for row in rows.select(key, pl.col(name).alias("value")).collect().to_dicts():
            same = alike(row[key])
            count, so_far = sums.get(same, (0, 0))
            sums[same] = count + 1, so_far + (row["value"] or 0)
            found.append((row[key], *sums[same]))
        return pl.DataFrame(found, schema=output, orient="row").lazy()

    text = f"process {make.__name__} {name} by {key}"
    return pair.then(text, stream, change, ordered=False)


def alike(value: Any) -> Any:
    """Return the same for values that are the same key."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    return value


def one_by_one(key: str, name: str, output: dict[str, pl.DataType]) -> Any:
    """Return a processor that is called with single rows."""
    names = list(output)

    class OneByOne(ps.Processor):
        state = {"count": pl.Int64, "total": output[names[2]]}
        per_row = True

        def process(self, keys: Row, rows: pl.DataFrame, state: Any, timers: Any) -> Any:
            assert rows.height == 1
            state["count"] = state.get("count", 0) + 1
            state["total"] = state.get("total", 0) + (rows[name].item() or 0)
            values = (keys[key], state["count"], state["total"])
            return dict(zip(names, values, strict=True))

    OneByOne.output = output
    return OneByOne


def frame_by_frame(key: str, name: str, output: dict[str, pl.DataType]) -> Any:
    """Return a processor that is called with all rows of a key in an epoch."""
    names = list(output)

    class FrameByFrame(ps.Processor):
        state = {"count": pl.Int64, "total": output[names[2]]}

        def process(self, keys: Row, rows: pl.DataFrame, state: Any, timers: Any) -> Any:
            count, total, found = state.get("count", 0), state.get("total", 0), []
            for value in rows[name].to_list():
                count, total = count + 1, total + (value or 0)
                found.append(dict(zip(names, (keys[key], count, total), strict=True)))
            state.update({"count": count, "total": total})
            return found

    FrameByFrame.output = output
    return FrameByFrame


def all_at_once(key: str, name: str, output: dict[str, pl.DataType]) -> Any:
    """Return a processor that is called with the rows of all keys."""
    names = list(output)

    class AllAtOnce(ps.BatchProcessor):
        state = {"count": pl.Int64, "total": output[names[2]]}

        def process(
            self, rows: pl.DataFrame, state: pl.DataFrame
        ) -> tuple[pl.DataFrame, pl.DataFrame]:
            both = rows.select(key, pl.col(name).alias("value")).join(
                state, on=key, how="left", nulls_equal=True, maintain_order="left"
            )
            values = pl.col("value").fill_null(0).cast(output[names[2]])
            places = pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
            count = pl.col("count").fill_null(0) + places.over(key)
            # The sum so far goes in front, not on top: a sum that met infinities stays what it is.
            total = pl.col("total").fill_null(0) + values.cum_sum().over(key)
            found = both.select(
                pl.col(key).alias(names[0]), count.alias(names[1]), total.alias(names[2])
            )
            last = found.unique(names[0], keep="last", maintain_order=True)
            return found, last.rename(dict(zip(names, [key, "count", "total"], strict=True)))

    AllAtOnce.output = output
    return AllAtOnce


def timed(d: Drawn, pair: Pair) -> Pair:
    """Set a timer for each row, and emit it when it fires."""
    if not pair.ordered or pair.mixed or pair.stream.node.properties.event_time != "ts":
        return pair
    key, delay, names = d.one(pair.keys), d.one([1, 3]), [d.name(), d.name()]
    output_ = {names[0]: pair.stream.schema[key], names[1]: pair.stream.schema["ts"]}

    class Timed(ps.Processor):
        output = output_

        def process(self, keys: Row, rows: pl.DataFrame, state: Any, timers: Any) -> None:
            for at in rows["ts"]:
                timers.at(at + timedelta(seconds=delay))

        def on_timer(self, keys: Row, at: Any, state: Any, timers: Any) -> Any:
            return {names[0]: keys[key], names[1]: at}

    query, now = pair.query, pair.now

    def run(seen: Seen) -> pl.LazyFrame:
        due = pl.col("ts") + pl.duration(seconds=delay)
        found = query(seen).select(pl.col(key).alias(names[0]), due.alias(names[1])).unique()
        if now(seen) >= FOREVER:
            return found
        return found.filter(pl.col(names[1]).dt.timestamp("us") <= now(seen) * US)

    text = f"process timers {delay} by {key}"
    stream = pair.stream.process(Timed, by=key)
    return Pair(stream, run, pair.bases, False, pair.at_end, (*pair.steps, text), pair.mixed)
