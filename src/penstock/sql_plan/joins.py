"""Joins of FROM items: which are joined in which order, and by what keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl
from sqlglot import exp

from penstock.plan.expressions import Shape, classify, is_deterministic
from penstock.scans import concat
from penstock.sql_plan.binding import columns_in, is_query, parts
from penstock.sql_plan.clock import reads_clock
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.near_joins import joined_near, near
from penstock.sql_plan.now_filters import kept
from penstock.sql_plan.relations import Relation
from penstock.sql_plan.values import aligned
from penstock.sql_plan.window_groups import require_grouped
from penstock.stream import Stream


@dataclass(frozen=True, slots=True)
class Condition:
    """A bound part of a condition, with the columns it reads."""

    node: exp.Expr
    columns: frozenset[str]
    plain: bool
    """Whether it holds no query."""


@dataclass(frozen=True, slots=True)
class Key:
    """An equality between two relations; ``safe``: nulls are equal to each other."""

    left: pl.Expr
    right: pl.Expr
    safe: bool
    condition: Condition | None = None


def condition(node: exp.Expr) -> Condition:
    """Return a bound part of a condition."""
    plain = not any(is_query(part) or "query" in part.args for part in parts(node))
    return Condition(node, frozenset(columns_in(node)), plain)


def gather(pieces: list[Relation], conditions: list[Condition]) -> tuple[Relation, list[Condition]]:
    """Join pieces into one; returns it and the conditions that still have to be applied.

    Conditions on one piece filter it first; pieces that an equality connects are joined before
    others, in the order they were written.
    """
    plain = [c for c in conditions if c.plain]
    rest = [c for c in conditions if not c.plain]
    used = [c for c in plain if any(c.columns <= piece.columns for piece in pieces)]
    waiting = [c for c in plain if c not in used]
    result, *others = [_filtered(piece, used) for piece in pieces]
    while others:
        following = next((p for p in others if keys_between(result, p, waiting)), others[0])
        others.remove(following)
        here = [c for c in waiting if c.columns <= result.columns | following.columns]
        result = inner(result, following, here)
        waiting = [c for c in waiting if c not in here]
    return result, rest + waiting


def _filtered(piece: Relation, conditions: Sequence[Condition]) -> Relation:
    return kept(piece, [c.node for c in conditions if c.columns <= piece.columns])


def keys_between(left: Relation, right: Relation, conditions: Sequence[Condition]) -> list[Key]:
    """Return the equalities between the two sides, each side brought to one type."""
    found = [_key(left, right, item) for item in conditions]
    return [key for key in found if key is not None]


def _key(left: Relation, right: Relation, item: Condition) -> Key | None:
    node = item.node
    if not isinstance(node, (exp.EQ, exp.NullSafeEQ)) or reads_clock(node):
        return None
    one, two = columns_in(node.this), columns_in(node.expression)
    if not (one and two):
        return None
    pair = (node.this, node.expression)
    if two <= left.columns and one <= right.columns:
        pair = (node.expression, node.this)
    elif not (one <= left.columns and two <= right.columns):
        return None
    a = scalars_over(left.stream.schema).value(pair[0])
    b = scalars_over(right.stream.schema).value(pair[1])
    same = aligned(a, b)
    if same is None:
        raise refuse(node, f"cannot compare {a.dtype} and {b.dtype}")
    return Key(same[0].expr, same[1].expr, isinstance(node, exp.NullSafeEQ), item)


def joined(left: Stream, right: Stream, how: str, keys: Sequence[Key]) -> Stream:
    """Join two streams on keys of both kinds: where some are null-safe, nulls of the others go."""
    keys = _once(keys)
    safe = any(key.safe for key in keys)
    if safe:
        strict = [key.right.is_not_null() for key in keys if not key.safe]
        right = right.filter(*strict) if strict else right
    left, left_on, more = _distinct_keys(left, [key.left for key in keys])
    right, right_on, others = _distinct_keys(right, [key.right for key in keys])
    half = how in ("semi", "anti")
    found = left.join(
        right,
        left_on=left_on,
        right_on=right_on,
        how=how,
        nulls_equal=safe,
        coalesce=None if half else False,
    )
    extra = more if half else [*more, *others]
    return found.drop(extra) if extra else found


def _once(keys: Sequence[Key]) -> list[Key]:
    """Leave out what is said again; of two that differ in nulls the one stays that passes fewer."""
    kept: list[Key] = []
    for key in keys:
        same = (k.left.meta.eq(key.left) and k.right.meta.eq(key.right) for k in kept)
        at = next((i for i, found in enumerate(same) if found), None)
        if at is None:
            kept.append(key)
        elif kept[at].safe:
            kept[at] = key
    return kept


def _distinct_keys(side: Stream, keys: list[pl.Expr]) -> tuple[Stream, list[pl.Expr], list[str]]:
    """Return keys that Polars takes, and the columns added for them, which are dropped again.

    It joins on a column once, and on no expression that names a part of itself.
    """
    on: list[pl.Expr] = []
    copies: dict[str, pl.Expr] = {}
    for key in keys:
        name = key.meta.output_name()
        renames = not key.meta.eq(key.meta.undo_aliases())
        if renames or any(name == other.meta.output_name() for other in on):
            copy = f"{name}#{len(copies) + 1} again"
            copies[copy] = key
            key = pl.col(copy)
        on.append(key)
    return (side.with_columns(**copies) if copies else side), on, list(copies)


def inner(left: Relation, right: Relation, conditions: Sequence[Condition]) -> Relation:
    """Join two relations on conditions."""
    keys = keys_between(left, right, conditions)
    taken = [key.condition for key in keys]
    schema = pl.Schema({**left.stream.schema, **right.stream.schema})
    scalars = scalars_over(schema)
    rest = [c.node for c in conditions if c not in taken]
    timed = [node for node in rest if reads_clock(node)]
    rest = [node for node in rest if node not in timed]
    close = near(left, right, rest) if keys and not any(key.safe for key in keys) else None
    predicates = [
        scalars.predicate(node) for node in rest if close is None or node is not close.node
    ]
    if close is not None:
        pairs = [(key.left, key.right) for key in keys]
        stream = joined_near(left.stream, right.stream, pairs, close)
        stream = stream.filter(*predicates) if predicates else stream
    elif keys and predicates and _folds(left.stream, right.stream, keys, predicates, schema):
        equal = [key.left == key.right for key in _once(keys)]
        stream = left.stream.join_where(right.stream, *equal, *predicates)
    elif keys:
        stream = joined(left.stream, right.stream, "inner", keys)
        stream = stream.filter(*predicates) if predicates else stream
    elif predicates:
        fixed = [p for p in predicates if not p.meta.root_names()]
        paired = [p for p in predicates if p.meta.root_names()]
        one = left.stream.filter(*fixed) if fixed else left.stream
        stream = (
            one.join_where(right.stream, *paired) if paired else one.join(right.stream, how="cross")
        )
    else:
        stream = left.stream.join(right.stream, how="cross")
    one_row = left.one_row and right.one_row
    return kept(replace(beside(left, right), stream=stream, one_row=one_row), timed)


def _folds(
    left: Stream,
    right: Stream,
    keys: Sequence[Key],
    predicates: Sequence[pl.Expr],
    schema: pl.Schema,
) -> bool:
    """Tell whether the rest of a condition may be tried in the join, which it may free state of.

    Not over changes, where a condition that fails or does not repeat itself has its own rules.
    """
    changing = left.node.properties.changelog or right.node.properties.changelog
    if changing or any(key.safe for key in keys):
        return False
    return all(
        is_deterministic(one) and classify(one, schema) is Shape.ELEMENTWISE for one in predicates
    )


def beside(left: Relation, right: Relation) -> Relation:
    """Return both sides' fields and outer values; the stream is still to come."""
    for side in (left, right):
        require_grouped(side, exp.Null())
    fields, keys = left.fields + right.fields, left.keys + right.keys
    return Relation(left.stream, fields, keys, left.domain or right.domain)


def outer(left: Relation, right: Relation, how: str, conditions: Sequence[Condition]) -> Relation:
    """Join two relations, keeping rows without a partner of the left, right or both sides.

    What is more than equalities is an inner join, and the rows of each side that have no part in
    it are added, padded with nulls.
    """
    keys = keys_between(left, right, conditions)
    if keys and len(keys) == len(conditions) and not any(key.safe for key in keys):
        stream = joined(left.stream, right.stream, how, keys)
        return replace(beside(left, right), stream=stream)
    matched = inner(left, right, conditions)
    whole = [matched.stream]
    for side, whole_side in ((left, how in ("left", "full")), (right, how in ("right", "full"))):
        if whole_side:
            whole.append(_padded(_unmatched(side, matched), matched.stream))
    return replace(matched, stream=concat(whole), one_row=False)


def _unmatched(side: Relation, matched: Relation) -> Stream:
    columns = side.stream.columns
    present = matched.stream.select(columns).unique()
    return side.stream.join(present, on=columns, how="anti", nulls_equal=True)


def _padded(stream: Stream, like: Stream) -> Stream:
    cells = [
        pl.col(name) if name in stream.schema else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in like.schema.items()
    ]
    return stream.select(cells)
