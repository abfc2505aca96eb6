"""One expression per output column: selectors resolved, names known, errors on the user's line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import polars as pl
from polars import exceptions as plx

from penstock.errors import PlanError
from penstock.plan.expressions import tables
from penstock.plan.expressions.casts import check_casts
from penstock.plan.expressions.classify import is_declared_elementwise
from penstock.plan.expressions.tree import (
    Tree,
    children,
    column,
    first_line,
    kind_of,
    options_of,
    payload_of,
    raw_walk,
    tag_of,
    to_expr,
    to_tree,
    with_children,
)

Verb = Literal["select", "with_columns", "filter", "agg", "group_by"]

_MISSING = (
    re.compile(r'unable to find column "([^"]+)"'),
    re.compile(r'^"([^"]+)" not found'),
    re.compile(r"^([^\s\"]+)$"),
)
_GROUP = "_penstock_group"
_UNTYPED_FUNCTION = b"PLPYFN\x94\xc0"  # Polars' header of a pickled function, then a null type


def as_exprs(*exprs: Any, **named: Any) -> list[pl.Expr]:
    """Read what ``LazyFrame.select`` takes: ``"a", pl.col("b"), c=1`` -> three expressions.

    Strings are columns, one iterable alone stands for its elements, keywords are aliases, other
    values (lists among several arguments too, as in Polars) are literals.
    """
    found = [_as_expr(item) for item in _positional(exprs)]
    return found + [_as_expr(value).alias(name) for name, value in named.items()]


def _positional(items: tuple[Any, ...]) -> Iterable[Any]:
    if len(items) != 1:
        return items
    (only,) = items
    if isinstance(only, Mapping):
        raise PlanError(
            "a dictionary is not a list of expressions",
            value=only,
            hint="write `**mapping` for named expressions",
        )
    if isinstance(only, pl.DataFrame):
        return only.iter_columns()
    single = isinstance(only, (str, bytes, pl.Series, pl.Expr)) or not isinstance(only, Iterable)
    return items if single else only


def _as_expr(value: Any) -> pl.Expr:
    if isinstance(value, pl.Expr):
        return value
    if isinstance(value, str):
        return pl.col(value)
    try:
        return pl.lit(value)
    except Exception as error:
        raise PlanError(
            f"not an expression: {first_line(error)}",
            value=value,
            hint="give column names, Polars expressions or plain values",
        ) from error


def expand(exprs: Sequence[pl.Expr], schema: pl.Schema) -> list[pl.Expr]:
    """Return one expression per output column, without selectors, wildcards or patterns.

    ``[pl.col("a", "b").sum()]`` -> ``[pl.col("a").sum(), pl.col("b").sum()]``, in the order and
    with the names that Polars gives. Expressions without selectors are returned as they are.
    """
    found: list[pl.Expr] = []
    for expr in exprs:
        found.extend(_expand_one(expr, schema))
    return found


def _expand_one(expr: pl.Expr, schema: pl.Schema) -> list[pl.Expr]:
    try:
        tree = to_tree(expr)
    except PlanError:
        if expr.meta.has_multiple_outputs():
            raise
        tree = None
    if tree is None or not _has_selector(tree):
        _check_columns(expr, schema)
        return [expr]
    trees = _alternatives(tree, schema)
    if any(_has_selector(each) for each in trees):
        raise PlanError(
            "a selector at this place cannot be expanded",
            value=str(expr),
            hint="name the columns one by one",
        )
    return [to_expr(each) for each in trees]


def _has_selector(tree: Tree) -> bool:
    return any(key in ("Selector", "SelectFields") for key, _ in raw_walk(tree))


def _check_columns(expr: pl.Expr, schema: pl.Schema) -> None:
    for name in expr.meta.root_names():
        if name not in schema:
            raise PlanError(f"there is no column {name!r}", value=name, alternatives=schema.names())


def _alternatives(tree: Tree, schema: pl.Schema) -> list[Tree]:
    """Return the trees that a tree with selectors stands for."""
    if kind_of(tree) == "Selector":
        return [column(name) for name in _selected(to_expr(tree), schema)]
    if not _has_selector(tree):
        return [tree]
    below = [_alternatives(child, schema) for child in children(tree)]
    tag = tag_of(tree)
    if tag in tables.FLATTENING:
        inputs = [tree for group in below for tree in group]
        return [_with_inputs(tree, inputs)]
    if tag == "StructExpr.SelectFields":
        return [
            _with_field(tree, struct, name)
            for struct in below[0]
            for name in _fields(struct, options_of(tree), schema)
        ]
    return [with_children(tree, parts) for parts in _in_step(below, tree)]


def _in_step(below: list[list[Tree]], tree: Tree) -> list[list[Tree]]:
    """Polars expands several selectors in one expression side by side, never crosswise."""
    sizes = {len(group) for group in below} - {1}
    if len(sizes) > 1:
        raise PlanError(
            f"cannot combine selectors of {' and '.join(map(str, sorted(sizes)))} columns",
            value=str(to_expr(tree)),
        )
    size = sizes.pop() if sizes else 1
    return [[group[0] if len(group) == 1 else group[i] for group in below] for i in range(size)]


def _with_inputs(tree: Tree, inputs: list[Tree]) -> Tree:
    payload = payload_of(tree)
    return {kind_of(tree): {**payload, "input": inputs}}


def _with_field(tree: Tree, struct: Tree, name: str) -> Tree:
    payload = {**payload_of(tree), "input": [struct]}
    return {kind_of(tree): {**payload, "function": {"StructExpr": {"FieldByName": name}}}}


def _fields(struct: Tree, selector: Tree, schema: pl.Schema) -> list[str]:
    frame = pl.LazyFrame(schema=schema)
    with reporting(schema):
        dtype = frame.select(to_expr(struct)).collect_schema().dtypes()[0]
    if not isinstance(dtype, pl.Struct):
        raise PlanError(
            f"fields of a column that is no struct but {dtype}", value=str(to_expr(struct))
        )
    return _selected(to_expr({"Selector": selector}), pl.Schema(dtype.to_schema()))


def _selected(selector: pl.Expr, schema: pl.Schema) -> list[str]:
    with reporting(schema):
        return pl.LazyFrame(schema=schema).select(selector).collect_schema().names()


class reporting:  # noqa: N801 - reads as a statement: ``with reporting(schema): ...``
    """Turn what Polars raises about a plan into a PlanError with the columns there are."""

    def __init__(self, schema: pl.Schema, step: str | None = None) -> None:
        self.schema = schema
        self.step = step

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise the PlanError."""
        if error is not None and _is_polars_fault(error):
            raise plan_error(error, self.schema, self.step) from error


