"""logfmt: ``key=value`` pairs, values in quotes where they hold blanks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from penstock.connectors.formats.casting import cast_columns
from penstock.connectors.formats.contract import Decoded, LineByLine, errors_table, verdict
from penstock.connectors.formats.escapes import unescape
from penstock.connectors.formats.messages import as_text, split_lines
from penstock.connectors.formats.schemas import guessed, text_schema
from penstock.connectors.formats.slices import in_slices
from penstock.errors import ConfigError

_PAIR = r'[^\s="]+(?:="(?:[^"\\]|\\.)*"|=[^\s"]*)?'
_LINE = rf"^\s*{_PAIR}(?:\s+{_PAIR})*\s*$"
_PARTS = r'^([^\s="]+)(?:="((?:[^"\\]|\\.)*)"|=([^\s"]*))?$'


@dataclass(frozen=True)
class Logfmt(LineByLine):
    r"""Lines of ``key=value`` pairs, typed by a schema.

    ``level=info msg="not \"found\"" took=1.5 cached`` ->
    ``level="info", msg='not "found"', took=1.5, cached="true"``

    A key alone is ``true``; a key without a value (``key=``) and a missing key are null; of a
    repeated key the first counts; other keys are ignored. A line that is not made of such pairs,
    and a value that its column cannot take, is an error.
    """

    columns: tuple[tuple[str, pl.DataType], ...]

    def __init__(self, schema: Mapping[str, Any]) -> None:
        object.__setattr__(self, "columns", tuple(text_schema("logfmt", schema).items()))

    @property
    def name(self) -> str:
        """The format's name."""
        return "logfmt"

    @cached_property
    def schema(self) -> pl.Schema:
        """The columns declared."""
        return pl.Schema(self.columns)

    def decode(self, messages: pl.Series) -> Decoded:
        """Decode one line of pairs per message."""
        return in_slices(self._decode, messages)

    def _decode(self, messages: pl.Series) -> Decoded:
        text, errors = as_text(messages)
        bad = (~text.str.contains(_LINE)).fill_null(value=False).arg_true().cast(pl.UInt32)
        shape = errors_table(bad, ["not made of key=value pairs"] * len(bad))
        frame, unreadable = cast_columns(self._fields(text), self.schema)
        return verdict(frame, [errors, shape, *unreadable], len(text))

    def _fields(self, text: pl.Series) -> pl.DataFrame:
        pairs = _pairs(text).filter(pl.col("key").is_in(list(self.schema)))
        columns = []
        for name in self.schema:
            mine = pairs.filter(pl.col("key") == name).unique("row", keep="first")
            empty = pl.repeat(None, len(text), dtype=pl.String, eager=True)
            columns.append(empty.scatter(mine["row"], mine["value"]).alias(name))
        return pl.DataFrame(columns)


def _pairs(text: pl.Series) -> pl.DataFrame:
    """One row per pair, in order: row (UInt32), key, value."""
    tokens = text.alias("token").to_frame().with_row_index("row")
    tokens = tokens.with_columns(pl.col("token").str.extract_all(_PAIR))
    tokens = tokens.explode("token").drop_nulls("token")
    parts = tokens["token"].str.extract_groups(_PARTS).struct.unnest()
    plain = pl.when(pl.col("3") != "").then("3")
    alone = pl.when(pl.col("2").is_null() & pl.col("3").is_null()).then(pl.lit("true"))
    found = parts.with_columns(unescape(parts["2"])).select(
        pl.col("1").alias("key"), pl.coalesce("2", plain, alone).alias("value")
    )
    return tokens.select("row").hstack(found)


def infer(sample: bytes) -> Logfmt:
    """Guess the keys and their types from the first lines of a file."""
    text, _ = as_text(split_lines(sample))
    names = _pairs(text.drop_nulls())["key"].drop_nulls().unique(maintain_order=True).to_list()
    if not names:
        raise ConfigError("there are no key=value pairs to guess the columns from", step="logfmt")
    rows = Logfmt(dict.fromkeys(names, str)).decode(text).frame
    return Logfmt(guessed(rows))
