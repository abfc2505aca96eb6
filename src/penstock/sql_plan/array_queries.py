"""``ARRAY(SELECT ...)``: the rows of a query as an array, empty where there are none."""

from __future__ import annotations

from sqlglot import exp


def array_of(arguments: list[exp.Expr]) -> exp.Expr:
    """Read ``ARRAY(SELECT x FROM t ORDER BY y)`` as ``(SELECT array_agg(x ORDER BY y) FROM t)``.

    Where groups, DISTINCT, LIMIT or set operations make the rows, they are gathered above those.
    """
    query = arguments[0].unnest() if len(arguments) == 1 else None
    if isinstance(query, exp.Subquery):
        query = query.this
    if not isinstance(query, exp.Query):
        return exp.Array(expressions=arguments)
    if isinstance(query, exp.Select) and _is_plain(query):
        gathered = query.copy()
        inside, order = gathered.expressions[0].unalias(), gathered.args.get("order")
    else:
        name = exp.to_identifier("item")
        rows, inside = query.copy(), exp.Column(this=name)
        order = _of_items(rows, inside)
        if order is None and rows.args.get("order"):
            return exp.Array(expressions=arguments)
        alias = exp.TableAlias(this=exp.to_identifier("items"), columns=[name.copy()])
        gathered = exp.Select(from_=exp.From(this=exp.Subquery(this=rows, alias=alias)))
    gathered.set("order", None)
    argument = exp.Order(this=inside, expressions=order.expressions) if order else inside
    gathered.set("expressions", [exp.ArrayAgg(this=argument)])
    empty = exp.Literal.string("{}")
    return exp.Coalesce(this=exp.Subquery(this=gathered), expressions=[empty])


_ROWS = ("group", "having", "distinct", "limit", "offset", "with_", "windows", "qualify")
"""Parts of a query that decide what its rows are, so that they are gathered above it."""


def _is_plain(query: exp.Select) -> bool:
    one = len(query.expressions) == 1 and not any(query.args.get(part) for part in _ROWS)
    return one and query.expressions[0].find(exp.AggFunc, exp.Window) is None


def _of_items(rows: exp.Query, item: exp.Column) -> exp.Order | None:
    """Return the order of rows by their one column, if they are ordered by that."""
    order = rows.args.get("order")
    if order is None or not rows.selects:
        return None
    items = [one.copy() for one in order.expressions]
    if any(one.this.name not in (rows.selects[0].alias_or_name, "1") for one in items):
        return None
    for one in items:
        one.set("this", item.copy())
    return exp.Order(expressions=items)
