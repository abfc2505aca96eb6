"""Joins: ``join``, ``join_where``, ``join_asof`` and ``join_interval``."""

from __future__ import annotations

from typing import Any, Self

import polars as pl

from penstock.errors import PlanError
from penstock.instants import Duration, duration_ns
from penstock.plan.expressions import Shape, classify
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
            left, right = (), ()
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
            right=other._node,
            left_on=left,
            right_on=right,
            how=how,
            suffix=suffix,
            nulls_equal=nulls_equal,
            coalesce=coalesce,
            ttl_ns=None if ttl is None else duration_ns(ttl, step="join", option="ttl"),
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
