r"""Backslash escapes in quoted fields of logs: ``\"`` ``\\`` ``\n`` ``\x22``."""

from __future__ import annotations

import re

import polars as pl

_ESCAPE = re.compile(rb"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"v": b"\v", b"f": b"\f"}


def unescape(text: pl.Series) -> pl.Series:
    r"""Resolve escapes; ``\xHH`` are bytes of UTF-8, and stay as written where they are not."""
    escaped = text.str.contains("\\", literal=True).fill_null(value=False)
    if not escaped.any():
        return text
    at = escaped.arg_true()
    return text.scatter(
        at, pl.Series([_plain(value) for value in text.gather(at)], dtype=pl.String)
    )


def _plain(text: str) -> str:
    return _ESCAPE.sub(_resolve, text.encode()).decode(errors="backslashreplace")


def _resolve(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if len(code) > 1:
        return bytes.fromhex(code[1:].decode())
    return _LETTERS.get(code, code)
