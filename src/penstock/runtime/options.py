"""How to run a query."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from penstock.runtime.dead_letter_limit import DeadLetterLimit

MAX_EPOCH_ROWS = 1 << 20
"""Largest epoch: enough for full columnar speed, small enough to bound memory and latency."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run. ``checkpoint_interval_s`` bounds the exactly-once latency, ``memory_bytes`` state."""

    checkpoint: Path | None = None
    checkpoint_interval_s: float = 1.0
    max_epoch_rows: int = MAX_EPOCH_ROWS
    memory_bytes: int | None = None
    dead_letter_limit: DeadLetterLimit | None = None
