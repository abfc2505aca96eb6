"""Functions and operators on ``jsonb``: containment, merging, changing, paths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl
from sqlglot import exp

from penstock.plan.expressions.repeatable import row_wise
from penstock.sql_plan import json_documents as documents
from penstock.sql_plan.calls import Call
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.json_paths import parsed
from penstock.sql_plan.scalars import Scalars, Translator
from penstock.sql_plan.values import Value, literal_as

_TEXT = pl.String()
_TEXTS = pl.List(pl.String())
_YES = pl.Boolean()


@dataclass(frozen=True, slots=True)
class _OfRows:
    """Applies a function to rows of values; a null makes a null."""

    function: Callable[..., object]
    dtype: pl.DataType

    def __call__(self, rows: pl.Series) -> pl.Series:
        columns = [rows.struct.field(name).to_list() for name in rows.struct.fields]
        found = [
            None if any(v is None for v in cells) else self.function(*cells)
            for cells in zip(*columns, strict=True)
        ]
        return pl.Series(rows.name, found, dtype=self.dtype)


def _applied(function: Callable[..., object], dtype: pl.DataType, *parts: pl.Expr) -> Value:
    rows = pl.struct([part.alias(f"p{n}") for n, part in enumerate(parts)])
    return Value(row_wise(rows, _OfRows(function, dtype), dtype), dtype)


def is_jsonb(node: exp.Expr) -> bool:
    """Tell whether an expression is ``jsonb`` by its form: a cast, or a function that returns it."""
    node = node.unnest()
    if isinstance(node, (exp.Cast, exp.TryCast)):
        return bool(node.to.this == exp.DType.JSONB)
    if isinstance(node, exp.Anonymous):
        name = node.name.upper()
        return name == "TO_JSONB" or (name.startswith("JSONB_") and name != "JSONB_PRETTY")
    if isinstance(node, (exp.JSONExtract, exp.DPipe, exp.Sub)):
        return is_jsonb(node.this)
    return isinstance(node, exp.JSONBDeleteAtPath)


def _contains(whole: str, part: str) -> bool:
    return documents.contains(documents.read(whole), documents.read(part))


def contained(scalars: Scalars, whole: exp.Expr, part: exp.Expr) -> Value:
    """``whole @> part`` of documents."""
    return _applied(_contains, _YES, scalars.text(whole), scalars.text(part))


def _merged(one: str, two: str) -> str:
    return documents.write(documents.joined(documents.read(one), documents.read(two)))


def merged(scalars: Scalars, node: exp.Expr) -> Value:
    """``a || b``."""
    return _applied(_merged, _TEXT, scalars.text(node.this), scalars.text(node.expression))


def _less(text: str, what: Any) -> str:
    return documents.write(documents.without(documents.read(text), what))


def less(scalars: Scalars, node: exp.Expr) -> Value:
    """``a - 'key'``, ``a - 1``, ``a - ARRAY['key', 'other']``."""
    return _applied(_less, _TEXT, scalars.text(node.this), scalars.value(node.expression).expr)


def _keys(text: str) -> list[str]:
    document = documents.read(text)
    items = document if isinstance(document, (dict, list)) else [document]
    return [item for item in items if isinstance(item, str)]


def _has_key(*, every: bool) -> Translator:
    def check(text: str, wanted: str | list[str]) -> bool:
        keys = [wanted] if isinstance(wanted, str) else wanted
        found = [key in _keys(text) for key in keys]
        return all(found) if every else any(found)

    def translate(scalars: Scalars, node: exp.Expr) -> Value:
        return _applied(check, _YES, scalars.text(node.this), scalars.value(node.expression).expr)

    return translate


def _path(scalars: Scalars, node: exp.Expr) -> pl.Expr:
    value = scalars.value(node)
    if value.constant and value.dtype == pl.String:
        value = literal_as(value, _TEXTS)
    if not isinstance(value.dtype, pl.List):
        raise refuse(node, "a path is an array of texts, such as '{a,0}'")
    return value.expr


def _at_path(scalars: Scalars, node: exp.Expr) -> Value:
    def remove(text: str, path: list[str]) -> str:
        return documents.write(documents.changed(documents.read(text), path, documents.removed))

    return _applied(remove, _TEXT, scalars.text(node.this), _path(scalars, node.expression))


def _set(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    def change(text: str, path: list[str], new: str, create: bool) -> str:  # noqa: FBT001 - a cell
        how = documents.put(documents.read(new), create=create)
        return documents.write(documents.changed(documents.read(text), path, how))

    flag = scalars.predicate(arguments[3]) if len(arguments) > 3 else pl.lit(value=True)
    text, new = scalars.text(arguments[0]), scalars.text(arguments[2])
    return _applied(change, _TEXT, text, _path(scalars, arguments[1]), new, flag)


def _insert(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    def change(text: str, path: list[str], new: str, after: bool) -> str:  # noqa: FBT001 - a cell
        how = documents.inserted(documents.read(new), after=after)
        return documents.write(documents.changed(documents.read(text), path, how))

    flag = scalars.predicate(arguments[3]) if len(arguments) > 3 else pl.lit(value=False)
    text, new = scalars.text(arguments[0]), scalars.text(arguments[2])
    return _applied(change, _TEXT, text, _path(scalars, arguments[1]), new, flag)


def _of_document(change: Callable[[Any], str]) -> Call:
    def apply(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
        return _applied(
            lambda text: change(documents.read(text)), _TEXT, scalars.text(arguments[0])
        )

    return Call(1, 1, apply)


def _compact(document: Any) -> str:
    """As ``json`` writes it, in the order in which the keys stand."""
    if isinstance(document, dict):
        return "{" + ",".join(f"{_compact(k)}:{_compact(v)}" for k, v in document.items()) + "}"
    if isinstance(document, list):
        return "[" + ",".join(map(_compact, document)) + "]"
    return documents.write(document)


def _along(read: Callable[[list[Any]], object], dtype: pl.DataType) -> Call:
    """A function of what a path finds; the path is written down, and read when the query is planned."""

    def apply(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
        find = parsed(str(scalars.written(arguments[1], "the path")))
        text = scalars.text(arguments[0])
        return _applied(lambda t: read(find(documents.read(t))), dtype, text)

    return Call(2, 2, apply)


def _scalar(items: list[Any]) -> str | None:
    """``json_value``: one scalar as text, null otherwise."""
    if len(items) != 1 or items[0] is None or isinstance(items[0], (dict, list)):
        return None
    return items[0] if isinstance(items[0], str) else documents.write(items[0])


def _along_node(call: Call) -> Translator:
    def translate(scalars: Scalars, node: exp.Expr) -> Value:
        path = node.args.get("path") or node.expression
        return call.apply(scalars, [node.this, path])

    return translate


_EXISTS = _along(bool, _YES)
_FIRST = _along(lambda items: documents.write(items[0]) if items else None, _TEXT)
_VALUE = _along(_scalar, _TEXT)
_MATCH = _along(lambda items: items == [True], _YES)

NODES: dict[type[exp.Expr], Translator] = {
    exp.JSONBContainsTopKey: _has_key(every=True),
    exp.JSONBContainsAnyTopKeys: _has_key(every=False),
    exp.JSONBContainsAllTopKeys: _has_key(every=True),
    exp.JSONBDeleteAtPath: _at_path,
    exp.JSONBPathExists: _along_node(_EXISTS),
    exp.JSONValue: _along_node(_VALUE),
}
FUNCTIONS: dict[str, Translator] = {
    "JSONB_SET": Call(3, 4, _set),
    "JSONB_INSERT": Call(3, 4, _insert),
    "JSONB_STRIP_NULLS": _of_document(lambda d: documents.write(documents.without_nulls(d))),
    "JSONSTRIPNULLS": _of_document(lambda d: _compact(documents.without_nulls(d))),
    "JSONB_PRETTY": _of_document(documents.pretty),
    "JSONB_PATH_EXISTS": _EXISTS,
    "JSONB_PATH_MATCH": _MATCH,
    "JSONB_PATH_QUERY_FIRST": _FIRST,
    "JSONB_PATH_QUERY_ARRAY": _along(documents.write, _TEXT),
    "JSONB_PATH_QUERY": _along(lambda items: list(map(documents.write, items)), _TEXTS),
    "JSON_QUERY": _FIRST,
    "JSON_EXISTS": _EXISTS,
}
READS: dict[type[exp.Expr], tuple[str, ...]] = {exp.JSONValue: ("path",)}
