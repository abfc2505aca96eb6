"""Copying one checkpoint whole, to keep it or to go on from it elsewhere."""

from __future__ import annotations

from penstock.checkpoints.manifest import Manifest, encode, path_of
from penstock.checkpoints.reading import damages
from penstock.checkpoints.storage import Storage
from penstock.checkpoints.store import links
from penstock.errors import CheckpointError


def export(source: Storage, manifest: Manifest, target: Storage) -> int:
    """Copy the files of a checkpoint, then its manifest; return the bytes. All are verified first."""
    if links(target):
        raise CheckpointError(
            "there are checkpoints already where this one is to go",
            step="export",
            value=target.name,
            hint="export to a new folder",
            line="",
        )
    for path in damages(source, manifest):
        raise CheckpointError(
            f"file {path} is missing or damaged",
            step="export",
            value=source.name,
            hint="export another checkpoint: penstock checkpoints list",
            line="",
        )
    total = 0
    for path in sorted(manifest.files):
        data = source.read(path)
        target.write(path, data)
        total += len(data)
    data = encode(manifest)
    target.create(path_of(manifest.sequence), data)
    return total + len(data)
