"""What a console sink is told: how many rows to show, and which columns tell rows apart."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TextIO

import polars as pl

from penstock.connectors.console.sink import ConsoleSink
from penstock.connectors.contract import Accepts, Guarantee
from penstock.connectors.options import names
from penstock.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ConsoleSinkSpec:
    """Show a stream in the terminal.

    On a terminal: one table that updates in place, the newest ``max_rows`` rows of an append-only
    stream, or the first ``max_rows`` living rows of a changelog (one per ``key``, if given; a row
    that changes keeps its place). Elsewhere (a pipe, a log): one line per row, with ``+`` or ``-``
    in front for a changelog, at most ``max_rows`` lines per epoch, and how many were left out.
    ``file`` is standard output unless given.
    """

    title: str = ""
    key: tuple[str, ...] = ()
    max_rows: int = 20
    file: TextIO | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.max_rows < 1:
            raise ConfigError("max_rows must be at least 1", step=self.name, value=self.max_rows)

    @property
    def name(self) -> str:
        """Short name for plans and errors."""
        return f"console {self.title}".rstrip()

    @property
    def guarantee(self) -> Guarantee:
        """At least once: a terminal does not remember."""
        return Guarantee.AT_LEAST_ONCE

    @property
    def accepts(self) -> Accepts:
        """Anything, with weights."""
        return Accepts.CHANGES

    @property
    def immediate(self) -> bool:
        """Shown every epoch."""
        return True

    def validate(self, schema: pl.Schema) -> None:
        """Raise ``ConfigError`` if a key column is missing."""
        for name in self.key:
            if name not in schema:
                raise ConfigError(
                    f"key column {name!r} is not among the columns",
                    step=self.name,
                    value=name,
                    alternatives=schema.names(),
                )

    def open(self) -> ConsoleSink:
        """Return the live sink."""
        return ConsoleSink(self.name, self.title, self.key, self.max_rows, self.file or sys.stdout)


def console_sink(
    title: str = "",
    *,
    key: str | Iterable[str] = (),
    max_rows: int = 20,
    file: TextIO | None = None,
) -> ConsoleSinkSpec:
    """Describe a table in the terminal."""
    return ConsoleSinkSpec(title, names(key), max_rows, file)
