"""JSON in text columns: ``->``, ``->>``, ``#>``, ``#>>``, and functions that read and write it.

What ``->>`` gives is computed by Polars; what gives JSON again keeps the text as it stands, as the
type ``json`` of PostgreSQL does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import polars as pl
from sqlglot import exp

from penstock.plan.expressions.repeatable import row_wise
from penstock.sql_plan.calls import Call
from penstock.sql_plan.casts import cast
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.json_documents import canonical_json
from penstock.sql_plan.scalars import Scalars, Translator
from penstock.sql_plan.values import Value

_TEXT = pl.String()
_TEXTS = pl.List(pl.String())
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_ANY = msgspec.json.Decoder()

Step = str | int


def _each(expr: pl.Expr, read: Callable[[str], object], dtype: pl.DataType) -> pl.Expr:
    """Apply a function to every text that is there; msgspec reads about a million a second."""

    def compute(texts: pl.Series) -> pl.Series:
        found = [None if text is None else read(text) for text in texts]
        return pl.Series(texts.name, found, dtype=dtype)

    return row_wise(expr, compute, dtype)


def _raw(text: str, path: Sequence[Step]) -> str | None:
    """Return the JSON at a path as it is written; None where there is none."""
    for step in path:
        start = text.lstrip()[:1]
        if isinstance(step, str) and start == "{":
            found = _OBJECT.decode(text).get(step)
        elif isinstance(step, int) and start == "[":
            items = _ARRAY.decode(text)
            found = items[step] if -len(items) <= step < len(items) else None
        else:
            _ANY.decode(text)
            return None
        if found is None:
            return None
        text = bytes(found).decode()
    return text


def _unquoted(text: str | None) -> str | None:
    if text is None or text == "null":
        return None
    return str(_ANY.decode(text)) if text.startswith('"') else text


def _text_at(text: str, path: Sequence[Step]) -> str | None:
    return _unquoted(_raw(text, path))


def _path(scalars: Scalars, node: exp.Expr) -> list[Step]:
    """Return the steps of a path as sqlglot has read it, or as ``{a,0,b}``."""
    if isinstance(node, exp.JSONPath):
        return [_step(part) for part in node.expressions if not isinstance(part, exp.JSONPathRoot)]
    written = scalars.written(node, "a path into JSON")
    if isinstance(written, int):
        return [written]
    said = str(written)
    if said.startswith("{") and said.endswith("}"):
        inside = said[1:-1]
        return [_index(part.strip().strip('"')) for part in inside.split(",")] if inside else []
    return [said]


def _index(part: str) -> Step:
    return int(part) if part.lstrip("-").isdigit() else part


def _step(part: exp.Expr) -> Step:
    found = part.this
    if isinstance(part, exp.JSONPathSubscript) and isinstance(found, int):
        return found
    if isinstance(part, (exp.JSONPathKey, exp.JSONPathSubscript)) and isinstance(found, str):
        return found
    raise refuse(part, "only names and numbers lead into JSON")


def _gather(scalars: Scalars, node: exp.Expr) -> tuple[pl.Expr, list[Step]]:
    """Return the text that a chain of operators starts from, and the whole path."""
    inner = node.this.unnest()
    path = _path(scalars, node.expression)
    if isinstance(inner, (exp.JSONExtract, exp.JSONBExtract)):
        text, before = _gather(scalars, inner)
        return text, before + path
    return scalars.text(node.this), path


def _json_at(scalars: Scalars, node: exp.Expr) -> Value:
    text, path = _gather(scalars, node)
    return Value(_each(text, functools.partial(_raw, path=tuple(path)), _TEXT), _TEXT)


def _value_at(scalars: Scalars, node: exp.Expr) -> Value:
    text, path = _gather(scalars, node)
    return Value(_each(text, functools.partial(_text_at, path=tuple(path)), _TEXT), _TEXT)


def _extract_path(read: Callable[..., object]) -> Call:
    def apply(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
        path = [step for node in arguments[1:] for step in _path(scalars, node)]
        steps = tuple(_index(str(step)) for step in path)
        return Value(
            _each(scalars.text(arguments[0]), functools.partial(read, path=steps), _TEXT), _TEXT
        )

    return Call(2, 9, apply)


def _length(text: str) -> int:
    return len(_ARRAY.decode(text))


_KINDS: dict[str, str] = {"{": "object", "[": "array", '"': "string", "t": "boolean", "f": "boolean",
                          "n": "null"}  # fmt: skip


def _kind(text: str) -> str:
    _ANY.decode(text)
    return _KINDS.get(text.lstrip()[:1], "number")


def _elements(text: str) -> list[str]:
    return [bytes(item).decode() for item in _ARRAY.decode(text)]


def _texts(text: str) -> list[str | None]:
    return [_unquoted(bytes(item).decode()) for item in _ARRAY.decode(text)]


def _keys(text: str) -> list[str]:
    return list(_OBJECT.decode(text))


def _members(text: str) -> list[str]:
    return [bytes(value).decode() for value in _OBJECT.decode(text).values()]


def _member_texts(text: str) -> list[str | None]:
    return [_unquoted(bytes(value).decode()) for value in _OBJECT.decode(text).values()]


def _reading(read: Callable[[str], object], dtype: pl.DataType) -> Call:
    def apply(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
        return Value(_each(scalars.text(arguments[0]), read, dtype), dtype)

    return Call(1, 1, apply)


def as_json(value: Value) -> pl.Expr:
    """Return a value written as JSON."""
    expr, dtype = value.expr, value.dtype
    if dtype == pl.Null:
        return pl.lit("null")
    if dtype.is_numeric() or dtype == pl.Boolean:
        written = cast(value, _TEXT, strict=True)
    else:
        if isinstance(dtype, pl.Datetime):
            expr = cast(value, _TEXT, strict=True).str.replace(" ", "T", literal=True)
        elif not isinstance(dtype, (pl.List, pl.Struct)):
            expr = cast(value, _TEXT, strict=True)
        around = pl.struct(expr.alias("x")).struct.json_encode()
        written = around.str.slice(5).str.head(-1)
        written = pl.when(value.expr.is_not_null()).then(written)
    return written.fill_null("null")


def _object(scalars: Scalars, arguments: list[exp.Expr], colon: str) -> Value:
    parts: list[pl.Expr] = [pl.lit("{")]
    for number in range(0, len(arguments), 2):
        key = as_json(Value(scalars.text(arguments[number]), _TEXT))
        comma = ", " if number else ""
        parts += [pl.lit(comma), key, pl.lit(colon), as_json(scalars.value(arguments[number + 1]))]
    return Value(pl.concat_str([*parts, pl.lit("}")]), _TEXT)


def _build_object(colon: str) -> Translator:
    def translate(scalars: Scalars, node: exp.Expr) -> Value:
        arguments = list(node.expressions)
        if len(arguments) % 2:
            raise refuse(node, "keys and values come in pairs")
        return _object(scalars, arguments, colon)

    return translate


def _build_array(scalars: Scalars, node: exp.Expr) -> Value:
    parts: list[pl.Expr] = [pl.lit("[")]
    for number, argument in enumerate(node.expressions):
        parts += [pl.lit(", " if number else ""), as_json(scalars.value(argument))]
    return Value(pl.concat_str([*parts, pl.lit("]")]), _TEXT)


def _to_json(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    value = scalars.value(arguments[0])
    return Value(pl.when(value.expr.is_not_null()).then(as_json(value)), _TEXT)


def _to_jsonb(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    return Value(canonical_json(_to_json(scalars, arguments).expr), _TEXT)


NODES: dict[type[exp.Expr], Translator] = {
    exp.JSONExtract: _json_at,
    exp.JSONExtractScalar: _value_at,
    exp.JSONBExtract: _json_at,
    exp.JSONBExtractScalar: _value_at,
}
_COUNT: Any = pl.Int32()
FUNCTIONS: dict[str, Translator] = {
    "JSONB_EXTRACT_PATH": _extract_path(_raw),
    "JSONB_EXTRACT_PATH_TEXT": _extract_path(_text_at),
    "JSON_ARRAY_LENGTH": _reading(_length, _COUNT),
    "JSONB_ARRAY_LENGTH": _reading(_length, _COUNT),
    "JSON_TYPEOF": _reading(_kind, _TEXT),
    "JSONB_TYPEOF": _reading(_kind, _TEXT),
    "JSON_ARRAY_ELEMENTS": _reading(_elements, _TEXTS),
    "JSONB_ARRAY_ELEMENTS": _reading(_elements, _TEXTS),
    "JSON_ARRAY_ELEMENTS_TEXT": _reading(_texts, _TEXTS),
    "JSONB_ARRAY_ELEMENTS_TEXT": _reading(_texts, _TEXTS),
    "JSON_OBJECT_KEYS": _reading(_keys, _TEXTS),
    "JSONB_OBJECT_KEYS": _reading(_keys, _TEXTS),
    "JSON_OBJECT_VALUES": _reading(_members, _TEXTS),
    "JSON_OBJECT_TEXTS": _reading(_member_texts, _TEXTS),
    "ARRAY_TO_JSON": Call(1, 1, _to_json),
    "ROW_TO_JSON": Call(1, 1, _to_json),
    "JSON_BUILD_OBJECT": _build_object(" : "),
    "JSONB_BUILD_OBJECT": _build_object(": "),
    "JSON_BUILD_ARRAY": _build_array,
    "JSONB_BUILD_ARRAY": _build_array,
    "TO_JSON": Call(1, 1, _to_json),
    "TO_JSONB": Call(1, 1, _to_jsonb),
}
READS: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.JSONExtract: ("only_json_types", "variant_extract", "json_query"),
    exp.JSONExtractScalar: ("only_json_types", "json_type", "scalar_only"),
    exp.JSONBExtractScalar: ("json_type",),
}
