"""Steps that look at one row, or make several of one."""

from __future__ import annotations

import polars as pl
from hypothesis import strategies as st

from .pairs import Drawn, Pair, computed, predicate


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
    if pair.instants and d.maybe():
        exprs.append(pl.col(d.one(pair.instants)).alias(d.name()))
    return pair.then(f"select {exprs}", pair.stream.select(exprs), lambda f: f.select(exprs))


def moved(d: Drawn, pair: Pair) -> Pair:
    """Write over the event time, by a later or earlier one."""
    if not pair.instants:
        return pair
    name = d.one(pair.instants)
    expr = (pl.col(name) + pl.duration(seconds=d.one([-5, 3]))).alias(name)
    stream = pair.stream.with_columns(expr)
    return pair.then(f"move {name}", stream, lambda f: f.with_columns(expr), mixed=True)


def rounded(d: Drawn, pair: Pair) -> Pair:
    """Round a time, perhaps in place: what is known of it is carried through."""
    if not pair.instants:
        return pair
    column, every = pl.col(d.one(pair.instants)), d.one(["2s", "5s", "1m", "1mo"])
    expr = d.one([column.dt.truncate(every), column.dt.truncate("3s"), column.dt.round("4s")])
    if d.maybe():
        expr = expr.alias(d.name())
    stream = pair.stream.with_columns(expr)
    return pair.then(f"round {expr}", stream, lambda f: f.with_columns(expr), mixed=True)


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


def lists(d: Drawn, pair: Pair) -> tuple[pl.Expr, pl.Expr]:
    """Draw two list columns that are equally long in each row."""
    column = pl.col(d.one(pair.numbers))
    other = pl.col(d.one(pair.numbers))
    wanted = predicate(d, pair)
    pairs = [
        (pl.concat_list(column, column + 1), pl.concat_list(other, other)),
        (pl.when(wanted).then(pl.concat_list(column)), pl.when(wanted).then(pl.concat_list(other))),
        (pl.concat_list(column).list.drop_nulls(), pl.concat_list(column).list.drop_nulls() * 2),
    ]
    texts = pair.columns(pl.String)
    if texts:
        text = pl.col(d.one(texts))
        pairs.append((text.str.split("x"), text.str.split("x")))
    one, two = d.one(pairs)
    return one.alias(d.name()), two.alias(d.name())


def exploded(d: Drawn, pair: Pair) -> Pair:
    """Make a row of each element of one list column, or of two; perhaps of one that is there."""
    there = [name for name, dtype in pair.stream.schema.items() if isinstance(dtype, pl.List)]
    if there and d.maybe():
        name = d.one(there)
        return pair.then(f"explode {name}", pair.stream.explode(name), lambda f: f.explode(name))
    both = lists(d, pair)[: d.one([1, 1, 2])]
    names = [expr.meta.output_name() for expr in both]
    pair = pair.then(
        f"with_columns {both}", pair.stream.with_columns(both), lambda f: f.with_columns(both)
    )
    if d.one([True, True, True, False]):
        text = f"explode {names}"
        pair = pair.then(text, pair.stream.explode(names), lambda f: f.explode(names))
    return pair


def unnested(d: Drawn, pair: Pair) -> Pair:
    """Put columns into a struct, which may be null, and take them out again."""
    name, inner = d.name(), [d.name(), d.name()]
    fields = [
        pl.col(d.one(pair.keys + pair.instants)).alias(inner[0]),
        computed(d, pair).alias(inner[1]),
    ]
    struct = pl.struct(fields)
    if d.one([True, False]):
        struct = pl.when(predicate(d, pair)).then(struct)
    struct = struct.alias(name)
    pair = pair.then(
        f"with_columns {struct}", pair.stream.with_columns(struct), lambda f: f.with_columns(struct)
    )
    return pair.then(f"unnest {name}", pair.stream.unnest(name), lambda f: f.unnest(name))


def indexed(d: Drawn, pair: Pair) -> Pair:
    """Number the rows in order of arrival."""
    if not pair.ordered:
        return pair
    name, offset = d.name(), d.one([0, 0, 3])
    return pair.then(
        f"with_row_index {name} {offset}",
        pair.stream.with_row_index(name, offset),
        lambda f: f.with_row_index(name, offset),
    )