def _is_polars_fault(error: BaseException) -> bool:
    """Polars panics derive from BaseException and have no public class."""
    return isinstance(error, plx.PolarsError) or type(error).__name__ == "PanicException"


def plan_error(error: BaseException, schema: pl.Schema, step: str | None) -> PlanError:
    """Say what Polars said, in one line, with the columns there are."""
    line = first_line(error)
    if isinstance(error, plx.ColumnNotFoundError):
        name = next((m.group(1) for p in _MISSING if (m := p.search(line))), None)
        message = line if name is None else f"there is no column {name!r}"
        return PlanError(message, step=step, value=name, alternatives=schema.names())
    return PlanError(line, step=step)


def output_schema(
    exprs: Sequence[pl.Expr], schema: pl.Schema, verb: Verb, step: str | None = None
) -> pl.Schema:
    """Return the columns that ``verb`` with these expressions gives over rows of ``schema``.

    Runs them on an empty frame, so that a wrong column or type is an error now. For ``agg`` the
    result has the aggregations only. PlanError for what Polars refuses, of ``step`` (the verb).
    """
    step = step or verb
    for expr in exprs:
        _check_return_dtype(expr, step)
    lazy = _apply(pl.LazyFrame(schema=schema), exprs, verb)
    with reporting(schema, step):
        planned = lazy.collect_schema()
    try:
        collected = lazy.collect().schema
    except Exception as error:
        if _depends_on_rows(exprs, error):
            return _without_group(planned)
        raise plan_error(error, schema, step) from error
    check_casts(exprs, schema, step)
    return _without_group(planned if _has_python(exprs) else collected)


def _apply(frame: pl.LazyFrame, exprs: Sequence[pl.Expr], verb: Verb) -> pl.LazyFrame:
    if verb in ("select", "group_by"):
        return frame.select(*exprs)
    if verb == "with_columns":
        return frame.with_columns(*exprs)
    if verb == "filter":
        return frame.filter(*exprs)
    if verb == "agg":
        return frame.group_by(pl.lit(0).alias(_GROUP)).agg(*exprs)
    raise PlanError(
        "unknown step",
        value=verb,
        alternatives=("select", "with_columns", "filter", "agg", "group_by"),
    )


def _check_return_dtype(expr: pl.Expr, step: str) -> None:
    """Polars takes a function per row without a type to give its input's type: a guess."""
    if not _has_python([expr]):
        return
    try:
        found = [value for key, value in raw_walk(to_tree(expr)) if key == "AnonymousFunction"]
    except PlanError:
        return
    for function in found:
        untyped = bytes(function["function"]).startswith(_UNTYPED_FUNCTION)
        if untyped and is_declared_elementwise(function):
            raise PlanError(
                "a Python function per row needs its type",
                step=step,
                value=str(expr),
                hint="add return_dtype=, for example return_dtype=pl.Int64",
            )


def _without_group(schema: pl.Schema) -> pl.Schema:
    return pl.Schema({name: dtype for name, dtype in schema.items() if name != _GROUP})


def _has_python(exprs: Sequence[pl.Expr]) -> bool:
    python = ("AnonymousFunction", "FoldHorizontal", "ReduceHorizontal", "callback")
    try:
        return any(key in python for expr in exprs for key, _ in raw_walk(to_tree(expr)))
    except PlanError:
        return True


def _depends_on_rows(exprs: Sequence[pl.Expr], error: BaseException) -> bool:
    """Tell whether an error comes of the frame being empty: ``get(0)``, ``item()``, Python."""
    if isinstance(error, plx.OutOfBoundsError) or _has_python(exprs):
        return True
    return any(key == "Item" for expr in exprs for key, _ in raw_walk(to_tree(expr)))
