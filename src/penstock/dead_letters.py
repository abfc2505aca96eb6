"""Dead letters from Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl

from penstock.deferred import Deferred

if TYPE_CHECKING:
    from penstock.checkpoints.opening import Checkpoint
    from penstock.runtime import letter_files
else:
    letter_files = Deferred("penstock.runtime.letter_files")


def read_dead_letters(
    checkpoint: Checkpoint, *, checkpoint_options: Mapping[str, str | bool] | None = None
) -> pl.DataFrame:
    """Return all dead letters of a checkpoint, oldest first; its run may go on meanwhile.

    Columns: ``offset`` (Int64, the letter's number), ``time`` (when it was refused), ``step``,
    ``position``, ``bytes``, ``reason``; ``weight`` (1; of changes +n inserted, -n deleted),
    ``operator`` (the step's name in checkpoints), ``side`` (which input), ``row`` (the row as an
    Arrow IPC stream, null for a source), ``first`` (the letter it was replayed from), ``replayed``.

    >>> import penstock as ps, polars as pl, tempfile
    >>> rows = ps.scan_batches([pl.DataFrame({"v": ["1", "x"]})])
    >>> folder = tempfile.mkdtemp()
    >>> query = rows.cast({"v": pl.Int64}).sink_callback(lambda delta: None)
    >>> _ = ps.run(query, checkpoint=folder)
    >>> ps.read_dead_letters(folder).select("offset", "step", "bytes").rows()
    [(0, 'with_columns', b'{"v":"x"}')]
    """
    return letter_files.read_letters(checkpoint, checkpoint_options or {})
