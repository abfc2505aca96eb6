"""What an expression needs to see: one row, a whole group, or anything else."""

from __future__ import annotations

import enum

import polars as pl

from penstock.errors import PlanError
from penstock.plan.expressions import tables
from penstock.plan.expressions.repeatable import MARK
from penstock.plan.expressions.tree import (
    Tree,
    children,
    kind_of,
    options_of,
    payload_of,
    raw_walk,
    tag_of,
    to_expr,
    to_tree,
    walk,
)


class Shape(enum.Enum):
    """How the rows of an expression's output depend on the rows of its input."""

    ELEMENTWISE = "each output row depends only on the same input row"
    SCALAR = "one value for the whole group"
    OTHER = "depends on other rows, on order, or changes the length"


_LITERAL = "literal"  # fits any shape: Polars broadcasts it
_RETURNS_SCALAR = 8  # flags of Python functions, as Polars 2.1 numbers them (held by a test)
_ELEMENTWISE = 64 | 128  # ROW_SEPARABLE and LENGTH_PRESERVING
_TEMPORAL_NAMES = frozenset({"Date", "Datetime", "Time", "Duration"})
_UNREPEATABLE = frozenset(
    {
        "AnonymousFunction",
        "AnonymousAgg",
        "Random",
        "Sample",
        "FoldHorizontal",
        "ReduceHorizontal",
        "CumFoldHorizontal",
        "CumReduceHorizontal",
        "PipeWithDtype",
        "callback",
    }
)


def classify(expr: pl.Expr, schema: pl.Schema) -> Shape:
    """Tell what an expression (expanded, see ``expand``) needs to see.

    ``a + 1`` -> ELEMENTWISE, ``a.sum() / pl.len()`` -> SCALAR, ``a - a.mean()`` -> OTHER.
    A literal is ELEMENTWISE: it is broadcast, so alone in ``select`` it gives one row. Whatever is
    not in the tables, and whatever cannot be serialised, is OTHER.
    """
    try:
        tree = to_tree(expr)
    except PlanError:
        return Shape.OTHER
    return classify_tree(tree, schema)


def classify_tree(tree: Tree, schema: pl.Schema) -> Shape:
    """Tell what the expression of a tree needs to see."""
    shape = _shape(tree, schema)
    return Shape.ELEMENTWISE if shape == _LITERAL else Shape(shape)


def _shape(tree: Tree, schema: pl.Schema) -> object:
    kind = kind_of(tree)
    if kind in ("Column", "Element", "Field"):
        return Shape.ELEMENTWISE
    if kind == "Literal":
        return Shape.OTHER if "Series" in payload_of(tree) else _LITERAL
    if kind == "Len":
        return Shape.SCALAR
    if kind == "Gather":
        one = payload_of(tree)["returns_scalar"] and _is_single(payload_of(tree)["idx"], schema)
        return Shape.SCALAR if one else Shape.OTHER
    if kind == "AnonymousFunction":
        return _python_shape(tree, schema)
    if kind == "Eval":
        return _eval_shape(tree, schema)
    if kind in ("Agg", "Function"):
        return _function_shape(tree, schema)
    if kind == "Cast" and _guesses_format(tree, schema):
        return Shape.OTHER
    return _join(children(tree), schema) if kind in tables.STRUCTURAL else Shape.OTHER


def _join(nodes: list[Tree], schema: pl.Schema) -> object:
    """Combine the shapes of what a row-wise function reads."""
    shapes = {_shape(node, schema) for node in nodes}
    if Shape.OTHER in shapes or {Shape.SCALAR, Shape.ELEMENTWISE} <= shapes:
        return Shape.OTHER
    shapes.discard(_LITERAL)
    return shapes.pop() if shapes else _LITERAL


def _python_shape(tree: Tree, schema: pl.Schema) -> object:
    function = payload_of(tree)
    if function["options"]["flags"] & _RETURNS_SCALAR:
        return Shape.SCALAR
    if is_declared_elementwise(function):
        return _join(children(tree), schema)
    return Shape.OTHER


def is_declared_elementwise(function: Tree) -> bool:
    """Tell whether the payload of a Python function says that it works row by row."""
    return bool(function["options"]["flags"] & _ELEMENTWISE == _ELEMENTWISE)


