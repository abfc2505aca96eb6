"""Frames as pieces of files.

A checkpoint writes its small pieces into one file and each large one into a file of its own: most
checkpoints are one data file and one manifest, which is what a disk's sync and an object store's
request cost.
"""

from __future__ import annotations

import io
import re
import zlib
from collections import OrderedDict
from collections.abc import Iterable

import polars as pl

from penstock.checkpoints.manifest import FileRecord
from penstock.checkpoints.storage import Storage
from penstock.errors import CheckpointError

FOLDER = "runs/"

_OWN_FILE_BYTES = 1 << 18
"""From this size a piece gets a file of its own, so that it can be deleted by itself."""

CACHE_BYTES = 256 << 20
"""Files read to be verified are kept up to this size, to be decoded without reading them again."""

FEW_BYTES = 8 << 20
"""Enough to decode the small pieces of one file without reading it for each."""


def encoded(frame: pl.DataFrame) -> bytes:
    """Return a frame as an Arrow IPC file."""
    out = io.BytesIO()
    frame.write_ipc(out, compression="uncompressed")
    return out.getvalue()


class PieceWriter:
    """Writes the pieces of one checkpoint; ``close`` writes what is still to be written."""

    def __init__(self, storage: Storage, stem: str) -> None:
        self._storage = storage
        self._stem = FOLDER + stem
        self._pack: list[bytes] = []
        self._packed = 0
        self._own = 0

    def add(self, label: str, frame: pl.DataFrame) -> FileRecord:
        """Write a frame; ``label`` says in a large piece's file name what it is."""
        data = encoded(frame)
        checksum = zlib.crc32(data)
        if len(data) >= _OWN_FILE_BYTES:
            self._own += 1
            safe = re.sub(r"[^A-Za-z0-9._-]", "_", label)[:80]
            path = f"{self._stem}-{self._own:03d}-{safe}.arrow"
            self._storage.write(path, data)
            return FileRecord(path, len(data), checksum)
        record = FileRecord(f"{self._stem}.pack", len(data), checksum, self._packed)
        self._pack.append(data)
        self._packed += len(data)
        return record

    def close(self) -> None:
        """Write the small pieces."""
        if self._pack:
            self._storage.write(f"{self._stem}.pack", b"".join(self._pack))
            self._pack = []


class PieceReader:
    """Reads pieces, and finds those that are damaged; keeps up to ``cache_bytes`` of what it read."""

    def __init__(self, storage: Storage, cache_bytes: int = CACHE_BYTES) -> None:
        self._storage = storage
        self._limit = cache_bytes
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._cached = 0

    def damaged(self, pieces: Iterable[FileRecord]) -> str | None:
        """Return the path of the first file that is missing or not what was written."""
        for piece in sorted(pieces, key=lambda piece: (piece.path, piece.offset)):
            if self._read(piece) is None:
                return piece.path
        return None

    def frame(self, piece: FileRecord) -> pl.DataFrame:
        """Return a frame."""
        data = self._read(piece)
        if data is None:
            raise CheckpointError(
                f"file {piece.path} is missing or damaged",
                step="checkpoint",
                value=self._storage.name,
            )
        return pl.read_ipc(data)

    def forget(self) -> None:
        """Let go of what was read."""
        self._cache.clear()
        self._cached = 0

    def _read(self, piece: FileRecord) -> bytes | None:
        try:
            data = self._file(piece.path)
        except FileNotFoundError:
            return None
        whole = piece.offset == 0 and piece.bytes == len(data)
        part = data if whole else data[piece.offset : piece.offset + piece.bytes]
        sound = len(part) == piece.bytes and zlib.crc32(part) == piece.checksum
        return part if sound else None

    def _file(self, path: str) -> bytes:
        if path in self._cache:
            self._cache.move_to_end(path)
            return self._cache[path]
        data = self._storage.read(path)
        self._cache[path] = data
        self._cached += len(data)
        while self._cached > self._limit:
            _, oldest = self._cache.popitem(last=False)
            self._cached -= len(oldest)
        return data
