"""Values as text, in the forms in which PostgreSQL writes them."""

from __future__ import annotations

import polars as pl

from penstock.sql_plan.columnar import over_columns


def text_form(expr: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Return text: ``1e+20``, ``2020-01-01 10:00:00.5``, ``1 day 02:00:00``, ``{1,NULL}``, ``\\x61``."""
    if dtype == pl.String:
        return expr
    if dtype.is_float():
        return _float(expr)
    if isinstance(dtype, pl.Datetime):
        return _instant(expr, dtype)
    if dtype == pl.Time:
        return _trimmed(expr.dt.to_string("%H:%M:%S%.6f"))
    if isinstance(dtype, pl.Duration):
        return _span(expr)
    if isinstance(dtype, pl.List):
        return _array(expr, dtype)
    if dtype == pl.Binary:
        return pl.concat_str([pl.lit("\\x"), expr.bin.encode("hex")])
    return expr.cast(pl.String)


def _float(expr: pl.Expr) -> pl.Expr:
    text = expr.cast(pl.String).str.replace(r"\.0$", "").str.replace(r"\.0e", "e")
    text = text.str.replace(r"e(\d)", "e+${1}").str.replace(r"e([+-])(\d)$", "e${1}0${2}")
    return text.str.replace(r"^inf$", "Infinity").str.replace(r"^-inf$", "-Infinity")


def _trimmed(text: pl.Expr) -> pl.Expr:
    """Without zeros at the end of a fraction."""
    return text.str.replace(r"(\.\d*?)0+$", "${1}").str.strip_suffix(".")


def _instant(expr: pl.Expr, dtype: pl.Datetime) -> pl.Expr:
    if dtype.time_zone is None:
        return _trimmed(expr.dt.to_string("%Y-%m-%d %H:%M:%S%.6f"))
    utc = expr.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return pl.concat_str([_trimmed(utc.dt.to_string("%Y-%m-%d %H:%M:%S%.6f")), pl.lit("+00")])


def _span(expr: pl.Expr) -> pl.Expr:
    micros = expr.dt.total_microseconds()
    size = micros.abs()
    days, rest = size // 86_400_000_000, size % 86_400_000_000
    seconds = rest // 1_000_000
    clock = [seconds // 3600, seconds // 60 % 60, seconds % 60]
    parts = [part.cast(pl.String).str.zfill(2) for part in clock]
    fraction = pl.concat_str([pl.lit("."), (rest % 1_000_000).cast(pl.String).str.zfill(6)])
    sign = pl.when(micros < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    hours = pl.concat_str([sign, _clock_text(parts, fraction)])
    word = pl.when(days == 1).then(pl.lit(" day")).otherwise(pl.lit(" days"))
    word = pl.when(micros < 0).then(pl.lit(" days")).otherwise(word)
    whole = pl.concat_str([sign, days.cast(pl.String), word])
    return (
        pl.when(days == 0)
        .then(hours)
        .when(rest == 0)
        .then(whole)
        .otherwise(pl.concat_str([whole, hours], separator=" "))
    )


def sliced_bytes(bytes_: pl.Expr, start: pl.Expr | None, length: pl.Expr | None) -> pl.Expr:
    """Return some of the bytes, counted from 1, by way of their hexadecimal digits."""
    digits = bytes_.bin.encode("hex")
    begin = pl.lit(1, dtype=pl.Int64) if start is None else start
    first = pl.max_horizontal(begin, pl.lit(1))
    if length is None:
        return digits.str.slice((first - 1) * 2).str.decode("hex")
    count = pl.max_horizontal(begin + length - first, pl.lit(0))
    return digits.str.slice((first - 1) * 2, count * 2).str.decode("hex")


def span_text(months: pl.Expr, fixed: pl.Expr) -> pl.Expr:
    """Return an interval with months as text: ``1 year 2 mons 3 days``."""
    given = {"months": months, "fixed": fixed}
    months, fixed = pl.col("months"), pl.col("fixed")
    sign = months.sign()
    years, rest = months.abs() // 12 * sign, months.abs() % 12 * sign
    parts = [
        pl.when(count != 0).then(
            pl.concat_str(
                [
                    count.cast(pl.String),
                    pl.when(count == 1).then(pl.lit(one)).otherwise(pl.lit(many)),
                ]
            )
        )
        for count, one, many in ((years, " year", " years"), (rest, " mon", " mons"))
    ]
    micros = fixed.dt.total_microseconds()
    plus = pl.when((months < 0) & (micros > 0)).then(pl.lit("+")).otherwise(pl.lit(""))
    days = pl.when((micros != 0) | (months == 0)).then(pl.concat_str([plus, _span(fixed)]))
    whole = pl.concat_str([*parts, days], separator=" ", ignore_nulls=True)
    known = pl.when(months.is_not_null() & fixed.is_not_null()).then(whole)
    return over_columns(known, pl.String(), **given)


def _clock_text(parts: list[pl.Expr], fraction: pl.Expr) -> pl.Expr:
    shown = fraction.str.replace(r"\.?0*$", "")
    return pl.concat_str([pl.concat_str(parts, separator=":"), shown])


def _array(expr: pl.Expr, dtype: pl.List) -> pl.Expr:
    inner = dtype.inner if isinstance(dtype.inner, pl.DataType) else dtype.inner()
    element = text_form(pl.element(), inner)
    if inner == pl.String:
        special = r'[{},"\\\s]|^$|^(?i:null)$'
        escaped = element.str.replace_all(r'(["\\])', r"\${1}")
        quoted = pl.concat_str([pl.lit('"'), escaped, pl.lit('"')])
        element = pl.when(element.str.contains(special)).then(quoted).otherwise(element)
    if inner == pl.Boolean:
        element = pl.element().cast(pl.String).str.head(1)
    joined = expr.list.eval(element.fill_null("NULL")).list.join(",")
    return pl.concat_str([pl.lit("{"), joined, pl.lit("}")])
