"""The checkpointer: what a run that keeps checkpoints does between its epochs, and beside them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import polars as pl

from penstock.checkpoints.changes import Comparison, compare
from penstock.checkpoints.difference import difference, refuse_losses
from penstock.checkpoints.manifest import FileRecord, Manifest
from penstock.checkpoints.offsets import Ranges, offsets_of, ranges_of
from penstock.checkpoints.opening import open_storage
from penstock.checkpoints.pieces import PieceWriter
from penstock.checkpoints.state_files import FreshPart, StateWriter, collect
from penstock.checkpoints.store import CheckpointStore
from penstock.connectors.contract import Position, SinkIdentity
from penstock.errors import CheckpointError
from penstock.instants import NS_PER_US
from penstock.lowering.graph import Graph
from penstock.runtime.adoption import adopt, records
from penstock.runtime.background import Background
from penstock.runtime.dead_letters import DeadLetters
from penstock.runtime.options import RunOptions
from penstock.runtime.outlets import Outlet
from penstock.state.contract import Stateful
from penstock.state.keys import HASH_SCHEME
from penstock.version import version

_DEAD = "dead-letters"
_STAGED_ROWS = 4 << 20
"""Output rows held for the next checkpoint before one is made early, or waited for."""


@dataclass(frozen=True, slots=True)
class _Capture:
    """What the engine knew at a barrier: all that a checkpoint of it needs."""

    epoch: int
    created_at: int
    positions: dict[int, Position]
    fresh: list[FreshPart]
    staged: dict[int, list[pl.DataFrame]]
    dead: list[pl.DataFrame]
    replayed: Ranges
    ended: list[str]


class Checkpointer:
    """Stages outputs, commits manifests, applies what was committed, and resumes from it.

    The engine's thread only collects, between two epochs; a thread beside it writes, commits,
    applies and acknowledges, one checkpoint at a time, while epochs go on. The order is that of the
    outbox: stage, commit, apply, acknowledge. A crash before the commit repeats the epochs since
    the last one; a crash after it repeats the application, which every sink skips if it is there
    already.
    """

    def __init__(
        self,
        options: RunOptions,
        graph: Graph,
        wake: threading.Condition,
        acknowledge: Callable[[Mapping[int, Position]], None],
    ) -> None:
        assert options.checkpoint is not None
        storage = open_storage(options.checkpoint, options.checkpoint_options)
        self.store = CheckpointStore(storage, retain=options.retain)
        self.epoch: int | None = None
        """The epoch of the newest checkpoint that was committed and applied."""
        self.captured: int | None = None
        """The epoch of the newest checkpoint that was begun."""
        self.replayed: set[int] = set()
        """Offsets of the dead letters replayed so far, here and in the checkpoint."""
        self.ended: list[str] = []
        """The sources that have ended, for the next checkpoint."""
        self.ended_before: frozenset[str] = frozenset()
        """The sources that had ended when the run before this one stopped."""
        self._takeover, self._after = options.takeover, options.after
        self._allowed = options.allow_lost_state
        self._graph = graph
        self._steps = records(graph)
        self._numbered = len(graph.sources)
        self._acknowledge = acknowledge
        self._background = Background("checkpoint", wake)
        self._writer = StateWriter(self.store.reader)
        self._staged: dict[int, list[pl.DataFrame]] = {}
        self._staged_rows = 0
        self._manifest: Manifest | None = None
        self._sinks: dict[str, str] = {}
        self._outlets: Mapping[int, Outlet] = {}
        self._dead = DeadLetters()

    def open(self, dead: DeadLetters, now: int) -> None:
        """Become the run that writes here; before that, refuse a change that would lose state."""
        self._dead = dead
        known = self.store.peek()
        if known is not None:
            self._compare(known)
        manifest = self.store.open(
            created_at=now // NS_PER_US, takeover=self._takeover, after=self._after
        )
        if manifest is not None:
            manifest = adopt(self._graph, manifest, self._compare(manifest))
            self._steps, self._numbered = manifest.steps, manifest.numbered
            self._sinks.update(manifest.sinks)
            self.replayed = offsets_of(manifest.replayed)
            self.ended_before = frozenset(manifest.ended)
        self._manifest = manifest
        for vertex in self._graph.sinks:
            self._sinks.setdefault(vertex.name, self._new_sink_id(vertex.name))
        folder = self.store.storage.folder
        if folder is not None:
            dead.open(folder / _DEAD, self.store.token)
        else:
            dead.keep()

    def _compare(self, manifest: Manifest) -> Comparison:
        """Match the steps of a checkpoint with those of the graph, and refuse to lose any."""
        comparison = compare(manifest, self._steps)
        found = difference(self.store.storage.name, manifest, comparison, self.store.reader)
        refuse_losses(found, allowed=self._allowed)
        return comparison

    def _new_sink_id(self, name: str) -> str:
        """Return an id for a sink; not one that another had under the same name before."""
        first = self._manifest is None
        stem = f"{self.store.identity}/{name}"
        return stem if first else f"{stem}.{self.store.token}"

    def identity(self, name: str) -> SinkIdentity:
        """Return who a sink of this run is."""
        return SinkIdentity(self._sinks[name], self.store.token)

    def resume(self, outlets: Mapping[int, Outlet]) -> dict[int, Position]:
        """Load state, apply what was committed last; returns the positions of the sources."""
        manifest = self._manifest
        self._outlets = {n: o for n, o in outlets.items() if not o.spec.immediate}
        self._refuse_if_behind(outlets, manifest.epoch if manifest else 0)
        if manifest is None:
            return {}
        self.epoch = self.captured = manifest.epoch
        self._writer.restore(manifest.state, self._states())
        numbers = {v.name: v.number for v in self._graph.vertices}
        for name, pieces in manifest.outbox.items():
            if name == _DEAD:
                self._apply_dead(manifest.epoch, self._frames(pieces))
            else:
                outlets[numbers[name]].apply(manifest.epoch, self._frames(pieces))
        self.store.reader.forget()
        return {numbers[name]: position for name, position in manifest.positions.items()}

    def _frames(self, pieces: list[FileRecord]) -> list[pl.DataFrame]:
        return [self.store.reader.frame(piece) for piece in pieces]

    def _refuse_if_behind(self, outlets: Mapping[int, Outlet], epoch: int) -> None:
        """A sink skips epochs it has: from an older checkpoint it would skip what is new."""
        for outlet in outlets.values():
            if outlet.applied is not None and outlet.applied > epoch:
                raise CheckpointError(
                    f"the checkpoint is behind sink {outlet.spec.name}: its newest readable "
                    f"manifest is of epoch {epoch}, the sink has epoch {outlet.applied}",
                    step="checkpoint",
                    value=self.store.storage.name,
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

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is being made."""
        return self._background.busy

    def begin(self, epoch: int, positions: Mapping[int, Position], now: int) -> None:
        """Collect what a checkpoint needs, and have it made; waits for the one before."""
        self._background.wait()
        capture = _Capture(
            epoch=epoch,
            created_at=now // NS_PER_US,
            positions=dict(positions),
            fresh=collect(self._states()),
            staged=self._staged,
            dead=self._dead.take(),
            replayed=ranges_of(self.replayed),
            ended=self.ended,
        )
        self._staged, self._staged_rows = {}, 0
        self.captured = epoch
        self._background.start(lambda: self._make(capture))

    @property
    def replay_kept(self) -> set[int]:
        """Offsets of the dead letters whose replay is in the newest checkpoint."""
        return set() if self._manifest is None else offsets_of(self._manifest.replayed)

    def check(self) -> None:
        """Raise what went wrong beside the engine's thread."""
        self._background.check()

    def wait(self) -> None:
        """Wait until the checkpoint that is being made is done; raise what went wrong."""
        self._background.wait()

    def settle(self) -> None:
        """Note that every sink has what was staged for it, so that any may be taken out."""
        self._background.wait()
        self._flush()
        if self._manifest is not None and self._manifest.outbox:
            settled = msgspec.structs.replace(self._manifest, outbox={})
            self._manifest = self.store.commit(settled)

    def join(self) -> None:
        """Wait until nothing is being done any more."""
        self._background.join()

    def _make(self, capture: _Capture) -> None:
        """Stage, commit, apply, acknowledge; then tidy up."""
        self._flush()  # what the checkpoint before had to apply, this one does not hold any more
        writer = self.store.writer()
        manifest = self._manifest_of(capture, writer)
        writer.close()
        self._manifest = self.store.commit(manifest)
        for number, frames in capture.staged.items():
            self._outlets[number].apply(capture.epoch, frames)
        if capture.dead:
            self._apply_dead(capture.epoch, capture.dead)
        self._flush()
        self.epoch = capture.epoch
        self._acknowledge(capture.positions)
        self._writer.compact(self.store.writer())

    def _apply_dead(self, epoch: int, frames: list[pl.DataFrame]) -> None:
        """Keep dead letters in a topic; where there is no folder for it, in a file for each epoch."""
        if self.store.storage.folder is None:
            self.store.write_frame(f"{_DEAD}/{epoch:010d}.arrow", pl.concat(frames))
        else:
            self._dead.apply(epoch, frames)

    def _flush(self) -> None:
        for outlet in self._outlets.values():
            outlet.flush()

    def _manifest_of(self, capture: _Capture, writer: PieceWriter) -> Manifest:
        names = [vertex.name for vertex in self._graph.vertices]
        staged = {names[number]: frames for number, frames in capture.staged.items()}
        if capture.dead:
            staged[_DEAD] = capture.dead
        return Manifest(
            sequence=0,
            origin=0,
            token=self.store.token,
            identity=self.store.identity,
            epoch=capture.epoch,
            created_at=capture.created_at,
            penstock=version(),
            hash_scheme=HASH_SCHEME,
            steps=self._steps,
            positions={names[number]: at for number, at in capture.positions.items()},
            state=self._writer.write(capture.fresh, writer),
            outbox={
                name: [writer.add(f"{name}.outbox", pl.concat(frames))]
                for name, frames in staged.items()
            },
            sinks=self._sinks,
            numbered=self._numbered,
            replayed=capture.replayed,
            ended=capture.ended,
        )

    def close(self) -> None:
        """Let other runs have the checkpoint."""
        self._background.join()
        self.store.close()

    def _states(self) -> dict[str, Mapping[str, Stateful]]:
        return {v.name: v.operator.state for v in self._graph.vertices if v.operator}
