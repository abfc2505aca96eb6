"""PostgreSQL's templates for instants: ``to_char``, ``to_date`` and ``to_timestamp``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl
from sqlglot import exp

from penstock.sql_plan.columnar import over_columns, over_instants
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.values import Value

_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
           "October", "November", "December")  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")
_JULIAN = 2_440_588
"""The Julian day of 1970-01-01."""

_Number = Callable[[pl.Expr], pl.Expr]


def _century(e: pl.Expr) -> pl.Expr:
    return (e.dt.year() + 99) // 100


def _iso_day_of_year(e: pl.Expr) -> pl.Expr:
    return (e.dt.week().cast(pl.Int32) - 1) * 7 + e.dt.weekday()


def _half(e: pl.Expr) -> pl.Expr:
    return (e.dt.hour().cast(pl.Int32) + 11) % 12 + 1


def _second_of_day(e: pl.Expr) -> pl.Expr:
    return e.dt.hour().cast(pl.Int32) * 3600 + e.dt.minute().cast(pl.Int32) * 60 + e.dt.second()


def _fraction(digits: int) -> _Number:
    return lambda e: e.dt.microsecond() // 10 ** (6 - digits)


_NUMBERS: dict[str, tuple[_Number, int]] = {
    "HH24": (lambda e: e.dt.hour(), 2),
    "HH12": (_half, 2),
    "HH": (_half, 2),
    "MI": (lambda e: e.dt.minute(), 2),
    "SSSSS": (_second_of_day, 1),
    "SSSS": (_second_of_day, 1),
    "SS": (lambda e: e.dt.second(), 2),
    "MS": (_fraction(3), 3),
    "US": (_fraction(6), 6),
    **{f"FF{n}": (_fraction(n), n) for n in range(1, 7)},
    "YYYY": (lambda e: e.dt.year(), 4),
    "YYY": (lambda e: e.dt.year() % 1000, 3),
    "YY": (lambda e: e.dt.year() % 100, 2),
    "Y": (lambda e: e.dt.year() % 10, 1),
    "IYYY": (lambda e: e.dt.iso_year(), 4),
    "IYY": (lambda e: e.dt.iso_year() % 1000, 3),
    "IY": (lambda e: e.dt.iso_year() % 100, 2),
    "I": (lambda e: e.dt.iso_year() % 10, 1),
    "MM": (lambda e: e.dt.month(), 2),
    "DDD": (lambda e: e.dt.ordinal_day(), 3),
    "IDDD": (_iso_day_of_year, 3),
    "DD": (lambda e: e.dt.day(), 2),
    "ID": (lambda e: e.dt.weekday(), 1),
    "D": (lambda e: e.dt.weekday() % 7 + 1, 1),
    "WW": (lambda e: (e.dt.ordinal_day().cast(pl.Int32) - 1) // 7 + 1, 2),
    "IW": (lambda e: e.dt.week(), 2),
    "W": (lambda e: (e.dt.day().cast(pl.Int32) - 1) // 7 + 1, 1),
    "CC": (_century, 2),
    "J": (lambda e: e.dt.date().to_physical() + _JULIAN, 1),
    "Q": (lambda e: e.dt.quarter(), 1),
}
_SPAN_NUMBERS: dict[str, tuple[_Number, int]] = {
    "HH24": (lambda e: e.dt.total_hours() % 24, 2),
    "HH12": (lambda e: (e.dt.total_hours() + 11) % 12 + 1, 2),
    "HH": (lambda e: (e.dt.total_hours() + 11) % 12 + 1, 2),
    "MI": (lambda e: e.dt.total_minutes() % 60, 2),
    "SS": (lambda e: e.dt.total_seconds() % 60, 2),
    "MS": (lambda e: e.dt.total_milliseconds() % 1000, 3),
    "US": (lambda e: e.dt.total_microseconds() % 1_000_000, 6),
    "DD": (lambda e: e.dt.total_days(), 2),
}
_NAMES = ("MONTH", "MON", "DAY", "DY", "RM", "A.M.", "P.M.", "AM", "PM", "B.C.", "A.D.", "BC", "AD",
          "TZH", "TZM", "TZ", "OF", "Y,YYY")  # fmt: skip
_DAY_NS = 86_400_000_000_000
_GRAINS = {
    **dict.fromkeys(("HH24", "HH12", "HH", "AM", "PM", "A.M.", "P.M."), 3_600_000_000_000),
    "MI": 60_000_000_000,
    **dict.fromkeys(("SS", "SSSS", "SSSSS"), 1_000_000_000),
    "MS": 1_000_000,
    "US": 1_000,
    **{f"FF{n}": 10 ** (9 - n) for n in range(1, 7)},
}
"""Tokens that change within a day, and how often, in nanoseconds."""
_TOKENS = sorted({*_NUMBERS, *_NAMES}, key=len, reverse=True)
_PIECE = re.compile(
    r'"((?:[^"\\]|\\.)*)"?|(FM|TM|FX)?(' + "|".join(map(re.escape, _TOKENS)) + r")(TH)?|\\(.)|(.)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a template: a ``token`` as it is written, or a ``text`` that stands for itself."""

    token: str = ""
    filled: bool = True
    ordinal: str = ""
    text: str = ""


