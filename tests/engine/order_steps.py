"""Steps about the order of rows, and about the other rows of a key."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import strategies as st

from .pairs import Drawn, Pair


def best(d: Drawn, pair: Pair) -> Pair:
    """Keep the first rows of an order, of all rows or of each key; perhaps with their rank."""
    names = pair.keys + pair.instants
    k, largest = d.one([1, 2, 3]), d.one([True, False])
    keys = d.draw(st.lists(st.sampled_from(pair.keys), unique=True, max_size=1))
    if pair.sequenced and d.one([True, True, False]):
        by = d.some(names, 2)
    else:
        first = d.one(names)
        by = [first, *(n for n in names if n != first)]
        pair = pair.then(f"select {names}", pair.stream.select(names), lambda f: f.select(names))
    reverse = [d.one([False, False, True]) for _ in by]
    rank = d.one([None, None, d.name()])
    verb = pair.stream.top_k if largest else pair.stream.bottom_k
    stream = verb(k, by=by, reverse=reverse, group_by=keys, rank=rank)
    down = [largest != flag for flag in reverse]

    def change(rows: pl.LazyFrame) -> pl.LazyFrame:
        rows = pair.sequence(rows).sort(by, descending=down, nulls_last=True, maintain_order=True)
        place = pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
        found = rows.with_columns((place.over(keys) if keys else place).alias(rank or "place"))
        found = found.filter(pl.col(rank or "place") <= k)
        return found if rank else found.drop("place")

    text = f"{'top' if largest else 'bottom'} {k} by {by} {reverse} in {keys} rank {rank}"
    return pair.then(text, stream, change, ordered=False)


def sorted_first(d: Drawn, pair: Pair) -> Pair:
    """Sort, and keep the first rows."""
    if not pair.sequenced:
        return pair
    by = d.some(pair.keys + pair.instants, 2)
    down, last = ([d.one([True, False]) for _ in by] for _ in range(2))
    n = d.one([1, 2, 4])
    return pair.then(
        f"sort {by} {down} {last} limit {n}",
        pair.stream.sort(by, descending=down, nulls_last=last).limit(n),
        lambda f: (
            pair.sequence(f).sort(by, descending=down, nulls_last=last, maintain_order=True).head(n)
        ),
        ordered=False,
    )


def limited(d: Drawn, pair: Pair) -> Pair:
    """Keep the first rows that arrive."""
    if not pair.ordered:
        return pair
    count = d.one([0, 1, 3])
    return pair.then(f"limit {count}", pair.stream.limit(count), lambda f: f.head(count))


def distinct(d: Drawn, pair: Pair) -> Pair:
    """Keep distinct rows."""
    ways: list[Any] = ["rows", "none"]
    if pair.sequenced:
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
        lambda f: pair.sequence(f).unique(subset, keep=way, maintain_order=True),
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
    exact = d.one([True, True, False])
    options = [name.sum().over(keys), name.rank("min").over(keys), pl.len().over(keys) - name]
    if not any(dtype.is_nested() for dtype in pair.stream.schema.dtypes()):
        order = [d.one(pair.keys + pair.instants)]
        exactly = [n for n in pair.stream.columns if not n.startswith("x")]
        order += [n for n in exactly if n not in order]
        options += [
            name.shift(1).over(keys, order_by=order),
            name.shift(-1).over(keys, order_by=order),
            name.cum_sum().over(keys, order_by=order),
        ]
    if pair.sequenced:
        options += [
            name.first().over(keys),
            name.last().over(keys),
            name.shift(-1).over(keys),
            name.rank("ordinal").over(keys),
            pl.int_range(pl.len(), dtype=pl.Int64).reverse().over(keys),
        ]
    expr = d.one(options) if exact else (name - name.mean()).over(keys)
    expr = expr.alias(d.name(exact=exact))
    return pair.then(
        f"with_columns {expr}",
        pair.stream.with_columns(expr),
        lambda f: pair.sequence(f).with_columns(expr),
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
    )


def held_back(d: Drawn, pair: Pair) -> Pair:
    """Emit once; which rows are out before the end is not modelled."""
    return pair.then(
        "emit final", pair.stream.emit("final"), lambda f: f, at_end=True, ordered=False
    )
