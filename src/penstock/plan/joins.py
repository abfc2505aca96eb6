"""Steps that put the rows of two streams together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from penstock.errors import PlanError
from penstock.plan.bounds import carried_bound
from penstock.plan.expressions.tree import first_line
from penstock.plan.lapses import Lapse, lapses
from penstock.plan.node import Node
from penstock.plan.properties import Properties, TimeBound, joint_bound

HOWS = ("inner", "left", "right", "full", "semi", "anti", "cross")

Column = tuple[str, str | None, str | None]
"""Name of an output column and the column of the left and of the right side it comes from."""


def common_type(left: pl.DataType, right: pl.DataType) -> pl.DataType | None:
    """Return the type that Polars joins two key types in; None if it refuses."""
    if left == right:
        return left
    frames = [pl.LazyFrame(schema={"key": dtype}) for dtype in (left, right)]
    try:
        frames[0].join(frames[1], on="key").collect_schema()
        return pl.concat([f.collect() for f in frames], how="vertical_relaxed").schema["key"]
    except pl.exceptions.PolarsError:
        return None


def is_plain(dtype: pl.DataType) -> bool:
    """Tell whether values of a type are joined alike by Polars and by hash."""
    return not dtype.is_nested() and dtype not in (pl.Object, pl.Null)


def key_types(
    step: str, left: Node, left_on: Sequence[pl.Expr], right: Node, right_on: Sequence[pl.Expr]
) -> tuple[pl.DataType, ...]:
    """Return the type that each pair of keys is compared in; refuses pairs that have none."""
    if len(left_on) != len(right_on):
        raise PlanError(
            f"{len(left_on)} keys on the left, {len(right_on)} on the right",
            step=step,
            hint="give as many on each side",
        )
    found = []
    for one, two in zip(left_on, right_on, strict=True):
        types = [
            pl.LazyFrame(schema=node.schema).select(key).collect_schema().dtypes()[0]
            for node, key in ((left, one), (right, two))
        ]
        common = common_type(*types)
        if common is None:
            names = [expr.meta.output_name() for expr in (one, two)]
            raise PlanError(
                f"key {names[0]!r} is {types[0]} on the left, "
                f"{names[1]!r} is {types[1]} on the right",
                step=step,
                hint=f'cast one of them, e.g. pl.col("{names[1]}").cast(pl.{types[0]!r})',
            )
        found.append(common)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Layout:
    """The output columns of a join as Polars orders and names them, and where each comes from."""

    columns: tuple[Column, ...]
    schema: pl.Schema

    @property
    def left(self) -> dict[str, str]:
        """Column of the left side -> output column."""
        return {left: name for name, left, _ in self.columns if left is not None}

    @property
    def right(self) -> dict[str, str]:
        """Column of the right side -> output column."""
        return {right: name for name, _, right in self.columns if right is not None}


def layout(
    step: str,
    left: pl.Schema,
    right: pl.Schema,
    how: str,
    keys: Sequence[tuple[pl.Expr, pl.Expr]],
    *,
    suffix: str,
    coalesce: bool | None,
) -> Layout:
    """Derive the columns of a join; the types and names are those Polars gives for empty frames."""
    if how in ("semi", "anti"):
        return Layout(tuple((name, name, None) for name in left), left)
    merged = _merged_keys(how, keys, coalesce=coalesce)
    dropped_left = {one for one, _ in merged} if how == "right" else set()
    dropped_right = {two for _, two in merged} if how != "right" else set()
    partner = dict(merged) if how == "full" else {}
    columns: list[Column] = [(c, c, partner.get(c)) for c in left if c not in dropped_left]
    taken = {name for name, _, _ in columns}
    columns += [(c + suffix if c in taken else c, None, c) for c in right if c not in dropped_right]
    schema = _polars_schema(step, left, right, how, keys, suffix=suffix, coalesce=bool(merged))
    names = [name for name, _, _ in columns]
    assert names == schema.names(), f"Polars gives {schema.names()}, not {names}"
    return Layout(tuple(columns), schema)


def _merged_keys(
    how: str, keys: Sequence[tuple[pl.Expr, pl.Expr]], *, coalesce: bool | None
) -> list[tuple[str, str]]:
    """Return the pairs of key columns of which the output has one."""
    wanted = how in ("inner", "left", "right") if coalesce is None else coalesce
    if not wanted or not all(one.meta.is_column() and two.meta.is_column() for one, two in keys):
        return []
    return [(one.meta.output_name(), two.meta.output_name()) for one, two in keys]


def _polars_schema(
    step: str,
    left: pl.Schema,
    right: pl.Schema,
    how: str,
    keys: Sequence[tuple[pl.Expr, pl.Expr]],
    *,
    suffix: str,
    coalesce: bool,
) -> pl.Schema:
    one, two = pl.LazyFrame(schema=left), pl.LazyFrame(schema=right)
    try:
        if how == "cross" or not keys:
            return one.join(two, how="cross", suffix=suffix).collect_schema()
        return one.join(
            two,
            left_on=[k for k, _ in keys],
            right_on=[k for _, k in keys],
            how=how,  # type: ignore[arg-type]
            suffix=suffix,
            coalesce=coalesce,
        ).collect_schema()
    except pl.exceptions.DuplicateError as error:
        raise PlanError(
            first_line(error), step=step, value=suffix, hint="choose another suffix="
        ) from error


@dataclass(frozen=True, eq=False, kw_only=True)
class Join(Node):
    """Rows of two streams with equal keys; ``condition`` is over the output of an inner join."""

    left: Node
    right: Node
    left_on: tuple[pl.Expr, ...] = ()
    right_on: tuple[pl.Expr, ...] = ()
    how: str = "inner"
    suffix: str = "_right"
    nulls_equal: bool = False
    coalesce: bool | None = None
    condition: pl.Expr | None = None
    ttl_ns: int | None = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """Left and right."""
        return (self.left, self.right)

    @property
    def pairs(self) -> list[tuple[pl.Expr, pl.Expr]]:
        """The keys, left and right."""
        return list(zip(self.left_on, self.right_on, strict=True))

    @property
    def columns(self) -> Layout:
        """The output columns."""
        return layout(
            "join",
            self.left.schema,
            self.right.schema,
            self.how,
            self.pairs,
            suffix=self.suffix,
            coalesce=self.coalesce,
        )

    @property
    def types(self) -> tuple[pl.DataType, ...]:
        """The types that the keys are compared in."""
        return key_types("join", self.left, self.left_on, self.right, self.right_on)

    @property
    def key_bound(self) -> tuple[int, TimeBound] | None:
        """The number of a key that the watermark bounds on both sides, and the bound."""
        for number, (one, two) in enumerate(self.pairs):
            left = carried_bound(one, self.left.schema, self.left.properties.times)
            right = carried_bound(two, self.right.schema, self.right.properties.times)
            bound = None if left is None or right is None else joint_bound(left, right)
            if bound is not None:
                return number, bound
        return None

    @property
    def lapses(self) -> tuple[Lapse, Lapse] | None:
        """When the rows of either side can find no further match, if the condition tells for both.

        Of append-only sides and plain keys only: all else is kept as if there were no condition.
        """
        left, right = self.left, self.right
        changing = left.properties.changelog or right.properties.changelog
        if self.condition is None or self.how != "inner" or not self.left_on or changing:
            return None
        if self.ttl_ns is not None or self.nulls_equal or not all(map(is_plain, self.types)):
            return None
        found = self.columns
        one, two = lapses(self.condition, (left, right), (found.left, found.right))
        return None if one is None or two is None else (one, two)

    @property
    def unbounded_state(self) -> str | None:
        """What is kept that neither the watermark nor a time to live frees."""
        freed = self.ttl_ns is not None or self.key_bound is not None or self.lapses is not None
        return None if freed else "all rows of both sides"

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Join empty frames as Polars does."""
        _ = self.types
        found = self.columns
        left, right = self.left.properties, self.right.properties
        grows = self.how in ("inner", "cross", "semi")
        times = self._times(found)
        events = (found.left.get(left.event_time or ""), found.right.get(right.event_time or ""))
        return found.schema, Properties(
            changelog=left.changelog or right.changelog or not grows,
            keys=unique_keys(self.how, self.pairs, left, right, found),
            times=times,
            event_time=next((name for name in events if name in times), None),
            bounded=left.bounded and right.bounded,
        )

    def _times(self, found: Layout) -> Mapping[str, TimeBound]:
        """Keys bounded on both sides are bounded in the output, where padding cannot null them."""
        times: dict[str, TimeBound] = {}
        for one, two in self.pairs:
            if not (one.meta.is_column() and two.meta.is_column()):
                continue
            a, b = one.meta.output_name(), two.meta.output_name()
            bounds = self.left.properties.times.get(a), self.right.properties.times.get(b)
            if bounds[0] is None or bounds[1] is None:
                continue
            bound = joint_bound(bounds[0], bounds[1])
            if bound is None:
                continue
            for name, left, right in found.columns:
                of_left = left == a and self.how not in ("right", "full")
                of_right = right == b and self.how not in ("left", "full")
                if of_left or of_right or (left == a and right == b):
                    times[name] = bound
        return times

    def describe(self) -> str:
        """Show how, and the keys."""
        keys = ", ".join(f"{_text(one)} = {_text(two)}" for one, two in self.pairs)
        where = f" where {_text(self.condition)}" if self.condition is not None else ""
        return f"Join {self.how} on [{keys}]{where}"