def pieces(template: str) -> Iterator[Piece]:
    """Split a template; what is in quotes stands for itself."""
    for match in _PIECE.finditer(template):
        quoted, modifier, token, ordinal, escaped, other = match.groups()
        if token is not None:
            yield Piece(token, (modifier or "").upper() != "FM", ordinal or "")
        else:
            text = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else escaped or other
            yield Piece(text=text)


def written(node: exp.Expr, value: Value, template: str) -> pl.Expr:
    """Return an instant, a time or an interval as text by a template."""
    expr = value.expr.cast(pl.Datetime("us")) if value.dtype == pl.Date else value.expr
    zoned = isinstance(value.dtype, pl.Datetime) and value.dtype.time_zone is not None
    if zoned:
        expr = expr.dt.convert_time_zone("UTC")
    given, expr = expr, pl.col("x")
    numbers = _SPAN_NUMBERS if value.is_interval else _NUMBERS
    parts: list[pl.Expr] = []
    for piece in pieces(template):
        token = piece.token.upper()
        if not token:
            parts.append(pl.lit(piece.text))
        elif token in numbers:
            read, width = numbers[token]
            parts.append(_digits(read(expr).cast(pl.Int64), width, piece))
        elif value.is_interval:
            raise refuse(node, f"{token} is not a part of an interval")
        else:
            parts.append(_named(expr, token, piece, zoned=zoned))
    whole = pl.when(expr.is_not_null()).then(pl.concat_str(parts or [pl.lit("")]))
    if value.is_interval:
        return over_columns(whole, pl.String(), x=given)
    return over_instants(whole, pl.String(), given, _grain_ns(template))


def _grain_ns(template: str) -> int:
    """Return a part of a day such that all instants within it are the same text by a template."""
    tokens = [piece.token.upper() for piece in pieces(template)]
    return min((_GRAINS.get(token, _DAY_NS) for token in tokens), default=_DAY_NS)


