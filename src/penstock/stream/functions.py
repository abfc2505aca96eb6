"""Verbs of Stream that run a user's Python code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

import polars as pl

from penstock.errors import PlanError
from penstock.plan.functions import BatchKind, MapBatches, MapRows, Rows
from penstock.stream.base import StreamBase

Types = Mapping[str, Any]


class FunctionVerbs(StreamBase):
    """``map_batches`` and ``map_rows``: stateless functions in Python."""

    __slots__ = ()

    def map_batches(
        self,
        function: Callable[[Any], Any],
        schema: Types | None = None,
        *,
        kind: Literal["polars", "arrow", "pandas"] = "polars",
        rows: Literal["any", "same"] = "any",
    ) -> Self:
        """Call a function with batches of rows; what it returns are the rows of the new stream.

        ``kind`` is what it takes and returns: ``polars.DataFrame``, ``pyarrow.Table`` (extra
        ``arrow``) or ``pandas.DataFrame`` (extra ``pandas``). ``schema`` is that of its result;
        without one the columns stay as they are. A result of another schema stops the query.

        A batch is what arrived in one epoch, of any size from one row up, so the function must look
        at one row at a time for its answer not to depend on how epochs are cut. It is also called
        again with parts of a batch when it raises: the rows at fault become dead letters, the
        others pass. Keys and event times are not followed through it: declare the watermark after.

        Over changes the function need not be deterministic: it is called once for each distinct
        row, and what it gave is kept as long as the row is there, so that a deletion takes back
        exactly that. To know which rows belong together it is called with one row at a time there,
        unless ``rows="same"`` promises one row for each row, in order.

        >>> import penstock as ps, polars as pl
        >>> s = ps.scan_batches([pl.DataFrame({"a": [1, 2]})])
        >>> s.map_batches(lambda f: f.with_columns(pl.col("a") * 10)).collect()["a"].to_list()
        [10, 20]
        """
        batch = _choice(BatchKind, kind, "kind")
        batch.require()
        return self._derived(
            MapBatches,
            input=self._node,
            function=_callable(function, "map_batches"),
            output=self.schema if schema is None else _schema(schema, "map_batches"),
            batch=batch,
            rows=_choice(Rows, rows, "rows"),
        )

    def map_rows(self, function: Callable[[dict[str, Any]], Any], schema: Types) -> Self:
        """Call a function with each row as a dict; it returns a dict, a list of dicts, or None.

        ``schema`` names the columns of what it returns; one that is missing in a dict is null. A
        row for which it raises, or returns a value of another type, is a dead letter. Python runs
        once a row, about a hundred times slower than an expression; see ``map_batches`` for how
        changes are dealt with.

        >>> import penstock as ps, polars as pl
        >>> s = ps.scan_batches([pl.DataFrame({"text": ["a b", ""]})])
        >>> split = lambda row: [{"word": word} for word in row["text"].split()]
        >>> s.map_rows(split, {"word": pl.String}).collect()["word"].to_list()
        ['a', 'b']
        """
        return self._derived(
            MapRows,
            input=self._node,
            function=_callable(function, "map_rows"),
            output=_schema(schema, "map_rows"),
        )


def _choice(options: Any, value: str, name: str) -> Any:
    known = [option.value for option in options]
    if value not in known:
        raise PlanError(
            f"unknown {name} {value!r}", step="map_batches", value=value, alternatives=known
        )
    return options(value)


def _callable(function: Any, step: str) -> Callable[..., Any]:
    if not callable(function):
        raise PlanError(f"not a function: {function!r}", step=step)
    found: Callable[..., Any] = function
    return found


def _schema(schema: Any, step: str) -> pl.Schema:
    """Read a mapping of names to types, instantiating bare types."""
    try:
        result = pl.DataFrame(schema=dict(schema)).schema
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise PlanError(f"schema is not a mapping of names to types: {error}", step=step) from error
    if not result or pl.Unknown in result.dtypes():
        raise PlanError("schema names no typed column", step=step, value=schema)
    return result