def unique_keys(
    how: str,
    pairs: Sequence[tuple[pl.Expr, pl.Expr]],
    left: Properties,
    right: Properties,
    found: Layout,
) -> tuple[tuple[str, ...], ...]:
    """Return the column sets on which the output is unique."""
    if how in ("semi", "anti"):
        return left.keys
    left_on = [one.meta.output_name() for one, _ in pairs if one.meta.is_column()]
    right_on = [two.meta.output_name() for _, two in pairs if two.meta.is_column()]
    of_left, of_right = dict(found.left), dict(found.right)
    for one, two in pairs:
        if how in ("inner", "left") and one.meta.is_column() and two.meta.is_column():
            of_right.setdefault(two.meta.output_name(), of_left[one.meta.output_name()])
        if how == "right" and one.meta.is_column() and two.meta.is_column():
            of_left.setdefault(one.meta.output_name(), of_right[two.meta.output_name()])
    lefts = [tuple(of_left[c] for c in key) for key in left.keys if set(key) <= set(of_left)]
    rights = [tuple(of_right[c] for c in key) for key in right.keys if set(key) <= set(of_right)]
    keys: list[tuple[str, ...]] = []
    if how in ("inner", "left") and right.unique_on(right_on):
        keys += lefts
    if how in ("inner", "right") and left.unique_on(left_on):
        keys += rights
    if not keys and how != "full":
        keys += [tuple(dict.fromkeys((*a, *b))) for a in lefts for b in rights]
    return tuple(dict.fromkeys(keys))


def _text(expr: pl.Expr) -> str:
    return str(expr).replace("\n", " ")
