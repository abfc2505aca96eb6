"""Names and schemas of the columns that Penstock itself adds to a frame.

User columns may not begin with ``_penstock_`` nor be called ``_weight``, nor what Polars reads as a
pattern of names: ``*`` and ``^...$``.
"""

from __future__ import annotations

import polars as pl

WEIGHT = "_weight"
"""Int64; on changelog edges only. +n: the row was inserted n times; -n: deleted n times."""

PARTITION = "_penstock_partition"
"""UInt32; the source partition a row came from, carried only as far as its watermark step."""

RESERVED_PREFIX = "_penstock_"

DEAD_LETTER_SCHEMA = pl.Schema(
    {
        "step": pl.String,  # the step that refused the row, e.g. "combined_log" or "filter -> select"
        "position": pl.String,  # where the row was, e.g. "access.log:1042"
        "bytes": pl.Binary,  # the row as it arrived
        "reason": pl.String,  # why it was refused, naming the value
    }
)

ROW = "row"
"""Binary; in a dead letter of an operator, the row as Arrow IPC, so that it can be replayed."""

SIDE = "side"
"""UInt8; in a dead letter of an operator, which of its inputs the row came in by."""

REFUSED_SCHEMA = pl.Schema(
    [*DEAD_LETTER_SCHEMA.items(), (ROW, pl.Binary()), (SIDE, pl.UInt8()), (WEIGHT, pl.Int64())]
)
"""What an operator says of the rows it refuses; ``_weight`` is -1 if a row's deletion was refused."""


def is_reserved(name: str) -> bool:
    """Tell whether a user column may not be called ``name``."""
    pattern = name == "*" or (name.startswith("^") and name.endswith("$"))
    return pattern or name == WEIGHT or name.startswith(RESERVED_PREFIX)


def dead_letters(
    step: str, positions: list[str] | pl.Series, raw: list[bytes] | pl.Series, reasons: list[str]
) -> pl.DataFrame:
    """Build a dead-letter frame from parallel sequences."""
    return pl.DataFrame(
        {"position": positions, "bytes": raw, "reason": reasons},
        schema_overrides={"position": pl.String, "bytes": pl.Binary, "reason": pl.String},
    ).select(pl.lit(step, pl.String).alias("step"), "position", "bytes", "reason")
