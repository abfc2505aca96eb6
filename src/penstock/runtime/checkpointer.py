"""The checkpointer: what a run that keeps checkpoints does between its epochs, and beside them."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
import polars as pl

from penstock.checkpoints.changes import Comparison, compare
from penstock.checkpoints.difference import difference, refuse_losses
from penstock.checkpoints.manifest import FileRecord, Manifest
from penstock.checkpoints.offsets import offsets_of, ranges_of
from penstock.checkpoints.opening import open_storage
from penstock.checkpoints.pieces import FEW_BYTES, PieceReader
from penstock.checkpoints.state_files import StateWriter, collect, read_parts, write_full
from penstock.checkpoints.store import CheckpointStore
from penstock.connectors.contract import Position, SinkIdentity
from penstock.errors import CheckpointError
from penstock.instants import NS_PER_US
from penstock.lowering.graph import Graph
from penstock.runtime.adoption import adopt, records
from penstock.runtime.background import Background
from penstock.runtime.capture import DEAD_LETTERS, Capture
from penstock.runtime.dead_letters import DeadLetters
from penstock.runtime.letter_files import epoch_of_letters, letters_path
from penstock.runtime.merging import Merging
from penstock.runtime.options import RunOptions
from penstock.runtime.outlets import Outlet, refused_by
from penstock.runtime.rebuilding import (
    RebuildPlan,
    Replayer,
    plan_rebuild,
    rebuilt_names,
    refuse_rebuild,
)
from penstock.state.contract import Stateful
from penstock.state.hashing import HASH_SCHEME

_log = logging.getLogger("penstock")
T = TypeVar("T")
_STAGED_ROWS = 4 << 20
"""Output rows held for the next checkpoint before one is made early, or waited for."""

_WAITING_LETTERS = 1 << 18
"""The same of dead letters, which take some hundred bytes more than their rows."""


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
        self._targets = options.rebuild
        self.rebuilt = False
        """Whether what was to be rebuilt is committed, so that a restart need not do it again."""
        self._plan: RebuildPlan | None = None
        self.rows: dict[int, int] = {}
        """Rows that each source had handed over at the checkpoint resumed from."""
        self._graph = graph
        self._steps = records(graph)
        self._numbered = len(graph.sources)
        self._acknowledge = acknowledge
        self._background = Background("checkpoint", wake)
        self._watching = Background("checkpoint watch", wake)
        self._writer = StateWriter(lambda: PieceReader(self.store.storage, FEW_BYTES))
        self._merging = Merging(self.store, self._writer, wake)
        self._staged: dict[int, list[pl.DataFrame]] = {}
        self._staged_rows = 0
        self._manifest: Manifest | None = None
        self._sinks: dict[str, str] = {}
        self._outlets: Mapping[int, Outlet] = {}
        self._dead = DeadLetters()
        self.refused: deque[tuple[int, pl.DataFrame]] = deque()
        """Dead letters of sinks that are beside the checkpoint, for the engine to count."""

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
            dead.open(folder / DEAD_LETTERS, self.store.token)
        else:
            dead.keep()

    def _compare(self, manifest: Manifest) -> Comparison:
        """Match the steps of a checkpoint with those of the graph, and refuse to lose any."""
        comparison = compare(manifest, self._steps)
        found = difference(self.store.storage.name, manifest, comparison, self.store.reader)
        allowed = self._allowed
        if self._targets:
            self._plan = self._planned(comparison, manifest)
            if not isinstance(allowed, bool):
                allowed = {*allowed, *rebuilt_names(self._graph, self._plan, comparison)}
            elif not allowed:
                allowed = rebuilt_names(self._graph, self._plan, comparison)
        refuse_losses(found, allowed=allowed)
        return comparison

    def _planned(self, comparison: Comparison, manifest: Manifest) -> RebuildPlan:
        names = {v.number: comparison.names[v.name] for v in self._graph.vertices}
        plan = plan_rebuild(self._graph, names, self._targets)
        known = {comparison.pairs.get(v.name, "") for v in self._graph.sinks}
        refuse_rebuild(self._graph, names, plan, known & manifest.sinks.keys())
        return plan

    def _new_sink_id(self, name: str) -> str:
        """Return an id for a sink; not one that another had under the same name before."""
        first = self._manifest is None
        stem = f"{self.store.identity}/{name}"
        return stem if first else f"{stem}.{self.store.token}"

    def identity(self, name: str) -> SinkIdentity:
        """Return who a sink of this run is."""
        return SinkIdentity(self._sinks[name], self.store.token)

    def resume(self, outlets: Mapping[int, Outlet], replay: Replayer) -> dict[int, Position]:
        """Apply what was committed last, rebuild what is to be, load state.

        Returns the positions of the sources. ``replay`` reads history again.
        """
        manifest = self._manifest
        self._outlets = {n: o for n, o in outlets.items() if not o.spec.immediate}
        self._refuse_if_behind(manifest.epoch if manifest else 0)
        if manifest is None:
            return {}
        self._apply_outbox(manifest, outlets)
        if self._plan is not None:
            manifest = self._rebuilt(manifest, self._plan, replay)
            self._apply_outbox(manifest, outlets)
        self._manifest = manifest
        self.epoch = self.captured = manifest.epoch
        if manifest.hash_scheme != HASH_SCHEME:
            _log.info(
                "the checkpoint hashed keys by %r, this version by %r: they are indexed afresh",
                manifest.hash_scheme,
                HASH_SCHEME,
            )
        self._writer.restore(manifest.state, self._states(), self.store.reader)
        self.store.reader.forget()
        self.rows = self._numbered_by_vertex(manifest.rows)
        return self._numbered_by_vertex(manifest.positions)

    def _numbered_by_vertex(self, values: Mapping[str, T]) -> dict[int, T]:
        numbers = {v.name: v.number for v in self._graph.vertices}
        return {numbers[name]: value for name, value in values.items()}

    def _apply_outbox(self, manifest: Manifest, outlets: Mapping[int, Outlet]) -> None:
        numbers = {v.name: v.number for v in self._graph.vertices}
        dead = self._frames(manifest.outbox.get(DEAD_LETTERS, []))
        for name, pieces in manifest.outbox.items():
            if name == DEAD_LETTERS:
                continue
            if name in manifest.replaced:
                outlets[numbers[name]].replace(manifest.epoch, self._frames(pieces))
            else:
                outlets[numbers[name]].apply(manifest.epoch, self._frames(pieces))
        self._flush()
        self._apply_dead(manifest.epoch, dead, manifest.created_at)

    def _rebuilt(self, manifest: Manifest, plan: RebuildPlan, replay: Replayer) -> Manifest:
        """Commit a checkpoint of the same positions with rebuilt state; the same if stopped."""
        self._flush()
        watermarks = {
            v.number: {
                name: read_parts(parts, self.store.reader)
                for name, parts in manifest.state[v.name].items()
            }
            for v in self._graph.vertices
            if v.kind == "watermark" and v.number not in plan.states and v.name in manifest.state
        }
        positions = self._numbered_by_vertex(manifest.positions)
        found = replay(plan, positions, self._numbered_by_vertex(manifest.rows), watermarks)
        if found is None:
            return manifest
        names = [vertex.name for vertex in self._graph.vertices]
        writer = self.store.writer()
        states = {names[number]: parts for number, parts in found.states.items()}
        contents = {names[number]: frame for number, frame in found.contents.items()}
        rebuilt = msgspec.structs.replace(
            manifest,
            epoch=manifest.epoch + 1,
            state={**manifest.state, **write_full(states, writer)},
            outbox={name: [writer.add(f"{name}.outbox", f)] for name, f in contents.items()},
            replaced=[name for name in contents if name in manifest.sinks],
            sinks=self._sinks,
        )
        writer.close()
        committed = self.store.commit(rebuilt)
        self.rebuilt = True
        return committed

    def _frames(self, pieces: list[FileRecord]) -> list[pl.DataFrame]:
        return [self.store.reader.frame(piece) for piece in pieces]

    def _refuse_if_behind(self, epoch: int) -> None:
        """A sink skips epochs it has: from an older checkpoint it would skip what is new.

        Immediate ones are always ahead, and skip nothing. What dead letters are kept in is like a sink.
        """
        held = [(f"sink {o.spec.name}", "the sink has", o.applied) for o in self._outlets.values()]
        held.append(("its dead letters", "there are some of", self._letters_applied()))
        for what, has, applied in held:
            if applied is not None and applied > epoch:
                self.store.refuse_overtaken()  # else it is another run that is ahead
                raise CheckpointError(
                    f"the checkpoint is behind {what}: its newest readable "
                    f"manifest is of epoch {epoch}, {has} epoch {applied}",
                    step="checkpoint",
                    value=self.store.storage.name,
                    hint="restore the newest manifest, or start over with a new folder and sink",
                )

    def _letters_applied(self) -> int | None:
        """Return the epoch of the newest dead letters that are beside the checkpoint."""
        if self.store.storage.folder is not None:
            return self._dead.applied
        found = self.store.storage.list(f"{DEAD_LETTERS}/")
        return max((epoch_of_letters(p) for p in found if p.endswith(".arrow")), default=None)

    def stage(self, number: int, frame: pl.DataFrame) -> None:
        """Hold output of a sink back until the next checkpoint."""
        self._staged.setdefault(number, []).append(frame)
        self._staged_rows += frame.height

    def staged(self, number: int) -> list[pl.DataFrame]:
        """Return the output of a sink that no checkpoint has yet."""
        return list(self._staged.get(number, ()))

    @property
    def full(self) -> bool:
        """Whether so much output, or so many dead letters, wait that a checkpoint should be made early."""
        return self._staged_rows > _STAGED_ROWS or self._dead.pending_rows > _WAITING_LETTERS

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is being made."""
        return self._background.busy

    def begin(
        self,
        epoch: int,
        positions: Mapping[int, Position],
        rows: Mapping[int, int],
        now: int,
    ) -> None:
        """Collect what a checkpoint needs, and have it made; waits for the one before."""
        self._background.wait()
        capture = Capture(
            epoch=epoch,
            created_at=now // NS_PER_US,
            positions=dict(positions),
            rows=dict(rows),
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
        self._watching.check()

    def watch(self) -> None:
        """Look, beside the engine, whether another run has taken over; ``check`` raises it."""
        if not self._watching.busy:
            self._watching.start(self.store.refuse_overtaken)

    def wait(self) -> None:
        """Wait until the checkpoint that is being made is done; raise what went wrong."""
        self._background.wait()

    def settle(self) -> None:
        """Note that every sink has what was staged for it, so that any may be taken out."""
        self._background.wait()
        self._flush()
        if self._manifest is not None and self._manifest.outbox:
            settled = msgspec.structs.replace(self._manifest, outbox={}, replaced=[])
            self._manifest = self.store.commit(settled)

    def join(self) -> None:
        """Wait until nothing is being done any more."""
        self._background.join()
        self._watching.join()

    def _make(self, capture: Capture) -> None:
        """Stage, commit, apply, acknowledge; then tidy up."""
        self._merging.take_finished()
        self._flush()  # what the checkpoint before had to apply, this one does not hold any more
        writer = self.store.writer()
        names = [vertex.name for vertex in self._graph.vertices]
        manifest = msgspec.structs.replace(
            capture.manifest(names, self._writer, writer),
            token=self.store.token,
            identity=self.store.identity,
            steps=self._steps,
            sinks=self._sinks,
            numbered=self._numbered,
        )
        writer.close()
        self._manifest = self.store.commit(manifest)
        for number, frames in capture.staged.items():
            self._outlets[number].apply(capture.epoch, frames)
        self._flush()
        self._apply_dead(capture.epoch, capture.dead, capture.created_at)
        self.epoch = capture.epoch
        self._acknowledge(capture.positions)
        self._merging.merge()

    def _apply_dead(self, epoch: int, found: list[pl.DataFrame], created_at: int) -> None:
        """Keep dead letters in a topic; where there is no folder for it, in a file for each epoch.

        Those of the steps and of all sinks at once, when the sinks have the epoch: each sink keeps its
        own until the next one, so that a crash in between loses none.
        """
        refused = list(refused_by(self._outlets, self._graph, created_at * NS_PER_US))
        self.refused.extend(refused)
        frames = [*found, *(frame for _, frame in refused)]
        if not frames:
            return
        if self.store.storage.folder is None:
            self.store.keep_frame(letters_path(epoch), pl.concat(frames))
        else:
            self._dead.apply(epoch, frames)

    def _flush(self) -> None:
        for outlet in self._outlets.values():
            outlet.flush()

    def close(self) -> None:
        """Let other runs have the checkpoint."""
        self._background.join()
        self._merging.join()
        self.store.close()

    def _states(self) -> dict[str, Mapping[str, Stateful]]:
        return {v.name: v.operator.state for v in self._graph.vertices if v.operator}
