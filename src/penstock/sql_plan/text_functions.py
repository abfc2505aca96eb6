"""Functions on text, as PostgreSQL defines them: positions count from 1, a null makes a null."""

from __future__ import annotations

import re
from collections.abc import Callable

import polars as pl
from sqlglot import exp

from penstock.sql_plan.calls import Call
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.json_changes import is_jsonb, merged
from penstock.sql_plan.pattern_functions import replaced_text
from penstock.sql_plan.regex_functions import first_match
from penstock.sql_plan.scalars import Scalars, Translator
from penstock.sql_plan.text_forms import sliced_bytes, text_form
from penstock.sql_plan.values import Value

_TEXT = pl.String()
_COUNT = pl.Int32()


def _of_text(apply: Callable[[pl.Expr], pl.Expr], dtype: pl.DataType = _TEXT) -> Translator:
    def translate(scalars: Scalars, node: exp.Expr) -> Value:
        return Value(apply(scalars.text(first(node))).cast(dtype), dtype)

    return translate


def _sized(
    of_text: Callable[[pl.Expr], pl.Expr], of_bytes: Callable[[pl.Expr], pl.Expr]
) -> Translator:
    """The length of a text, or of bytes."""

    def translate(scalars: Scalars, node: exp.Expr) -> Value:
        value = scalars.value(first(node))
        if value.dtype == pl.Binary:
            return Value(of_bytes(value.expr.bin.size()).cast(_COUNT), _COUNT)
        return Value(of_text(scalars.text(first(node))).cast(_COUNT), _COUNT)

    return translate


def first(node: exp.Expr) -> exp.Expr:
    """Return the first argument of a function."""
    found: exp.Expr = node.expressions[0] if isinstance(node, exp.Anonymous) else node.this
    return found


def arguments(node: exp.Expr, count: int) -> list[exp.Expr]:
    """Return the arguments of a function known by name only; refuses another number of them."""
    if len(node.expressions) != count:
        raise refuse(node, f"{node.name} takes {count} arguments")
    return list(node.expressions)


def _pattern(like: str, escape: str = "\\") -> str:
    found, at = "", 0
    while at < len(like):
        char = like[at]
        if char == escape and at + 1 < len(like):
            at += 1
            found += re.escape(like[at])
        else:
            found += {"%": ".*", "_": "."}.get(char, re.escape(char))
        at += 1
    return f"(?s)^{found}$"


def _computed_pattern(like: pl.Expr) -> pl.Expr:
    """A pattern that is a column: the backslash escapes."""
    regex = like.str.escape_regex()
    for written, means in ((r"\\\\%", "\x01"), (r"\\\\_", "\x02"), ("%", ".*"), ("_", "."),
                           ("\x01", "%"), ("\x02", "_")):  # fmt: skip
        regex = regex.str.replace_all(written, means)
    return pl.concat_str([pl.lit("(?s)^"), regex, pl.lit("$")])


def _like(*, ignore_case: bool) -> Translator:
    def translate(scalars: Scalars, node: exp.Expr) -> Value:
        pattern, escape = node.expression, "\\"
        if isinstance(pattern, (exp.Any, exp.All)):
            return _like_each(scalars, node, pattern)
        if isinstance(node.parent, exp.Escape):
            escape = str(scalars.written(node.parent.expression, "ESCAPE"))
        flags = "(?i)" if ignore_case else ""
        text = scalars.text(node.this)
        if pattern.find(exp.Column):
            found = text.str.contains(pl.lit(flags) + _computed_pattern(scalars.text(pattern)))
            return Value(~found if node.args.get("negate") else found, pl.Boolean())
        written = scalars.written(pattern, "the pattern of LIKE")
        if written is None:
            return Value(pl.lit(None, dtype=pl.Boolean), pl.Boolean())
        found = text.str.contains(flags + _pattern(str(written), escape))
        return Value(~found if node.args.get("negate") else found, pl.Boolean())

    return translate


def _like_each(scalars: Scalars, node: exp.Expr, listed: exp.Expr) -> Value:
    """``LIKE ANY (ARRAY['a%', 'b%'])``: the patterns are written down."""
    array = listed.this.unnest()
    if not isinstance(array, (exp.Array, exp.Tuple)):
        raise refuse(node, "the patterns of LIKE ANY are an ARRAY[...] that is written down")
    tests = [type(node)(this=node.this, expression=p, negate=node.args.get("negate"))
             for p in array.expressions]  # fmt: skip
    together = exp.or_ if isinstance(listed, exp.Any) else exp.and_
    return scalars.value(together(*tests, copy=True))


def _escape(scalars: Scalars, node: exp.Expr) -> Value:
    return scalars.value(node.this)


