"""SQL expressions over one row to Polars expressions, with PostgreSQL's types and nulls."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import polars as pl
from sqlglot import exp

from penstock.errors import PlanError, closest
from penstock.sql_plan.dialect import refuse, require_only
from penstock.sql_plan.text_forms import span_text, text_form
from penstock.sql_plan.types import MAX_DIGITS, sql_type
from penstock.sql_plan.values import Value, aligned, constant, literal_as

_OPERANDS = ("this", "expression", "expressions")

FUNCTION = "function"
"""Where the meta data of a call hold the translator of the user's function that is called."""

Translator = Callable[["Scalars", exp.Expr], Value]
"""Translates one kind of node; its arguments it asks the ``Scalars`` for."""


class Scalars:
    """Translates expressions over the columns of one schema.

    Columns have been bound: a node names a column of the schema. ``nodes`` say how each kind of
    node is translated; functions by name come last. ``reads`` are the arguments beyond operands that
    a translator knows of; a node with others is refused.
    """

    def __init__(
        self,
        schema: pl.Schema,
        nodes: dict[type[exp.Expr], Translator],
        functions: dict[str, Translator],
        reads: dict[type[exp.Expr], tuple[str, ...]],
        *,
        strict: bool = True,
    ) -> None:
        self.schema = schema
        self.strict = strict
        self._nodes = nodes
        self._functions = functions
        self._reads = reads

    def lenient(self) -> Scalars:
        """Return a translator for what is computed of every row and used of some, as in CASE.

        Values that cannot be cast, or are out of range, are null there: the row is no bad one.
        """
        return Scalars(self.schema, self._nodes, self._functions, self._reads, strict=False)

    def value(self, node: exp.Expr) -> Value:
        """Return the translation of an expression."""
        if FUNCTION in node.meta:
            return self._checked(node.meta[FUNCTION], node)
        for kind in type(node).__mro__:
            if kind in self._nodes:
                return _folded(self._checked(self._nodes[kind], node), node)
        name = (node.name if isinstance(node, exp.Anonymous) else node.key).upper()
        if name in self._functions:
            return _folded(self._called(self._functions[name], node), node)
        raise self._unknown(node, name)

    def _unknown(self, node: exp.Expr, name: str) -> PlanError:
        """Say why an expression cannot stand here, and what could."""
        if isinstance(node, exp.AggFunc) or name in _WINDOW_ONLY:
            return refuse(
                node,
                f"{name} cannot stand here: it is of several rows",
                hint="conditions on groups stand in HAVING, ranks need OVER (ORDER BY ...); else "
                "compute it in a query in FROM",
            )
        if not isinstance(node, exp.Func):
            return refuse(node, f"{name} is not supported")
        near = closest(name.lower(), known_names(self._nodes, self._functions))
        return refuse(
            node, f"no function {name.lower()!r}", hint=f"did you mean {near}?" if near else None
        )

    def _checked(self, translate: Translator, node: exp.Expr) -> Value:
        require_only(node, *_OPERANDS, *self._reads.get(type(node), ()))
        return self._called(translate, node)

    def _called(self, translate: Translator, node: exp.Expr) -> Value:
        try:
            return translate(self, node)
        except PlanError:
            raise
        except (pl.exceptions.PolarsError, ValueError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise refuse(node, f"wrong types or value ({reason})") from error

    def of_rows(self, node: exp.Expr) -> Value:
        """Return a value for every row, also where it is a constant, of which Polars makes one."""
        value = self.value(node)
        return replace(value, expr=self.by_row(value.expr))

    def by_row(self, expr: pl.Expr) -> pl.Expr:
        """Return an expression that reads a column, so that there is one value for every row."""
        if expr.meta.root_names() or not self.schema:
            return expr
        one = expr.first()
        return pl.when(pl.col(next(iter(self.schema))).is_null()).then(one).otherwise(one)

    def values(self, nodes: Sequence[exp.Expr]) -> list[Value]:
        """Return the translations of several."""
        return [self.value(node) for node in nodes]

    def typed(self, expr: pl.Expr) -> Value:
        """Return an expression with the type Polars gives it."""
        return Value(expr, self.dtype(expr))

    def dtype(self, expr: pl.Expr) -> pl.DataType:
        """Return the type of an expression."""
        return pl.LazyFrame(schema=self.schema).select(expr.alias("x")).collect_schema()["x"]

    def predicate(self, node: exp.Expr) -> pl.Expr:
        """Return a condition; refuses what is not a boolean."""
        value = self.value(node)
        if value.dtype == pl.Null:
            return pl.lit(None, dtype=pl.Boolean)
        if value.constant and value.dtype == pl.String:
            value = literal_as(value, pl.Boolean())
        if value.dtype != pl.Boolean:
            raise refuse(node, f"a condition must be boolean, not {sql_type(value.dtype)}")
        return value.expr

    def text(self, node: exp.Expr) -> pl.Expr:
        """Return an expression as text."""
        value = self.value(node)
        if value.has_months:
            return span_text(value.counted_months, value.fixed)
        if value.dtype == pl.Binary:
            raise refuse(
                node,
                "text is needed, not bytes",
                hint="convert_from(x, 'UTF8') or encode(x, 'hex')",
            )
        return text_form(value.expr, value.dtype)

    def number(self, node: exp.Expr) -> Value:
        """Return a number; an untyped text counts as a float."""
        value = self.value(node)
        if value.constant and value.dtype in (pl.String, pl.Null):
            return literal_as(value, pl.Float64()) if value.literal is not None else value
        if not value.dtype.is_numeric():
            raise refuse(node, f"a number is needed, not {sql_type(value.dtype)}")
        return value

    def written(self, node: exp.Expr | None, what: str) -> object:
        """Return a constant's Python value; refuses what is not written down in the statement."""
        if node is None:
            return None
        value = None if node.find(exp.Column) else self.value(node)
        if value is None or not value.constant:
            raise refuse(node, f"{what} must be a constant")
        return value.literal


def _folded(value: Value, node: exp.Expr) -> Value:
    """Compute once what is made of constants: beside columns Polars may take it for one row.

    A function of the user's is called for each row; what fails now fails for each row, too.
    """
    nested = value.dtype.is_nested() or value.dtype == pl.Null
    if value.constant or value.is_interval or nested or value.expr.meta.root_names():
        return value
    if any(FUNCTION in part.meta for part in node.walk()):
        return value
    try:
        cell = pl.select(value.expr).to_series()
    except pl.exceptions.PolarsError:
        return value
    if len(cell) != 1 or cell.dtype != value.dtype:
        return value
    return replace(value, expr=pl.lit(cell.item(), dtype=value.dtype))


_WINDOW_ONLY = ("ROWNUMBER", "NTILE", "LAG", "LEAD", "NTHVALUE", "FIRSTVALUE", "LASTVALUE")


@functools.cache
def _names_by_key() -> dict[str, str]:
    """How the functions that the parser knows are written, by their keys."""
    kinds = [kind for kind in exp.ALL_FUNCTIONS if kind.sql_names()]
    return {kind.key.upper(): kind.sql_names()[0].lower() for kind in kinds}


def known_names(
    nodes: Mapping[type[exp.Expr], object], functions: Mapping[str, object]
) -> list[str]:
    """Return the names by which functions can be called."""
    written = _names_by_key()
    keys = [kind.key.upper() for kind in nodes if issubclass(kind, exp.Func)]
    return sorted({written.get(key, key.lower()) for key in [*keys, *functions]})


_WHOLE = {32: pl.Int32(), 64: pl.Int64(), 128: pl.Int128()}
"""Types of whole numbers as they are written, by their bits."""


def _literal(_: Scalars, node: exp.Expr) -> Value:
    text = node.name
    if node.args.get("is_string"):
        return constant(text, pl.String())
    if "e" in text.lower():
        return constant(float(text), pl.Float64())
    if "." in text:
        number = Decimal(text)
        digits = max(len(number.as_tuple().digits), -int(number.as_tuple().exponent))
        return constant(
            number, pl.Decimal(min(MAX_DIGITS, digits), -int(number.as_tuple().exponent))
        )
    whole = int(text)
    for bits, dtype in _WHOLE.items():
        if whole < 1 << (bits - 1):
            return constant(whole, dtype)
    raise refuse(node, "too large a number")


def _column(scalars: Scalars, node: exp.Expr) -> Value:
    if node.name not in scalars.schema:
        raise refuse(node, "this column cannot be named here")
    return Value(pl.col(node.name), scalars.schema[node.name])


def _boolean(_: Scalars, node: exp.Expr) -> Value:
    return constant(bool(node.this), pl.Boolean())


def _null(_: Scalars, __: exp.Expr) -> Value:
    return constant(None, pl.Null())


def _inner(scalars: Scalars, node: exp.Expr) -> Value:
    return scalars.value(node.this)


def both(scalars: Scalars, node: exp.Expr, *parts: exp.Expr) -> list[Value]:
    """Return operands as the one type they are compared or united in."""
    return united(node, scalars.values(parts))


def united(node: exp.Expr, values: list[Value]) -> list[Value]:
    """Return values as one type."""
    found = aligned(*values)
    if found is None:
        raise refuse(node, f"no common type of {', '.join(str(v.dtype) for v in values)}")
    return found


def _collate(scalars: Scalars, node: exp.Expr) -> Value:
    if node.expression.name.lower() not in ("c", "posix", "ucs_basic", "default"):
        raise refuse(node, "text is ordered by code point; other collations are not supported")
    return scalars.value(node.this)


NODES: dict[type[exp.Expr], Translator] = {
    exp.Literal: _literal,
    exp.Column: _column,
    exp.Boolean: _boolean,
    exp.Null: _null,
    exp.Paren: _inner,
    exp.Collate: _collate,
}
READS: dict[type[exp.Expr], tuple[str, ...]] = {exp.Literal: ("is_string",), exp.Column: ()}
