"""Lines by a regular expression with named groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from penstock.connectors.formats.casting import cast_columns
from penstock.connectors.formats.contract import Decoded, LineByLine, errors_table, verdict
from penstock.connectors.formats.messages import as_text
from penstock.connectors.formats.schemas import text_schema
from penstock.connectors.formats.slices import in_slices
from penstock.errors import ConfigError


@dataclass(frozen=True)
class Regex(LineByLine):
    r"""Each named group of the pattern is a column; what does not match is an error.

    pattern ``(?P<level>\w+) took (?P<ms>\d+)``, schema ``{"ms": int}``:
    ``"INFO took 15 ms"`` -> ``level="INFO", ms=15``

    The pattern (Rust's syntax: no look-around, no back-references) may match anywhere in the line;
    write ``^...$`` to claim all of it. Groups are String unless ``schema`` gives their type; a
    group that took no part is null.
    """

    pattern: str
    columns: tuple[tuple[str, pl.DataType], ...]

    def __init__(self, pattern: str, schema: Mapping[str, Any] | None = None) -> None:
        names = _groups(pattern)
        given = text_schema("regex", schema) if schema else pl.Schema()
        for name in given:
            if name not in names:
                raise ConfigError(
                    f"the pattern has no group {name!r}",
                    step="regex",
                    value=name,
                    alternatives=names,
                )
        every = text_schema("regex", {name: given.get(name, pl.String()) for name in names})
        object.__setattr__(self, "pattern", pattern)
        object.__setattr__(self, "columns", tuple(every.items()))

    @property
    def name(self) -> str:
        """The format's name."""
        return "regex"

    @cached_property
    def schema(self) -> pl.Schema:
        """A column per group."""
        return pl.Schema(self.columns)

    def decode(self, messages: pl.Series) -> Decoded:
        """Match the pattern in each message."""
        return in_slices(self._decode, messages)

    def _decode(self, messages: pl.Series) -> Decoded:
        text, errors = as_text(messages)
        groups = text.str.extract_groups(self.pattern).struct.unnest()
        unmatched = (~text.str.contains(self.pattern)).fill_null(value=False).arg_true()
        shape = errors_table(
            unmatched.cast(pl.UInt32), ["no match of the pattern"] * len(unmatched)
        )
        frame, unreadable = cast_columns(groups, self.schema)
        return verdict(frame, [errors, shape, *unreadable], len(text))


def _groups(pattern: str) -> list[str]:
    """Return the names of the groups; refuse a pattern that has none or is not valid."""
    try:
        fields = pl.Series([""]).str.extract_groups(pattern).struct.fields
    except pl.exceptions.PolarsError as error:
        raise ConfigError(
            f"not a valid pattern: {error}",
            step="regex",
            value=pattern,
            hint="the syntax is Rust's: no look-around, no back-references",
        ) from error
    names = [name for name in fields if not name.isdecimal()]
    if not names:
        raise ConfigError(
            "the pattern has no named group",
            step="regex",
            value=pattern,
            hint="name what you want as columns: (?P<name>...)",
        )
    return names
