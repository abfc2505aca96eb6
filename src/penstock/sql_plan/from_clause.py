"""FROM and WHERE: the items, joined, with the rows that satisfy the conditions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import polars as pl
from sqlglot import exp

from penstock.sql_plan.as_of_joins import as_of, as_of_side, at_system_time, is_as_of
from penstock.sql_plan.binding import bound, column
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import conjuncts, refuse, require_only
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.joins import Condition, condition, gather, outer
from penstock.sql_plan.list_functions import list_of
from penstock.sql_plan.now_filters import kept
from penstock.sql_plan.relations import Field, Relation, Scope
from penstock.sql_plan.sources import item, nothing, renamed
from penstock.sql_plan.subqueries import free_columns, kept_by, planned, with_results
from penstock.sql_plan.values import Value

_JOINED_BY = ("side", "kind", "method", "on", "using")
"""What a join says of itself; a comma says nothing."""
_OUTER = {"LEFT": "left", "RIGHT": "right", "FULL": "full"}


@dataclass(slots=True)
class Items:
    """FROM items read so far: pieces that stand side by side, and the conditions that join them."""

    pieces: list[Relation] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    fields: tuple[Field, ...] = ()
    """What can be named, in the order of ``*``; a column of USING stands once."""
    group: int = 0
    """Where the pieces since the last comma begin: JOIN binds closer than a comma."""
    first: int = 0
    """Where the pieces of the clause itself begin, after the outer values."""
    mixed: bool = False
    """Whether pieces before a comma are part of one after it, as LATERAL needs them there."""

    def comma(self) -> None:
        """Begin a new group; what was joined before is one piece."""
        if len(self.pieces) - self.group > 1:
            whole, self.conditions = gather(self.pieces[self.group :], self.conditions)
            self.pieces[self.group :] = [whole]
        self.group, self.mixed = len(self.pieces), False

    def since_comma(self, right: Relation, found: list[Condition]) -> Relation | None:
        """Join the pieces since the comma; None if conditions need others too."""
        own = self.pieces[self.group :]
        mine = set[str]().union(*(piece.columns for piece in own))
        touching = [c for c in self.conditions if c.columns & mine]
        if any(not c.columns <= mine | right.columns for c in [*touching, *found]):
            return None
        whole, self.conditions = gather(own, self.conditions)
        self.pieces[self.group :] = [whole]
        return whole

    def add(self, relation: Relation) -> None:
        """Put a piece beside the others."""
        self.pieces.append(relation)
        self.fields += relation.fields

    def together(self) -> Relation:
        """Join all pieces into one; conditions that hold queries wait."""
        whole, self.conditions = gather(self.pieces, self.conditions)
        after_comma = self.group >= len(self.pieces)
        self.mixed |= not after_comma and self.group > self.first
        self.pieces, self.group = [whole], int(after_comma)
        return whole


def from_items(
    context: Context, select: exp.Select, parent: Scope | None, outer_values: Relation | None
) -> Items:
    """Read the FROM clause of a query that is computed for ``outer_values``."""
    items = Items()
    if outer_values is not None:
        items.pieces.append(outer_values)
        items.group = items.first = 1
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
    if join is not None and not any(join.args.get(part) for part in _JOINED_BY):
        items.comma()
    if join is not None and is_as_of(join):
        _add_as_of(context, items, node, parent, join)
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
        if any(not c.plain for c in found):
            raise refuse(join, "a query in the condition of an outer join is not supported")
        _join_outer(context, items, relation, join, side, found, ties, parent)
        items.fields += relation.fields
    if hidden:
        items.fields = tuple(f for f in items.fields if f.column not in hidden)


def _add_as_of(
    context: Context, items: Items, node: exp.Expr, parent: Scope | None, join: exp.Join
) -> None:
    """Join one row of an item, by time, to each row since the last comma."""
    how, version = as_of_side(join), node.args.get("version")
    if version is not None:
        node = node.copy()
        node.set("version", None)
    relation, ties = _item(context, items, node, parent)
    if ties:
        raise refuse(join, "a correlated query cannot be joined as of a time")
    relation, named, hidden = _using(items, relation, join)
    here = Scope(items.fields + relation.fields, parent)
    written = [join.args.get("on"), join.args.get("match_condition")]
    found = [condition(bound(p, here)) for some in written for p in conjuncts(some)] + named
    if (
        named and version is None and written[1] is None
    ):  # USING (k, ts): the last column is the time
        last = found[-1].node
        found[-1] = condition(exp.GTE(this=last.this, expression=last.expression))
    whole = items.since_comma(relation, found) or items.together()
    if version is None:
        made = as_of(context, whole, relation, how, found, join)
    else:
        require_only(version, "this", "expression", "kind")
        time = bound(version.expression, Scope(items.fields, parent))
        made = at_system_time(context, whole, relation, how, found, time, join)
    items.pieces[items.group :] = [made]
    items.fields += relation.fields
    items.fields = tuple(f for f in items.fields if f.column not in hidden)


def _join_outer(
    context: Context,
    items: Items,
    relation: Relation,
    join: exp.Join,
    side: str,
    found: list[Condition],
    ties: list[Condition],
    parent: Scope | None,
) -> None:
    """Join a piece to those since the last comma."""
    pending = any(not c.plain for c in items.conditions)
    whole = None if pending and side != "left" else items.since_comma(relation, found)
    if whole is None:
        whole = items.together()
    if items.mixed and side != "left":
        raise refuse(
            join,
            f"a {side} join after a comma cannot use what stands before the comma",
            hint="write JOIN in place of the comma",
        )
    if side != "left" and pending:  # an outer join adds rows that these do not concern
        before = Scope(items.fields, parent)
        whole = filtered(context, whole, before, [c.node for c in items.conditions])
        items.conditions = []
    if side != "left" and whole.keys and ties:
        raise refuse(join, "a correlated query beside a right or full join is not supported")
    joined = _outer_for_each if side != "left" and whole.keys else _outer
    items.pieces[items.group :] = [joined(context, whole, relation, side, found)]


def _outer(
    _: Context, left: Relation, right: Relation, side: str, found: list[Condition]
) -> Relation:
    return outer(left, right, side, found)


def _outer_for_each(
    context: Context, left: Relation, right: Relation, side: str, found: list[Condition]
) -> Relation:
    """Join for each of the outer values: rows of the right side without a partner have these too."""
    assert left.domain is not None, "a correlated query knows the outer values it is for"
    again = {name: context.names("outer") for name in left.keys}
    values = left.domain.select([pl.col(name).alias(new) for name, new in again.items()])
    crossed = replace(right, stream=values.join(right.stream, how="cross"))
    same = [
        condition(exp.NullSafeEQ(this=column(name), expression=column(new)))
        for name, new in again.items()
    ]
    whole = outer(left, crossed, side, [*same, *found])
    theirs = [pl.coalesce(name, new).alias(name) for name, new in again.items()]
    stream = whole.stream.with_columns(theirs).drop(list(again.values()))
    return replace(whole, stream=stream)


def _refuse_condition(join: exp.Join) -> None:
    """Beside an array only ``ON true`` makes sense."""
    on = join.args.get("on")
    if join.args.get("using") or (on is not None and on != exp.true()):
        raise refuse(join, "an array is joined ON true", hint="put the condition into WHERE")


def _item(
    context: Context, items: Items, node: exp.Expr, parent: Scope | None
) -> tuple[Relation, list[Condition]]:
    """Return an item, and what ties it to the rows before it if it names their columns."""
    if isinstance(node, exp.Subquery) and isinstance(node.this, (exp.Table, exp.Subquery)):
        return _parenthesis(context, node, parent)
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


def _parenthesis(
    context: Context, node: exp.Subquery, parent: Scope | None
) -> tuple[Relation, list[Condition]]:
    """``(a JOIN b ON ...)``: the tables inside keep their names, unless it has one of its own."""
    inside = exp.Select(from_=exp.From(this=node.this))
    items = from_items(context, inside, parent, None)
    relation = replace(items.together(), fields=items.fields)
    beyond = [c for c in items.conditions if not c.plain or not c.columns <= relation.columns]
    if beyond:
        raise refuse(
            node, "a join in parentheses with a query, or a name from outside, is not supported"
        )
    alias = node.args.get("alias")
    if alias is not None:
        relation = renamed(relation, alias.name, [c.name for c in alias.columns], node)
    return relation, []


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
        column: pl.when(count > 0).then(value.expr if len(values) == 1 else _padded(value, count))
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


def _padded(array: Value, count: pl.Expr) -> pl.Expr:
    listed = array.expr.fill_null(pl.lit([], dtype=array.dtype))
    return listed.list.gather(pl.int_ranges(0, count, dtype=pl.Int64), null_on_oob=True)


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


def _using(
    items: Items, relation: Relation, join: exp.Join | None
) -> tuple[Relation, list[Condition], set[str]]:
    """USING and NATURAL: equalities by name; the column of the side that is kept stands for both."""
    if join is None:
        return relation, [], set()
    names = [part.name for part in join.args.get("using") or []]
    if (join.method or "").upper() == "NATURAL":
        theirs = {f.name for f in relation.fields if not f.hidden}
        names = [f.name for f in items.fields if f.name in theirs and not f.hidden]
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
        joined = kept_by(context, relation, scope, node)
        if joined is not None:
            relation = joined
            continue
        relation, (test,) = with_results(context, relation, scope, [node])
        relation = kept(relation, [test])
    if relation.stream.columns != columns:
        relation = replace(relation, stream=relation.stream.select(columns))
    return relation
