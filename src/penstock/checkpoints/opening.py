"""From what users write to a storage: ``"folder"``, ``memory://name``, ``s3://bucket/prefix`` ..."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from penstock.checkpoints.object_storage import SCHEMES, ObjectStorage
from penstock.checkpoints.storage import LocalStorage, MemoryStorage, Storage
from penstock.errors import ConfigError

Checkpoint = str | Path | Storage
"""A folder, a URL, or a storage of one's own."""

RETAIN = 3
"""Checkpoints kept: the newest, and two to fall back on should it be damaged."""

_in_memory: dict[str, MemoryStorage] = {}


def open_storage(checkpoint: Checkpoint, options: Mapping[str, str | bool]) -> Storage:
    """Return the storage that ``checkpoint`` names."""
    if not isinstance(checkpoint, (str, Path)):
        return checkpoint
    if options and "://" not in str(checkpoint):
        raise ConfigError(
            "checkpoint_options are those of an object store; this is a folder",
            step="checkpoint",
            value=str(checkpoint),
        )
    scheme, mark, rest = str(checkpoint).partition("://")
    if isinstance(checkpoint, Path) or not mark:
        return LocalStorage(Path(checkpoint))
    if scheme == "file":
        return LocalStorage(Path(rest))
    if scheme == "memory":
        return _in_memory.setdefault(rest, MemoryStorage(f"memory://{rest}"))
    if scheme in SCHEMES:
        return ObjectStorage(str(checkpoint), options)
    raise ConfigError(
        f"no checkpoints can be kept at {scheme}://",
        step="checkpoint",
        value=scheme,
        alternatives=["file", "memory", *SCHEMES],
    )
