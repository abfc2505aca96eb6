"""Which parts of an expression a single row can make fail.

``(a.str.to_integer() + b).sum()`` -> ``a.str.to_integer()``. A step that keeps state runs these
parts on the rows of an epoch before it takes them in, so that the row at fault is found, and
refused, while the state is still as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import polars as pl

from penstock.errors import PlanError
from penstock.plan.expressions import tables
from penstock.plan.expressions.classify import dtype_of, is_declared_elementwise
from penstock.plan.expressions.tree import (
    Tree,
    children,
    kind_of,
    options_of,
    payload_of,
    tag_of,
    to_expr,
    to_tree,
)

_CHOOSING_KINDS = frozenset({"Filter", "Sort", "SortBy"})
_CHOOSING = frozenset({"DropNulls", "DropNans", "Reverse", "Unique", "UniqueStable"})
"""What only chooses or reorders values: whatever is computed of them depends on one row each."""

_HORIZONTAL = tables.FLATTENING | tables.BOOLEAN | {"FillNull"}
"""Functions that no value of any input makes fail."""

_SAFE = (
    (tables.NUMERIC - {"Cut", "Reinterpret", "Pow.Generic"})
    | (tables.TRIGONOMETRY | tables.BITWISE)
    | {"FillNullWithStrategy.Zero", "FillNullWithStrategy.One", "StructExpr.FieldByName"}
    | tables.tags(
        "StringExpr.",
        """Base64Encode Contains CountMatches EndsWith EscapeRegex Extract ExtractAll Head HexEncode
        LenBytes LenChars Lowercase Replace Reverse Slice Split StartsWith StripChars StripCharsEnd
        StripCharsStart StripPrefix StripSuffix Tail Titlecase Uppercase""",
    )
    | tables.tags(
        "TemporalExpr.",
        """Century Date Day DaysInMonth Hour IsLeapYear IsoYear Microsecond Millennium Millisecond
        Minute Month Nanosecond OrdinalDay Quarter Second Time TimeStamp TotalDays TotalHours
        TotalMicroseconds TotalMilliseconds TotalMinutes TotalNanoseconds TotalSeconds Week WeekDay
        Year""",
    )
    | tables.tags("ListExpr.", "ArgMax ArgMin Length Max Mean Min Sum")
)
"""Functions that no value of their first input makes fail, where the others are literals.

What is missing here costs a second evaluation of a function; what is wrong here stops a query.
"""


def fallible(exprs: Sequence[pl.Expr], schema: pl.Schema) -> tuple[pl.Expr, ...]:
    """Return the parts of the (expanded) expressions that may fail because of one row's values.

    Each reads the columns of ``schema`` alone and may have any length. What can fail only because
    of several rows together is not among them.
    """
    found: dict[bytes, pl.Expr] = {}
    for expr in exprs:
        try:
            tree = to_tree(expr)
        except PlanError:
            continue
        for part in _parts(tree, schema):
            found.setdefault(msgspec.msgpack.encode(part), to_expr(part))
    return tuple(found.values())


def _parts(tree: Tree, schema: pl.Schema) -> Iterator[Tree]:
    if may_fail(tree, schema) and _row_local(tree):
        yield tree
        return
    if kind_of(tree) in ("Eval", "StructEval"):
        return
    for child in children(tree):
        yield from _parts(child, schema)


def _row_local(tree: Tree) -> bool:
    """Tell whether each value depends on one row alone, whatever rows are chosen or reordered."""
    kind = kind_of(tree)
    if kind == "Column":
        return True
    if kind == "Literal":
        return "Series" not in payload_of(tree)
    if kind == "AnonymousFunction" and not is_declared_elementwise(payload_of(tree)):
        return False
    known = kind in tables.STRUCTURAL or kind in ("AnonymousFunction", "Eval")
    known = known or kind in _CHOOSING_KINDS
    if kind == "Function":
        tag = tag_of(tree)
        known = tag in tables.ELEMENTWISE or tag in _CHOOSING or tag == "StringExpr.JsonDecode"
    return known and all(map(_row_local, children(tree)))


def may_fail(tree: Tree, schema: pl.Schema) -> bool:
    """Tell whether the outermost function of a tree can fail because of a value."""
    kind = kind_of(tree)
    if kind == "Cast":
        return payload_of(tree)["options"] == "Strict" and not _is_widening(tree, schema)
    if kind == "BinaryExpr":  # arithmetic of decimals has a range
        return any(isinstance(dtype, pl.Decimal) for dtype in schema.dtypes())
    if kind in ("AnonymousFunction", "Eval", "StructEval"):
        return True
    if kind != "Function":
        return False
    tag = tag_of(tree)
    if tag in _HORIZONTAL or tag in _CHOOSING:
        return False
    if tag == "StringExpr.Strptime" and not options_of(tree)[1]["strict"]:
        return False
    return tag not in _SAFE or any(kind_of(c) != "Literal" for c in children(tree)[1:])


def _is_widening(cast: Tree, schema: pl.Schema) -> bool:
    """Tell whether a cast fits every value of the type it comes from."""
    after, before = dtype_of(cast, schema), dtype_of(payload_of(cast)["expr"], schema)
    if after is None or before is None:
        return False
    if before == after or isinstance(before, pl.Null):
        return True
    if isinstance(after, pl.String):
        return before.is_numeric() or before.is_temporal() or isinstance(before, pl.Boolean)
    plain = before.is_integer() or before.is_float() or isinstance(before, pl.Boolean)
    if after.is_float():
        return plain
    if before.is_integer() and after.is_integer():
        (signed, bits), (into_signed, into_bits) = _width(before), _width(after)
        return into_bits >= bits if signed == into_signed else into_signed and into_bits > bits
    return isinstance(before, pl.Boolean) and after.is_integer()


def _width(dtype: pl.DataType) -> tuple[bool, int]:
    """Return whether an integer type has a sign, and its bits: ``UInt16`` -> ``(False, 16)``."""
    name = str(dtype)
    return not name.startswith("U"), int(name.removeprefix("U").removeprefix("Int"))
