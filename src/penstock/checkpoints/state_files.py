"""The state of operators in a checkpoint: which parts there are, and which are still needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.checkpoints.compaction import first_to_merge, merge
from penstock.checkpoints.manifest import PartFiles, State
from penstock.checkpoints.pieces import PieceReader, PieceWriter
from penstock.state.contract import FULL, Part, Stateful

States = Mapping[str, Mapping[str, Stateful]]
"""Step -> primitive -> the primitive."""


@dataclass(frozen=True, slots=True)
class FreshPart:
    """What changed in a primitive since the last checkpoint."""

    step: str
    primitive: str
    part: Part


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
    """Writes parts, merges those that pile up, and knows which the next manifest needs."""

    def __init__(self, reader: PieceReader) -> None:
        self._reader = reader
        self._parts: State = {}

    def restore(self, state: State, states: States) -> None:
        """Load the state of every operator, and go on with its parts."""
        for step, primitives in states.items():
            for name, primitive in primitives.items():
                parts = state.get(step, {}).get(name, [])
                if parts:
                    primitive.load([self._read(part) for part in parts])
                self._parts.setdefault(step, {})[name] = list(parts)

    def write(self, fresh: list[FreshPart], writer: PieceWriter) -> State:
        """Write what changed; return the parts of everything."""
        for changed in fresh:
            parts = self._parts.setdefault(changed.step, {}).setdefault(changed.primitive, [])
            if FULL in changed.part:
                parts.clear()
            label = f"{changed.step}.{changed.primitive}"
            parts.append(self._write(label, changed.part, writer))
        return {step: {n: list(p) for n, p in named.items()} for step, named in self._parts.items()}

    def compact(self, writer: PieceWriter) -> None:
        """Merge parts that have piled up; the next manifest has the merged ones."""
        for step, primitives in self._parts.items():
            for name, parts in primitives.items():
                begin = first_to_merge([part.rows for part in parts])
                if begin is not None:
                    merged = merge([self._read(part) for part in parts[begin:]])
                    parts[begin:] = [self._write(f"{step}.{name}", merged, writer)]
        writer.close()
        self._reader.forget()

    def _write(self, label: str, part: Part, writer: PieceWriter) -> PartFiles:
        frames = {name: writer.add(f"{label}.{name}", frame) for name, frame in part.items()}
        return PartFiles(frames, sum(frame.height for frame in part.values()))

    def _read(self, part: PartFiles) -> Part:
        return {name: self._reader.frame(piece) for name, piece in part.frames.items()}
