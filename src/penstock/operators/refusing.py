"""Refusing rows: what a step that cannot process a row says of it in a dead letter."""

from __future__ import annotations

import io
from collections.abc import Sequence

import polars as pl

from penstock.columns import PARTITION, REFUSED_SCHEMA, ROW, SIDE, WEIGHT
from penstock.operators.contract import Tick

Replayable = bool
"""Whether a row can be given to the step again; what only names a row cannot."""

_SLICE_ROWS = 16_384
"""Rows made letters at a time: what Python holds of them meanwhile is a few tens of megabytes."""


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


def first_line(cause: BaseException) -> str:
    """Return the first line of what an error says, or what it is called."""
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]


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
    for start in range(0, frame.height, _SLICE_ROWS):
        part = frame[start : start + _SLICE_ROWS]
        dead = _letters(part, reasons[start : start + _SLICE_ROWS], replayable=replayable)
        step, at = pl.lit(name).alias("step"), pl.lit("").alias("position")
        dead = dead.with_columns(step, at, pl.lit(side, pl.UInt8).alias(SIDE))
        tick.sides.dead.append(dead.select(*REFUSED_SCHEMA))


def _letters(
    frame: pl.DataFrame, reasons: Sequence[str], *, replayable: Replayable
) -> pl.DataFrame:
    kept = [packed(part) if replayable else None for part in frame.iter_slices(1)]
    columns = {
        "bytes": _shown(frame.drop(PARTITION, WEIGHT, strict=False)),
        "reason": list(reasons),
        ROW: kept,
        WEIGHT: frame[WEIGHT] if WEIGHT in frame.columns else [1] * frame.height,
    }
    return pl.DataFrame(columns, schema={name: REFUSED_SCHEMA[name] for name in columns})


def _shown(frame: pl.DataFrame) -> list[bytes]:
    """Return each row as one line of JSON, or as Python shows it where JSON has no word for it."""
    try:
        return [line.encode() for line in frame.write_ndjson().splitlines()]
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return [repr(row).encode() for row in frame.rows(named=True)]


def packed(row: pl.DataFrame) -> bytes:
    """Return a frame as bytes that ``unpacked`` reads back, every type and value the same."""
    into = io.BytesIO()
    row.write_ipc_stream(into)
    return into.getvalue()


def unpacked(data: bytes) -> pl.DataFrame:
    """Return the frame that ``packed`` wrote."""
    return pl.read_ipc_stream(io.BytesIO(data))
