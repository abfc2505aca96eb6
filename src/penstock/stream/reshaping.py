"""Verbs of Stream composed of simpler ones: cells filled, rows left out, columns made rows."""

from __future__ import annotations

from typing import Any, Self

import polars as pl

from penstock.errors import PlanError
from penstock.plan.rows import WithColumns
from penstock.stream.rows import RowVerbs


class ReshapingVerbs(RowVerbs):
    """``fill_nan``, ``drop_nans``, ``remove``, ``unpivot``: as in Polars, row by row."""

    __slots__ = ()

    def fill_nan(self, value: Any) -> Self:
        """Replace NaN in all float columns by a value or an expression; None makes it null.

        >>> import penstock as ps, polars as pl
        >>> s = ps.scan_batches([pl.DataFrame({"a": [1.0, float("nan")]})])
        >>> s.fill_nan(0.0).collect()["a"].to_list()
        [1.0, 0.0]
        """
        exprs = tuple(pl.col(name).fill_nan(value) for name in self._floats())
        return self._row_step(WithColumns, exprs, exprs=exprs) if exprs else self

    def drop_nans(self, subset: Any = None) -> Self:
        """Drop rows with NaN in any float column, or in any of ``subset``; null is not NaN."""
        names = self._floats() if subset is None else self._names("drop_nans", subset)
        for name in names:
            if not self.schema[name].is_numeric():
                raise PlanError(
                    f"column {name!r} is {self.schema[name]} and cannot hold NaN",
                    step="drop_nans",
                    value=name,
                    alternatives=self._floats(),
                )
        there = [pl.col(name).is_nan().fill_null(value=False).not_() for name in names]
        return self.filter(*there) if there else self

    def remove(self, *predicates: Any, **equal: Any) -> Self:
        """Drop the rows for which all predicates are true; where one is null the row stays."""
        wanted = [*predicates, *(pl.col(name).eq(value) for name, value in equal.items())]
        if not wanted:
            raise PlanError("no predicate given", step="remove")
        return self.filter(self._predicates(wanted).fill_null(value=False).not_())

    def unpivot(
        self,
        on: Any = None,
        *,
        index: Any = None,
        variable_name: str | None = None,
        value_name: str | None = None,
    ) -> Self:
        """Make a row of each value of the columns ``on``, beside the columns ``index``.

        ``(k, a, b)`` -> ``(k, "a", a) (k, "b", b)``. The values get the type that fits them all.
        The rows of a row stay together. Without ``on``: all columns that are not in ``index``.

        >>> import penstock as ps, polars as pl
        >>> s = ps.scan_batches([pl.DataFrame({"k": ["x"], "a": [1], "b": [2]})])
        >>> s.unpivot(["a", "b"], index="k").collect().rows()
        [('x', 'a', 1), ('x', 'b', 2)]
        """
        kept = () if index is None else self._names("unpivot", index)
        names = (
            tuple(name for name in self.columns if name not in kept)
            if on is None
            else self._names("unpivot", on)
        )
        if not names:
            raise PlanError("no columns to make rows of", step="unpivot", alternatives=self.columns)
        variable, value = variable_name or "variable", value_name or "value"
        empty = pl.DataFrame(schema=self.schema)
        try:
            schema = empty.unpivot(
                names, index=kept, variable_name=variable, value_name=value
            ).schema
        except pl.exceptions.PolarsError as error:
            raise PlanError(str(error).splitlines()[0], step="unpivot", value=names) from error
        pairs = [
            pl.struct(pl.lit(name).alias(variable), pl.col(name).cast(schema[value]).alias(value))
            for name in names
        ]
        rows = self.select(*(pl.col(name) for name in kept), pl.concat_list(pairs).alias(value))
        return rows.explode(value).unnest(value)

    def _floats(self) -> list[str]:
        return [name for name, dtype in self.schema.items() if dtype.is_float()]
