"""CSV: fields between separators, each message one record.

Every field is read as text and then converted as ``casting`` says, so that a record means the same
whether it is read alone or in a block. An empty field is null; a quoted empty field (``""``) is an
empty string under a String column. Quotes stand around a whole field and are doubled inside it. A
record with another number of fields, or with stray quotes, is an error, and so is a value that its
column cannot take.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from penstock.connectors.formats.casting import cast_columns
from penstock.connectors.formats.contract import (
    Block,
    Decoded,
    Framing,
    errors_table,
    kept_without,
    verdict,
    within,
)
from penstock.connectors.formats.messages import as_text, join_lines
from penstock.connectors.formats.schemas import guessed, text_schema
from penstock.deferred import numpy as np
from penstock.errors import ConfigError, ConnectorError, Fault

_NEWLINE = 10


@dataclass(frozen=True)
class Csv:
    """CSV records, typed by a schema.

    ``b'7,"a, b",2024-01-31'`` -> ``id=7, name="a, b", day=2024-01-31``

    ``fields`` are the names in the order of the record, where that is not the order of the schema.
    ``null_values`` are texts that mean null, besides the empty field. ``header`` says that files
    begin with a line of names: columns are then found by name, and others are ignored.
    """

    columns: tuple[tuple[str, pl.DataType], ...]
    separator: str = ","
    quote: str | None = '"'
    null_values: tuple[str, ...] = ()
    header: bool = True
    fields: tuple[str, ...] = ()

    def __init__(
        self,
        schema: Mapping[str, Any],
        *,
        separator: str = ",",
        quote: str | None = '"',
        null_values: tuple[str, ...] | list[str] | str = (),
        header: bool = True,
        fields: tuple[str, ...] | None = None,
    ) -> None:
        checked = text_schema("csv", schema)
        nulls = (null_values,) if isinstance(null_values, str) else tuple(null_values)
        _check_marks(separator, quote)
        values = {
            "columns": tuple(checked.items()),
            "separator": separator,
            "quote": quote,
            "null_values": nulls,
            "header": header,
            "fields": tuple(checked) if fields is None else tuple(fields),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        """The format's name."""
        return "csv"

    @cached_property
    def schema(self) -> pl.Schema:
        """The columns declared."""
        return pl.Schema(self.columns)

    @property
    def framing(self) -> Framing:
        """Quoted newlines belong to the record."""
        return Framing(quote=self.quote.encode() if self.quote else None, header=self.header)

    @cached_property
    def _record(self) -> str:
        """Regular expression of one good record."""
        sep = re.escape(self.separator)
        if self.quote is None:
            field = rf"[^{sep}\n]*"
        else:
            q = re.escape(self.quote)
            field = rf"(?:{q}(?:[^{q}]|{q}{q})*{q}|[^{q}{sep}\n]*)"
        return rf"^{field}(?:{sep}{field}){{{len(self.fields) - 1}}}\r?$"

    def with_header(self, line: bytes) -> Csv:
        """Return the format for a file whose header is ``line``; columns go by name."""
        names = _record_fields(line, self.separator, self.quote)
        missing = [name for name in self.schema if name not in names]
        if missing:
            raise ConnectorError(
                f"the header has no column {_shown(missing[:1])}: it has {_shown(names)}",
                step="csv",
                value=missing[0],
                fault=Fault.USER,
                hint="name the columns as the file does, or say header=False",
            )
        return Csv(
            self.schema,
            separator=self.separator,
            quote=self.quote,
            null_values=self.null_values,
            header=self.header,
            fields=tuple(names),
        )

    def decode(self, messages: pl.Series) -> Decoded:
        """Decode one record per message."""
        text, errors = as_text(messages)
        good = text.str.contains(self._record).fill_null(value=False)
        if good.all():
            return self._read(text)
        bad = (~good & text.is_not_null()).arg_true().cast(pl.UInt32)
        reasons = [self._fault(record) for record in text.gather(bad)]
        found = pl.concat([errors, errors_table(bad, reasons)]).sort("index")
        kept = kept_without(found["index"], len(text))
        return within(self._read(text[kept]), kept, found)

    def decode_block(self, block: Block) -> pl.DataFrame | None:
        """Decode whole lines; None if a record spans lines or is not as it should be."""
        block = bytes(block)
        if not block.endswith(b"\n"):
            block += b"\n"
        try:
            if not self._regular(block):
                return None
            fields = self._fields(block, len(self.fields))
        except pl.exceptions.PolarsError:  # not UTF-8
            return None
        frame, errors = cast_columns(fields, self.schema, empty_is_null=True)
        return None if errors else frame

    def _regular(self, block: bytes) -> bool:
        """Tell whether each line is one good record, and none is blank."""
        if self.quote is not None and self.quote.encode() in block:
            lines = pl.read_lines(block).to_series()
            return bool(lines.str.contains(self._record).all()) and not (lines == "").any()
        data = np.frombuffer(block, np.uint8)
        marks = data[(data == ord(self.separator)) | (data == _NEWLINE)]
        width = len(self.fields)
        if width == 1:
            return not (
                block.startswith((b"\n", b"\r\n")) or b"\n\n" in block or b"\n\r\n" in block
            )
        if len(marks) % width:
            return False
        ends = marks.reshape(-1, width) == _NEWLINE
        return bool(ends[:, -1].all() and not ends[:, :-1].any())

    def _read(self, text: pl.Series) -> Decoded:
        """Read good records."""
        width = len(self.fields)
        if width == 1:  # a second field keeps empty records from vanishing
            text, width = text.str.strip_suffix("\r") + self.separator, 2
        fields = self._fields(join_lines(text), width)
        frame, errors = cast_columns(fields, self.schema, empty_is_null=True)
        return verdict(frame, errors, len(text))

    def _fields(self, block: bytes, width: int) -> pl.DataFrame:
        """Read the fields of good records as text."""
        if not block:
            return pl.DataFrame(schema=dict.fromkeys(self.schema, pl.String))
        frame = pl.read_csv(
            block,
            has_header=False,
            schema={f"f{i}": pl.String() for i in range(width)},
            separator=self.separator,
            quote_char=self.quote,
            null_values=list(self.null_values),
        )
        return frame.select(
            pl.col(f"f{self.fields.index(name)}").alias(name) for name in self.schema
        )

    def _fault(self, record: str) -> str:
        found = _record_fields(record.encode(), self.separator, self.quote)
        if len(found) != len(self.fields):
            return f"{len(found)} fields where {len(self.fields)} are expected"
        return "a stray or missing quote, or a newline outside quotes"


