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
_COUNT = pl.Int32()
_MARK = "\x02"
"""Stands where a match begins while its place is counted; no text holds it."""


def regex(scalars: Scalars, arguments: list[exp.Expr], flags_at: int) -> str:
    """Return the pattern, which is the second argument, with its flags as Polars writes them."""
    pattern = str(scalars.written(arguments[1], "a regular expression"))
    return with_flags(scalars, pattern, arguments[flags_at:])


def with_flags(scalars: Scalars, pattern: str, arguments: list[exp.Expr]) -> str:
    """Return a pattern under the flags that the first argument holds, if there is one."""
    flags = set(str(scalars.written(arguments[0], "flags"))) - {"g", "c"} if arguments else set()
    if not flags <= set("imnsxq"):
        raise refuse(arguments[0], "the flags of a regular expression are g, c, i, m, n, q, s, x")
    if "q" in flags:
        pattern = re.escape(pattern)
    flags = (flags - {"n", "q"}) | ({"m"} if "n" in flags else set())
    return f"(?{''.join(sorted(flags))}){pattern}" if flags else pattern


def _whole(scalars: Scalars, arguments: list[exp.Expr], at: int, default: int, what: str) -> int:
    if len(arguments) <= at:
        return default
    number = scalars.written(arguments[at], what)
    if not isinstance(number, int) or number < (0 if what == "the occurrence" else 1):
        raise refuse(arguments[at], f"{what} is a whole number that counts from 1")
    return number


def _count(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    text = _from_start(scalars, arguments, 2)
    return Value(text.str.count_matches(regex(scalars, arguments, 3)).cast(_COUNT), _COUNT)


def _from_start(scalars: Scalars, arguments: list[exp.Expr], at: int) -> pl.Expr:
    start = _whole(scalars, arguments, at, 1, "the start")
    text = scalars.text(arguments[0])
    return text if start == 1 else text.str.slice(start - 1)


def _substr(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    text, pattern = _from_start(scalars, arguments, 2), regex(scalars, arguments, 4)
    number = _whole(scalars, arguments, 3, 1, "the number of the match")
    group = scalars.written(arguments[5], "the group") if len(arguments) > 5 else 0
    found = text.str.extract_all(pattern).list.get(number - 1, null_on_oob=True)
    return Value(found.str.extract(f"({pattern})", 1 + int(str(group))) if group else found, _TEXT)


def _instr(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    """The place of a match, counted from 1, or the one behind it; 0 if there is none."""
    text, pattern = _from_start(scalars, arguments, 2), regex(scalars, arguments, 5)
    number = _whole(scalars, arguments, 3, 1, "the number of the match")
    behind = len(arguments) > 4 and scalars.written(arguments[4], "the end") == 1
    if len(arguments) > 6:
        raise refuse(arguments[6], "regexp_instr of a group is not supported")
    matches = text.str.extract_all(pattern).list
    marked = text.str.replace_all(f"(?P<all>{pattern})", f"{_MARK}${{all}}")
    before = marked.str.split(_MARK).list.head(number).list.join("").str.len_chars()
    place = before.cast(pl.Int64) + _whole(scalars, arguments, 2, 1, "the start")
    if behind:
        place = place + matches.get(number - 1, null_on_oob=True).str.len_chars().cast(pl.Int64)
    found = pl.when(matches.len() >= number).then(place).otherwise(0)
    return Value(pl.when(text.is_not_null()).then(found).cast(_COUNT), _COUNT)


def _replace(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    """``regexp_replace(s, p, new [, flags])`` or ``(s, p, new, start [, which [, flags]])``."""
    by_place = len(arguments) > 3 and scalars.value(arguments[3]).dtype.is_integer()
    flags = arguments[5:] if by_place else arguments[3:]
    pattern = regex(scalars, arguments, 5 if by_place else 3)
    new = scalars.written(arguments[2], "the replacement")
    if new is None:
        return Value(pl.lit(None, dtype=_TEXT), _TEXT)
    to = re.sub(r"\\(\d)", r"${\1}", str(new).replace("$", "$$").replace(r"\&", "${0}"))
    everywhere = bool(flags) and "g" in str(scalars.written(flags[0], "flags"))
    if not by_place:
        text = scalars.text(arguments[0])
        found = text.str.replace_all(pattern, to) if everywhere else text.str.replace(pattern, to)
        return Value(found, _TEXT)
    start = _whole(scalars, arguments, 3, 1, "the start")
    which = _whole(scalars, arguments, 4, 0 if everywhere else 1, "the occurrence")
    text = scalars.text(arguments[0])
    before, rest = text.str.head(start - 1), text.str.slice(start - 1)
    if which == 0:
        changed = rest.str.replace_all(pattern, to)
    else:
        marked = rest.str.replace_all(f"(?P<all>{pattern})", f"{_MARK}${{all}}")
        parts = marked.str.split(_MARK)
        head = parts.list.head(which).list.join("")
        tail = parts.list.slice(which).list.join("")
        changed = pl.concat_str([head, tail.str.replace(pattern, to)])
        changed = pl.when(parts.list.len() > which).then(changed).otherwise(rest)
    return Value(pl.concat_str([before, changed]), _TEXT)


def groups(pattern: str) -> int:
    """Return how many groups a pattern has."""
    return re.compile(pattern).groups


def _match(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    text, pattern = scalars.text(arguments[0]), regex(scalars, arguments, 2)
    found = _captured(text, pattern)
    return Value(pl.when(text.str.contains(pattern)).then(found), _TEXTS)


def _captured(text: pl.Expr, pattern: str) -> pl.Expr:
    count = groups(pattern)
    wanted = range(1, count + 1) if count else (0,)
    return pl.concat_list([text.str.extract(pattern, group) for group in wanted])


def _matches(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    """Every match (with the flag g, else the first), each as an array of its groups."""
    text, pattern = scalars.text(arguments[0]), regex(scalars, arguments, 2)
    flags = str(scalars.written(arguments[2], "flags")) if len(arguments) > 2 else ""
    whole = text.str.extract_all(pattern)
    whole = whole if "g" in flags else whole.list.head(1)
    found = whole.list.eval(_captured(pl.element(), pattern))
    return Value(found, pl.List(_TEXTS))


def _split(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    text, pattern = scalars.text(arguments[0]), regex(scalars, arguments, 2)
    return Value(text.str.split(pattern, literal=False), _TEXTS)


def _like(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    return Value(
        scalars.text(arguments[0]).str.contains(regex(scalars, arguments, 2)), pl.Boolean()
    )


def first_match(text: pl.Expr, pattern: str) -> pl.Expr:
    """``substring(s from pattern)``: the first group of the first match, or the match."""
    return text.str.extract(pattern, 1 if groups(pattern) else 0)


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
    "REGEXP_COUNT": Call(2, 4, _count),
    "REGEXP_SUBSTR": Call(2, 6, _substr),
    "REGEXP_INSTR": Call(2, 7, _instr),
    "REGEXP_REPLACE": Call(3, 6, _replace),
    "REGEXP_LIKE": Call(2, 3, _like),
    "REGEXP_MATCH": Call(2, 3, _match),
    "REGEXP_MATCHES": Call(2, 3, _matches),
    "REGEXP_SPLIT_TO_ARRAY": Call(2, 3, _split),
    "REGEXP_SPLIT_TO_TABLE": Call(2, 3, _split),
    "REGEXPSPLIT": Call(2, 3, _split),
}
