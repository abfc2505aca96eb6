"""The hidden folder of a file sink, and the steps that make an epoch atomic and durable.

    <output>/.penstock/<sink id>/
        ledger      what is committed (ledger.py)
        *.piece     Arrow IPC: committed rows that wait for their file to fill
        *.staged    complete files that wait to be moved to their final names

The output folder itself is locked (flock) while a ledger is replaced and its moves are made, so
sinks that share an output choose free names in turn. Nothing hidden ends like an output file, so
``**/*.parquet`` finds complete files only.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from penstock.connectors.file_sink.ledger import Ledger, Move, decode, encode
from penstock.connectors.file_sink.partitions import escaped
from penstock.errors import CheckpointError, ConnectorError, Fault

HIDDEN = ".penstock"
_LOCK_PAUSE_S = 0.005
_LOCK_TIMEOUT_S = 10.0
"""A commit is some renames and fsyncs; a holder that takes longer is stuck, not busy."""


class HiddenFolder:
    """Files of one sink under ``output``; ``durable`` decides whether writes are forced to disk."""

    def __init__(self, output: Path, sink_id: str, step: str, *, durable: bool) -> None:
        self.output = output
        self.path = output / HIDDEN / escaped(sink_id).replace(".", "%2E")
        self._step = step
        self._durable = durable

    def create(self) -> None:
        """Make the folders."""
        self.path.mkdir(parents=True, exist_ok=True)
        for folder in (self.path, self.path.parent, self.output, self.output.absolute().parent):
            self._sync(folder)

    def load(self) -> Ledger | None:
        """Return the committed ledger, None before the first commit."""
        try:
            text = (self.path / "ledger").read_bytes()
        except FileNotFoundError:
            return None
        try:
            return decode(text)
        except msgspec.MsgspecError as error:
            raise CheckpointError(
                f"the ledger of the file sink cannot be read: {error}",
                step=self._step,
                value=str(self.path / "ledger"),
                hint="it was changed by hand or by another version; restore it, or choose a new "
                "output folder",
            ) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock, which the system frees when the process dies."""
        descriptor = os.open(self.output, os.O_RDONLY)
        try:
            self._wait_for_lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def commit(self, ledger: Ledger) -> None:
        """Replace the ledger. What it names must have been written (``sync_file``) before."""
        fresh = self.path / f"ledger.{os.getpid()}"
        fresh.write_bytes(encode(ledger))
        self.sync_file(fresh)
        self._sync(self.path)  # the staged files are found again before the ledger names them
        fresh.replace(self.path / "ledger")
        self._sync(self.path)

    def move(self, moves: Iterable[Move]) -> None:
        """Give complete files their final names, or the next free ones; some may have moved."""
        folders: set[Path] = set()
        for each in moves:
            folder = self.output / each.folder
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                (self.path / each.staged).rename(_free(folder, each))
            folders.update(f for f in (folder, *folder.parents) if f.is_relative_to(self.output))
        for folder in sorted(folders):
            self._sync(folder)

    def sweep(self, ledger: Ledger) -> None:
        """Remove the rubbish of a crash: whatever no commit names. Only for a run that begins."""
        kept = {"ledger", *ledger.pieces}
        self.discard(entry.name for entry in self.path.iterdir() if entry.name not in kept)

    def discard(self, names: Iterable[str]) -> None:
        """Remove files of the hidden folder."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder itself, and its parent if no other sink is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()

    def sync_file(self, path: Path) -> None:
        """Force one file to disk."""
        self._sync(path)

    def _wait_for_lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise ConnectorError(
                    f"another process holds the lock of {self.output}",
                    step=self._step,
                    value=str(self.output),
                    fault=Fault.REMOTE,
                    retry=True,
                    hint="another run of this pipeline is stuck; stop it",
                )
            time.sleep(_LOCK_PAUSE_S)

    def _sync(self, path: Path) -> None:
        if not self._durable:
            return
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _free(folder: Path, move: Move) -> Path:
    """Return the first path for ``move`` that nothing has taken (another run may have)."""
    names = (move.name(sequence) for sequence in itertools.count(move.sequence))
    return next(path for path in map(folder.joinpath, names) if not path.exists())
