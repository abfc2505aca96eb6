"""What is kept of a dead letter."""

from __future__ import annotations

import polars as pl

from penstock.columns import DEAD_LETTER_SCHEMA, ROW, SIDE, WEIGHT

_COLUMNS: dict[str, pl.DataType] = {
    "time": pl.Datetime("us", "UTC"),  # processing time at which the row was refused
    "step": pl.String(),  # the step that refused it, as users call it
    "position": pl.String(),  # where a source found it, e.g. "access.log:1042"
    "bytes": pl.Binary(),  # the row as it arrived; of an operator as JSON
    "reason": pl.String(),  # why it was refused
    "weight": pl.Int64(),  # 1; of a changelog +n inserted, -n deleted
    "operator": pl.String(),  # name of the step in checkpoints and progress, e.g. "map-1"
    "side": pl.UInt8(),  # which input of the operator it came in by
    "row": pl.Binary(),  # the row as Arrow IPC, for a replay; null for a source
    "first": pl.Int64(),  # offset of the dead letter whose replay this one comes from
}
LETTER_SCHEMA = pl.Schema(_COLUMNS)
"""Columns of the topic ``dead-letters`` beside a checkpoint; the offset there numbers a letter."""


def stamped(frame: pl.DataFrame, operator: str, now: int) -> pl.DataFrame:
    """Complete what a source or an operator says of the rows it refuses.

    ``now`` is an instant in nanoseconds.
    """
    own = {"weight": WEIGHT, "side": SIDE, "row": ROW}
    time = pl.lit(now // 1000, pl.Int64).cast(LETTER_SCHEMA["time"])
    columns = {"time": time, "operator": pl.lit(operator), "first": pl.lit(None)}
    missing = {"weight": pl.lit(1), "side": pl.lit(0), "row": pl.lit(None)}
    for name, column in own.items():
        columns[name] = pl.col(column) if column in frame.columns else missing[name]
    exprs = [
        columns.get(name, pl.col(name)).cast(dtype).alias(name)
        for name, dtype in LETTER_SCHEMA.items()
    ]
    return frame.select(exprs)


def shown(letters: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the stream ``dead_letters``: refused deletions are not rows of their own."""
    return letters.filter(pl.col("weight") > 0).select(*DEAD_LETTER_SCHEMA)
