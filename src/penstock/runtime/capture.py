"""What a run knew between two epochs, and the manifest that comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from penstock.checkpoints.manifest import Manifest
from penstock.checkpoints.offsets import Ranges
from penstock.checkpoints.pieces import PieceWriter
from penstock.checkpoints.state_files import FreshPart, StateWriter
from penstock.columns import WEIGHT
from penstock.connectors.contract import Position
from penstock.state.hashing import HASH_SCHEME
from penstock.version import version

DEAD_LETTERS = "dead-letters"
"""What the outbox calls the dead letters; no step may have this name."""


@dataclass(frozen=True, slots=True)
class Capture:
    """What the engine knew at a barrier: all that a checkpoint of it needs."""

    epoch: int
    created_at: int
    positions: dict[int, Position]
    rows: dict[int, int]
    fresh: list[FreshPart]
    staged: dict[int, list[pl.DataFrame]]
    dead: list[pl.DataFrame]
    replayed: Ranges
    ended: list[str]

    def manifest(self, names: Sequence[str], state: StateWriter, writer: PieceWriter) -> Manifest:
        """Write state and output; return the manifest that names them.

        ``names`` are those of the vertices. Who makes the checkpoint, and of which steps, is not in it.
        """
        staged = {names[number]: frames for number, frames in self.staged.items()}
        if self.dead:
            staged[DEAD_LETTERS] = self.dead
        return Manifest(
            sequence=0,
            origin=0,
            token=0,
            identity="",
            epoch=self.epoch,
            created_at=self.created_at,
            penstock=version(),
            hash_scheme=HASH_SCHEME,
            steps=[],
            positions={names[number]: at for number, at in self.positions.items()},
            state=state.write(self.fresh, writer),
            outbox={
                name: [writer.add(f"{name}.outbox", frame) for frame in _joined(frames)]
                for name, frames in staged.items()
            },
            sinks={},
            rows={names[number]: count for number, count in self.rows.items()},
            replayed=self.replayed,
            ended=self.ended,
        )


def _joined(frames: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """Put the output of several epochs together; of a changelog each stays a frame, deletions first."""
    return frames if WEIGHT in frames[0].columns else [pl.concat(frames)]
