"""Random pipelines, each written twice: as a Penstock stream and as a query over all rows so far.

A ``Pair`` holds both. The query never sees the engine: late rows were taken out and the time was
told by ``arrivals``, windows are assigned here by integer arithmetic, the rest is Polars in one go.
Columns whose name begins with ``x`` hold inexact floats and are only ever carried along: a key or a
predicate on them would turn on the last bit. All other floats are small multiples of 1/4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
from hypothesis import strategies as st

import penstock as ps
from penstock.stream import Stream
from penstock.testing import scripted

from .arrivals import FOREVER, SCHEMA, Clock, Script, Seen

Query = Callable[[Seen], pl.LazyFrame]
US = 1_000_000


@dataclass(frozen=True)
class Pair:
    """A stream and the query it must agree with.

    ``bases`` are the sources it comes from; ``ordered``: rows are in order of arrival on both
    sides; ``at_end``: only the result at the end is known; ``mixed``: a time column may have been
    put together from several.
    """

    stream: Stream
    query: Query
    bases: frozenset[str]
    ordered: bool
    at_end: bool = False
    steps: tuple[str, ...] = ()
    mixed: bool = False

    def now(self, seen: Seen) -> int:
        """Return the time that all bases have reached."""
        return min(seen.times[base] for base in self.bases)

    def then(
        self,
        text: str,
        stream: Stream,
        change: Callable[[pl.LazyFrame], pl.LazyFrame],
        **facts: Any,
    ) -> Pair:
        """Append a step."""
        query = self.query
        ordered = facts.get("ordered", self.ordered)
        return Pair(
            stream,
            lambda seen: change(query(seen)),
            facts.get("bases", self.bases),
            ordered and not stream.is_changelog,
            facts.get("at_end", self.at_end),
            (*self.steps, text),
            self.mixed,
        )

    def columns(self, *dtypes: type[pl.DataType]) -> list[str]:
        """Return the exact columns of some types."""
        return [
            name
            for name, dtype in self.stream.schema.items()
            if isinstance(dtype, dtypes) and not name.startswith("x")
        ]

    def reached(self, text: str, stream: Stream, query: Query, column: str) -> Pair:
        """Append a step over a time column, whose query reads the time.

        Only ``ts`` and ``window_end`` are complete when the time reaches them: starts of windows,
        say, come later.
        """
        prompt = column in ("ts", "window_end") and not self.mixed
        at_end = self.at_end or not (prompt or stream.is_changelog)
        steps = (*self.steps, text)
        return Pair(stream, query, self.bases, False, at_end, steps, self.mixed)

    @property
    def numbers(self) -> list[str]:
        """Exact columns one can compute with."""
        return self.columns(pl.Int64, pl.UInt32, pl.Float64)

    @property
    def keys(self) -> list[str]:
        """Exact columns of few values."""
        return self.columns(pl.Int64, pl.String, pl.UInt32, pl.Float64, pl.Boolean)

    @property
    def instants(self) -> list[str]:
        """Event-time columns."""
        return self.columns(pl.Datetime)


class Drawn:
    """Draws steps; counts the names it gives so that none is given twice."""

    def __init__(self, draw: st.DrawFn, pairs: list[Pair]) -> None:
        self.draw = draw
        self._pairs = pairs
        self._names = 0
        self.joins = 0

    def one(self, options: list[Any]) -> Any:
        """Draw one of some values."""
        return self.draw(st.sampled_from(options))

    def some(self, options: list[Any], most: int = 2) -> list[Any]:
        """Draw one to ``most`` different values."""
        return self.draw(st.lists(st.sampled_from(options), min_size=1, max_size=most, unique=True))

    def name(self, *, exact: bool = True) -> str:
        """Return a new column name."""
        self._names += 1
        return f"{'n' if exact else 'x'}{self._names}"

    def base(self) -> Pair:
        """Draw a source."""
        return self.one(self._pairs)


# Expressions


def predicate(d: Drawn, pair: Pair) -> pl.Expr:
    """Draw a row-wise condition."""
    name = d.one(pair.keys)
    dtype = pair.stream.schema[name]
    column = pl.col(name)
    if isinstance(dtype, pl.String):
        return d.one([column == "x", column.is_null(), column.is_in(["x", ""]), column > ""])
    if isinstance(dtype, pl.Boolean):
        return d.one([column, ~column, column.is_null()])
    number = d.one([0, 1, 2])
    return d.one([column > number, column <= number, column.is_not_null(), column != number])


def computed(d: Drawn, pair: Pair) -> pl.Expr:
    """Draw exact row-wise arithmetic."""
    one, two = pl.col(d.one(pair.numbers)), pl.col(d.one(pair.numbers))
    return d.one(
        [
            one + 1,
            one * 2 - 1,
            one + two,
            one.fill_null(0) - two,
            pl.when(predicate(d, pair)).then(one).otherwise(two),
            pl.coalesce(one, two),
            one.is_null(),
            one.cast(pl.Float64) / 4,
        ]
    )


def aggregates(d: Drawn, pair: Pair) -> list[pl.Expr]:
    """Draw one to three aggregations."""
    return [aggregate(d, pair) for _ in range(d.one([1, 1, 2, 3]))]


def aggregate(d: Drawn, pair: Pair) -> pl.Expr:
    """Draw an aggregation."""
    name = d.one(pair.numbers)
    column = pl.col(name)
    exact = [
        pl.len(),
        column.count(),
        column.sum(),
        column.min(),
        column.max(),
        column.n_unique(),
        column.null_count(),
        column.filter(predicate(d, pair)).sum(),
        column.filter(predicate(d, pair)).max(),
        predicate(d, pair).any(),
        predicate(d, pair).all(),
        (predicate(d, pair)).sum(),
        column.max() - column.min(),
        column.fill_null(7).sum() + pl.len(),
        column.sum().is_null(),
    ]
    if pair.ordered:
        exact += [column.first(), column.last(), column.drop_nulls().first()]
    inexact = [
        column.mean(),
        column.var(),
        column.std(),
        column.median(),
        column.sum() / pl.len(),
        column.quantile(0.3, "linear"),
    ]
    if d.one([True, True, True, False]):
        return d.one(exact).alias(d.name())
    return d.one(inexact).cast(pl.Float64).alias(d.name(exact=False))


# Steps


def filtered(d: Drawn, pair: Pair) -> Pair:
    """Filter by one or two conditions."""
    wanted = predicate(d, pair)
    if d.one([True, False]):
        wanted = wanted | predicate(d, pair)
    return pair.then(f"filter {wanted}", pair.stream.filter(wanted), lambda f: f.filter(wanted))


def with_columns(d: Drawn, pair: Pair) -> Pair:
    """Add a column, or write over one."""
    taken = d.one([None, None, *pair.numbers])
    found = computed(d, pair).alias(taken or d.name())
    return pair.then(
        f"with_columns {found}", pair.stream.with_columns(found), lambda f: f.with_columns(found)
    )


def selected(d: Drawn, pair: Pair) -> Pair:
    """Keep some columns, rename one, compute one."""
    kept = d.draw(st.lists(st.sampled_from(pair.stream.columns), unique=True, max_size=5))
    exprs = [pl.col(name) for name in kept if name not in pair.keys[:1]]
    exprs += [pl.col(pair.keys[0]), computed(d, pair).alias(d.name())]
    if pair.instants and d.one([True, False]):
        exprs.append(pl.col(d.one(pair.instants)).alias(d.name()))
    return pair.then(f"select {exprs}", pair.stream.select(exprs), lambda f: f.select(exprs))


def moved(d: Drawn, pair: Pair) -> Pair:
    """Write over the event time, so that nothing is known of it any more."""
    if not pair.instants:
        return pair
    name = d.one(pair.instants)
    expr = (pl.col(name) + pl.duration(seconds=d.one([-5, 3]))).alias(name)
    return pair.then(f"move {name}", pair.stream.with_columns(expr), lambda f: f.with_columns(expr))


def filled(d: Drawn, pair: Pair) -> Pair:
    """Do without nulls."""
    name = d.one(pair.keys)
    if d.one([True, False]):
        return pair.then(
            f"drop_nulls {name}", pair.stream.drop_nulls(name), lambda f: f.drop_nulls(name)
        )
    expr = pl.col(d.one(pair.numbers)).fill_null(3)
    return pair.then(
        f"fill_null {expr}", pair.stream.with_columns(expr), lambda f: f.with_columns(expr)
    )


def grouped(d: Drawn, pair: Pair) -> Pair:
    """Group by one or two keys, one of them perhaps computed, perhaps one an event time."""
    keys = [pl.col(name) for name in d.some([*pair.keys, *pair.instants[:1]])]
    if d.one([True, False, False]):
        keys.append((pl.col(d.one(pair.numbers)) > 0).alias(d.name()))
    aggs = aggregates(d, pair)
    return pair.then(
        f"group_by {keys} agg {aggs}",
        pair.stream.group_by(keys).agg(aggs),
        lambda f: f.group_by(keys).agg(aggs),
        ordered=False,
    )


def totalled(d: Drawn, pair: Pair) -> Pair:
    """Aggregate everything into one row."""
    aggs = aggregates(d, pair)
    return pair.then(
        f"select {aggs}", pair.stream.select(aggs), lambda f: f.select(aggs), ordered=False
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
        rows = assigned(query(seen), column, size, slide, offset)
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
    aggs = aggregates(d, replace(pair, ordered=False))
    there = pair.stream.filter(pl.col(column).is_not_null())
    make, assign = (ps.session, sessions) if kind == "session" else (ps.sliding, slides)
    stream = there.group_by(*keys, make(f"{length}s", on=column)).agg(aggs)
    mode = d.one([None, None, "changes"])
    if mode:
        stream = stream.emit(mode)
    final, query, now = not stream.is_changelog, pair.query, pair.now

    def run(seen: Seen) -> pl.LazyFrame:
        rows = query(seen).filter(pl.col(column).is_not_null())
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
    found = rows.sort(column).with_columns(number).group_by(*keys, "number")
    return found.agg(
        pl.col(column).min().alias("window_start"),
        (pl.col(column).max() + pl.duration(microseconds=gap)).alias("window_end"),
        *aggs,
    ).drop("number")


def slides(
    rows: pl.LazyFrame, column: str, size: int, keys: list[str], aggs: list[pl.Expr]
) -> pl.LazyFrame:
    """Join each row with the rows up to ``size`` before it."""
    each = rows.select(*keys, pl.col(column).alias("at")).with_row_index("number")
    pairs = each.join(rows, on=keys, nulls_equal=True) if keys else each.join(rows, how="cross")
    behind = (pl.col("at") - pl.col(column)).dt.total_microseconds()
    near = pairs.filter((behind >= 0) & (behind < size))
    found = near.group_by("number", *keys, "at").agg(aggs)
    start = (pl.col("at") - pl.duration(microseconds=size)).alias("window_start")
    found = found.with_columns(start, pl.col("at").alias("window_end"))
    names = [agg.meta.output_name() for agg in aggs]
    return found.select(*keys, "window_start", "window_end", *names)


def best(d: Drawn, pair: Pair) -> Pair:
    """Keep the first rows of an order on all columns, of all rows or of each key."""
    names = pair.keys + pair.instants
    k, largest = d.one([1, 2, 3]), d.one([True, False])
    first = d.one(names)
    by = [first, *(n for n in names if n != first)]
    pair = pair.then(f"select {names}", pair.stream.select(names), lambda f: f.select(names))
    keys = d.draw(st.lists(st.sampled_from(pair.keys), unique=True, max_size=1))
    stream = (pair.stream.top_k if largest else pair.stream.bottom_k)(k, by=by, group_by=keys)

    def change(rows: pl.LazyFrame) -> pl.LazyFrame:
        ordered = rows.sort(by, descending=largest, nulls_last=True)
        return ordered.group_by(keys).head(k).select(names) if keys else ordered.head(k)

    text = f"{'top' if largest else 'bottom'} {k} by {by} in {keys}"
    return pair.then(text, stream, change, ordered=False)


def limited(d: Drawn, pair: Pair) -> Pair:
    """Keep the first rows that arrive."""
    if not pair.ordered:
        return pair
    count = d.one([0, 1, 3])
    return pair.then(f"limit {count}", pair.stream.limit(count), lambda f: f.head(count))


def joined_near(d: Drawn, pair: Pair) -> Pair:
    """Join rows whose times are near; what is unmatched is modelled at the end only."""
    other = pipeline(d, d.one([0, 1]))
    if d.joins >= 2 or not pair.instants or not other.instants:
        return pair
    left, right = same_typed(d, pair, other)
    if left is None or right is None:
        return pair
    d.joins += 1
    here, there = d.one(pair.instants), d.one(other.instants)
    lower, upper = d.one([(-2, 2), (0, 3), (-4, -1), (0, 0)])
    how, suffix, mark = d.one(["inner", "inner", "left", "anti", "semi"]), f"_{d.name()}", d.name()
    if {here, there} & {*left, *right}:
        return pair
    stream = pair.stream.join_interval(
        other.stream,
        how=how,
        left_on=left,
        right_on=right,
        left_time=here,
        right_time=there,
        lower=f"{lower}s",
        upper=f"{upper}s",
        suffix=suffix,
    )
    one, two = pair.query, other.query
    theirs = there + suffix if there in pair.stream.columns else there

    def run(seen: Seen) -> pl.LazyFrame:
        rows = one(seen).with_row_index(mark)
        pairs = rows.join(two(seen), left_on=left, right_on=right, suffix=suffix)
        ahead = (pl.col(theirs) - pl.col(here)).dt.total_seconds()
        pairs = pairs.filter((ahead >= lower) & (ahead <= upper))
        if how == "inner":
            return pairs.drop(mark)
        lonely = rows.join(pairs, on=mark, how="anti")
        if how == "semi":
            return rows.join(pairs, on=mark, how="semi").drop(mark)
        if how == "anti":
            return lonely.drop(mark)
        return pl.concat([pairs, lonely], how="diagonal").drop(mark)

    return Pair(
        stream,
        run,
        pair.bases | other.bases,
        ordered=False,
        at_end=pair.at_end or other.at_end or (how in ("left", "anti") and not stream.is_changelog),
        steps=(
            *pair.steps,
            f"near {how} {left}={right} {here}~{there} {lower}..{upper} ({' | '.join(other.steps)})",
        ),
        mixed=True,
    )


def distinct(d: Drawn, pair: Pair) -> Pair:
    """Keep distinct rows."""
    ways = ["rows", "none"]
    if pair.ordered:
        ways += ["first", "last"]
    way = d.one(ways)
    if way == "rows":
        names = pair.keys + pair.instants
        subset = None if set(names) == set(pair.stream.columns) else names
        if subset is not None:
            pair = pair.then(
                f"select {names}", pair.stream.select(names), lambda f: f.select(names)
            )
        return pair.then("unique", pair.stream.unique(), lambda f: f.unique(), ordered=False)
    subset = d.some(pair.keys)
    return pair.then(
        f"unique {subset} keep {way}",
        pair.stream.unique(subset, keep=way),
        lambda f: f.unique(subset, keep=way, maintain_order=True),
    )


def over(d: Drawn, pair: Pair) -> Pair:
    """Look at the other rows of a key."""
    keys = d.some(pair.keys)
    name = pl.col(d.one(pair.numbers))
    if d.one([True, False]):
        wanted = d.one([name == name.max().over(keys), pl.len().over(keys) > 1])
        return pair.then(
            f"filter {wanted}",
            pair.stream.filter(wanted),
            lambda f: f.filter(wanted),
            ordered=False,
        )
    exact = d.one([True, False])
    expr = (
        d.one([name.sum().over(keys), name.rank("min").over(keys), pl.len().over(keys) - name])
        if exact
        else (name - name.mean()).over(keys)
    ).alias(d.name(exact=exact))
    return pair.then(
        f"with_columns {expr}",
        pair.stream.with_columns(expr),
        lambda f: f.with_columns(expr),
        ordered=False,
    )


def running(d: Drawn, pair: Pair) -> Pair:
    """Sum up in order of arrival."""
    if not pair.ordered:
        return pair
    column = pl.col(d.one(pair.numbers)).fill_null(0).fill_nan(0)
    plain, by = column.cum_sum(), d.one(pair.keys)
    expr = d.one([plain, plain.over(by), pl.col(by).shift(1), column.cum_max().over(by)])
    expr = expr.alias(d.name())
    return pair.then(
        f"with_columns {expr}",
        pair.stream.with_columns(expr),
        lambda f: f.with_columns(expr),
        ordered=False,
    )


def joined(d: Drawn, pair: Pair) -> Pair:
    """Join with another small pipeline, or with itself."""
    if d.joins >= 2:
        return pair
    d.joins += 1
    other = pair if d.one([True, False, False, False]) else pipeline(d, d.one([0, 1, 2]))
    how = d.one(["inner", "inner", "left", "right", "full", "semi", "anti", "cross"])
    suffix = f"_{d.name()}"
    left, right = same_typed(d, pair, other)
    if how != "cross" and left is None:
        return pair
    on: dict[str, Any] = {} if how == "cross" else {"left_on": left, "right_on": right}
    nulls_equal = how != "cross" and d.one([False, False, True])
    stream = pair.stream.join(other.stream, how=how, suffix=suffix, nulls_equal=nulls_equal, **on)
    one, two = pair.query, other.query

    def run(seen: Seen) -> pl.LazyFrame:
        return one(seen).join(two(seen), how=how, suffix=suffix, nulls_equal=nulls_equal, **on)

    text = f"join {how} {on} nulls_equal={nulls_equal} ({' | '.join(other.steps)})"
    return Pair(
        stream,
        run,
        pair.bases | other.bases,
        ordered=False,
        at_end=pair.at_end or other.at_end,
        steps=(*pair.steps, text),
        mixed=pair.mixed or other.mixed,
    )


def same_typed(d: Drawn, pair: Pair, other: Pair) -> tuple[list[str] | None, list[str] | None]:
    """Draw key columns of the same types."""
    matches = [
        (a, b)
        for a in pair.keys + pair.instants
        for b in other.keys + other.instants
        if pair.stream.schema[a] == other.stream.schema[b]
    ]
    if not matches:
        return None, None
    found = d.some(matches)
    if len({a for a, _ in found}) < len(found) or len({b for _, b in found}) < len(found):
        found = found[:1]
    return [a for a, _ in found], [b for _, b in found]


def united(d: Drawn, pair: Pair) -> Pair:
    """Put together with another pipeline's columns of the same types, or with itself."""
    if d.one([True, False]):
        other = filtered(d, pair)
    else:
        other = pipeline(d, d.one([0, 1]))
    taken: dict[str, str] = {}
    for name, dtype in pair.stream.schema.items():
        same = [
            c
            for c, t in other.stream.schema.items()
            if t == dtype and c not in taken.values() and c.startswith("x") == name.startswith("x")
        ]
        if same:
            taken[name] = name if name in same else same[0]
    if not any(name in pair.numbers for name in taken):
        return pair
    left = [pl.col(name) for name in taken]
    right = [pl.col(source).alias(name) for name, source in taken.items()]
    stream = ps.concat([pair.stream.select(left), other.stream.select(right)])
    one, two = pair.query, other.query

    def run(seen: Seen) -> pl.LazyFrame:
        return pl.concat([one(seen).select(left), two(seen).select(right)])

    return Pair(
        stream,
        run,
        pair.bases | other.bases,
        ordered=False,
        at_end=pair.at_end or other.at_end,
        steps=(*pair.steps, f"union ({' | '.join(other.steps)})"),
        mixed=pair.mixed or other.mixed or any(a != b for a, b in taken.items()),
    )