def _matches(*, ignore_case: bool) -> Translator:
    def translate(scalars: Scalars, node: exp.Expr) -> Value:
        regex = str(scalars.written(node.expression, "a regular expression"))
        flags = "(?i)" if ignore_case else ""
        if node.args.get("flag") is not None:
            flags = f"(?{scalars.written(node.args['flag'], 'flags')})"
        return Value(scalars.text(node.this).str.contains(flags + regex), pl.Boolean())

    return translate


def _concat(scalars: Scalars, node: exp.Expr) -> Value:
    if is_jsonb(node.this) or is_jsonb(node.expression):
        return merged(scalars, node)
    left, right = scalars.value(node.this), scalars.value(node.expression)
    if isinstance(left.dtype, pl.List) or isinstance(right.dtype, pl.List):
        return _lists(scalars, left, right)
    if pl.Binary() in (left.dtype, right.dtype):
        return Value(left.expr.cast(pl.Binary) + right.expr.cast(pl.Binary), pl.Binary())
    parts = [text_form(v.expr, v.dtype) for v in (left, right)]
    return Value(pl.concat_str(parts), _TEXT)


def _lists(scalars: Scalars, left: Value, right: Value) -> Value:
    """Arrays, or an array and one element, as one array; a null array counts as empty."""
    listed = left.dtype if isinstance(left.dtype, pl.List) else right.dtype
    parts = [v.expr.fill_null(pl.lit([], dtype=v.dtype)) if isinstance(v.dtype, pl.List)
             else v.expr.cast(listed) if v.dtype == pl.Null else v.expr
             for v in (left, right)]  # fmt: skip
    joined = pl.concat_list(parts)
    if isinstance(left.dtype, pl.List) and isinstance(right.dtype, pl.List):
        joined = pl.when(left.expr.is_not_null() | right.expr.is_not_null()).then(joined)
    return scalars.typed(joined)


def _concat_function(scalars: Scalars, node: exp.Expr) -> Value:
    parts = [scalars.text(part) for part in node.expressions]
    return Value(pl.concat_str(parts, ignore_nulls=True), _TEXT)


def _substring(scalars: Scalars, node: exp.Expr) -> Value:
    start_node, length_node = node.args.get("start"), node.args.get("length")
    value = scalars.value(node.this)
    if value.dtype == pl.Binary:
        begin, length = (None if n is None else scalars.number(n).expr.cast(pl.Int64)
                         for n in (start_node, length_node))  # fmt: skip
        return Value(sliced_bytes(value.expr, begin, length), pl.Binary())
    text = scalars.text(node.this)
    if isinstance(start_node, exp.Literal) and start_node.args.get("is_string"):
        if length_node is not None:
            raise refuse(node, "substring takes a regular expression, or a start and a length")
        return Value(first_match(text, start_node.name), _TEXT)
    start = pl.lit(1) if start_node is None else scalars.number(start_node).expr.cast(pl.Int64)
    begin = pl.max_horizontal(start - 1, pl.lit(0, dtype=pl.Int64))
    begin = pl.when(start.is_not_null()).then(begin)
    if length_node is None:
        return Value(pl.when(begin.is_not_null()).then(text.str.slice(begin)), _TEXT)
    length = scalars.number(length_node).expr.cast(pl.Int64)
    end = pl.max_horizontal(start - 1 + length - begin, pl.lit(0, dtype=pl.Int64))
    known = begin.is_not_null() & length.is_not_null()
    return Value(pl.when(known).then(text.str.slice(begin, end.cast(pl.UInt64))), _TEXT)


def _trim(scalars: Scalars, node: exp.Expr) -> Value:
    text, chars = scalars.text(node.this), node.expression
    what = " " if chars is None else str(scalars.written(chars, "the characters to trim"))
    side = str(node.args.get("position") or "BOTH").upper()
    strip = {"LEADING": text.str.strip_chars_start, "TRAILING": text.str.strip_chars_end}
    return Value(strip.get(side, text.str.strip_chars)(what), _TEXT)


def _replace(scalars: Scalars, node: exp.Expr) -> Value:
    text, new = scalars.text(node.this), scalars.text(node.args["replacement"])
    old = scalars.value(node.expression)
    if not old.constant or not old.literal:
        return Value(replaced_text(text, scalars.text(node.expression), new), _TEXT)
    found = text.str.replace_all(str(old.literal), new, literal=True)
    return Value(pl.when(new.is_not_null()).then(found), _TEXT)


def _position(scalars: Scalars, node: exp.Expr) -> Value:
    text, part = scalars.text(node.this), scalars.text(node.args["substr"])
    before = text.str.find(part, literal=True)
    bytes_before = before.fill_null(0)
    chars = text.str.encode("hex").str.slice(0, bytes_before * 2).str.decode("hex")
    position = chars.cast(_TEXT).str.len_chars() + 1
    known = text.is_not_null() & part.is_not_null()
    found = pl.when(before.is_not_null()).then(position).otherwise(0)
    return Value(pl.when(known).then(found).cast(_COUNT), _COUNT)


