"""Steps that aggregate: by keys and by windows."""

from __future__ import annotations

import polars as pl
from hypothesis import strategies as st

import penstock as ps

from .arrivals import FOREVER, Seen
from .pairs import US, Drawn, Pair, aggregates


def grouped(d: Drawn, pair: Pair) -> Pair:
    """Group by one or two keys, one of them perhaps computed, perhaps one an event time."""
    keys = [pl.col(name) for name in d.some([*pair.keys, *pair.instants[:1]])]
    if d.one([True, False, False]):
        keys.append((pl.col(d.one(pair.numbers)) > 0).alias(d.name()))
    aggs = aggregates(d, pair)
    return pair.then(
        f"group_by {keys} agg {aggs}",
        pair.stream.group_by(keys).agg(aggs),
        lambda f: pair.sequence(f).group_by(keys).agg(aggs),
        ordered=False,
    )


def totalled(d: Drawn, pair: Pair) -> Pair:
    """Aggregate everything into one row."""
    aggs = aggregates(d, pair)
    return pair.then(
        f"select {aggs}",
        pair.stream.select(aggs),
        lambda f: pair.sequence(f).select(aggs),
        ordered=False,
    )


def windowed(d: Drawn, pair: Pair) -> Pair:
    """Group by a tumbling or hopping window, and perhaps a key."""
    if not pair.instants:
        return pair
    column = d.one(pair.instants)
    size, slide = d.one([(2, 2), (3, 3), (10, 10), (4, 2), (6, 2), (5, 3), (2, 5), (3, 4)])
    offset = d.one([0, 0, 1])
    keys = d.draw(st.lists(st.sampled_from(pair.keys), unique=True, max_size=1))
    aggs = aggregates(d, pair)
    there = pair.stream.filter(pl.col(column).is_not_null())
    window = ps.hopping(f"{size}s", slide=f"{slide}s", offset=f"{offset}s", on=column)
    stream = there.group_by(*keys, window).agg(aggs)
    mode = d.one([None, None, "changes"])
    if mode:
        stream = stream.emit(mode)
    final, query, now = not stream.is_changelog, pair.query, pair.now

    def run(seen: Seen) -> pl.LazyFrame:
        rows = assigned(pair.sequence(query(seen)), column, size, slide, offset)
        found = rows.group_by(*keys, "window_start", "window_end").agg(aggs)
        return closed(found, now(seen)) if final else found

    text = f"window {size}/{slide}+{offset} on {column} by {keys} agg {aggs} {mode}"
    return pair.reached(text, stream, run, column)