def infer(sample: bytes, *, header: bool = True, **options: Any) -> Csv:
    """Guess the schema from the first lines of a file."""
    bare = Csv({"field": str}, header=header, **options)
    lines = [line for line in sample.replace(b"\r\n", b"\n").split(b"\n") if line]
    if not lines:
        raise ConfigError("there is nothing to guess the columns from", step="csv")
    first = _record_fields(lines[0], bare.separator, bare.quote)
    names = first if header else [f"column_{i + 1}" for i in range(len(first))]
    if len(set(names)) < len(names):
        raise ConfigError(f"the header repeats a name: {', '.join(names)}", step="csv")
    text = Csv(dict.fromkeys(names, str), header=header, **options)
    rows = text.decode(pl.Series(lines[header:], dtype=pl.Binary)).frame
    return Csv(guessed(rows), header=header, **options)


def _record_fields(record: bytes, separator: str, quote: str | None) -> list[str]:
    text = record.decode(errors="replace").removeprefix("\ufeff").rstrip("\r\n")
    if quote is None:
        return text.split(separator)
    sep, q = re.escape(separator), re.escape(quote)
    field = re.compile(rf"{q}((?:[^{q}]|{q}{q})*){q}(?=[{sep}]|$)|([^{sep}]*)")
    found, at = [], 0
    while True:
        match = field.match(text, at)
        assert match is not None  # the second branch matches the empty string
        quoted, plain = match.groups()
        found.append(plain if quoted is None else quoted.replace(quote * 2, quote))
        at = match.end() + 1
        if at > len(text):
            return found


def _check_marks(separator: str, quote: str | None) -> None:
    for what, mark in (("separator", separator), ("quote", quote)):
        if mark is not None and (len(mark.encode()) != 1 or mark in "\r\n"):
            raise ConfigError(
                f"the {what} {mark!r} is not one ASCII character", step="csv", value=mark
            )
    if separator == quote:
        raise ConfigError(f"separator and quote are both {quote!r}", step="csv", value=quote)


def _shown(names: list[str]) -> str:
    """Quote names, none of them long: a file that is no CSV may have anything in its first line."""
    shown = [repr(name if len(name) <= 40 else f"{name[:40]}...") for name in names[:20]]
    return ", ".join([*shown, "..."] if len(names) > 20 else shown)
