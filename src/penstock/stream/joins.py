"""Joins: ``join``, ``join_where``, ``join_asof`` and ``join_interval``."""

from __future__ import annotations

from typing import Any, Self

import polars as pl

from penstock.errors import PlanError
from penstock.instants import Duration, duration_ns
from penstock.plan.expressions import Shape, classify
from penstock.plan.interval_joins import INTERVAL_HOWS, IntervalJoin
from penstock.plan.joins import HOWS, Join
from penstock.stream.base import StreamBase


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
            right=other.node,
            left_on=left,
            right_on=right,
            how=how,
            suffix=suffix,
            nulls_equal=nulls_equal,
            coalesce=coalesce,
            ttl_ns=None if ttl is None else duration_ns(ttl, step="join", option="ttl"),
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
        leave at once, unmatched rows (left, right, full, anti) once, when the other side's watermark
        has passed their interval; rows that can find no more matches are freed. Otherwise
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
            right=other.node,
            left_on=left,
            right_on=right,
            left_time=_time_column(step, "left", self, left_time),
            right_time=_time_column(step, "right", other, right_time),
            lower_ns=duration_ns(lower, step=step, option="lower"),
            upper_ns=duration_ns(upper, step=step, option="upper"),
            how=how,
            suffix=suffix,
            ttl_ns=None if ttl is None else duration_ns(ttl, step=step, option="ttl"),
            max_group_rows=max_group_rows,
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
    keys = stream._expanded_any(on)  # noqa: SLF001 - one class in two parts
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


def _time_column(step: str, side: str, stream: StreamBase, column: str | None) -> str:
    found = column or stream._node.properties.event_time  # noqa: SLF001 - one class in two parts
    if found is None:
        raise PlanError(
            f"the {side} stream has no event-time column",
            step=step,
            hint=f'name it with {side}_time="...", or declare it with .with_watermark("ts")',
        )
    return found


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
