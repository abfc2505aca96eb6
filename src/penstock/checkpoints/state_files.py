"""The state of operators in a checkpoint: which parts there are, and which are still needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from penstock.checkpoints.compaction import first_to_merge, merge
from penstock.checkpoints.manifest import PartFiles, State
from penstock.checkpoints.pieces import PieceReader, PieceWriter
from penstock.state.contract import FULL, Part, Stateful

States = Mapping[str, Mapping[str, Stateful]]
"""Step -> primitive -> the primitive."""

_LARGE_ROWS = 1 << 18
"""Merging more than this takes long enough to be done beside the checkpoints, not between them."""


@dataclass(frozen=True, slots=True)
class FreshPart:
    """What changed in a primitive since the last checkpoint."""

    step: str
    primitive: str
    part: Part


@dataclass(frozen=True, slots=True)
class Merge:
    """Parts of a primitive that follow each other and are to become one."""

    step: str
    primitive: str
    parts: tuple[PartFiles, ...]

    @property
    def large(self) -> bool:
        """Whether it takes long."""
        return sum(part.rows for part in self.parts) > _LARGE_ROWS

    def overlaps(self, other: Merge) -> bool:
        """Whether it is of the same primitive."""
        return (self.step, self.primitive) == (other.step, other.primitive)


def collect(states: States) -> list[FreshPart]:
    """Return what changed in all primitives: all that the engine has to wait for."""
    fresh = []
    for step, primitives in states.items():
        for name, primitive in primitives.items():
            part = primitive.delta()
            if part:
                fresh.append(FreshPart(step, name, part))
    return fresh


class StateWriter:
    """Writes parts, merges those that pile up, and knows which the next manifest needs.

    ``merge`` may run on another thread than the rest: it only reads and writes files.
    """

    def __init__(self, reader: Callable[[], PieceReader]) -> None:
        self._reader = reader
        self._parts: State = {}

    def restore(self, state: State, states: States, reader: PieceReader) -> None:
        """Load the state of every operator, and go on with its parts."""
        for step, primitives in states.items():
            for name, primitive in primitives.items():
                parts = state.get(step, {}).get(name, [])
                if parts:
                    primitive.load([_read(part, reader) for part in parts])
                self._parts.setdefault(step, {})[name] = list(parts)

    def write(self, fresh: list[FreshPart], writer: PieceWriter) -> State:
        """Write what changed; return the parts of everything."""
        for changed in fresh:
            parts = self._parts.setdefault(changed.step, {}).setdefault(changed.primitive, [])
            if FULL in changed.part:
                parts.clear()
            parts.append(_write(changed.step, changed.primitive, changed.part, writer))
        return {step: {n: list(p) for n, p in named.items()} for step, named in self._parts.items()}

    def wanted(self) -> list[Merge]:
        """Return what has piled up so far that it should be merged."""
        found = []
        for step, primitives in self._parts.items():
            for name, parts in primitives.items():
                begin = first_to_merge([part.rows for part in parts])
                if begin is not None:
                    found.append(Merge(step, name, tuple(parts[begin:])))
        return found

    def merge(self, wanted: Merge, writer: PieceWriter) -> PartFiles:
        """Write the part that is to replace others; the writer is closed by the caller."""
        reader = self._reader()
        merged = merge([_read(part, reader) for part in wanted.parts])
        return _write(wanted.step, wanted.primitive, merged, writer)

    def replace(self, wanted: Merge, merged: PartFiles) -> None:
        """Let the next manifest have a merged part, unless a full one has come meanwhile."""
        if self.current(wanted):
            parts = self._parts[wanted.step][wanted.primitive]
            begin = parts.index(wanted.parts[0])
            parts[begin : begin + len(wanted.parts)] = [merged]

    def current(self, wanted: Merge) -> bool:
        """Tell whether the parts to be merged are still needed."""
        parts = self._parts[wanted.step][wanted.primitive]
        if wanted.parts[0] not in parts:
            return False
        begin = parts.index(wanted.parts[0])
        return tuple(parts[begin : begin + len(wanted.parts)]) == wanted.parts


def _write(step: str, primitive: str, part: Part, writer: PieceWriter) -> PartFiles:
    frames = {name: writer.add(f"{step}.{primitive}.{name}", frame) for name, frame in part.items()}
    return PartFiles(frames, sum(frame.height for frame in part.values()))


def _read(part: PartFiles, reader: PieceReader) -> Part:
    return {name: reader.frame(piece) for name, piece in part.frames.items()}


def write_full(states: Mapping[str, Mapping[str, Part]], writer: PieceWriter) -> State:
    """Write state that was computed elsewhere, as full parts."""
    return {
        step: {name: [_write(step, name, part, writer)] for name, part in primitives.items()}
        for step, primitives in states.items()
    }


def read_parts(parts: list[PartFiles], reader: PieceReader) -> list[Part]:
    """Read the parts of a primitive."""
    return [_read(part, reader) for part in parts]