def held_back(d: Drawn, pair: Pair) -> Pair:
    """Emit once; which rows are out before the end is not modelled."""
    return pair.then(
        "emit final", pair.stream.emit("final"), lambda f: f, at_end=True, ordered=False
    )


STEPS = [
    filtered,
    with_columns,
    selected,
    moved,
    filled,
    grouped,
    grouped,
    totalled,
    windowed,
    windowed,
    windowed,
    session,
    sliding,
    best,
    limited,
    joined_near,
    distinct,
    over,
    running,
    joined,
    joined,
    united,
    held_back,
]


def pipeline(d: Drawn, length: int) -> Pair:
    """Draw a source and steps after it."""
    pair = d.base()
    for _ in range(length):
        if not pair.numbers:
            break
        pair = d.one(STEPS)(d, pair)
    return pair


def bases(d_lateness: int, script: Script) -> tuple[list[Pair], dict[str, Clock]]:
    """Return the sources: with a watermark, without one, and two read together."""
    streams = {
        name: scripted(name, SCHEMA, partitioned=count > 1)
        for name, count in script.partitions.items()
    }

    def timed(stream: Stream) -> Stream:
        return stream.with_watermark("ts", f"{d_lateness}s", idle_timeout=None, max_ahead=None)

    made = {
        "a": (timed(streams["a"]), Clock(("a",), d_lateness)),
        "b": (timed(streams["b"]), Clock(("b",), d_lateness)),
        "a+b": (
            timed(ps.concat([streams["a"], streams["b"]])),
            Clock(("a", "b"), d_lateness),
        ),
        "c": (streams["c"], Clock(("c",), -1)),
    }

    def pair(name: str, stream: Stream) -> Pair:
        return Pair(
            stream,
            lambda seen: seen.rows[name].lazy(),
            frozenset([name]),
            ordered=True,
            steps=(name,),
        )

    pairs = [pair(name, stream) for name, (stream, _) in made.items()]
    return pairs, {name: clock for name, (_, clock) in made.items()}


@st.composite
def pipelines(draw: st.DrawFn, script: Script) -> tuple[Pair, dict[str, Clock]]:
    """Draw a pipeline of two to five steps over the sources of a script."""
    pairs, clocks = bases(draw(st.sampled_from([0, 0, 2, 5])), script)
    drawn = Drawn(draw, pairs)
    return pipeline(drawn, draw(st.integers(2, 5))), clocks
