"""FROM and WHERE: the items, joined, with the rows that satisfy the conditions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import polars as pl
from sqlglot import exp

from penstock.sql_plan.binding import bound, column
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import conjuncts, refuse
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.joins import Condition, condition, gather, outer
from penstock.sql_plan.list_functions import list_of
from penstock.sql_plan.relations import Field, Relation, Scope
from penstock.sql_plan.sources import item, nothing, renamed
from penstock.sql_plan.subqueries import free_columns, kept_by, planned, with_results

_OUTER = {"LEFT": "left", "RIGHT": "right", "FULL": "full"}


@dataclass(slots=True)
class Items:
    """FROM items read so far: pieces that stand side by side, and the conditions that join them."""

    pieces: list[Relation] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    fields: tuple[Field, ...] = ()
    """What can be named, in the order of ``*``; a column of USING stands once."""

    def add(self, relation: Relation) -> None:
        """Put a piece beside the others."""
        self.pieces.append(relation)
        self.fields += relation.fields

    def together(self) -> Relation:
        """Join all pieces into one; conditions that hold queries wait."""
        whole, self.conditions = gather(self.pieces, self.conditions)
        self.pieces = [whole]
        return whole


def from_items(
    context: Context, select: exp.Select, parent: Scope | None, outer_values: Relation | None
) -> Items:
    """Read the FROM clause of a query that is computed for ``outer_values``."""
    items = Items()
    if outer_values is not None:
        items.pieces.append(outer_values)
    source = select.args.get("from_")
    if source is None:
        if not items.pieces:
            items.pieces.append(nothing(context))
        return items
    _add(context, items, source.this, parent, None)
    for join in [*source.this.args.get("joins", []), *select.args.get("joins", [])]:
        _add(context, items, join.this, parent, join)
    for lateral in select.args.get("laterals", []):
        _add(context, items, lateral, parent, None)
    return items


def _add(
    context: Context,
    items: Items,
    node: exp.Expr,
    parent: Scope | None,
    join: exp.Join | None,
) -> None:
    side = _OUTER.get(join.side.upper()) if join is not None else None
    unnested = _unnested(node)
    if unnested is not None:
        if join is not None:
            _refuse_condition(join)
        _unnest(context, items, unnested, parent, side)
        return
    relation, ties = _item(context, items, node, parent)
    relation, named, hidden = _using(items, relation, join)
    here = Scope(items.fields + relation.fields, parent)
    on = join.args.get("on") if join is not None else None
    found = [condition(bound(part, here)) for part in conjuncts(on)] + named + ties
    if join is not None and join.kind.upper() in ("SEMI", "ANTI"):
        raise refuse(join, "use EXISTS or NOT EXISTS")
    if side is None or join is None:
        items.add(relation)
        items.conditions += found
    else:
        whole = items.together()
        if any(not c.plain for c in found):
            raise refuse(join, "a query in the condition of an outer join is not supported")
        items.pieces = [outer(whole, relation, side, found)]
        items.fields += relation.fields
    if hidden:
        items.fields = tuple(f for f in items.fields if f.column not in hidden)


def _refuse_condition(join: exp.Join) -> None:
    """Beside an array only ``ON true`` makes sense."""
    on = join.args.get("on")
    if join.args.get("using") or (on is not None and on != exp.true()):
        raise refuse(join, "an array is joined ON true", hint="put the condition into WHERE")


def _item(
    context: Context, items: Items, node: exp.Expr, parent: Scope | None
) -> tuple[Relation, list[Condition]]:
    """Return an item, and what ties it to the rows before it if it names their columns."""
    lateral = isinstance(node, exp.Lateral)
    query = node.this if lateral else node
    inside = query.this if isinstance(query, exp.Subquery) else None
    if not isinstance(inside, exp.Query) or not (lateral or parent is not None):
        return item(context, node, None, None), []
    scope = Scope(items.fields if lateral else (), parent)
    whole = items.together() if items.pieces else nothing(context)
    if not free_columns(context, inside, scope, whole.stream.schema):
        return item(context, node, None, None), []
    own = planned(context, inside, whole, scope)
    alias = node.args.get("alias") or query.args.get("alias")
    shown = replace(own.relation, keys=(), domain=None, one_row=False)
    if alias is not None:
        shown = renamed(shown, alias.name, [c.name for c in alias.columns], node)
    ties = [condition(exp.NullSafeEQ(this=column(a), expression=column(b))) for a, b in own.pairs]
    return shown, ties


def _unnest(
    context: Context, items: Items, node: exp.Unnest, parent: Scope | None, side: str | None
) -> None:
    """Explode arrays beside the rows they stand in; several go side by side, padded with nulls."""
    whole = items.together() if items.pieces else nothing(context)
    scope = Scope(items.fields, parent)
    scalars = scalars_over(whole.stream.schema)
    values = [list_of(scalars, bound(part, scope)) for part in node.expressions]
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
        column: pl.when(count > 0).then(
            value.expr if len(values) == 1 else _padded(value.expr, count)
        )
        for column, value in zip(made, values, strict=False)
    }
    if offset:
        numbers = pl.int_ranges(1, count + 1, dtype=pl.Int64)
        lists[made[-1]] = pl.when(count > 0).then(numbers)
    listed = whole.stream.with_columns(**lists)
    if side != "left":
        listed = listed.filter(count > 0)
    items.pieces = [replace(whole, stream=listed.explode(*made), one_row=False)]
    items.fields += tuple(Field(table, n, c) for n, c in zip(names, made, strict=True))


def _padded(array: pl.Expr, count: pl.Expr) -> pl.Expr:
    return array.list.gather(pl.int_ranges(0, count, dtype=pl.Int64), null_on_oob=True)


_LISTED = {
    "JSON_ARRAY_ELEMENTS", "JSONB_ARRAY_ELEMENTS", "JSON_ARRAY_ELEMENTS_TEXT",
    "JSONB_ARRAY_ELEMENTS_TEXT", "JSON_OBJECT_KEYS", "JSONB_OBJECT_KEYS",
    "GENERATE_SUBSCRIPTS", "STRING_TO_TABLE", "REGEXP_SPLIT_TO_TABLE",
}  # fmt: skip
"""Functions that give rows: here they are expressions that give an array, and that is unnested."""


def _unnested(node: exp.Expr) -> exp.Unnest | None:
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
    if not isinstance(inside, exp.Anonymous) or inside.name.upper() not in _LISTED:
        return None
    alias = alias.copy() if alias else exp.TableAlias(this=exp.to_identifier(inside.name))
    return exp.Unnest(expressions=[inside.copy()], alias=alias, offset=bool(offset))


def _using(
    items: Items, relation: Relation, join: exp.Join | None
) -> tuple[Relation, list[Condition], set[str]]:
    """USING and NATURAL: equalities by name; the column of the side that is kept stands for both."""
    if join is None:
        return relation, [], set()
    names = [part.name for part in join.args.get("using") or []]
    if (join.method or "").upper() == "NATURAL":
        theirs = {f.name for f in relation.fields}
        names = [f.name for f in items.fields if f.name in theirs]
    if names and join.side.upper() == "FULL":
        raise refuse(join, "USING with a full join is not supported", hint="use ON and coalesce()")
    found, hidden = [], set()
    for name in names:
        wanted = exp.Column(this=exp.to_identifier(name))
        mine, other = Scope(items.fields).find(wanted), Scope(relation.fields).find(wanted)
        found.append(condition(exp.EQ(this=column(mine.column), expression=column(other.column))))
        hidden.add(mine.column if join.side.upper() == "RIGHT" else other.column)
    return relation, found, hidden


def where(context: Context, items: Items, node: exp.Expr | None, parent: Scope | None) -> Relation:
    """Join the items, apply WHERE and what is left of ON."""
    scope = Scope(items.fields, parent)
    items.conditions += [condition(bound(part, scope)) for part in conjuncts(node)]
    relation = items.together()
    relation = replace(relation, fields=items.fields)
    return filtered(context, relation, scope, [c.node for c in items.conditions])


def filtered(
    context: Context, relation: Relation, scope: Scope, conditions: list[exp.Expr]
) -> Relation:
    """Keep the rows for which all bound conditions are true, queries in them included."""
    columns = relation.stream.columns
    for node in conditions:
        kept = kept_by(context, relation, scope, node)
        if kept is not None:
            relation = kept
            continue
        relation, (test,) = with_results(context, relation, scope, [node])
        relation = relation.filtered([scalars_over(relation.stream.schema).predicate(test)])
    if relation.stream.columns != columns:
        relation = replace(relation, stream=relation.stream.select(columns))
    return relation
