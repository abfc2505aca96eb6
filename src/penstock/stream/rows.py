"""Verbs of Stream that work row by row, or fall back to looking at other rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import polars as pl
from polars.datatypes import parse_into_dtype

from penstock.errors import PlanError, user_line
from penstock.plan.expressions import Shape, is_deterministic, over_keys, root_columns
from penstock.plan.functions import Remember
from penstock.plan.grouping import Aggregate, Over, Verb
from penstock.plan.node import require_columns
from penstock.plan.rows import Explode, Filter, RowStep, Select, Unnest, WithColumns
from penstock.plan.running import Running, can_run
from penstock.stream.base import StreamBase

_STRATEGIES = ("forward", "backward", "min", "max", "mean", "zero", "one")


class RowVerbs(StreamBase):
    """``select``, ``filter`` and their like: as in Polars, over data that never ends."""

    __slots__ = ()

    def select(self, *exprs: Any, **named: Any) -> Self:
        """Compute columns and drop the others.

        Row-wise expressions keep no state. Aggregations alone (``pl.col("a").sum()``) give a
        running result of one row, as changes. Anything that looks at other rows (``over``,
        ``cum_sum``, ``rank`` ...) is evaluated afresh over the rows of the touched keys.

        >>> import penstock as ps, polars as pl
        >>> s = ps.scan_batches([pl.DataFrame({"a": [1, 2]})])
        >>> s.select(b=pl.col("a") * 2).collect()["b"].to_list()
        [2, 4]
        """
        found = self._expanded("select", *exprs, **named)
        shapes = self._shapes(found)
        if not found:
            raise PlanError("no columns given", step="select", alternatives=self.columns)
        if any(map(root_columns, found)) and shapes <= {Shape.ELEMENTWISE}:
            return self._row_step(Select, found, exprs=found)
        if shapes <= {Shape.SCALAR, Shape.ELEMENTWISE} and not any(map(root_columns, found)):
            # Polars gives one row for literals, however many rows there are.
            return self._derived(Aggregate, input=self._node, keys=(), aggs=found)
        if shapes <= {Shape.SCALAR}:
            return self._derived(Aggregate, input=self._node, keys=(), aggs=found)
        return self._over(Verb.SELECT, found)

    def with_columns(self, *exprs: Any, **named: Any) -> Self:
        """Add or replace columns; see ``select`` for what keeps state.

        >>> import penstock as ps, polars as pl
        >>> s = ps.scan_batches([pl.DataFrame({"a": [1, 2]})])
        >>> s.with_columns(b=pl.col("a") + 1).collect().columns
        ['a', 'b']
        """
        found = self._expanded("with_columns", *exprs, **named)
        if self._shapes(found) <= {Shape.ELEMENTWISE}:
            return self._row_step(WithColumns, found, exprs=found)
        return self._over(Verb.WITH_COLUMNS, found)

    def filter(self, *predicates: Any, **equal: Any) -> Self:
        """Keep the rows for which all predicates are true; ``name=value`` means equality.

        >>> import penstock as ps, polars as pl
        >>> ps.scan_batches([pl.DataFrame({"a": [1, 2]})]).filter(pl.col("a") > 1).collect().height
        1
        """
        require_columns("filter", self.schema, list(equal))
        wanted = [*predicates, *(pl.col(name).eq(value) for name, value in equal.items())]
        if not wanted:
            raise PlanError("no predicate given", step="filter")
        found = self._predicates(wanted)
        if self._shapes([found]) <= {Shape.ELEMENTWISE}:
            return self._row_step(Filter, (found,), predicate=found)
        return self._over(Verb.FILTER, (found,))

    def _row_step(self, kind: type[RowStep], read: tuple[pl.Expr, ...], **fields: Any) -> Self:
        """Add a row step; over changes one that may answer differently must be remembered."""
        if not self.is_changelog or all(map(is_deterministic, read)):
            return self._derived(kind, input=self._node, **fields)
        line = user_line()
        return self._derived(Remember, row_step=kind(line=line, input=self._node, **fields))

    def _predicates(self, wanted: list[Any]) -> pl.Expr:
        from_columns = [pl.col(w) if isinstance(w, str) else w for w in wanted]
        parts = [part for w in from_columns for part in self._split_predicate(w)]
        result = parts[0]
        for part in parts[1:]:
            result = result & part
        return result

    def _split_predicate(self, wanted: Any) -> list[pl.Expr]:
        named = pl.lit(wanted) if isinstance(wanted, bool) else wanted
        return [expr.alias("predicate") for expr in self._expanded_any("filter", named)]

    def _over(self, verb: Verb, exprs: tuple[pl.Expr, ...]) -> Self:
        if can_run(self._node, verb, exprs):
            return self._derived(Running, input=self._node, verb=verb, exprs=exprs)
        if self._node.properties.changelog and not all(map(is_deterministic, exprs)):
            raise PlanError(
                "a Python function or random number that looks at other rows cannot be retracted",
                step=verb.value,
                hint="apply it to the append-only stream first",
            )
        keys = [
            over_keys(expr, self.schema)
            for expr in exprs
            if self._shapes([expr]) != {Shape.ELEMENTWISE}
        ]
        same = {frozenset(key) if key is not None else None for key in keys}
        shared = keys[0] if len(same) == 1 and keys[0] is not None else ()
        return self._derived(
            Over, input=self._node, verb=verb, exprs=exprs, keys=tuple(shared or ())
        )

    def drop(self, *columns: Any, strict: bool = True) -> Self:
        """Remove columns."""
        names = {
            n for c in columns for n in ([c] if isinstance(c, str) else self._names("drop", c))
        }
        if strict:
            require_columns("drop", self.schema, sorted(names))
        kept = [name for name in self.columns if name not in names]
        if not kept:
            raise PlanError("no column would be left", step="drop", alternatives=self.columns)
        return self._derived(Select, input=self._node, exprs=tuple(map(pl.col, kept)))

    def rename(
        self, mapping: Mapping[str, str] | Callable[[str], str], *, strict: bool = True
    ) -> Self:
        """Rename columns by a mapping old -> new, or by a function of the name."""
        if not isinstance(mapping, Mapping):
            if not callable(mapping):
                raise PlanError(
                    f"not a mapping or function: {mapping!r}",
                    step="rename",
                    hint='write .rename({"old": "new"})',
                )
            mapping = {name: mapping(name) for name in self.columns}
        if strict:
            require_columns("rename", self.schema, list(mapping))
        exprs = [pl.col(name).alias(mapping.get(name, name)) for name in self.columns]
        return self._derived(Select, input=self._node, exprs=self._expanded("rename", exprs))

    def cast(self, dtypes: Any, *, strict: bool = True) -> Self:
        """Change the type of columns: a mapping of names, or one type for all.

        A row that cannot be cast is a dead letter, or null with ``strict=False``.
        """
        if not isinstance(dtypes, Mapping):
            dtypes = dict.fromkeys(self.columns, dtypes)
        for dtype in dtypes.values():
            _check_dtype(dtype)
        pairs = {n: t for key, t in dtypes.items() for n in self._names("cast", key)}
        exprs = tuple(pl.col(name).cast(dtype, strict=strict) for name, dtype in pairs.items())
        return self._derived(WithColumns, input=self._node, exprs=exprs)

    def explode(self, *columns: Any) -> Self:
        """Make a row of each element of list columns."""
        names = tuple(n for c in columns for n in self._names("explode", c))
        if not names:
            raise PlanError("no columns given", step="explode", alternatives=self.columns)
        return self._derived(Explode, input=self._node, columns=names)

    def unnest(self, *columns: Any) -> Self:
        """Make a column of each field of struct columns."""
        names = tuple(n for c in columns for n in self._names("unnest", c))
        return self._derived(Unnest, input=self._node, columns=names)

    def drop_nulls(self, subset: Any = None) -> Self:
        """Drop rows with a null in one of the columns (all columns by default)."""
        names = self.columns if subset is None else self._names("drop_nulls", subset)
        present = [pl.col(name).is_not_null() for name in names]
        return self._derived(Filter, input=self._node, predicate=pl.all_horizontal(present))

    def fill_null(self, value: Any = None, *, strategy: str | None = None) -> Self:
        """Replace nulls by a value (of a type the column can hold) or ``strategy="zero"|"one"``.

        Strategies that look at other rows (``forward``, ``mean`` ...) recompute all rows.
        """
        if (value is None) == (strategy is None):
            raise PlanError("give either a value or a strategy", step="fill_null")
        if strategy is not None and strategy not in _STRATEGIES:
            raise PlanError(
                f"unknown strategy {strategy!r}",
                step="fill_null",
                value=strategy,
                alternatives=_STRATEGIES,
            )
        if strategy is not None and strategy not in ("zero", "one"):
            return self.with_columns(pl.all().fill_null(strategy=strategy))  # type: ignore[arg-type]
        if strategy is not None:
            value = 0 if strategy == "zero" else 1
        wanted = pl.select(_literal(value)).to_series()
        fits = [
            n for n, t in self.schema.items() if isinstance(value, pl.Expr) or _holds(t, wanted)
        ]
        exprs = tuple(pl.col(name).fill_null(value) for name in fits)
        return self._row_step(WithColumns, exprs, exprs=exprs) if exprs else self


def _literal(value: Any) -> pl.Expr:
    try:
        return pl.lit(None) if isinstance(value, pl.Expr) else pl.lit(value)
    except TypeError as error:
        raise PlanError(
            f"not a value that a column can hold: {value!r}", step="fill_null", value=value
        ) from error


def _check_dtype(dtype: Any) -> None:
    try:
        parse_into_dtype(dtype)
    except (TypeError, ValueError) as error:
        raise PlanError(
            f"not a type: {dtype!r}",
            step="cast",
            value=dtype,
            hint='use a Polars or Python type, e.g. {"id": pl.Int64}',
        ) from error


def _holds(dtype: pl.DataType, value: pl.Series) -> bool:
    """Tell whether ``fill_null`` of a frame would fill a column of this type with the value."""
    if dtype.is_numeric():
        return value.dtype.is_numeric()
    if isinstance(dtype, (pl.Datetime, pl.Date, pl.Duration)):
        return type(dtype) is type(value.dtype)
    return dtype == value.dtype
