"""Checkpoints on a local folder: state runs, staged outputs and one manifest, committed atomically.

checkpoint/
  lock                       held by the running process; the kernel frees it when that dies
  manifest-0000000042.json   what a run resumes from: positions, state parts, staged outputs
  runs/…                     parts of operator state, Arrow IPC, immutable
  outbox/…                   output of a sink since the checkpoint before, Arrow IPC
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import polars as pl

from penstock.errors import CheckpointError
from penstock.state.contract import FULL, Part, Stateful

FORMAT = 1
_KEPT = 2
"""Manifests kept: the newest, and the one before it should the newest be damaged."""


class PartFiles(msgspec.Struct, frozen=True):
    """One part of a primitive's state: frame name -> file; ``rows`` in all of them."""

    frames: dict[str, str]
    rows: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a run resumes from."""

    format: int
    epoch: int
    token: int
    plan: list[str]
    positions: dict[str, object]
    state: dict[str, dict[str, list[PartFiles]]]
    outbox: dict[str, str]


class CheckpointFolder:
    """Reads and writes checkpoints; at most one process holds a folder at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = -1
        self.token = 0
        self.identity = ""

    def open(self) -> Manifest | None:
        """Lock the folder, take the next token and return the newest manifest, if there is one."""
        for part in ("runs", "outbox"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            self._lock = -1
            raise CheckpointError(
                "another run holds this checkpoint",
                step="checkpoint",
                value=str(self.folder),
                hint="stop the other run, or use another folder",
            ) from error
        newest = self._newest()
        counted, self.identity = self._claim()
        self.token = max(counted, newest.token if newest else 0) + 1
        os.pwrite(self._lock, f"{self.token:020d} {self.identity}".encode(), 0)
        os.fsync(self._lock)
        return newest

    def _claim(self) -> tuple[int, str]:
        """Return the last token and the folder's identity, which sinks record epochs under."""
        words = os.pread(self._lock, 128, 0).decode().split()
        return (int(words[0]), words[1]) if len(words) == 2 else (0, uuid.uuid4().hex)

    def close(self) -> None:
        """Let other runs have the folder."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def write_part(self, name: str, part: Part) -> PartFiles:
        """Write one part of a primitive's state."""
        files = {}
        for frame_name, frame in part.items():
            path = f"runs/{name}.{frame_name}.arrow"
            self._write_frame(path, frame)
            files[frame_name] = path
        return PartFiles(files, sum(frame.height for frame in part.values()))

    def read_part(self, files: PartFiles) -> Part:
        """Read it back."""
        return {name: self.read_frame(path) for name, path in files.frames.items()}

    def stage(self, name: str, frames: list[pl.DataFrame]) -> str:
        """Write the output of a sink; returns the file."""
        path = f"outbox/{name}.arrow"
        self._write_frame(path, pl.concat(frames))
        return path

    def read_frame(self, path: str) -> pl.DataFrame:
        """Read a frame of this checkpoint."""
        try:
            return pl.read_ipc(self.folder / path)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise CheckpointError(
                f"file {path} is missing or damaged", step="checkpoint", value=str(self.folder)
            ) from error

    def commit(self, manifest: Manifest) -> None:
        """Make a manifest the newest, atomically, and delete what no kept manifest needs."""
        path = self.folder / f"manifest-{manifest.epoch:010d}.json"
        _sync_folder(self.folder / "runs")
        _sync_folder(self.folder / "outbox")
        partial = path.with_suffix(".tmp")
        with partial.open("wb") as file:
            file.write(msgspec.json.encode(manifest))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        _sync_folder(self.folder)
        self._collect()

    def _write_frame(self, path: str, frame: pl.DataFrame) -> None:
        with (self.folder / path).open("wb") as file:
            frame.write_ipc(file)
            file.flush()
            os.fsync(file.fileno())

    def _manifests(self) -> list[Path]:
        return sorted(self.folder.glob("manifest-*.json"))

    def _newest(self) -> Manifest | None:
        for path in reversed(self._manifests()):
            manifest = _decode(path)
            if manifest is not None:
                return manifest
        return None

    def _collect(self) -> None:
        kept = self._manifests()[-_KEPT:]
        for path in self._manifests()[:-_KEPT]:
            path.unlink()
        needed: set[str] = set()
        for path in kept:
            manifest = _decode(path)
            if manifest is not None:
                needed.update(_files(manifest))
        for part in ("runs", "outbox"):
            for path in (self.folder / part).iterdir():
                if f"{part}/{path.name}" not in needed:
                    path.unlink(missing_ok=True)


class StateWriter:
    """Turns the state of operators into parts, and keeps the list of those still needed."""

    def __init__(self, folder: CheckpointFolder) -> None:
        self._folder = folder
        self._parts: dict[str, dict[str, list[PartFiles]]] = {}

    def restore(self, manifest: Manifest, states: Mapping[str, Mapping[str, Stateful]]) -> None:
        """Load the state of every operator that the manifest knows."""
        for operator, primitives in states.items():
            for name, primitive in primitives.items():
                parts = manifest.state.get(operator, {}).get(name, [])
                if parts:
                    primitive.load([self._folder.read_part(part) for part in parts])
                self._parts.setdefault(operator, {})[name] = list(parts)

    def write(
        self, epoch: int, states: Mapping[str, Mapping[str, Stateful]]
    ) -> dict[str, dict[str, list[PartFiles]]]:
        """Write what changed since the last checkpoint; returns the parts of everything."""
        for operator, primitives in states.items():
            for name, primitive in primitives.items():
                parts = self._parts.setdefault(operator, {}).setdefault(name, [])
                part = primitive.full() if _worth_rewriting(parts) else primitive.delta()
                if not part:
                    continue
                if FULL in part:
                    parts.clear()
                parts.append(self._folder.write_part(f"{operator}.{name}.{epoch:010d}", part))
        return {op: {n: list(p) for n, p in named.items()} for op, named in self._parts.items()}


def _worth_rewriting(parts: list[PartFiles]) -> bool:
    """Deltas as large as the full part before them: rewriting costs no more than it saves."""
    if len(parts) < 8:
        return False
    return sum(part.rows for part in parts[1:]) >= parts[0].rows or len(parts) > 64


def _files(manifest: Manifest) -> Iterator[str]:
    yield from manifest.outbox.values()
    for primitives in manifest.state.values():
        for parts in primitives.values():
            for part in parts:
                yield from part.frames.values()


def _decode(path: Path) -> Manifest | None:
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None
    if manifest.format != FORMAT:
        raise CheckpointError(
            f"checkpoint format {manifest.format} is not {FORMAT}",
            step="checkpoint",
            value=str(path),
            hint="use the version of Penstock that wrote it, or a new folder",
        )
    return manifest


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
