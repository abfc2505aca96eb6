"""Looking into a checkpoint: which ones there are, what state they hold, whether they are sound."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from penstock.checkpoints.compaction import merge
from penstock.checkpoints.manifest import Manifest, PartFiles
from penstock.checkpoints.pieces import PieceReader
from penstock.checkpoints.storage import Storage
from penstock.checkpoints.store import by_age, links, read_manifest
from penstock.errors import CheckpointError
from penstock.state.contract import FULL, ROW, SLOT, Part

_KEYS = "keys"
_HIDDEN = (SLOT, ROW)
_PARTIAL = re.compile(r"_penstock_(\w+)_([0-9a-f]{16})$")
"""Columns of partial results, as ``plan/expressions/partials.py`` names them."""

LISTED = {
    "operator": pl.String(),
    "part": pl.String(),
    "text": pl.String(),
    "rows": pl.Int64(),
    "bytes": pl.Int64(),
    "columns": pl.List(pl.String()),
}


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the chain of manifests; ``manifest`` is None if it is damaged."""

    sequence: int
    manifest: Manifest | None

    @property
    def is_claim(self) -> bool:
        """Whether it only says which run writes now."""
        return self.manifest is not None and self.manifest.origin != self.sequence


def chain(storage: Storage) -> list[Link]:
    """Return all links, newest first; none that a run has let go of meanwhile."""
    found = [Link(sequence, read_manifest(storage, sequence)) for sequence in links(storage)]
    if any(link.manifest is None for link in found):
        there = links(storage)
        found = [link for link in found if link.manifest or link.sequence in there]
    return found


def chosen(storage: Storage, sequence: int | None = None) -> Manifest:
    """Return the newest readable checkpoint, or the one of a sequence."""
    found = [link.manifest for link in chain(storage) if link.manifest is not None]
    checkpoints = [manifest for manifest in by_age(found) if manifest.origin]
    if not checkpoints:
        raise CheckpointError(
            "there is no checkpoint here", step="checkpoint", value=storage.name, line=""
        )
    if sequence is None:
        return checkpoints[0]
    for manifest in found:
        if manifest.sequence == sequence:
            return manifest
    raise CheckpointError(
        f"no checkpoint {sequence}",
        step="checkpoint",
        value=str(sequence),
        alternatives=[str(manifest.sequence) for manifest in found],
        line="",
    )


def damages(storage: Storage, manifest: Manifest) -> Iterator[str]:
    """Yield the files of a checkpoint that are missing or damaged."""
    reader = PieceReader(storage)
    for path in sorted(manifest.files):
        pieces = [piece for piece in manifest.pieces if piece.path == path]
        if reader.damaged(pieces) is not None:
            yield path
        reader.forget()


def listed(storage: Storage, manifest: Manifest) -> pl.DataFrame:
    """Return one row for each part of state, with the columns that ``state_of`` gives."""
    rows = []
    for step in manifest.steps:
        for part, files in manifest.state.get(step.name, {}).items():
            if not files:
                continue
            frame = state_of(storage, manifest, step.name, part)
            size = sum(piece.bytes for file in files for piece in file.frames.values())
            rows.append((step.name, part, step.text, frame.height, size, frame.columns))
    return pl.DataFrame(rows, schema=LISTED, orient="row")


def state_of(
    storage: Storage, manifest: Manifest, operator: str, part: str | None = None
) -> pl.DataFrame:
    """Return the state of an operator: a row for each key or stored row, its key columns first.

    ``part`` names one of its parts; without it, the one with the most rows.
    """
    named = {name: files for name, files in manifest.state.get(operator, {}).items() if files}
    if operator not in {step.name for step in manifest.steps} or not named:
        raise CheckpointError(
            f"no operator {operator!r} with state",
            step="state",
            value=operator,
            alternatives=[name for name, parts in manifest.state.items() if any(parts.values())],
        )
    if part is not None and part not in named:
        raise CheckpointError(
            f"operator {operator} has no part {part!r}",
            step="state",
            value=part,
            alternatives=list(named),
        )
    reader = PieceReader(storage)
    parts = [part] if part is not None else list(named)
    return _told(max((_table(named, name, reader) for name in parts), key=lambda f: f.shape))


def _told(frame: pl.DataFrame) -> pl.DataFrame:
    """Call what an aggregation keeps by its role: ``_penstock_sum_6e1cad849cb128c1`` -> ``sum``.

    Of several of one role, or where a column has that name, a piece of the number stays: ``sum_6e1c``.
    """
    roles = [
        (name, found[1], found[2]) for name in frame.columns if (found := _PARTIAL.match(name))
    ]
    taken = Counter([*frame.columns, *(role for _, role, _ in roles)])
    names = {
        name: role if taken[role] == 1 else f"{role}_{number[:4]}" for name, role, number in roles
    }
    whole = {*frame.columns, *names.values()}
    return frame.rename(names) if len(whole) == frame.width + len(names) else frame


def _table(named: dict[str, list[PartFiles]], part: str, reader: PieceReader) -> pl.DataFrame:
    """Return one part: its own rows, with the keys of their slots."""
    state = _merged(named[part], reader)
    own = [frame for name, frame in state.items() if name not in (FULL, _KEYS)]
    if not own:
        return state.get(_KEYS, pl.DataFrame()).drop(_HIDDEN, strict=False)
    rows = own[0]
    keys = state.get(_KEYS)
    if keys is None and SLOT in rows.columns:
        keys = _keys_of_slots(named, reader)
    if keys is None or SLOT not in rows.columns:
        return rows.drop(_HIDDEN, strict=False)
    how = "right" if _KEYS in state else "left"  # keys of a table without values yet, too
    added = keys.select(SLOT, *(c for c in keys.columns if c not in rows.columns))
    if how == "right":
        joined = added.join(rows, on=SLOT, how="left", maintain_order="left")
    else:
        joined = rows.join(added, on=SLOT, how="left", maintain_order="left")
        joined = joined.select(*added.columns, *(c for c in rows.columns if c != SLOT))
    return joined.drop(_HIDDEN, strict=False)


def _keys_of_slots(named: dict[str, list[PartFiles]], reader: PieceReader) -> pl.DataFrame | None:
    """Return the keys of the operator's index: its first part that holds keys."""
    for files in named.values():
        if any(_KEYS in file.frames for file in files):
            return _merged(files, reader).get(_KEYS)
    return None


def _merged(files: list[PartFiles], reader: PieceReader) -> Part:
    parts = [{name: reader.frame(piece) for name, piece in file.frames.items()} for file in files]
    return merge(parts)