def assigned(rows: pl.LazyFrame, column: str, size: int, slide: int, offset: int) -> pl.LazyFrame:
    """Copy each row into each window that holds it, in order of arrival."""
    rows = rows.filter(pl.col(column).is_not_null()).with_row_index("arrived")
    at = pl.col(column).dt.timestamp("us")
    last = (at - offset * US).floordiv(slide * US) * (slide * US) + offset * US
    parts = []
    for back in range(size // slide + 1):
        start = last - back * slide * US
        parts.append(
            rows.filter((start <= at) & (at < start + size * US)).with_columns(
                start.cast(pl.Datetime("us")).alias("window_start"),
                (start + size * US).cast(pl.Datetime("us")).alias("window_end"),
            )
        )
    return pl.concat(parts).sort("arrived", maintain_order=True).drop("arrived")


def closed(found: pl.LazyFrame, now: int) -> pl.LazyFrame:
    """Keep the windows whose end the time has reached."""
    if now >= FOREVER:
        return found
    return found.filter(pl.col("window_end").dt.timestamp("us") <= now * US)


def by_event(d: Drawn, pair: Pair, kind: str) -> Pair:
    """Group by sessions, or by windows that end at every row, and perhaps a key."""
    if not pair.instants:
        return pair
    column, length = d.one(pair.instants), d.one([1, 2, 4])
    keys = d.draw(st.lists(st.sampled_from(pair.keys), unique=True, max_size=1))
    aggs = aggregates(d, pair)
    there = pair.stream.filter(pl.col(column).is_not_null())
    make, assign = (ps.session, sessions) if kind == "session" else (ps.sliding, slides)
    stream = there.group_by(*keys, make(f"{length}s", on=column)).agg(aggs)
    mode = d.one([None, None, "changes"])
    if mode:
        stream = stream.emit(mode)
    final, query, now = not stream.is_changelog, pair.query, pair.now

    def run(seen: Seen) -> pl.LazyFrame:
        rows = pair.sequence(query(seen)).filter(pl.col(column).is_not_null())
        found = assign(rows, column, length * US, keys, aggs)
        return passed(found, now(seen)) if final else found

    text = f"{kind} {length} on {column} by {keys} agg {aggs} {mode}"
    return pair.reached(text, stream, run, column)


def session(d: Drawn, pair: Pair) -> Pair:
    """Group by sessions."""
    return by_event(d, pair, "session")


def sliding(d: Drawn, pair: Pair) -> Pair:
    """Group by windows that end at every row."""
    return by_event(d, pair, "sliding")


def passed(found: pl.LazyFrame, now: int) -> pl.LazyFrame:
    """Keep the windows whose end the time is past: a row at the end would still belong to them."""
    if now >= FOREVER:
        return found
    return found.filter(pl.col("window_end").dt.timestamp("us") < now * US)


def sessions(
    rows: pl.LazyFrame, column: str, gap: int, keys: list[str], aggs: list[pl.Expr]
) -> pl.LazyFrame:
    """Begin a session at each row that is more than ``gap`` behind the one before it."""
    at = pl.col(column).dt.timestamp("us")
    begins = (at.diff() > gap).fill_null(value=True).cum_sum()
    number = (begins.over(keys) if keys else begins).alias("number")
    rows = rows.with_row_index("arrived").sort(column, "arrived").with_columns(number)
    found = rows.sort("arrived").group_by(*keys, "number")
    return found.agg(
        pl.col(column).min().alias("window_start"),
        (pl.col(column).max() + pl.duration(microseconds=gap)).alias("window_end"),
        *aggs,
    ).drop("number")


def slides(
    rows: pl.LazyFrame, column: str, size: int, keys: list[str], aggs: list[pl.Expr]
) -> pl.LazyFrame:
    """Join each row with the rows up to ``size`` before it, which are in order of time."""
    each = rows.select(*keys, pl.col(column).alias("at")).with_row_index("number")
    rows = rows.with_row_index("arrived")
    pairs = each.join(rows, on=keys, nulls_equal=True) if keys else each.join(rows, how="cross")
    behind = (pl.col("at") - pl.col(column)).dt.total_microseconds()
    near = pairs.filter((behind >= 0) & (behind < size)).sort("number", column, "arrived")
    found = near.group_by("number", *keys, "at").agg(aggs)
    start = (pl.col("at") - pl.duration(microseconds=size)).alias("window_start")
    found = found.with_columns(start, pl.col("at").alias("window_end"))
    names = [agg.meta.output_name() for agg in aggs]
    return found.select(*keys, "window_start", "window_end", *names)


def counted(d: Drawn, pair: Pair) -> Pair:
    """Group by every so many rows, and perhaps a key."""
    if not pair.ordered:
        return pair
    count = d.one([1, 2, 3])
    keys = d.draw(st.lists(st.sampled_from(pair.keys), unique=True, max_size=1))
    event_time = pair.stream.node.properties.event_time
    column = d.one([event_time, *pair.instants])
    aggs = aggregates(d, pair)
    stream = pair.stream.group_by(*keys, ps.tumbling(rows=count, on=column)).agg(aggs)
    # Counts of rows are no times: under these names they would stand in the way of a window later.
    names = {} if column else {name: d.name() for name in ("window_start", "window_end")}
    stream = stream.rename(names)
    query, now = pair.query, pair.now

    def run(seen: Seen) -> pl.LazyFrame:
        place = pl.int_range(pl.len(), dtype=pl.Int64)
        rows = query(seen).with_columns((place.over(keys) if keys else place).alias("place"))
        start, end = pl.col(column or "place").first(), pl.col(column or "place").last()
        found = rows.group_by(*keys, (pl.col("place") // count).alias("number")).agg(
            start.alias("window_start"),
            (end if column else end + 1).alias("window_end"),
            pl.len().alias("held"),
            *aggs,
        )
        complete = (pl.col("held") == count) | (now(seen) >= FOREVER)
        return found.filter(complete).drop("number", "held").rename(names)

    text = f"every {count} rows on {column} by {keys} agg {aggs}"
    return Pair(stream, run, pair.bases, False, pair.at_end, (*pair.steps, text), pair.mixed)
