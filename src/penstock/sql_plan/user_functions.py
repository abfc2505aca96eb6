"""User functions: ``CREATE FUNCTION ... LANGUAGE python``, and Python functions given by name.

A function whose parameters are annotated ``pl.Series`` is called with whole columns and returns one;
any other is called once a row.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from polars.datatypes import parse_into_dtype
from sqlglot import exp

from penstock.errors import PlanError
from penstock.sql_plan.dialect import refuse, require_only
from penstock.sql_plan.scalars import FUNCTION, Scalars
from penstock.sql_plan.types import dtype_of
from penstock.sql_plan.values import Value, literal_as


@dataclass(frozen=True, slots=True)
class UserFunction:
    """A Python function that expressions may call: its SQL name, its types and how it is called."""

    name: str
    function: Callable[..., Any]
    takes: tuple[pl.DataType, ...]
    returns: pl.DataType

    def __call__(self, scalars: Scalars, node: exp.Expr) -> Value:
        """Translate a call."""
        given = node.expressions
        if len(given) != len(self.takes):
            raise refuse(node, f"{self.name} takes {len(self.takes)} arguments, not {len(given)}")
        cells = [
            _as(scalars.value(part), dtype) for part, dtype in zip(given, self.takes, strict=True)
        ]
        called = pl.map_batches(cells, self._apply, return_dtype=self.returns, is_elementwise=True)
        return Value(called, self.returns)

    def _apply(self, columns: Sequence[pl.Series]) -> pl.Series:
        lengths = {len(column) for column in columns}
        height = 0 if 0 in lengths else max(lengths, default=1)
        full = [_long(column, height) for column in columns]  # a constant comes as a single value
        if _takes_columns(self.function):
            found = self.function(*full) if height else pl.Series([], dtype=self.returns)
        else:
            found = [self.function(*row) for row in zip(*full, strict=True)]
        if not isinstance(found, pl.Series):
            found = pl.Series(found, dtype=self.returns)
        return found.cast(self.returns)


def _long(column: pl.Series, height: int) -> pl.Series:
    if len(column) == height:
        return column
    return column.new_from_index(0, height) if height else column.clear()


def _as(value: Value, dtype: pl.DataType) -> pl.Expr:
    if value.constant and value.dtype == pl.String and dtype != pl.String:
        return literal_as(value, dtype).expr
    return value.expr if value.dtype == dtype else value.expr.cast(dtype)


def _takes_columns(function: Callable[..., Any]) -> bool:
    notes = getattr(function, "__annotations__", {})
    return any(
        note is pl.Series or str(note).split(".")[-1] == "Series"
        for name, note in notes.items()
        if name != "return"
    )


def given_function(name: str, function: Any, types: Sequence[Any]) -> UserFunction:
    """Return a Python function as one of SQL; ``types`` are those of its arguments and of its result."""
    if not callable(function):
        raise PlanError(f"function {name!r} is a {type(function).__name__}", step="function")
    try:
        *takes, returns = (pl.Schema({"x": parse_into_dtype(t)})["x"] for t in types)
    except (TypeError, ValueError) as error:
        raise PlanError(
            f"the types of function {name!r} are not types: {types!r}",
            step="function",
            hint="give those of the arguments and then that of the result: [pl.String, pl.Int64]",
        ) from error
    _check_arguments(name, function, len(takes))
    return UserFunction(name, function, tuple(takes), returns)


def created_function(node: exp.Create) -> UserFunction:
    """Return what ``CREATE FUNCTION f(a VARCHAR) RETURNS BIGINT LANGUAGE python AS $$...$$`` makes.

    The text defines a Python function of that name; ``pl`` is Polars.
    """
    require_only(node, "this", "kind", "expression", "exists", "replace", "properties")
    declared = node.this
    name = declared.this.name
    properties = node.args.get("properties")
    found = {type(p): p for p in (properties.expressions if properties else [])}
    language, returned = found.get(exp.LanguageProperty), found.get(exp.ReturnsProperty)
    if language is None or language.this.name.lower() != "python":
        raise refuse(node, "a function is written in Python", hint="LANGUAGE python AS $$ def ...")
    if returned is None or node.expression is None:
        raise refuse(node, "a function needs RETURNS type and AS $$ its text $$")
    takes = []
    for part in declared.expressions:
        kind = part.args.get("kind") if isinstance(part, exp.ColumnDef) else part
        if not isinstance(kind, exp.DataType):
            raise refuse(part, "an argument is a name and a type, or a type")
        takes.append(dtype_of(kind))
    scope: dict[str, Any] = {"pl": pl}
    try:
        exec(compile(_dedented(node.expression.name), f"<function {name}>", "exec"), scope)  # noqa: S102 - its purpose
    except Exception as error:
        raise PlanError(
            f"the text of function {name!r} does not run: {error}", step="sql", value=name
        ) from error
    function = scope.get(name)
    if not callable(function):
        raise refuse(node, f"the text of the function defines no {name!r}")
    _check_arguments(name, function, len(takes))
    return UserFunction(name, function, tuple(takes), dtype_of(returned.this))


def _dedented(text: str) -> str:
    """Return a function's text without the indentation of the statement around it."""
    return textwrap.dedent(text.strip("\n")).lstrip(" ")


def _check_arguments(name: str, function: Callable[..., Any], count: int) -> None:
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError as error:
        raise PlanError(
            f"function {name!r} cannot be called with {count} arguments: {error}",
            step="function",
            value=name,
        ) from error
    except ValueError:  # a function of C that does not tell its parameters
        return


Functions = Mapping[str, UserFunction]
"""User functions by their names in lower case."""


def with_functions(node: exp.Expr, functions: Functions) -> exp.Expr:
    """Note at each call of a user function which it means; returns the same node."""
    for call in calls(node):
        found = functions.get(call.name.lower())
        if found is not None:
            call.meta[FUNCTION] = found
    return node


def calls(node: exp.Expr) -> Iterable[exp.Anonymous]:
    """Return the calls of functions that SQL does not know."""
    return node.find_all(exp.Anonymous)
