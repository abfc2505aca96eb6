"""Regular expressions: what they match, as text and as arrays."""

from __future__ import annotations

import re

import polars as pl
from sqlglot import exp

from penstock.sql_plan.calls import Call
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.scalars import Scalars, Translator
from penstock.sql_plan.values import Value

_TEXT = pl.String()
_TEXTS = pl.List(pl.String())


def regex(scalars: Scalars, arguments: list[exp.Expr], flags_at: int) -> str:
    """Return the pattern, which is the second argument, with its flags as Polars writes them."""
    pattern = str(scalars.written(arguments[1], "a regular expression"))
    if len(arguments) <= flags_at:
        return pattern
    flags = set(str(scalars.written(arguments[flags_at], "flags"))) - {"g"}
    if not flags <= set("imsx"):
        raise refuse(arguments[flags_at], "the flags of a regular expression are g, i, m, s, x")
    return f"(?{''.join(sorted(flags))}){pattern}" if flags else pattern


def _count(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    text = _from_start(scalars, arguments)
    found = text.str.count_matches(regex(scalars, arguments, 3)).cast(pl.Int32)
    return Value(found, pl.Int32())


def _from_start(scalars: Scalars, arguments: list[exp.Expr]) -> pl.Expr:
    text = scalars.text(arguments[0])
    start = scalars.written(arguments[2], "the start") if len(arguments) > 2 else 1
    if not isinstance(start, int) or start < 1:
        raise refuse(arguments[2], "positions count from 1")
    return text if start == 1 else text.str.slice(start - 1)


def _substr(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    text = _from_start(scalars, arguments)
    return Value(text.str.extract(f"({regex(scalars, arguments, 4)})", 1), _TEXT)


def _groups(pattern: str) -> int:
    return re.compile(pattern).groups


def _match(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    text, pattern = scalars.text(arguments[0]), regex(scalars, arguments, 2)
    count = _groups(pattern)
    wanted = range(1, count + 1) if count else (0,)
    parts = pl.concat_list([text.str.extract(pattern, group) for group in wanted])
    return Value(pl.when(text.str.contains(pattern)).then(parts), _TEXTS)


def _split(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    text, pattern = scalars.text(arguments[0]), regex(scalars, arguments, 2)
    return Value(text.str.split(pattern, literal=False), _TEXTS)


def _similar(scalars: Scalars, node: exp.Expr) -> Value:
    pattern = scalars.written(node.expression, "the pattern of SIMILAR TO")
    if pattern is None:
        return Value(pl.lit(None, dtype=pl.Boolean), pl.Boolean())
    return Value(scalars.text(node.this).str.contains(_similar_regex(str(pattern))), pl.Boolean())


def _similar_regex(pattern: str) -> str:
    """``%`` and ``_`` as in LIKE, the rest as in a regular expression, over the whole text."""
    found, at, inside = "", 0, False
    while at < len(pattern):
        char = pattern[at]
        if char == "\\" and at + 1 < len(pattern):
            at += 1
            found += re.escape(pattern[at])
        elif inside:
            found += char
        elif char in "%_":
            found += {"%": ".*", "_": "."}[char]
        else:
            found += f"\\{char}" if char in ".^$" else char
        inside = (char == "[") or (inside and char != "]")
        at += 1
    return f"(?s)^(?:{found})$"


NODES: dict[type[exp.Expr], Translator] = {exp.SimilarTo: _similar}
FUNCTIONS: dict[str, Translator] = {
    "REGEXPCOUNT": Call(2, 4, _count),
    "REGEXP_COUNT": Call(2, 4, _count),
    "REGEXPSUBSTR": Call(2, 2, _substr),
    "REGEXP_SUBSTR": Call(2, 2, _substr),
    "REGEXP_MATCH": Call(2, 3, _match),
    "REGEXP_SPLIT_TO_ARRAY": Call(2, 3, _split),
    "REGEXP_SPLIT_TO_TABLE": Call(2, 3, _split),
    "REGEXPSPLIT": Call(2, 3, _split),
}
