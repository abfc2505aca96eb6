"""Show rows in the terminal with rich: in place where there is one, line by line elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

import polars as pl

from penstock.columns import WEIGHT
from penstock.connectors.console.board import Board
from penstock.connectors.contract import SinkIdentity

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table


class ConsoleSink:
    """A live console sink; state: the rows on show."""

    def __init__(
        self, step: str, title: str, key: tuple[str, ...], max_rows: int, file: TextIO
    ) -> None:
        self._title = title
        self._max_rows = max_rows
        self._file = file
        self._board = Board(step, key, max_rows)
        self._live: Live | None = None
        self._header_printed = False

    def begin(
        self,
        identity: SinkIdentity | None,  # noqa: ARG002 - the contract
        schema: pl.Schema | None = None,  # noqa: ARG002 - the contract
    ) -> int | None:
        """Start the table, if there is a terminal."""
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._file, highlight=False)
        if console.is_terminal:
            self._live = Live(console=console, auto_refresh=False)
            self._live.start()
        return None

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:  # noqa: ARG002
        """Show what arrived."""
        for frame in frames:
            if frame.is_empty():
                continue
            if self._live is None:
                self._print(frame)
            else:
                self._board.add(frame)
        if self._live is not None:
            self._live.update(self._table(), refresh=True)

    def close(self) -> None:
        """Leave the last table on the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _print(self, frame: pl.DataFrame) -> None:
        data = frame.drop(WEIGHT, strict=False)
        if not self._header_printed:
            head = "  ".join(data.columns)
            self._line(f"{self._title}: {head}" if self._title else head)
            self._header_printed = True
        weights = frame[WEIGHT].to_list() if WEIGHT in frame.columns else None
        for number, row in enumerate(_texts(data.head(self._max_rows))):
            self._line(_sign(weights[number] if weights else None) + "  ".join(row))
        left_out = frame.height - self._max_rows
        if left_out > 0:
            self._line(f"... {left_out:,} more rows")

    def _line(self, text: str) -> None:
        # Not rich's print: a log wants whole lines, not lines broken at a guessed width.
        self._file.write(text + "\n")
        self._file.flush()

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        rows = self._board.shown()
        caption = f"{self._board.seen:,} rows"
        if self._board.hidden:
            caption += f", {self._board.hidden:,} not shown"
        width = max(len(caption), len(self._title))
        table = Table(title=self._title or None, caption=caption, min_width=width)
        for name, dtype in rows.schema.items():
            table.add_column(Text(name), justify="right" if dtype.is_numeric() else "left")
        for row in _texts(rows):
            table.add_row(*map(Text, row))
        return table


def _sign(weight: int | None) -> str:
    """Return what stands before a line: nothing, ``+ ``, ``- ``, or with a count ``+3 ``."""
    if weight is None:
        return ""
    sign = "+" if weight > 0 else "-"
    return f"{sign} " if abs(weight) == 1 else f"{sign}{abs(weight)} "


def _texts(rows: pl.DataFrame) -> list[list[str]]:
    """Return printable values; a control character could take over the terminal."""
    return [[_printable(value) for value in row] for row in rows.iter_rows()]


def _printable(value: object) -> str:
    if value is None:
        return "null"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
