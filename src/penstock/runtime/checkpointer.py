"""The checkpointer: what happens between the epochs of a run that keeps checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from penstock.connectors.contract import Position, SinkIdentity
from penstock.errors import CheckpointError
from penstock.lowering.graph import Graph
from penstock.runtime.checkpoint import FORMAT, CheckpointFolder, Manifest, StateWriter
from penstock.runtime.dead_letters import DeadLetters
from penstock.runtime.outlets import Outlet
from penstock.state.contract import Stateful

_DEAD = "dead-letters"
_STAGED_ROWS = 4 << 20
"""Output rows held for the next checkpoint before one is made early."""


class Checkpointer:
    """Stages outputs, commits manifests, applies what was committed, and resumes from it.

    The order is that of the outbox: stage, commit, apply, acknowledge. A crash before the commit
    repeats the epochs since the last one; a crash after it repeats the application, which every
    sink skips if it is there already.
    """

    def __init__(self, path: Path, graph: Graph) -> None:
        self.folder = CheckpointFolder(path)
        self.epoch: int | None = None
        self._graph = graph
        self._writer = StateWriter(self.folder)
        self._staged: dict[int, list[pl.DataFrame]] = {}
        self._staged_rows = 0
        self._manifest: Manifest | None = None

    def open(self, dead: DeadLetters) -> None:
        """Take the folder; refuse one that another pipeline wrote."""
        self._manifest = self.folder.open()
        if self._manifest is not None and self._manifest.plan != self._plan():
            raise CheckpointError(
                "the checkpoint is of another pipeline",
                step="checkpoint",
                value=str(self.folder.folder),
                hint="use a new folder, or delete this one to start over",
            )
        dead.open(self.folder.folder / _DEAD, self.folder.token)

    def identity(self, name: str) -> SinkIdentity:
        """Return who a sink of this run is."""
        return SinkIdentity(f"{self.folder.identity}/{name}", self.folder.token)

    def resume(self, outlets: Mapping[int, Outlet], dead: DeadLetters) -> dict[int, Position]:
        """Load state, apply what was committed last; returns the positions of the sources."""
        manifest = self._manifest
        self._refuse_if_behind(outlets, manifest.epoch if manifest else 0)
        if manifest is None:
            return {}
        self.epoch = manifest.epoch
        self._writer.restore(manifest, self._states())
        numbers = {v.name: v.number for v in self._graph.vertices}
        for name, path in manifest.outbox.items():
            frame = self.folder.read_frame(path)
            if name == _DEAD:
                dead.apply(manifest.epoch, [frame])
            else:
                outlets[numbers[name]].apply(manifest.epoch, [frame])
        return {numbers[name]: position for name, position in manifest.positions.items()}

    def _refuse_if_behind(self, outlets: Mapping[int, Outlet], epoch: int) -> None:
        """A sink skips epochs it has: from an older checkpoint it would skip what is new."""
        for outlet in outlets.values():
            if outlet.applied is not None and outlet.applied > epoch:
                raise CheckpointError(
                    f"the checkpoint is behind sink {outlet.spec.name}: its newest readable "
                    f"manifest is of epoch {epoch}, the sink has epoch {outlet.applied}",
                    step="checkpoint",
                    value=str(self.folder.folder),
                    hint="restore the newest manifest, or start over with a new folder and sink",
                )

    def stage(self, number: int, frame: pl.DataFrame) -> None:
        """Hold output of a sink back until the next checkpoint."""
        self._staged.setdefault(number, []).append(frame)
        self._staged_rows += frame.height

    @property
    def full(self) -> bool:
        """Whether so much output waits that a checkpoint should be made early."""
        return self._staged_rows > _STAGED_ROWS

    def checkpoint(
        self,
        epoch: int,
        positions: Mapping[int, Position],
        outlets: Mapping[int, Outlet],
        dead: DeadLetters,
    ) -> None:
        """Stage, commit, apply. The outputs of the checkpoint before must have been written."""
        for outlet in outlets.values():
            outlet.flush()
        names = [vertex.name for vertex in self._graph.vertices]
        staged = {names[number]: frames for number, frames in self._staged.items()}
        if dead.pending:
            staged[_DEAD] = dead.pending
        outbox = {
            name: self.folder.stage(f"{name}-{epoch:010d}", frames)
            for name, frames in staged.items()
        }
        self.folder.commit(
            Manifest(
                format=FORMAT,
                epoch=epoch,
                token=self.folder.token,
                plan=self._plan(),
                positions={names[number]: position for number, position in positions.items()},
                state=self._writer.write(epoch, self._states()),
                outbox=outbox,
            )
        )
        for number, outlet in outlets.items():
            outlet.apply(epoch, self._staged.get(number, ()))
        if dead.pending:
            dead.apply(epoch, dead.pending)
        self._staged, self._staged_rows = {}, 0
        self.epoch = epoch

    def close(self) -> None:
        """Let other runs have the folder."""
        self.folder.close()

    def _plan(self) -> list[str]:
        return [
            f"{v.name} {v.identity}: {v.text} <- {list(v.inputs)}" for v in self._graph.vertices
        ]

    def _states(self) -> dict[str, Mapping[str, Stateful]]:
        return {v.name: v.operator.state for v in self._graph.vertices if v.operator}
