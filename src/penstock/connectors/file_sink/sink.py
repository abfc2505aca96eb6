"""Write files by epochs: stage, commit one ledger, move; see folder.py and ledger.py.

Crash before the commit: the epoch never was, its files are swept away and it is applied again.
Crash after it: ``begin`` repeats the moves. Rows are in one place at any time, so never doubled.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from penstock.columns import WEIGHT
from penstock.connectors.changes import chunks
from penstock.connectors.contract import SinkIdentity
from penstock.connectors.epochs import is_applied, refuse_fenced, take_over
from penstock.connectors.file_sink.folder import HiddenFolder
from penstock.connectors.file_sink.formats import FileFormat
from penstock.connectors.file_sink.ledger import Ledger, OpenPart, first_ledger
from penstock.connectors.file_sink.rolling import Rolling
from penstock.connectors.file_sink.staging import Layout, Staging
from penstock.errors import ConnectorError, Fault, FencedError
from penstock.failures import os_error_number, os_error_passes


class FilesSink:
    """A live file sink; state: the committed ledger, and where the hidden folder is."""

    def __init__(
        self,
        step: str,
        output: Path,
        file_format: FileFormat,
        compression: str,
        partition_by: tuple[str, ...],
        rolling: Rolling,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._step = step
        self._output = output
        self._layout = Layout(file_format, compression, partition_by, rolling, step)
        self._clock = clock
        self._identity = SinkIdentity("", 0)
        self._lasting = False
        self._folder: HiddenFolder | None = None
        self._columns: pl.Schema | None = None
        self._moved = 0
        self._parts: tuple[OpenPart, ...] = ()

    def begin(
        self,
        identity: SinkIdentity | None,
        schema: pl.Schema | None = None,  # noqa: ARG002 - no rows, no files
    ) -> int | None:
        """Take over the hidden folder, finish what a crash interrupted, say the last epoch."""
        self._lasting = identity is not None
        self._identity = identity or SinkIdentity(f"run-{uuid.uuid4().hex}", 0)
        with self._translated():
            folder = HiddenFolder(
                self._output, self._identity.sink_id, self._step, durable=self._lasting
            )
            folder.create()
            with folder.locked():
                ledger = folder.load() or first_ledger(self._identity.token)
                record = take_over(ledger.recorded, self._identity, self._step)
                folder.move(ledger.moves)
                ledger = Ledger(
                    version=ledger.version + 1,
                    token=record.token,
                    epoch=ledger.epoch,
                    next_sequence=ledger.next_sequence,
                    parts=ledger.parts,
                )
                folder.commit(ledger)
                folder.sweep(ledger)
        self._folder = folder
        self._moved = ledger.version
        self._parts = ledger.parts
        return record.last

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        """Write ``frames`` and the epoch, all or nothing; an epoch already there is skipped.

        Without frames: file the parts that have been open for long enough, as of the last epoch.
        """
        frames = list(frames)
        if not frames and not self._any_expired(self._parts):
            return
        with self._translated():
            folder, ledger = self._current()
            with folder.locked():
                self._finish(folder, ledger)
            if not frames:
                epoch = ledger.epoch
            elif is_applied(ledger.recorded, epoch):
                return
            staging = Staging(folder, ledger, self._layout, epoch, self._clock())
            with self._discarded_on_error(staging):
                for frame in chunks(frames):
                    self._add(staging, frame)
                staging.file_expired()
                self._commit(folder, ledger, staging)

    def _any_expired(self, parts: tuple[OpenPart, ...]) -> bool:
        now = self._clock()
        return any(self._layout.rolling.expired(part.opened, now) for part in parts)

    def close(self) -> None:
        """File the rows that wait, and let go of the folder.

        Where a newer run has taken over, the rows that wait are its own.
        """
        if self._folder is None:
            return
        with self._translated(), contextlib.suppress(FencedError):
            folder, ledger = self._current()
            if ledger.parts:
                staging = Staging(folder, ledger, self._layout, ledger.epoch, self._clock())
                with self._discarded_on_error(staging):
                    staging.file_everything()
                    self._commit(folder, ledger, staging)
            if not self._lasting:
                folder.remove()
        self._folder = None

    def _current(self) -> tuple[HiddenFolder, Ledger]:
        if self._folder is None:
            raise ConnectorError("not begun, or closed already", step=self._step, fault=Fault.OURS)
        ledger = self._folder.load()
        if ledger is None:
            raise ConnectorError(
                f"the hidden folder {self._folder.path} has vanished",
                step=self._step,
                value=str(self._folder.path),
                fault=Fault.USER,
                hint="do not remove .penstock from an output folder in use",
            )
        refuse_fenced(ledger.recorded, self._identity, self._step)
        return self._folder, ledger

    def _add(self, staging: Staging, frame: pl.DataFrame) -> None:
        if WEIGHT in frame.columns:
            raise ConnectorError(
                "changes arrived, but files only take new rows",
                step=self._step,
                fault=Fault.USER,
                hint="emit('final') before the sink, or write to a table with a key",
            )
        if frame.schema != self._columns:
            staging.file_other_columns(frame.schema)
            self._columns = frame.schema
        staging.add(frame)

    def _commit(self, folder: HiddenFolder, base: Ledger, staging: Staging) -> None:
        ledger = staging.finish()
        with folder.locked():
            _, now = self._current()
            if now.version != base.version:
                raise FencedError(
                    f"another run wrote epoch {now.epoch} of {self._identity.sink_id!r}",
                    step=self._step,
                    value=self._identity.token,
                    fault=Fault.USER,
                )
            staging.may_be_committed = True  # from here on an error does not tell
            folder.commit(ledger)
            self._parts = ledger.parts
            self._finish(folder, ledger)
            folder.discard(staging.leftovers(ledger))

    def _finish(self, folder: HiddenFolder, ledger: Ledger) -> None:
        """Make the moves of the last commit, if an error kept them from being made."""
        if self._moved != ledger.version:
            folder.move(ledger.moves)
            self._moved = ledger.version

    @contextmanager
    def _discarded_on_error(self, staging: Staging) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._columns = None
            if not staging.may_be_committed:
                staging.discard()
            if isinstance(error, FileNotFoundError):
                self._current()  # says so if a newer run has tidied our files away
            raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pl.exceptions.PolarsError) as error:
            if os_error_number(error) is None:
                raise
            passing = os_error_passes(error)
            raise ConnectorError(
                f"the file system refused: {error}",
                step=self._step,
                value=getattr(error, "filename", None),
                fault=Fault.REMOTE if passing else Fault.USER,
                retry=passing,
                hint=None if passing else "the folder must exist and be writable",
            ) from error
