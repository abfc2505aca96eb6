"""Joins: ``join``, ``join_where``, ``join_asof`` and ``join_interval``."""

from __future__ import annotations

from typing import Any, Self

import polars as pl

from penstock.errors import PlanError
from penstock.instants import Duration, duration_ns, is_event_time
from penstock.plan.asof_joins import STRATEGIES, AsofJoin
from penstock.plan.expressions import Shape, as_exprs, classify
from penstock.plan.interval_joins import INTERVAL_HOWS, IntervalJoin
from penstock.plan.join_predicates import where_keys
from penstock.plan.joins import HOWS, Join
from penstock.plan.node import Node
from penstock.stream.base import StreamBase
from penstock.stream.bounds import lifetime_ns, row_limit


class JoinVerbs(StreamBase):
    """Verbs that put the rows of two streams together, as in Polars."""

    __slots__ = ()

    def join(
        self,
        other: StreamBase,
        on: Any = None,
        how: str = "inner",
        *,
        left_on: Any = None,
        right_on: Any = None,
        suffix: str = "_right",
        nulls_equal: bool = False,
        coalesce: bool | None = None,
        ttl: Duration | None = None,
    ) -> Self:
        """Join two streams on equal keys, names or row-wise expressions, as ``LazyFrame.join``.

        ``how``: inner, left, right, full, semi, anti or cross. Inner and semi joins of append-only
        streams are append-only; all others give changes: an unmatched row is emitted padded with
        nulls, and retracted when a match arrives. State: the rows of both sides, freed as the
        watermark passes a key column that it bounds on both sides (windows), else when nothing has
        touched their key for ``ttl``. Keys that are null match nothing unless ``nulls_equal``.

        >>> import penstock as ps, polars as pl
        >>> left = ps.scan_batches([pl.DataFrame({"k": [1, 2], "a": ["x", "y"]})])
        >>> right = ps.scan_batches([pl.DataFrame({"k": [2, 3], "b": [5, 6]})])
        >>> left.join(right, on="k").collect().rows()
        [(2, 'y', 5)]
        """
        _check_other("join", other)
        _check_choice("join", "how", how, HOWS)
        if how == "cross":
            if not (on is None and left_on is None and right_on is None):
                raise PlanError("a cross join has no keys", step="join", hint="leave out on=")
            left: tuple[pl.Expr, ...] = ()
            right: tuple[pl.Expr, ...] = ()
        else:
            left, right = self._key_pairs("join", other, on, left_on, right_on)
            if not left:
                raise PlanError(
                    "no keys given",
                    step="join",
                    hint='give on="name", left_on= and right_on=, or how="cross"',
                )
        return self._derived(
            Join,
            left=self._node,
            right=_other_node(other),
            left_on=left,
            right_on=right,
            how=how,
            suffix=suffix,
            nulls_equal=nulls_equal,
            coalesce=coalesce,
            ttl_ns=lifetime_ns(ttl, "join"),
        )

    def join_where(
        self,
        other: StreamBase,
        *predicates: Any,
        suffix: str = "_right",
        ttl: Duration | None = None,
    ) -> Self:
        """Join the pairs of rows for which all predicates are true, as ``LazyFrame.join_where``.

        Predicates name the columns of the output: the right's with ``suffix`` where the left has
        one of that name. Equalities between the two sides are used as keys; without one every pair
        is looked at. State as in an inner ``join``; less where comparisons of times with watermarks
        bound it, ``pl.col("ts").is_between("start", "until")``: append-only rows then go once none
        still to come can match them.

        >>> import penstock as ps, polars as pl
        >>> left = ps.scan_batches([pl.DataFrame({"a": [1, 5]})])
        >>> right = ps.scan_batches([pl.DataFrame({"b": [3]})])
        >>> left.join_where(right, pl.col("a") < pl.col("b")).collect().rows()
        [(1, 3)]
        """
        _check_other("join_where", other)
        found = where_keys(self._node, _other_node(other), as_exprs(*predicates), suffix)
        return self._derived(
            Join,
            left=self._node,
            right=_other_node(other),
            left_on=found.left,
            right_on=found.right,
            how="inner" if found.left else "cross",
            suffix=suffix,
            coalesce=False,
            condition=found.condition,
            ttl_ns=lifetime_ns(ttl, "join_where"),
        )

    def join_asof(
        self,
        other: StreamBase,
        *,
        on: str | pl.Expr | None = None,
        left_on: str | pl.Expr | None = None,
        right_on: str | pl.Expr | None = None,
        by: Any = None,
        by_left: Any = None,
        by_right: Any = None,
        strategy: str = "backward",
        tolerance: Duration | None = None,
        allow_exact_matches: bool = True,
        suffix: str = "_right",
        ttl: Duration | None = None,
        max_group_rows: int | None = None,
    ) -> Self:
        """Join each row with the other's last row at or before it, as ``LazyFrame.join_asof``.

        ``strategy``: backward, forward or nearest; ``by``: columns that must be equal; among right
        rows of equal time the order of arrival counts. The inputs need not be sorted. Append-only
        streams with watermarks on both times: each left row leaves once, when the watermarks have
        passed it and no right row still to come can be a better match; kept are the rows behind
        that, and the latest right row of each key (until ``tolerance`` or ``ttl``). Otherwise the
        rows of a touched key are joined afresh, and changes emitted.

        >>> import penstock as ps, polars as pl
        >>> trades = ps.scan_batches([pl.DataFrame({"t": [3, 7], "size": [10, 20]})])
        >>> quotes = ps.scan_batches([pl.DataFrame({"t": [2, 5], "price": [1.0, 2.0]})])
        >>> trades.join_asof(quotes, on="t").collect().sort("t").rows()
        [(3, 10, 1.0), (7, 20, 2.0)]
        """
        step = "join_asof"
        _check_other(step, other)
        _check_choice(step, "strategy", strategy, STRATEGIES)
        left, right = self._key_pairs(step, other, on, left_on, right_on)
        names = [_column_names(step, keys) for keys in (left, right)]
        if any(len(one) != 1 for one in names):
            raise PlanError("exactly one time column is needed", step=step, hint='give on="ts"')
        by_keys = self._key_pairs(step, other, by, by_left, by_right)
        return self._derived(
            AsofJoin,
            left=self._node,
            right=_other_node(other),
            left_on=names[0][0],
            right_on=names[1][0],
            by_left=_column_names(step, by_keys[0]),
            by_right=_column_names(step, by_keys[1]),
            strategy=strategy,
            tolerance=_tolerance(step, self.schema.get(names[0][0]), tolerance),
            allow_exact_matches=allow_exact_matches,
            suffix=suffix,
            ttl_ns=lifetime_ns(ttl, step),
            max_group_rows=row_limit(max_group_rows, step),
        )

    def join_interval(
        self,
        other: StreamBase,
        on: Any = None,
        how: str = "inner",
        *,
        lower: Duration,
        upper: Duration,
        left_on: Any = None,
        right_on: Any = None,
        left_time: str | None = None,
        right_time: str | None = None,
        suffix: str = "_right",
        ttl: Duration | None = None,
        max_group_rows: int | None = None,
    ) -> Self:
        """Join rows with equal keys whose right time is in ``[left + lower, left + upper]``.

        The times are the streams' event-time columns unless named; without keys all rows are
        compared. With watermarks on both the output of append-only streams is append-only: pairs
        leave at once, unmatched rows (left, right, full, anti) once, when the watermark of the
        other side has passed their interval; rows without further matches are freed. Otherwise
        unmatched rows come and go as changes, and ``ttl`` frees what was not touched for that long.

        >>> import penstock as ps, polars as pl
        >>> from datetime import datetime as at
        >>> left = ps.scan_batches([pl.DataFrame({"t": [at(2025, 1, 1, 0, 0, 9)]})])
        >>> right = ps.scan_batches([pl.DataFrame({"s": [at(2025, 1, 1, 0, 0, 7)]})])
        >>> near = left.join_interval(
        ...     right, left_time="t", right_time="s", lower="-5s", upper="5s"
        ... )
        >>> near.collect().height
        1
        """
        step = "join_interval"
        _check_other(step, other)
        _check_choice(step, "how", how, INTERVAL_HOWS)
        left, right = self._key_pairs(step, other, on, left_on, right_on)
        return self._derived(
            IntervalJoin,
            left=self._node,
            right=_other_node(other),
            left_on=left,
            right_on=right,
            left_time=_time_column(step, "left", self, left_time),
            right_time=_time_column(step, "right", other, right_time),
            lower_ns=duration_ns(lower, step=step, option="lower"),
            upper_ns=duration_ns(upper, step=step, option="upper"),
            how=how,
            suffix=suffix,
            ttl_ns=lifetime_ns(ttl, step),
            max_group_rows=row_limit(max_group_rows, step),
        )

    def _key_pairs(
        self, step: str, other: StreamBase, on: Any, left_on: Any, right_on: Any
    ) -> tuple[tuple[pl.Expr, ...], tuple[pl.Expr, ...]]:
        """Return the keys of both sides."""
        if on is not None and not (left_on is None and right_on is None):
            raise PlanError("both on= and left_on=/right_on= given", step=step, hint="give one")
        if (left_on is None) != (right_on is None):
            raise PlanError("left_on= and right_on= go together", step=step, hint="give both")
        if on is not None:
            left_on = right_on = on
        if left_on is None:
            return (), ()
        return _keys(step, "left", self, left_on), _keys(step, "right", other, right_on)


