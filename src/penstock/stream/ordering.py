"""Verbs that keep some of the rows: distinct ones, the best ones, the first ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import polars as pl

from penstock.errors import PlanError
from penstock.instants import Duration
from penstock.plan.distinct import Keep, Unique
from penstock.plan.expressions import Shape
from penstock.plan.grouping import Verb
from penstock.plan.node import Node
from penstock.plan.ranking import Limit, Ordering, Sort, TopK, unsortable
from penstock.plan.running import Running
from penstock.stream.base import StreamBase
from penstock.stream.bounds import lifetime_ns, row_limit

Flags = bool | Sequence[bool]
"""One flag for all columns, or one for each."""


class OrderVerbs(StreamBase):
    """``unique``, ``top_k`` and their like."""

    __slots__ = ()

    def _derived(self, kind: type[Node], **fields: Any) -> Self:
        """Refuse to read rows in an order that is never known."""
        node = self._node
        if isinstance(node, Sort) and not node.properties.bounded and kind is not TopK:
            raise unsortable(node)
        return super()._derived(kind, **fields)

    def unique(
        self,
        subset: Any = None,
        *,
        keep: Literal["any", "first", "last", "none"] = "any",
        maintain_order: bool = False,  # noqa: ARG002 - order of arrival is always kept
        ttl: Duration | None = None,
        max_group_rows: int | None = None,
    ) -> Self:
        """Keep one row for each combination of the subset's columns (all columns by default).

        ``any`` and ``first`` over append-only rows let the first row through at once. ``last`` and
        ``none``, and anything over changes, give changes; the rows of a changelog have no order of
        arrival, there ``first`` is the smallest by all columns.

        State: the keys (a row a key for ``last`` and ``none``; all rows where a subset of the
        columns of a changelog is compared), freed as the watermark passes a column of the subset,
        or ``ttl`` after the last row of the key.

        >>> import penstock as ps, polars as pl
        >>> s = ps.scan_batches([pl.DataFrame({"k": ["a", "a", "b"], "v": [1, 2, 3]})])
        >>> s.unique("k", keep="first").collect().sort("k").rows()
        [('a', 1), ('b', 3)]
        """
        if keep not in [k.value for k in Keep]:
            raise PlanError(
                f"unknown keep {keep!r}",
                step="unique",
                value=keep,
                alternatives=[k.value for k in Keep],
            )
        names = self.columns if subset is None else self._names("unique", subset)
        return self._derived(
            Unique,
            input=self._node,
            subset=tuple(names),
            keep=Keep(keep),
            ttl_ns=lifetime_ns(ttl, "unique"),
            max_group_rows=row_limit(max_group_rows, "unique"),
        )

    def top_k(
        self,
        k: int,
        *,
        by: Any,
        reverse: Flags = False,
        group_by: Any = (),
        rank: str | None = None,
        ttl: Duration | None = None,
        max_group_rows: int | None = None,
    ) -> Self:
        """Keep the ``k`` largest rows by some columns, of all rows or of each group, as changes.

        ``reverse`` takes the smallest instead (one flag, or one for each ``by``); nulls come last
        either way. Of rows that compare equal the first to arrive wins; of a changelog the smaller
        by all columns. ``rank`` names a column to add, 1 for the best.

        State: ``k`` rows a group over append-only rows; all rows of the groups over changes (an
        epoch reads the best of them only), ``max_group_rows`` of them if that is given. Freed
        as the watermark passes a column of ``group_by``, or ``ttl`` after the group's last row.

        >>> import penstock as ps, polars as pl
        >>> s = ps.scan_batches([pl.DataFrame({"k": ["a", "a", "b"], "v": [1, 2, 3]})])
        >>> s.top_k(1, by="v", group_by="k").collect().sort("k").rows()
        [('a', 2), ('b', 3)]
        """
        return self._best(
            "top_k", k, by, reverse, group_by, rank, ttl, max_group_rows, largest=True
        )

    def bottom_k(
        self,
        k: int,
        *,
        by: Any,
        reverse: Flags = False,
        group_by: Any = (),
        rank: str | None = None,
        ttl: Duration | None = None,
        max_group_rows: int | None = None,
    ) -> Self:
        """Keep the ``k`` smallest rows; see ``top_k``.

        >>> import penstock as ps, polars as pl
        >>> ps.scan_batches([pl.DataFrame({"v": [3, 1, 2]})]).bottom_k(1, by="v").collect().rows()
        [(1,)]
        """
        return self._best(
            "bottom_k", k, by, reverse, group_by, rank, ttl, max_group_rows, largest=False
        )

    def _best(
        self,
        step: str,
        k: int,
        by: Any,
        reverse: Flags,
        group_by: Any,
        rank: str | None,
        ttl: Duration | None,
        max_group_rows: int | None,
        *,
        largest: bool,
    ) -> Self:
        exprs = self._order_exprs(step, by)
        reversed_ = _flags(step, "reverse", reverse, len(exprs))
        order = Ordering(exprs, tuple(largest != flag for flag in reversed_), (True,) * len(exprs))
        keys = self._names(step, group_by) if group_by is not None and group_by != () else ()
        return self._derived(
            TopK,
            input=self._node,
            k=k,
            order=order,
            keys=keys,
            rank=rank,
            ttl_ns=lifetime_ns(ttl, step),
            max_group_rows=row_limit(max_group_rows, step),
        )

    def sort(
        self,
        by: Any,
        *more_by: Any,
        descending: Flags = False,
        nulls_last: Flags = False,
        maintain_order: bool = False,  # noqa: ARG002 - ties are always in order
    ) -> Self:
        """Sort all rows: on a stream that ends, or before ``limit(n)``.

        ``sort(by).limit(n)`` keeps ``n`` rows, as changes, like ``top_k``. ``sort`` alone holds all
        rows until the input ends.

        >>> import penstock as ps, polars as pl
        >>> s = ps.scan_batches([pl.DataFrame({"v": [3, 1, 2]})])
        >>> s.sort("v").collect()["v"].to_list()
        [1, 2, 3]
        """
        exprs = self._order_exprs("sort", [by, *more_by])
        order = Ordering(
            exprs,
            _flags("sort", "descending", descending, len(exprs)),
            _flags("sort", "nulls_last", nulls_last, len(exprs)),
        )
        return self._derived(Sort, input=self._node, order=order)

    def limit(self, n: int = 5) -> Self:
        """Keep the first ``n`` rows: of the order after ``sort``, else of arrival.

        >>> import penstock as ps, polars as pl
        >>> s = ps.scan_batches([pl.DataFrame({"v": [3, 1, 2]})])
        >>> s.sort("v").limit(2).collect()["v"].to_list()
        [1, 2]
        """
        if not isinstance(n, int) or n < 0:
            raise PlanError(f"n must be a whole number, not {n!r}", step="limit", value=n)
        node = self._node
        if isinstance(node, Sort) and n:
            return self._derived(TopK, input=node.input, k=n, order=node.order)
        return self._derived(Limit, input=node, count=n)

    def head(self, n: int = 5) -> Self:
        """Do the same as ``limit``."""
        return self.limit(n)

    def first(self) -> Self:
        """Keep the first row: of the order after ``sort``, else of arrival."""
        return self.limit(1)

    def with_row_index(self, name: str = "index", offset: int = 0) -> Self:
        """Put the number of each row, in order of arrival, before the other columns.

        >>> import penstock as ps, polars as pl
        >>> ps.scan_batches([pl.DataFrame({"v": [3, 1]})]).with_row_index().collect()["index"].to_list()
        [0, 1]
        """
        if self.is_changelog:
            raise PlanError(
                "changes have no order of arrival",
                step="with_row_index",
                hint='number them by an order: .top_k(k, by=..., rank="index")',
            )
        if name in self.columns:
            raise PlanError(f"column {name!r} is there already", step="with_row_index", value=name)
        number = pl.int_range(offset, pl.len() + offset, dtype=pl.get_index_type()).alias(name)
        columns = [pl.col(column) for column in self.columns]
        exprs = (number, *columns)
        return self._derived(Running, input=self._node, verb=Verb.SELECT, exprs=exprs)

    def _order_exprs(self, step: str, by: Any) -> tuple[pl.Expr, ...]:
        exprs = tuple(e for item in _listed(by) for e in self._expanded(step, item))
        for expr in exprs:
            if self._shapes([expr]) != {Shape.ELEMENTWISE}:
                raise PlanError(
                    f"{expr} looks at other rows", step=step, hint="compute it row by row"
                )
        return exprs


def _listed(items: Any) -> list[Any]:
    if isinstance(items, (list, tuple)):
        return [each for item in items for each in _listed(item)]
    return [items]


def _flags(step: str, option: str, value: Flags, count: int) -> tuple[bool, ...]:
    """Spread one flag over all columns."""
    if isinstance(value, bool):
        return (value,) * count
    if len(value) != count:
        raise PlanError(f"{option} has {len(value)} flags for {count} columns", step=step)
    return tuple(bool(flag) for flag in value)
