"""What users see of the state in a checkpoint: frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl

from penstock.checkpoints.opening import Checkpoint, open_storage
from penstock.deferred import Deferred

if TYPE_CHECKING:
    from penstock.checkpoints import reading
else:
    reading = Deferred("penstock.checkpoints.reading")


def read_state(
    checkpoint: Checkpoint,
    operator: str,
    *,
    part: str | None = None,
    sequence: int | None = None,
    checkpoint_options: Mapping[str, str | bool] | None = None,
) -> pl.DataFrame:
    """Return the state of an operator as the newest checkpoint holds it; a running query may go on.

    A row for each key or stored row: the key columns, then what is kept under them. An operator
    whose state has several parts gives the one with the most rows; ``part`` names another one,
    ``sequence`` another checkpoint. ``list_state`` tells what there is.

    >>> import penstock as ps, polars as pl
    >>> rows = ps.scan_batches([pl.DataFrame({"k": ["a", "b", "a"]})])
    >>> counts = rows.group_by("k").agg(n=pl.len())
    >>> query = ps.run(counts.sink_callback(lambda frame: None), checkpoint="memory://example")
    >>> sorted(ps.read_state("memory://example", "running-aggregate-1")["k"])
    ['a', 'b']
    """
    storage = open_storage(checkpoint, checkpoint_options or {})
    return reading.state_of(storage, reading.chosen(storage, sequence), operator, part)


def list_state(
    checkpoint: Checkpoint,
    *,
    sequence: int | None = None,
    checkpoint_options: Mapping[str, str | bool] | None = None,
) -> pl.DataFrame:
    """Return what state a checkpoint holds: operator, part, what the step does, rows, bytes, columns."""
    storage = open_storage(checkpoint, checkpoint_options or {})
    return reading.listed(storage, reading.chosen(storage, sequence))
