"""PostgreSQL's templates for numbers: ``to_char`` and ``to_number``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import polars as pl
from sqlglot import exp

from penstock.plan.expressions.repeatable import row_wise
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.types import MAX_DIGITS
from penstock.sql_plan.values import Value

_PART = re.compile(r'"([^"]*)"|(FM|EEEE|TH|PR|PL|SG|MI|RN|[09.,DGSLV])|\\(.)|(.)', re.I | re.S)
_TEXT = "text"
_ROMAN = ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"),
          (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))  # fmt: skip
_ROMAN_WIDTH = 15
_SIGNS = ("S", "MI", "PL", "SG", "PR")


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """A template: its parts, the digits before and behind the point, and whether it is for floats."""

    parts: tuple[tuple[str, str], ...]
    whole: int
    scale: int
    shift: int
    floats: bool

    def has(self, *words: str) -> bool:
        """Tell whether a word stands in the template."""
        return any(kind in words for kind, _ in self.parts)

    def __call__(self, numbers: pl.Series) -> pl.Series:
        """Return numbers as text."""
        found = [None if x is None else self.text(x) for x in numbers]
        return pl.Series(numbers.name, found, dtype=pl.String)

    def text(self, number: float | Decimal) -> str:
        """Return one number as text."""
        exact = Decimal(number)
        if not exact.is_finite():
            return str(number)
        if self.has("RN"):
            return self._roman(exact)
        if self.has("EEEE"):
            return ("-" if exact < 0 else " ") + _scientific(abs(exact), self.scale)
        rounding = ROUND_HALF_EVEN if self.floats else ROUND_HALF_UP
        rounded = exact.scaleb(self.shift).quantize(Decimal(1).scaleb(-self.scale), rounding)
        before, _, behind = f"{abs(rounded):f}".partition(".")
        before = "" if before == "0" else before
        if len(before) > self.whole:
            before, behind = "#" * self.whole, "#" * self.scale
        minus = rounded < 0 or (self.floats and exact < 0)
        return _Filling(self, before, behind, minus=minus).text()

    def _roman(self, number: Decimal) -> str:
        whole, text = int(number.to_integral_value(ROUND_HALF_UP)), ""
        if not 0 < whole < 4000:
            return "#" * _ROMAN_WIDTH
        for value, letters in _ROMAN:
            text += letters * (whole // value)
            whole %= value
        return text if self.has("FM") else text.rjust(_ROMAN_WIDTH)


class _Filling:
    """Writes one number from left to right; blanks, and zeros that FM leaves out, as it is asked."""

    def __init__(self, form: NumberFormat, before: str, behind: str, *, minus: bool) -> None:
        self._form, self._minus = form, minus
        self._fill = form.has("FM")
        slots = [kind for kind, _ in form.parts if kind in ("0", "9", ".", "V")]
        slots = [s for s in slots if s != "V"]
        point = slots.index(".") if "." in slots else len(slots)
        first_zero = slots.index("0") if "0" in slots[:point] else form.whole
        if not before and not form.scale and form.whole:
            before = "0"
        self._start = min(form.whole - len(before), first_zero)
        self._digits = before.rjust(form.whole, "0")
        self._behind = behind
        if self._fill and "#" not in behind:
            kept = max((n for n, s in enumerate(slots[point + 1 :], 1) if s == "0"), default=0)
            self._behind = behind[:kept] + behind[kept:].rstrip("0")
            if not self._behind and self._start == form.whole and form.whole:
                self._start = form.whole - 1
        self._blank = "" if self._fill else " "

    def text(self) -> str:
        """Return the number as text."""
        found, at, signed, pointed = "", 0, False, False
        for kind, said in self._form.parts:
            if kind in ("0", "9") and not pointed:
                if at == self._start and not signed:
                    found, signed = found + self._opening(), True
                found += self._digits[at] if at >= self._start else self._blank
                at += 1
            elif kind == ".":
                found += "" if signed else self._opening()
                found, signed, pointed = found + ".", True, True
            elif kind in ("0", "9"):
                found, self._behind = found + self._behind[:1], self._behind[1:]
            elif kind == ",":
                found += "," if at > self._start else self._blank
            elif kind == "S" and at >= self._form.whole:
                found += "-" if self._minus else "+"
            elif kind != "S":
                found += self._other(kind, said)
        return found

    def _opening(self) -> str:
        """Return the sign before the first digit."""
        if self._form.has("S"):
            leading = next(k for k, _ in self._form.parts if k in ("S", "0", "9")) == "S"
            return ("-" if self._minus else "+") if leading else ""
        if self._form.has("PR"):
            return "<" if self._minus else self._blank
        if self._form.has(*_SIGNS):
            return ""
        return "-" if self._minus else self._blank

    def _other(self, kind: str, said: str) -> str:
        if kind == "MI":
            return "-" if self._minus else self._blank
        if kind == "PL":
            return self._blank if self._minus else "+"
        if kind == "SG":
            return "-" if self._minus else "+"
        if kind == "PR":
            return ">" if self._minus else self._blank
        if kind == "L":
            return self._blank
        if kind == "TH":
            plain = not self._form.scale and not self._minus
            return _ordinal(self._digits, said) if plain else ""
        return said if kind == _TEXT else ""


def _ordinal(digits: str, said: str) -> str:
    teen = digits[-2:-1] == "1"
    ending = "th" if teen else {"1": "st", "2": "nd", "3": "rd"}.get(digits[-1:], "th")
    return ending.upper() if said.isupper() else ending


def _scientific(number: Decimal, digits: int) -> str:
    mantissa, _, exponent = f"{number or Decimal(0):.{digits}e}".partition("e")
    exponent = exponent if number else "0"
    return f"{mantissa}e{int(exponent):+03d}"


def number_format(node: exp.Expr, template: str, *, floats: bool) -> NumberFormat:
    """Read a template; refuses one that PostgreSQL refuses."""
    parts, whole, scale, shift = [], 0, 0, 0
    behind = shifted = False
    for quoted, word, escaped, other in _PART.findall(template):
        kind = word.upper().replace("D", ".").replace("G", ",") if len(word) == 1 else word.upper()
        if kind in ("0", "9"):
            scale, whole = scale + behind, whole + (not behind)
            shift += shifted
        elif kind == ".":
            if behind or shifted:
                raise refuse(node, "a template has one decimal point, and none beside V")
            behind = True
        elif kind == "V":
            shifted = True
        parts.append((kind, word) if word else (_TEXT, quoted or escaped or other))
    form = NumberFormat(tuple(parts), whole, scale, shift, floats)
    if form.has("EEEE") and form.has("FM", "S", "MI", "PL", "SG", "PR", "L", "V"):
        raise refuse(node, "EEEE stands with 9, 0 and the decimal point only")
    return form


def number_text(node: exp.Expr, value: Value, template: str) -> pl.Expr:
    """Return numbers as text by a template."""
    form = number_format(node, template, floats=value.dtype.is_float())
    return row_wise(value.expr, form, pl.String())


def text_number(node: exp.Expr, text: pl.Expr, template: str) -> Value:
    """Return the numbers in texts: signs, digits and the decimal point, as many as the template has."""
    form = number_format(node, template, floats=False)
    if form.has("RN", "EEEE"):
        raise refuse(node, "RN and EEEE cannot be read")
    digits = text.str.replace_all(r"[^0-9.]", "")
    halves = digits.str.split_exact(".", 1).struct
    whole = halves.field("field_0").str.head(form.whole)
    behind = halves.field("field_1").fill_null("").str.head(form.scale)
    scale = form.scale + form.shift
    dtype = pl.Decimal(MAX_DIGITS, scale)
    number = pl.concat_str([whole, pl.lit("."), behind]).str.strip_suffix(".").cast(dtype)
    if form.shift:
        number = (number / pl.lit(Decimal(10) ** form.shift, dtype=pl.Decimal(20, 0))).cast(dtype)
    minus = text.str.contains("[-<]")
    return Value(pl.when(minus).then(-number).otherwise(number), dtype)
