"""Rows as dead letters hold them: as JSON for people, and whole for a replay."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import polars as pl

from penstock.columns import PARTITION, REFUSED_SCHEMA, ROW, SIDE, WEIGHT

Replayable = bool
"""Whether a row can be given to the step again; what only names a row cannot."""

_SLICE_ROWS = 16_384
"""Rows made letters at a time: what Python holds of them meanwhile is a few tens of megabytes."""


def letters(
    frame: pl.DataFrame,
    name: str,
    reasons: Sequence[str],
    *,
    side: int = 0,
    replayable: Replayable = True,
) -> Iterator[pl.DataFrame]:
    """Yield frames of ``columns.REFUSED_SCHEMA`` about rows, each with a reason of its own."""
    for start in range(0, frame.height, _SLICE_ROWS):
        part = frame[start : start + _SLICE_ROWS]
        columns = {
            "bytes": _shown(part.drop(PARTITION, WEIGHT, strict=False)),
            "reason": list(reasons[start : start + _SLICE_ROWS]),
            ROW: [packed(row) if replayable else None for row in part.iter_slices(1)],
            WEIGHT: part[WEIGHT] if WEIGHT in part.columns else [1] * part.height,
        }
        schema = {column: REFUSED_SCHEMA[column] for column in columns}
        yield pl.DataFrame(columns, schema=schema).select(
            pl.lit(name).alias("step"),
            pl.lit("").alias("position"),
            "bytes",
            "reason",
            ROW,
            pl.lit(side, pl.UInt8).alias(SIDE),
            WEIGHT,
        )


def first_line(cause: BaseException) -> str:
    """Return the first line of what an error says, or what it is called."""
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]


def packed(row: pl.DataFrame) -> bytes:
    """Return a frame as bytes that ``unpacked`` reads back, every type and value the same."""
    into = io.BytesIO()
    row.write_ipc_stream(into)
    return into.getvalue()


def unpacked(data: bytes) -> pl.DataFrame:
    """Return the frame that ``packed`` wrote."""
    return pl.read_ipc_stream(io.BytesIO(data))


def _shown(frame: pl.DataFrame) -> list[bytes]:
    """Return each row as one line of JSON, or as Python shows it where JSON has no word for it."""
    try:
        # by line feeds alone: splitlines ends a line also at U+2028, which JSON leaves as it is
        return [line.encode() for line in frame.write_ndjson().removesuffix("\n").split("\n")]
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return [repr(row).encode() for row in frame.rows(named=True)]
