"""FROM and WHERE: the items, joined, with the rows that satisfy the conditions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import polars as pl
from sqlglot import exp

from penstock.sql_plan.as_of_joins import as_of, as_of_side, at_system_time, is_as_of, reads_now
from penstock.sql_plan.binding import bound, column
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import conjuncts, refuse, require_only
from penstock.sql_plan.joins import Condition, condition, gather, outer
from penstock.sql_plan.named_joins import Named, merged, named_by
from penstock.sql_plan.now_filters import kept
from penstock.sql_plan.relations import Field, Relation, Scope
from penstock.sql_plan.sources import item, nothing, renamed
from penstock.sql_plan.subqueries import free_columns, kept_by, planned, with_results
from penstock.sql_plan.unnesting import unnest, unnested

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
    before: int = 0
    """How many of the fields stand before the last comma."""
    mixed: bool = False
    """Whether pieces before a comma are part of one after it, as LATERAL needs them there."""

    @property
    def of_group(self) -> tuple[Field, ...]:
        """The fields since the last comma."""
        return self.fields[self.before :]

    def comma(self) -> None:
        """Begin a new group; what was joined before is one piece."""
        if len(self.pieces) - self.group > 1:
            whole, self.conditions = gather(self.pieces[self.group :], self.conditions)
            self.pieces[self.group :] = [whole]
        self.group, self.mixed = len(self.pieces), False
        self.before = len(self.fields)

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

    def merge(self, context: Context, named: list[Named], side: str) -> None:
        """Let one column stand for both of each name, by which the last piece was joined."""
        if not named:
            return
        self.pieces[-1], found = merged(context, self.pieces[-1], self.of_group, named, side)
        self.fields = self.fields[: self.before] + found

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
    arrays = unnested(node)
    if arrays is not None:
        if join is not None:
            _refuse_condition(join)
        whole = items.together() if items.pieces else nothing(context)
        whole, fields = unnest(context, whole, Scope(items.fields, parent), arrays, side)
        items.pieces = [whole]
        items.fields += fields
        return
    if join is not None and not any(join.args.get(part) for part in _JOINED_BY):
        items.comma()
    if join is not None and is_as_of(join):
        _add_as_of(context, items, node, parent, join)
        return
    relation, ties = _item(context, items, node, parent)
    named = named_by(items.of_group, relation, join)
    here = Scope(items.fields + relation.fields, parent)
    on = join.args.get("on") if join is not None else None
    found = [condition(bound(part, here)) for part in conjuncts(on)] + ties
    found += [both.condition for both in named]
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
    items.merge(context, named, side or "inner")


def _add_as_of(
    context: Context, items: Items, node: exp.Expr, parent: Scope | None, join: exp.Join
) -> None:
    """Join one row of an item, by time, to each row since the last comma."""
    how, version = as_of_side(join), node.args.get("version")
    time: exp.Expr = exp.null()
    if version is not None:
        require_only(version, "this", "expression", "kind")
        time = bound(version.expression, Scope(items.fields, parent))
        node = node.copy()
        node.set("version", None)
    by_event_time = version is not None and not reads_now(items.pieces, time)
    reader = context.with_queries() if by_event_time else context
    relation, ties = _item(reader, items, node, parent)
    if ties:
        raise refuse(join, "a correlated query cannot be joined as of a time")
    named = named_by(items.of_group, relation, join)
    here = Scope(items.fields + relation.fields, parent)
    written = [join.args.get("on"), join.args.get("match_condition")]
    found = [condition(bound(p, here)) for some in written for p in conjuncts(some)]
    found += [both.condition for both in named]
    if named and version is None and written[1] is None:  # USING (k, ts): the last is the time
        last = found[-1].node
        found[-1] = condition(exp.GTE(this=last.this, expression=last.expression))
    whole = items.since_comma(relation, found) or items.together()
    if version is None:
        made = as_of(context, whole, relation, how, found, join)
    else:
        made = at_system_time(context, whole, relation, how, found, time, join)
    items.pieces[items.group :] = [made]
    items.fields += relation.fields
    items.merge(context, named, how)


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
        shown = tuple(f for f in relation.fields if not f.tied)
        relation = replace(relation, fields=shown)
        relation = renamed(relation, alias.name, [c.name for c in alias.columns], node)
    return relation, []


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
