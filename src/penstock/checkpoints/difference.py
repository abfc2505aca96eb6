"""What a pipeline would make of a checkpoint, shown beforehand: ``query.diff``, ``penstock diff``."""

from __future__ import annotations

import html
from collections.abc import Collection
from dataclasses import dataclass, replace

from penstock.checkpoints.changes import Comparison, Fate, StepChange
from penstock.checkpoints.compaction import merge
from penstock.checkpoints.manifest import Manifest
from penstock.checkpoints.pieces import PieceReader
from penstock.errors import ChangedPipelineError
from penstock.state.contract import FULL

_TEXT_WIDTH = 70
_NO_ROWS = frozenset({FULL, "cell", "released", "removed"})


@dataclass(frozen=True, repr=False)
class PipelineDiff:
    """What becomes of each step of a pipeline that goes on from a checkpoint.

    ``changes``: the steps of the pipeline in order, then those that are gone. ``lost``: those whose
    state, position or staged output nothing would take over; a start with any is refused unless
    ``allow_lost_state`` names them.
    """

    checkpoint: str
    epoch: int
    changes: tuple[StepChange, ...]

    @property
    def lost(self) -> tuple[StepChange, ...]:
        """What would be lost."""
        return tuple(change for change in self.changes if change.fate is Fate.LOST)

    def __repr__(self) -> str:
        lines = [f"checkpoint {self.checkpoint}, epoch {self.epoch:,}"]
        wide = max((len(change.name) for change in self.changes), default=0)
        for change in self.changes:
            name = f"{change.name:{wide}}"
            held = f"  [{amount(change)}]" if change.bytes else ""
            lines.append(f"{change.fate.value:7}  {name}  {_short(change.text)}{held}")
            remarks = (*([change.reason] if change.reason else []), *change.notes)
            lines.extend(f"{'':7}  {'':{wide}}    {remark}" for remark in remarks)
        return "\n".join([*lines, self._verdict()])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{change.fate.value}</td><td>{html.escape(change.name)}</td>"
            f"<td>{html.escape(_short(change.text))}</td>"
            f"<td>{amount(change) if change.bytes else ''}</td>"
            f"<td>{html.escape('; '.join(filter(None, (change.reason, *change.notes))))}</td></tr>"
            for change in self.changes
        )
        head = "<tr><th></th><th>step</th><th></th><th>state</th><th></th></tr>"
        return f"<table>{head}{rows}</table><p>{html.escape(self._verdict())}</p>"

    def _verdict(self) -> str:
        if not self.lost:
            return "nothing is lost"
        return f"would be lost: {', '.join(change.name for change in self.lost)}"


def difference(
    where: str, manifest: Manifest, comparison: Comparison, reader: PieceReader
) -> PipelineDiff:
    """Return a comparison with the rows of lost state counted."""

    def counted(change: StepChange) -> StepChange:
        lost = change.fate is Fate.LOST and change.bytes
        return replace(change, rows=_rows(manifest, change.name, reader)) if lost else change

    changes = tuple(map(counted, comparison.changes))
    return PipelineDiff(where, manifest.epoch, changes)


def _rows(manifest: Manifest, step: str, reader: PieceReader) -> int:
    total = 0
    for parts in manifest.state.get(step, {}).values():
        frames = [{n: reader.frame(piece) for n, piece in part.frames.items()} for part in parts]
        heights = [f.height for name, f in merge(frames).items() if name not in _NO_ROWS]
        total += max(heights, default=0)
    return total


def refuse_losses(found: PipelineDiff, *, allowed: bool | Collection[str]) -> None:
    """Raise a ``ChangedPipelineError`` that says what would be lost, unless all of it is allowed."""
    if allowed is True:
        return
    names = set() if allowed is False else set(allowed)
    refused = [change for change in found.lost if change.name not in names]
    if not refused:
        return
    lines = [f"    {c.name} ({_short(c.text)}): {_lost(c)}" for c in refused]
    listed = ", ".join(f'"{change.name}"' for change in found.lost)
    raise ChangedPipelineError(
        "\n".join(["the pipeline has changed, and would lose what the checkpoint holds:", *lines]),
        step="checkpoint",
        value=found.checkpoint,
        hint=f"to go on without it: allow_lost_state=[{listed}], or on the command line "
        f"--allow-lost-state {' --allow-lost-state '.join(c.name for c in found.lost)}; "
        "rebuild=[...] computes steps afresh instead; penstock diff shows all steps",
        line="",
    )


def _lost(change: StepChange) -> str:
    return f"{amount(change)} of state; {change.reason}" if change.bytes else change.reason


def amount(change: StepChange) -> str:
    """Return the size of a step's state, such as ``1,204 rows, 38 kB``."""
    size = float(change.bytes)
    unit = next((u for u in ("B", "kB", "MB") if (size := size / 1000) < 1), "GB")
    size = size * 1000 if unit != "GB" else size
    number = f"{size:.0f}" if unit == "B" else f"{size:.3g}"
    rows = f"{change.rows:,} rows, " if change.rows else ""
    return f"{rows}{number} {unit}"


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _TEXT_WIDTH else f"{flat[: _TEXT_WIDTH - 3]}..."