def _eval_shape(tree: Tree, schema: pl.Schema) -> object:
    payload = payload_of(tree)
    if "Cumulative" in str(payload["variant"]):
        return Shape.OTHER
    evaluation = payload["evaluation"]
    if any(key in _UNREPEATABLE for key, _ in raw_walk(evaluation)):
        return Shape.OTHER
    if not any(kind_of(node) == "Element" for node in walk(evaluation)):
        return Shape.OTHER  # Polars panics or broadcasts
    return _join(children(tree), schema)


def _function_shape(tree: Tree, schema: pl.Schema) -> object:
    tag = tag_of(tree)
    if tag in tables.AGGREGATIONS:
        return Shape.SCALAR
    if tag == "Bin":
        return _bin_shape(tree, schema)
    if tag not in tables.ELEMENTWISE:
        return Shape.OTHER
    inputs = children(tree)
    if tag == "StringExpr.Strptime" and options_of(tree)[1]["format"] is None:
        return Shape.OTHER  # the format is guessed from the first row
    parameters = tables.LITERAL_PARAMETERS.get(tag, ())
    if not all(_is_collection(inputs[i], tag, schema) for i in parameters if i < len(inputs)):
        return Shape.OTHER
    read = [n for i, n in enumerate(inputs) if i not in parameters or kind_of(n) != "Literal"]
    return _join(read, schema)


def _is_collection(tree: Tree, tag: str, schema: pl.Schema) -> bool:
    """A literal, or for ``is_in`` a list per row."""
    if kind_of(tree) == "Literal":
        return True
    return tag == "Boolean.IsIn" and isinstance(dtype_of(tree, schema), (pl.List, pl.Array))


def _bin_shape(tree: Tree, schema: pl.Schema) -> object:
    """Bins between given breaks are row-wise; bins by rank or quantile are not."""
    intervals = options_of(tree)["method"].get("Intervals")
    fixed = intervals is not None and "Breaks" in intervals["spec"]
    return _join(children(tree), schema) if fixed else Shape.OTHER


def _is_single(tree: Tree, schema: pl.Schema) -> bool:
    return _shape(tree, schema) in (_LITERAL, Shape.SCALAR)


def _guesses_format(tree: Tree, schema: pl.Schema) -> bool:
    """A text cast to an instant is read in the format that its first row suggests."""
    payload = payload_of(tree)
    target = payload["dtype"].get("Literal")
    if target is None:  # the type of another expression
        return True
    name = target if isinstance(target, str) else next(iter(target))
    if name not in _TEMPORAL_NAMES:
        return False
    dtype = dtype_of(payload["expr"], schema)
    return dtype is None or isinstance(dtype, (pl.String, pl.Unknown))


def dtype_of(tree: Tree, schema: pl.Schema) -> pl.DataType | None:
    """Return the type of an expression over a schema; None where Polars cannot tell."""
    try:
        types = pl.LazyFrame(schema=schema).select(to_expr(tree)).collect_schema().dtypes()
    except Exception:  # noqa: BLE001 - whatever Polars says, the type is not known
        return None
    return types[0] if len(types) == 1 else None


def is_deterministic(expr: pl.Expr) -> bool:
    """Tell whether the expression gives the same again: no Python functions, nothing random."""
    try:
        tree = to_tree(expr)
    except PlanError:
        return False
    return is_deterministic_tree(tree)


def is_deterministic_tree(tree: Tree) -> bool:
    """Tell whether the expression of a tree gives the same when asked again."""
    for key, value in raw_walk(tree):
        if key == "AnonymousFunction" and MARK in _pickled(value):
            continue
        if key in _UNREPEATABLE or value == "Sample":
            return False
        if key == "ListExpr" and "Sample" in str(value):
            return False
        if key == "RollingExpr" and "Map" in value["function"]:
            return False
    return True


def _pickled(function: object) -> bytes:
    """Return what is pickled in the payload of a Python function."""
    return b"".join(part for _, part in raw_walk(function) if isinstance(part, bytes))


def root_columns(expr: pl.Expr) -> tuple[str, ...]:
    """Return the columns that the (expanded) expression reads, in order of first appearance."""
    try:
        found = [str(payload_of(n)) for n in walk(to_tree(expr)) if kind_of(n) == "Column"]
    except PlanError:
        found = expr.meta.root_names()
    return tuple(dict.fromkeys(found))
