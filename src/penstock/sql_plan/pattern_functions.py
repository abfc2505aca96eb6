"""Functions on text whose parts may be columns: padding, replacing, splitting, ``format``, quotes."""

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
_SPEC = re.compile(r"%(?:(\d+)\$)?(-?)(\d*)([sIL%])|%")
_IDENTIFIER = r"^[a-z_][a-z0-9_]*$"
_RESERVED = ("all", "and", "any", "array", "as", "asc", "between", "by", "case", "cast", "check",
             "column", "create", "cross", "default", "delete", "desc", "distinct", "do", "else", "end",
             "except", "exists", "false", "fetch", "for", "from", "full", "grant", "group", "having",
             "in", "inner", "insert", "intersect", "into", "is", "join", "lateral", "left", "like",
             "limit", "natural", "not", "null", "offset", "on", "only", "or", "order", "outer",
             "primary", "references", "right", "select", "some", "table", "then", "to", "true",
             "union", "unique", "update", "user", "using", "values", "when", "where", "window",
             "with")  # fmt: skip
"""Words that ``quote_ident`` puts into quotes."""


def _padding(*, left: bool) -> Call:
    def apply(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
        text = scalars.text(arguments[0])
        width = pl.max_horizontal(scalars.number(arguments[1]).expr.cast(pl.Int64), pl.lit(0))
        fill = scalars.text(arguments[2]) if len(arguments) > 2 else pl.lit(" ")
        missing = width - text.str.len_chars().cast(pl.Int64)
        count = pl.when((missing > 0) & (fill != "")).then(missing).otherwise(0)
        some = fill.repeat_by(count).list.join("").str.head(count)
        parts = [some, text.str.head(width)] if left else [text.str.head(width), some]
        return Value(pl.concat_str(parts), _TEXT)

    return Call(2, 3, apply)


def _repeat(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    text = scalars.text(arguments[0])
    times = pl.max_horizontal(scalars.number(arguments[1]).expr.cast(pl.Int64), pl.lit(0))
    times = pl.when(scalars.number(arguments[1]).expr.is_not_null()).then(times)
    known = text.is_not_null() & times.is_not_null()
    return Value(pl.when(known).then(text.repeat_by(times).list.join("")), _TEXT)


def replaced_text(text: pl.Expr, old: pl.Expr, new: pl.Expr) -> pl.Expr:
    """Return a text with every ``old`` replaced, which may be another one in each row."""
    found = pl.when(old == "").then(text).otherwise(text.str.split(old).list.join(new))
    return pl.when(text.is_not_null() & old.is_not_null() & new.is_not_null()).then(found)


def _joined(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    separator, *parts = map(scalars.text, arguments)
    listed = pl.concat_list(parts).list.drop_nulls()
    return Value(pl.when(separator.is_not_null()).then(listed.list.join(separator)), _TEXT)


def _split_part(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    text, separator = map(scalars.text, arguments[:2])
    index = scalars.number(arguments[2]).expr.cast(pl.Int64)
    if scalars.value(arguments[2]).literal == 0:
        raise refuse(arguments[2], "the field of split_part counts from 1, or from the end from -1")
    whole = pl.concat_list([text])
    parts = pl.when(separator == "").then(whole).otherwise(text.str.split(separator))
    at = pl.when(index > 0).then(index - 1).when(index < 0).then(index)
    found = parts.list.get(at, null_on_oob=True).fill_null("")
    known = pl.all_horizontal([e.is_not_null() for e in (text, separator, at)])
    return Value(pl.when(known).then(found), _TEXT)


def quoted_literal(text: pl.Expr) -> pl.Expr:
    """Return a text as SQL writes it."""
    inside = text.str.replace_all("'", "''", literal=True)
    slashes = text.str.contains("\\", literal=True)
    inside = inside.str.replace_all("\\", "\\\\", literal=True)
    begin = pl.when(slashes).then(pl.lit("E'")).otherwise(pl.lit("'"))
    return pl.concat_str([begin, inside, pl.lit("'")])


def _quoted_name(text: pl.Expr) -> pl.Expr:
    plain = text.str.contains(_IDENTIFIER) & ~text.is_in(list(_RESERVED))
    inside = text.str.replace_all('"', '""', literal=True)
    return pl.when(plain).then(text).otherwise(pl.concat_str([pl.lit('"'), inside, pl.lit('"')]))


def _quote(kind: str) -> Call:
    def apply(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
        text = scalars.text(arguments[0])
        if kind == "ident":
            return Value(_quoted_name(text), _TEXT)
        found = quoted_literal(text)
        return Value(found.fill_null("NULL") if kind == "nullable" else found, _TEXT)

    return Call(1, 1, apply)


def _format(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    """``format('%s of %2$10I', a, b)``: %s nothing for a null, %I a name, %L a literal."""
    written = scalars.written(arguments[0], "the format")
    if written is None:
        return Value(pl.lit(None, dtype=_TEXT), _TEXT)
    template, rest = str(written), arguments[1:]
    parts, at, following = [], 0, 0
    for match in _SPEC.finditer(template):
        parts.append(pl.lit(template[at : match.start()]))
        at, kind = match.end(), match[4]
        if kind is None:
            raise refuse(arguments[0], "format knows %s, %I, %L and %%")
        if kind == "%":
            parts.append(pl.lit("%"))
            continue
        number = int(match[1]) - 1 if match[1] else following
        following = number + 1
        if not 0 <= number < len(rest):
            raise refuse(arguments[0], "format has too few arguments")
        text = scalars.text(rest[number])
        shown = {
            "s": text.fill_null(""),
            "I": _quoted_name(text),
            "L": quoted_literal(text).fill_null("NULL"),
        }[kind]
        width = int(match[3] or 0)
        parts.append(shown.str.pad_end(width) if match[2] else shown.str.pad_start(width))
    parts.append(pl.lit(template[at:]))
    return Value(pl.concat_str(parts), _TEXT)


FUNCTIONS: dict[str, Translator] = {
    "LPAD": _padding(left=True),
    "RPAD": _padding(left=False),
    "REPEAT": Call(2, 2, _repeat),
    "CONCAT_WS": Call(1, 100, _joined),
    "SPLITPART": Call(3, 3, _split_part),
    "QUOTE_IDENT": _quote("ident"),
    "QUOTE_LITERAL": _quote("literal"),
    "QUOTE_NULLABLE": _quote("nullable"),
    "FORMAT": Call(1, 50, _format),
}
