"""A format in miniature: text to integer."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Result:
    """Has the shape of what formats return."""

    frame: pl.DataFrame
    kept: pl.Series | None
    errors: pl.DataFrame


@dataclass(frozen=True)
class Framing:
    """How messages lie in a file."""

    header: bool = False
    blank_is_row: bool = False


@dataclass(frozen=True)
class Number:
    """``b"12"`` -> ``n=12``."""

    name: str = "number"
    framing: Framing = Framing()

    @property
    def schema(self) -> pl.Schema:
        return pl.Schema({"n": pl.Int64})

    def decode(self, messages: pl.Series) -> Result:
        numbers = messages.cast(pl.String).cast(pl.Int64, strict=False).alias("n")
        index = pl.int_range(len(messages), dtype=pl.UInt32, eager=True)
        bad = index.filter(numbers.is_null())
        errors = pl.DataFrame({"index": bad, "reason": ["not a number"] * len(bad)})
        return Result(numbers.drop_nulls().to_frame(), index.filter(numbers.is_not_null()), errors)