def _left(scalars: Scalars, node: exp.Expr) -> Value:
    count = scalars.number(node.expression).expr.cast(pl.Int64)
    return Value(scalars.text(node.this).str.head(count), _TEXT)


def _right(scalars: Scalars, node: exp.Expr) -> Value:
    count = scalars.number(node.expression).expr.cast(pl.Int64)
    return Value(scalars.text(node.this).str.tail(count), _TEXT)


def _regexp_extract(scalars: Scalars, node: exp.Expr) -> Value:
    regex = str(scalars.written(node.expression, "a regular expression"))
    group = scalars.written(node.args.get("group"), "the group") or 0
    return Value(scalars.text(node.this).str.extract(regex, int(str(group))).fill_null(""), _TEXT)


def _starts_with(scalars: Scalars, node: exp.Expr) -> Value:
    return Value(
        scalars.text(node.this).str.starts_with(scalars.text(node.expression)), pl.Boolean()
    )


def _translate(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    old, new = (str(scalars.written(part, "the characters")) for part in arguments[1:])
    changes = {char: new[at : at + 1] for at, char in reversed(list(enumerate(old)))}
    text = scalars.text(arguments[0])
    found = text.str.replace_many(list(changes), list(changes.values())) if changes else text
    return Value(found, _TEXT)


def _overlay(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    text, new = scalars.text(arguments[0]), scalars.text(arguments[1])
    start = scalars.number(arguments[2]).expr.cast(pl.Int64)
    length = new.str.len_chars().cast(pl.Int64)
    if len(arguments) > 3:
        length = scalars.number(arguments[3]).expr.cast(pl.Int64)
    rest = text.str.slice(pl.max_horizontal(start - 1 + length, pl.lit(0, dtype=pl.Int64)))
    return Value(pl.concat_str([text.str.head(start - 1), new, rest]), _TEXT)


def _ends_with(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    text, end = map(scalars.text, arguments)
    return Value(text.str.ends_with(end), pl.Boolean())


def _initcap(text: pl.Expr) -> pl.Expr:
    """A word is letters and digits: Polars alone begins one after every digit."""
    low = text.str.to_lowercase()
    words = low.str.extract_all(r"[\p{L}\p{N}]+|[^\p{L}\p{N}]+").list
    first = pl.element().str.head(1).str.to_uppercase()
    joined = words.eval(pl.concat_str([first, pl.element().str.slice(1)])).list.join("")
    return pl.when(text.is_not_null()).then(joined)


NODES: dict[type[exp.Expr], Translator] = {
    exp.Lower: _of_text(lambda t: t.str.to_lowercase()),
    exp.Upper: _of_text(lambda t: t.str.to_uppercase()),
    exp.Length: _sized(lambda t: t.str.len_chars(), lambda n: n),
    exp.Reverse: _of_text(lambda t: t.str.reverse()),
    exp.Initcap: _of_text(_initcap),
    exp.Like: _like(ignore_case=False),
    exp.ILike: _like(ignore_case=True),
    exp.Escape: _escape,
    exp.RegexpLike: _matches(ignore_case=False),
    exp.RegexpILike: _matches(ignore_case=True),
    exp.DPipe: _concat,
    exp.Concat: _concat_function,
    exp.Substring: _substring,
    exp.Trim: _trim,
    exp.Replace: _replace,
    exp.StrPosition: _position,
    exp.Left: _left,
    exp.Right: _right,
    exp.RegexpExtract: _regexp_extract,
    exp.StartsWith: _starts_with,
}
FUNCTIONS: dict[str, Translator] = {
    "CHAR_LENGTH": _of_text(lambda t: t.str.len_chars(), _COUNT),
    "OCTET_LENGTH": _sized(lambda t: t.str.len_bytes(), lambda n: n),
    "BIT_LENGTH": _sized(lambda t: t.str.len_bytes() * 8, lambda n: n * 8),
    "BITLENGTH": _sized(lambda t: t.str.len_bytes() * 8, lambda n: n * 8),
    "BYTELENGTH": _sized(lambda t: t.str.len_bytes(), lambda n: n),
    "TRANSLATE": Call(3, 3, _translate),
    "OVERLAY": Call(3, 4, _overlay),
    "ENDS_WITH": Call(2, 2, _ends_with),
    "ENDSWITH": Call(2, 2, _ends_with),
    "BTRIM": _of_text(lambda t: t.str.strip_chars(" ")),
}
READS: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.Like: ("negate",),
    exp.ILike: ("negate",),
    exp.RegexpLike: ("flag",),
    exp.Length: ("encoding",),
    exp.Concat: ("safe", "coalesce"),
    exp.DPipe: ("safe",),
    exp.Substring: ("start", "length"),
    exp.Trim: ("position",),
    exp.Replace: ("replacement",),
    exp.StrPosition: ("substr",),
    exp.RegexpExtract: ("group",),
}