def _keys(step: str, side: str, stream: StreamBase, on: Any) -> tuple[pl.Expr, ...]:
    keys = stream._expanded_any(step, on)  # noqa: SLF001 - one class in two parts
    for key in keys:
        if classify(key, stream.schema) is not Shape.ELEMENTWISE:
            raise PlanError(
                f"the {side} key {key} looks at other rows",
                step=step,
                hint="compute it row by row, before the join",
            )
        if key.meta.undo_aliases().meta.is_column() and not key.meta.is_column():
            raise PlanError(
                f"the {side} key {key} has an alias",
                step=step,
                hint="leave it out, or name the column with with_columns first",
            )
    return keys


def _column_names(step: str, keys: tuple[pl.Expr, ...]) -> tuple[str, ...]:
    for key in keys:
        if not key.meta.is_column():
            raise PlanError(
                f"{key} is not a column", step=step, hint="compute it with with_columns first"
            )
    return tuple(key.meta.output_name() for key in keys)


def _tolerance(step: str, dtype: pl.DataType | None, tolerance: Duration | None) -> float | None:
    """Return nanoseconds for times, the number itself for numbers."""
    if tolerance is None:
        return None
    if dtype is not None and is_event_time(dtype):
        found: float = duration_ns(tolerance, step=step, option="tolerance")
    elif isinstance(tolerance, (int, float)):
        found = tolerance
    else:
        raise PlanError(
            f"tolerance {tolerance!r} does not fit a column of type {dtype}",
            step=step,
            hint="give a number",
        )
    if found < 0:
        raise PlanError(f"tolerance is negative: {tolerance!r}", step=step)
    return found


def _time_column(step: str, side: str, stream: StreamBase, column: str | None) -> str:
    found = column or _other_node(stream).properties.event_time
    if found is None:
        raise PlanError(
            f"the {side} stream has no event-time column",
            step=step,
            hint=f'name it with {side}_time="...", or declare it with .with_watermark("ts")',
        )
    return found


def _other_node(stream: StreamBase) -> Node:
    return stream._node  # noqa: SLF001 - one class in two parts


def _check_other(step: str, other: object) -> None:
    if not isinstance(other, StreamBase):
        raise PlanError(
            f"the other side is a {type(other).__name__}, not a Stream",
            step=step,
            hint="make it one with ps.scan_batches([frame])",
        )


def _check_choice(step: str, option: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise PlanError(f"unknown {option} {value!r}", step=step, value=value, alternatives=choices)
