"""Bytes: hashes, ``encode`` and ``decode``, code points."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import polars as pl
from sqlglot import exp

from penstock.plan.expressions.repeatable import row_wise
from penstock.sql_plan.calls import Call
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.scalars import Scalars, Translator
from penstock.sql_plan.values import Value, literal_as

_TEXT = pl.String()
_BYTES = pl.Binary()
_LINE = 76
"""Characters of a line of base64, as in PostgreSQL (RFC 2045)."""


def _bytes(scalars: Scalars, node: exp.Expr) -> pl.Expr:
    """Return bytes; text counts as its UTF-8."""
    value = scalars.value(node)
    if value.constant and value.dtype == _TEXT:
        return literal_as(value, _BYTES).expr
    if value.dtype not in (_TEXT, _BYTES, pl.Null()):
        raise refuse(node, f"bytes are needed, not {value.dtype}")
    return value.expr.cast(_BYTES)


def _digests(name: str) -> Callable[[pl.Series], pl.Series]:
    def compute(bytes_: pl.Series) -> pl.Series:
        found = [None if b is None else hashlib.new(name, b).digest() for b in bytes_]
        return pl.Series(bytes_.name, found, dtype=_BYTES)

    return compute


def _digest(name: str, bytes_: pl.Expr) -> pl.Expr:
    return row_wise(bytes_, _digests(name), _BYTES)


def _md5(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    return Value(_digest("md5", _bytes(scalars, arguments[0])).bin.encode("hex"), _TEXT)


def _sha(name: str) -> Call:
    def apply(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
        return Value(_digest(name, _bytes(scalars, arguments[0])), _BYTES)

    return Call(1, 1, apply)


def _sha2(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    length = scalars.written(arguments[1], "the length of the digest")
    return Value(_digest(f"sha{length}", _bytes(scalars, arguments[0])), _BYTES)


def _encode(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    bytes_, form = _bytes(scalars, arguments[0]), _form(scalars, arguments[1])
    if form == "hex":
        return Value(bytes_.bin.encode("hex"), _TEXT)
    lines = bytes_.bin.encode("base64").str.replace_all(f"(.{{{_LINE}}})", "${1}\n")
    return Value(lines.str.strip_chars_end("\n"), _TEXT)


def _decode(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    text, form = scalars.text(arguments[0]), _form(scalars, arguments[1])
    if form == "hex":
        return Value(text.str.decode("hex"), _BYTES)
    return Value(text.str.replace_all(r"\s", "").str.decode("base64"), _BYTES)


def _form(scalars: Scalars, node: exp.Expr) -> str:
    form = str(scalars.written(node, "the form")).lower()
    if form not in ("hex", "base64"):
        raise refuse(node, "bytes are written as 'hex' or 'base64'")
    return form


def _utf8(scalars: Scalars, node: exp.Expr) -> None:
    if str(scalars.written(node, "the encoding")).upper() not in ("UTF8", "UTF-8"):
        raise refuse(node, "only UTF8 is supported")


def _convert_to(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    _utf8(scalars, arguments[1])
    return Value(scalars.text(arguments[0]).cast(_BYTES), _BYTES)


def _convert_from(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    _utf8(scalars, arguments[1])
    return Value(_bytes(scalars, arguments[0]).cast(_TEXT), _TEXT)


def _code_points(text: pl.Series) -> pl.Series:
    first = text.fill_null("").to_numpy().astype("U1")
    codes = np.ascontiguousarray(first).view(np.uint32).astype(np.int32)
    return pl.Series(text.name, codes).set(text.is_null(), None)


def _ascii(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    first = scalars.text(arguments[0]).str.head(1)
    return Value(row_wise(first, _code_points, pl.Int32()), pl.Int32())


def _characters(codes: pl.Series) -> pl.Series:
    points = np.ascontiguousarray(codes.fill_null(32).to_numpy().astype(np.uint32))
    return pl.Series(codes.name, points.view("U1").tolist(), dtype=_TEXT).set(codes.is_null(), None)


def _chr(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    codes = scalars.number(arguments[0]).expr.cast(pl.Int64)
    return Value(row_wise(codes, _characters, _TEXT), _TEXT)


FUNCTIONS: dict[str, Translator] = {
    "MD5": Call(1, 1, _md5),
    "SHA224": _sha("sha224"),
    "SHA256": _sha("sha256"),
    "SHA384": _sha("sha384"),
    "SHA512": _sha("sha512"),
    "SHA2DIGEST": Call(2, 2, _sha2),
    "ENCODE": Call(2, 2, _encode),
    "DECODE": Call(2, 2, _decode),
    "CONVERT_TO": Call(2, 2, _convert_to),
    "CONVERT_FROM": Call(2, 2, _convert_from),
    "ASCII": Call(1, 1, _ascii),
    "UNICODE": Call(1, 1, _ascii),
    "CHR": Call(1, 1, _chr),
}
