"""Arrays in FROM: ``unnest`` and the functions that give rows, beside the rows they stand in."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from sqlglot import exp

from penstock.sql_plan.binding import bound
from penstock.sql_plan.context import Context
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.list_functions import list_of
from penstock.sql_plan.relations import Field, Relation, Scope
from penstock.sql_plan.subqueries import with_results
from penstock.sql_plan.values import Value

_LISTED = {
    "JSON_ARRAY_ELEMENTS", "JSONB_ARRAY_ELEMENTS", "JSON_ARRAY_ELEMENTS_TEXT",
    "JSONB_ARRAY_ELEMENTS_TEXT", "JSON_OBJECT_KEYS", "JSONB_OBJECT_KEYS",
    "GENERATE_SUBSCRIPTS", "STRING_TO_TABLE", "REGEXP_SPLIT_TO_TABLE", "REGEXP_MATCHES",
    "JSONB_PATH_QUERY",
}  # fmt: skip
"""Functions that give rows: here they are expressions that give an array, and that is unnested."""


_PAIRS = {
    "JSON_EACH": "JSON_OBJECT_VALUES",
    "JSONB_EACH": "JSON_OBJECT_VALUES",
    "JSON_EACH_TEXT": "JSON_OBJECT_TEXTS",
    "JSONB_EACH_TEXT": "JSON_OBJECT_TEXTS",
}
"""Functions that give rows of a key and a value, by what gives the values."""


def unnested(node: exp.Expr) -> exp.Unnest | None:
    """Return what an item unnests, if that is what it does."""
    lateral = isinstance(node, exp.Lateral)
    inside = node.this if lateral else node
    alias = node.args.get("alias")
    if isinstance(inside, exp.Unnest):
        found = inside.copy()
        if alias is not None:
            found.set("alias", alias.copy())
        return found
    offset = node.args.get("ordinality")
    if isinstance(inside, exp.Explode):
        return exp.Unnest(expressions=[inside.this], alias=alias, offset=bool(offset))
    if isinstance(inside, exp.Table):
        offset, inside = offset or inside.args.get("ordinality"), inside.this
    if isinstance(inside, (exp.GenerateSeries, exp.ExplodingGenerateSeries)):
        alias = alias.copy() if alias else exp.TableAlias(this=exp.to_identifier("generate_series"))
        if not alias.columns:
            alias.set("columns", [exp.to_identifier(alias.name)])
        if offset or _is_computed(inside):
            return exp.Unnest(expressions=[inside.copy()], alias=alias, offset=bool(offset))
        return None
    name = inside.name.upper() if isinstance(inside, exp.Anonymous) else ""
    if name in _PAIRS:
        pair = [exp.Anonymous(this=one, expressions=[p.copy() for p in inside.expressions])
                for one in ("JSON_OBJECT_KEYS", _PAIRS[name])]  # fmt: skip
        alias = alias.copy() if alias else exp.TableAlias(this=exp.to_identifier(name.lower()))
        given = list(alias.columns)
        alias.set("columns", [*given, *map(exp.to_identifier, ("key", "value")[len(given) :])])
        return exp.Unnest(expressions=pair, alias=alias, offset=bool(offset))
    if name not in _LISTED:
        return None
    alias = alias.copy() if alias else exp.TableAlias(this=exp.to_identifier(inside.name))
    return exp.Unnest(expressions=[inside.copy()], alias=alias, offset=bool(offset))


def _is_computed(node: exp.Expr) -> bool:
    """Tell a series of columns or instants from one of written numbers, which is a source."""
    bounds = [node.args.get(part) for part in ("start", "end", "step")]
    return any(b is not None and (b.find(exp.Column) or b.find(exp.Cast)) for b in bounds)


def unnest(
    context: Context, whole: Relation, scope: Scope, node: exp.Unnest, side: str | None
) -> tuple[Relation, tuple[Field, ...]]:
    """Explode arrays beside the rows they stand in; several go side by side, padded with nulls.

    Returns the rows with what was added, and the new fields.
    """
    columns = whole.stream.columns
    arrays = [bound(part, scope) for part in node.expressions]
    whole, arrays = with_results(context, whole, scope, arrays)
    scalars = scalars_over(whole.stream.schema)
    values = [list_of(scalars, array) for array in arrays]
    alias = node.args.get("alias")
    table = alias.name if alias and alias.name else "unnest"
    given = [c.name for c in alias.columns] if alias else []
    offset = node.args.get("offset")
    names = [table] * len(values) + (["ordinality"] if offset else [])
    ordinality = offset.name if isinstance(offset, exp.Identifier) else None
    names = [*given, *names[len(given) :]]
    if ordinality and offset and len(given) <= len(values):
        names[-1] = ordinality
    made = [context.names(name) for name in names]
    count = pl.max_horizontal([v.expr.list.len().fill_null(0) for v in values])
    lists = {
        column: pl.when(count > 0).then(value.expr if len(values) == 1 else _padded(value, count))
        for column, value in zip(made, values, strict=False)
    }
    if offset:
        numbers = pl.int_ranges(1, count + 1, dtype=pl.Int64)
        lists[made[-1]] = pl.when(count > 0).then(numbers)
    listed = whole.stream.with_columns(**lists)
    if side != "left":
        listed = listed.filter(count > 0)
    listed = listed.select(*columns, *made).explode(*made)
    fields = tuple(Field(table, name, column) for name, column in zip(names, made, strict=True))
    return replace(whole, stream=listed, one_row=False), fields


def _padded(array: Value, count: pl.Expr) -> pl.Expr:
    listed = array.expr.fill_null(pl.lit([], dtype=array.dtype))
    return listed.list.gather(pl.int_ranges(0, count, dtype=pl.Int64), null_on_oob=True)
