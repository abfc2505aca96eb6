"""Verbs that keep some of the rows: distinct ones, the best ones, the first ones."""

from __future__ import annotations

from typing import Any, Literal, Self

from penstock.errors import PlanError
from penstock.instants import Duration, duration_ns
from penstock.plan.distinct import Keep, Unique
from penstock.stream.base import StreamBase


class OrderVerbs(StreamBase):
    """``unique``, ``top_k`` and their like."""

    __slots__ = ()

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
            ttl_ns=None if ttl is None else duration_ns(ttl, step="unique", option="ttl"),
            max_group_rows=max_group_rows,
        )
