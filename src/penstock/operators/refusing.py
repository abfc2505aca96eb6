"""Refusing rows: what a step that cannot process a row says of it in a dead letter."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from penstock.letter_rows import Replayable, first_line, letters
from penstock.operators.contract import Tick


def refuse(
    frame: pl.DataFrame,
    name: str,
    cause: BaseException,
    tick: Tick,
    *,
    side: int = 0,
    replayable: Replayable = True,
) -> None:
    """Send rows to the dead letters, with the first line of the error.

    ``bytes`` is the row as JSON, for people; ``row`` the row as it came in, for a replay.
    """
    reasons = [first_line(cause)] * frame.height
    refuse_each(frame, name, reasons, tick, side=side, replayable=replayable)


def refuse_each(
    frame: pl.DataFrame,
    name: str,
    reasons: Sequence[str],
    tick: Tick,
    *,
    side: int = 0,
    replayable: Replayable = True,
) -> None:
    """Send rows to the dead letters, each with a reason of its own."""
    for part in letters(frame, name, reasons, side=side, replayable=replayable):
        tick.sides.dead.append(part)
