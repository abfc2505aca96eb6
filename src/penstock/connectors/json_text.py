"""Nested columns as JSON text, for systems that have no type for them."""

from __future__ import annotations

import polars as pl

_PREFIX = '{"v":'
_SUFFIX = "}"


def json_text(name: str) -> pl.Expr:
    """Return an expression: the column as JSON text, null where the column is null.

    ``[1, None]`` -> ``'[1,null]'``, ``{"a": 1}`` -> ``'{"a":1}'``. NaN and infinities become
    null, decimals strings, instants ISO strings, as JSON has no such values.
    """
    whole = pl.struct(pl.col(name).alias("v")).struct.json_encode()
    bare = whole.str.slice(len(_PREFIX)).str.head(-len(_SUFFIX))
    return pl.when(pl.col(name).is_not_null()).then(bare).otherwise(None).alias(name)