def _digits(number: pl.Expr, width: int, piece: Piece) -> pl.Expr:
    text = number.cast(pl.String)
    text = text.str.zfill(width) if piece.filled and width > 1 else text
    if not piece.ordinal:
        return text
    last, teen = number % 10, (number // 10) % 10 == 1
    ending = (
        pl.when(teen).then(pl.lit("th")).when(last == 1).then(pl.lit("st"))
        .when(last == 2).then(pl.lit("nd")).when(last == 3).then(pl.lit("rd")).otherwise(pl.lit("th"))
    )  # fmt: skip
    ending = ending.str.to_uppercase() if piece.ordinal.isupper() else ending
    return pl.concat_str([text, ending])


def _named(expr: pl.Expr, word: str, piece: Piece, *, zoned: bool) -> pl.Expr:
    if word in ("MONTH", "MON", "DAY", "DY", "RM"):
        return _name(expr, word, piece)
    if word == "Y,YYY":
        year = expr.dt.year()
        thousands, rest = (year // 1000).cast(pl.String), (year % 1000).cast(pl.String)
        return pl.concat_str([thousands, pl.lit(","), rest.str.zfill(3)])
    if word in ("AM", "PM", "A.M.", "P.M."):
        early, late = ("A.M.", "P.M.") if "." in word else ("AM", "PM")
        return _cased(
            pl.when(expr.dt.hour() < 12).then(pl.lit(early)).otherwise(pl.lit(late)), piece
        )
    if word in ("BC", "AD", "B.C.", "A.D."):
        return _cased(pl.lit("A.D." if "." in word else "AD"), piece)
    known = {"TZH": "+00", "TZM": "00", "TZ": "UTC" if zoned else "", "OF": "+00"}
    return _cased(pl.lit(known[word]), piece)


def _cased(text: pl.Expr, piece: Piece) -> pl.Expr:
    return text.str.to_lowercase() if piece.token[:1].islower() else text


def _name(expr: pl.Expr, word: str, piece: Piece) -> pl.Expr:
    """A name in capitals, small letters or as a name, padded to the longest unless FM says no."""
    names: tuple[str, ...] = _DAYS if word in ("DAY", "DY") else _MONTHS
    names = _ROMAN if word == "RM" else names
    if word in ("MON", "DY"):
        names = tuple(name[:3] for name in names)
    said = piece.token
    change = str.lower if said.islower() or said[0].islower() else str.title
    change = str.upper if said.isupper() or (word == "RM" and said[0].isupper()) else change
    width = max(map(len, names)) if piece.filled else 0
    texts = {at: change(name).ljust(width) for at, name in enumerate(names, 1)}
    number = expr.dt.weekday() if word in ("DAY", "DY") else expr.dt.month()
    return number.cast(pl.Int64).replace_strict(texts, default=None, return_dtype=pl.String)


_READ = {
    "YYYY": r"(\d{1,4})", "YYY": r"(\d{1,3})", "YY": r"(\d{1,2})", "Y": r"(\d)",
    "MM": r"(\d{1,2})", "DD": r"(\d{1,2})", "DDD": r"(\d{1,3})", "HH24": r"(\d{1,2})",
    "HH12": r"(\d{1,2})", "HH": r"(\d{1,2})", "MI": r"(\d{1,2})", "SS": r"(\d{1,2})",
    "MS": r"(\d{1,3})", "US": r"(\d{1,6})", "SSSS": r"(\d{1,5})", "SSSSS": r"(\d{1,5})",
    "MONTH": "(" + "|".join(_MONTHS) + ")", "MON": "(" + "|".join(m[:3] for m in _MONTHS) + ")",
    "DAY": "(?:" + "|".join(_DAYS) + ")", "DY": "(?:" + "|".join(d[:3] for d in _DAYS) + ")",
    "AM": "([ap])m", "PM": "([ap])m", "A.M.": r"([ap])\.m\.", "P.M.": r"([ap])\.m\.",
    **{f"FF{n}": rf"(\d{{1,{n}}})" for n in range(1, 7)},
}  # fmt: skip
_MEANS = {"HH": "HH12", "PM": "AM", "A.M.": "AM", "P.M.": "AM", "MON": "MONTH", "SSSS": "SSSSS"}


def read(node: exp.Expr, text: pl.Expr, template: str) -> pl.Expr:
    """Return a text as an instant without zone; what does not fit the template makes the row fail."""
    pattern, found = _pattern(node, template)
    given, text = text, pl.col("x")

    def number(token: str, default: int) -> pl.Expr:
        if token not in found:
            return pl.lit(default, dtype=pl.Int64)
        return text.str.extract(pattern, found[token]).cast(pl.Int64)

    month = number("MM", 1)
    if "MONTH" in found:
        names = {name[:3].lower(): at for at, name in enumerate(_MONTHS, 1)}
        said = text.str.extract(pattern, found["MONTH"]).str.to_lowercase().str.head(3)
        month = said.replace_strict(names, default=None, return_dtype=pl.Int64)
    hour = number("HH24", 0)
    if "HH12" in found:
        half = text.str.extract(pattern, found.get("AM", 0)).str.to_lowercase()
        late = (half == "p") if "AM" in found else pl.lit(value=False)
        hour = number("HH12", 12) % 12 + pl.when(late).then(12).otherwise(0)
    day = pl.lit(1, dtype=pl.Int64) if "DDD" in found else number("DD", 1)
    fields = [(_year(number, found), 4), (month, 2), (day, 2), (hour, 2), (number("MI", 0), 2)]
    fields += [(number("SS", 0), 2), (_micros(text, pattern, found), 6)]
    parts = [field.cast(pl.String).str.zfill(width) for field, width in fields]
    marks = ["-", "-", " ", ":", ":", "."]
    cells = [
        parts[0],
        *(p for m, part in zip(marks, parts[1:], strict=True) for p in (pl.lit(m), part)),
    ]
    whole = pl.when(text.str.contains(pattern)).then(pl.concat_str(cells)).otherwise(text)
    moment = whole.str.to_datetime("%Y-%m-%d %H:%M:%S%.6f", time_unit="us", strict=True)
    extra = (number("DDD", 1) - 1) * 86_400 + number("SSSSS", 0)
    if "DDD" in found or "SSSSS" in found:
        moment = moment + (extra * 1_000_000).cast(pl.Duration("us"))
    return over_columns(moment, pl.Datetime("us"), x=given)


def _pattern(node: exp.Expr, template: str) -> tuple[str, dict[str, int]]:
    """Return a regular expression, and the group in which each part is found."""
    regex, found = r"(?is)^\s*", dict[str, int]()
    listed = list(pieces(template))
    for at, piece in enumerate(listed):
        token = piece.token.upper()
        if not token:
            separates = not piece.text.isalnum()
            regex += r"[^\p{L}\p{N}]*" if separates else re.escape(piece.text)
            continue
        if token not in _READ:
            raise refuse(node, f"{piece.token} cannot be read")
        following = listed[at + 1] if at + 1 < len(listed) else Piece(text=" ")
        one = _READ[token]
        if following.token and r"\d" in one and r"\d" in _READ.get(following.token.upper(), ""):
            one = re.sub(r"\{1,(\d)\}", r"{\1}", one)  # digits that nothing separates
        if "(?:" not in one[:3]:
            found[_MEANS.get(token, token)] = len(found) + 1
        regex += rf"\s*{one}(?:{piece.ordinal and 'st|nd|rd|th'})?"
    return regex, found


def _year(number: Callable[[str, int], pl.Expr], found: dict[str, int]) -> pl.Expr:
    if "YYYY" in found:
        return number("YYYY", 1)
    if "YYY" in found:
        return number("YYY", 1) + 2000
    if "YY" in found or "Y" in found:  # the year nearest to 2020
        short = number("YY" if "YY" in found else "Y", 1)
        return short + pl.when(short < 70).then(2000).otherwise(1900)
    return pl.lit(1, dtype=pl.Int64)


def _micros(text: pl.Expr, pattern: str, found: dict[str, int]) -> pl.Expr:
    token = next((t for t in ("US", "MS", *(f"FF{n}" for n in range(1, 7))) if t in found), None)
    if token is None:
        return pl.lit(0, dtype=pl.Int64)
    return text.str.extract(pattern, found[token]).str.pad_end(6, "0").cast(pl.Int64)
