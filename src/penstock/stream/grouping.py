"""Grouping: ``group_by(...).agg(...)`` and the verbs that compare rows of a group."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import polars as pl

from penstock.errors import NoSuchVerbError, PlanError
from penstock.instants import Duration
from penstock.plan.expressions import Shape, as_exprs, is_deterministic, root_columns
from penstock.plan.grouping import Aggregate, Emission, Final
from penstock.stream.base import StreamBase
from penstock.stream.bounds import lifetime_ns, row_limit
from penstock.stream.hints import GROUP_VERBS
from penstock.windows import Hopping, Rows, Session, Sliding, Window

if TYPE_CHECKING:
    from polars._typing import QuantileMethod

    from penstock.plan.node import Node

S = TypeVar("S", bound=StreamBase)

_WINDOWS = (Hopping, Sliding, Session, Rows)


class GroupBy(Generic[S]):
    """Groups of a stream, waiting for their aggregations."""

    def __init__(
        self,
        stream: S,
        keys: tuple[pl.Expr, ...],
        window: Window | None,
        ttl_ns: int | None,
        max_group_rows: int | None,
    ) -> None:
        self._stream = stream
        self._keys = keys
        self._window = window
        self._ttl_ns = ttl_ns
        self._max_group_rows = max_group_rows

    def agg(self, *aggs: Any, **named: Any) -> S:
        """Aggregate each group with any Polars aggregation expressions.

        Over a window and a watermark: one row a group, once, when the window closes. Otherwise
        changes: the old row of a touched group deleted, the new one inserted, after every epoch.
        Aggregations that split into partial sums keep one row a group, others keep its rows.
        """
        found = self._stream._expanded("agg", *aggs, **named)  # noqa: SLF001 - one class in two parts
        if not found and self._window is None and not self._keys:
            raise PlanError("nothing to aggregate", step="agg", alternatives=self._stream.columns)
        return self._stream._derived(  # noqa: SLF001
            Aggregate,
            input=self._stream._node,  # noqa: SLF001
            keys=self._keys,
            aggs=found,
            window=self._window,
            ttl_ns=self._ttl_ns,
            max_group_rows=self._max_group_rows,
        )

    def len(self, name: str = "len") -> S:
        """Count the rows of each group."""
        return self.agg(pl.len().alias(name))

    def sum(self) -> S:
        """Sum every other column of each group."""
        return self._each(pl.Expr.sum)

    def mean(self) -> S:
        """Average every other column of each group."""
        return self._each(pl.Expr.mean)

    def median(self) -> S:
        """Take the median of every other column of each group."""
        return self._each(pl.Expr.median)

    def quantile(self, quantile: float, interpolation: QuantileMethod = "nearest") -> S:
        """Take a quantile of every other column of each group."""
        return self._each(lambda column: column.quantile(quantile, interpolation))

    def min(self) -> S:
        """Take the smallest value of every other column of each group."""
        return self._each(pl.Expr.min)

    def max(self) -> S:
        """Take the largest value of every other column of each group."""
        return self._each(pl.Expr.max)

    def first(self) -> S:
        """Take the first value of every other column of each group, in order of arrival."""
        return self._each(pl.Expr.first)

    def last(self) -> S:
        """Take the last value of every other column of each group, in order of arrival."""
        return self._each(pl.Expr.last)

    def n_unique(self) -> S:
        """Count the distinct values of every other column of each group."""
        return self._each(pl.Expr.n_unique)

    def _each(self, aggregate: Callable[[pl.Expr], pl.Expr]) -> S:
        """Aggregate the columns that are neither a key nor the time of the window."""
        keys = {key.meta.output_name() for key in self._keys}
        if self._window is not None:
            keys.add(self._window.on or self._stream.node.properties.event_time or "")
        others = [name for name in self._stream.columns if name not in keys]
        return self.agg(*(aggregate(pl.col(name)) for name in others))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        verbs = [verb for verb in dir(type(self)) if not verb.startswith("_")]
        hint = GROUP_VERBS.get(name)
        raise NoSuchVerbError(
            f"group_by has no {name!r}",
            step="group_by",
            value=name,
            alternatives=() if hint else verbs,
            hint=hint,
        )


class GroupVerbs(StreamBase):
    """``group_by``, and when its results leave."""

    __slots__ = ()

    def group_by(
        self,
        *by: Any,
        maintain_order: bool = False,
        ttl: Duration | None = None,
        max_group_rows: int | None = None,
        **named: Any,
    ) -> GroupBy[Self]:
        """Group by columns, row-wise expressions, and at most one window.

        ``ttl`` frees a group that was not touched for that long (measured by the watermark where
        there is one). ``max_group_rows`` bounds groups whose rows have to be kept.

        >>> import penstock as ps, polars as pl
        >>> s = ps.scan_batches([pl.DataFrame({"k": ["a", "b", "a"], "v": [1, 2, 3]})])
        >>> s.group_by("k").agg(pl.col("v").sum()).collect().sort("k").rows()
        [('a', 4), ('b', 2)]
        """
        if maintain_order:
            raise PlanError(
                "groups that change have no order",
                step="group_by",
                hint="leave maintain_order out, and sort the result",
            )
        windows = [item for item in _flat(by) if isinstance(item, _WINDOWS)]
        others = [item for item in _flat(by) if not isinstance(item, _WINDOWS)]
        if len(windows) > 1:
            raise PlanError("only one window can be a key", step="group_by", value=windows)
        keys = self._expanded("group_by", *as_exprs(*others, **named)) if others or named else ()
        if not keys and not windows:
            raise PlanError("no keys given", step="group_by", alternatives=self.columns)
        for key in keys:
            if self._shapes([key]) != {Shape.ELEMENTWISE}:
                raise PlanError(
                    f"key {key} looks at other rows", step="group_by", hint="compute it row by row"
                )
            if self.is_changelog and not is_deterministic(key):
                raise PlanError(
                    f"key {key} may differ when a row is deleted",
                    step="group_by",
                    hint="compute it with .with_columns(...) first, which remembers it",
                )
        for key in keys:
            if not root_columns(key):
                raise PlanError(
                    f"key {key} is the same for all rows",
                    step="group_by",
                    value=str(key),
                    alternatives=self.columns,
                    hint="aggregate all rows with .select(...)",
                )
        ttl_ns = lifetime_ns(ttl, "group_by")
        limit = row_limit(max_group_rows, "group_by")
        return GroupBy(self, keys, windows[0] if windows else None, ttl_ns, limit)

    def emit(self, mode: str) -> Self:
        """Choose when results leave: ``"final"`` (once each) or ``"changes"`` (after every epoch).

        Works on the aggregation it follows directly; ``"final"`` also on any other changes that the
        watermark bounds, or whose input ends.
        """
        if mode not in ("final", "changes"):
            raise PlanError(
                f"unknown mode {mode!r}", step="emit", value=mode, alternatives=("final", "changes")
            )
        emission = Emission(mode)
        node: Node = self._node
        if isinstance(node, Aggregate):
            fields = {f: getattr(node, f) for f in ("input", "keys", "aggs", "window", "ttl_ns")}
            limit = node.max_group_rows
            return self._derived(Aggregate, **fields, max_group_rows=limit, emission=emission)
        if emission is Emission.FINAL:
            return self._derived(Final, input=node) if self.is_changelog else self
        if isinstance(node, Final):
            return type(self)(node.input)
        if self.is_changelog:
            return self
        raise PlanError(
            'emit("changes") follows an aggregation',
            step="emit",
            hint="call it right after .agg(...)",
        )


def _flat(items: Any) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if isinstance(item, (list, tuple, set, frozenset)):
            found.extend(_flat(item))
        else:
            found.append(item)
    return found
