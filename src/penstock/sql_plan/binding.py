"""Binding: every name in an expression becomes the column of the stream that it means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from sqlglot import exp

from penstock.sql_plan.relations import Scope


def bound(node: exp.Expr, scope: Scope) -> exp.Expr:
    """Return the expression with columns in place of names; queries inside keep theirs."""

    def bind(part: exp.Expr) -> exp.Expr | None:
        if isinstance(part, exp.Column) and not isinstance(part.this, exp.Star):
            return _field(part, scope) or _row(part, scope) or column(scope.find(part).column)
        return None

    return rewritten(node, bind)


def _field(node: exp.Column, scope: Scope) -> exp.Expr | None:
    """``r.a`` is the field of a column ``r``, where no table goes by that name."""
    if not node.table or any(s.of_table(node.table) for s in scope.chain()):
        return None
    holder = exp.Column(this=node.args["table"])
    if all(s.own(holder) is None for s in scope.chain()):
        return None
    return exp.Dot(this=column(scope.find(holder).column), expression=node.this)


def _row(node: exp.Column, scope: Scope) -> exp.Expr | None:
    """``SELECT t FROM t``: a table in place of a column is its row, where no column has the name."""
    if node.table or any(s.own(node) is not None for s in scope.chain()):
        return None
    fields = next((found for s in scope.chain() if (found := s.of_table(node.name))), [])
    cells = [
        exp.PropertyEQ(this=exp.to_identifier(f.name), expression=column(f.column)) for f in fields
    ]
    return exp.Struct(expressions=cells) if cells else None


def column(name: str) -> exp.Column:
    """Return a bound column."""
    return exp.Column(this=exp.Identifier(this=name, quoted=True))


def rewritten(node: exp.Expr, change: Callable[[exp.Expr], exp.Expr | None]) -> exp.Expr:
    """Return a copy in which ``change`` has replaced what it did not return None for."""
    found = change(node)
    if found is not None:
        return found
    if is_query(node):
        return node
    copy = node.__class__()
    for key, value in node.args.items():
        if key == "query":
            copy.args[key] = value
        elif isinstance(value, list):
            copy.set(key, [_part(item, change) for item in value])
        else:
            copy.set(key, _part(value, change))
    copy.meta.update(node.meta)
    return copy


def _part(value: object, change: Callable[[exp.Expr], exp.Expr | None]) -> object:
    return rewritten(value, change) if isinstance(value, exp.Expr) else value


def is_query(node: exp.Expr) -> bool:
    """Tell whether a node is a query used as a value or a condition."""
    if isinstance(node, (exp.Any, exp.All)):
        return isinstance(node.this.unnest(), (exp.Query, exp.Subquery))
    return isinstance(node, (exp.Subquery, exp.Exists, exp.Query))


def replaced(node: exp.Expr, columns: Mapping[exp.Expr, str]) -> exp.Expr:
    """Return the expression with columns in place of the parts that have been computed."""
    return rewritten(node, lambda part: column(columns[part]) if part in columns else None)


def parts(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield a node and all below it, outside of queries (which are yielded themselves)."""
    yield node
    if is_query(node):
        return
    for key, value in node.args.items():
        if key == "query":
            continue
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, exp.Expr):
                yield from parts(item)


def columns_in(node: exp.Expr) -> set[str]:
    """Return the columns a bound expression reads itself."""
    return {part.name for part in parts(node) if isinstance(part, exp.Column)}
