"""What is in a file, and a reader for it: text by a format, or a columnar table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import polars as pl

from penstock.connectors.contract import MAX_LINE_BYTES
from penstock.connectors.files.lines import LineReader, Piece
from penstock.connectors.files.opening import open_bytes
from penstock.connectors.files.tables import Table, TableReader
from penstock.connectors.formats.contract import Format


class Reader(Protocol):
    """Rows of one file: ``begin`` once, ``take`` until None; ``offset`` and ``line`` say where."""

    offset: int
    line: int | None

    @property
    def size(self) -> int | None:
        """Where ``offset`` will be at the end; None if that is not known without reading."""

    def begin(self, offset: int, line: int | None) -> bool:
        """Go to a position; False if the file is not ready for it."""

    def take(self, max_rows: int) -> Piece | None:
        """Return the next rows, or None at the end."""

    def close(self) -> None:
        """Close the file."""


class Content(Protocol):
    """How to read files of one kind; frozen and comparable."""

    @property
    def name(self) -> str:
        """The format's name."""

    @property
    def schema(self) -> pl.Schema:
        """The columns of every frame."""

    def reader(self, path: str) -> Reader:
        """Open a file."""


@dataclass(frozen=True)
class LinesContent:
    """Text, one message a line (or a quoted record)."""

    form: Format
    max_line_bytes: int = MAX_LINE_BYTES

    @property
    def name(self) -> str:
        """The format's name."""
        return self.form.name

    @property
    def schema(self) -> pl.Schema:
        """The columns of every frame."""
        return self.form.schema

    def reader(self, path: str) -> Reader:
        """Open a file that does not grow any more."""
        limit = self.max_line_bytes
        return LineReader(path, open_bytes(path), self.form, max_line_bytes=limit, final=True)


@dataclass(frozen=True)
class TableContent:
    """A columnar file; all files must have these columns with these types."""

    kind: Table
    columns: tuple[tuple[str, pl.DataType], ...]

    @property
    def name(self) -> str:
        """The format's name."""
        return self.kind.value

    @property
    def schema(self) -> pl.Schema:
        """The columns of every frame."""
        return pl.Schema(self.columns)

    def reader(self, path: str) -> Reader:
        """Open a file."""
        return TableReader(self.kind, path, self.schema)
