"""One epoch of a file sink in the making: cut rows into files and pieces, all in the hidden folder.

Per partition folder, before -> after, with ``roll_rows=3``::

    waiting a b | new c d e f g   ->   file(a b c)  file(d e f)  waiting g
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import polars as pl

from penstock.connectors.file_sink.folder import HiddenFolder
from penstock.connectors.file_sink.formats import FileFormat, extension, write
from penstock.connectors.file_sink.ledger import Ledger, Move, OpenPart, Slice
from penstock.connectors.file_sink.partitions import by_folder
from penstock.connectors.file_sink.rolling import Rolling

_MOST_PIECES = 64
"""Pieces are one per epoch; beyond this they are merged, so the ledger stays small."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How rows become files."""

    format: FileFormat
    compression: str
    partition_by: tuple[str, ...]
    rolling: Rolling
    step: str


class Staging:
    """What one epoch adds to ``base``; nothing of it counts until its ledger is committed."""

    def __init__(
        self, folder: HiddenFolder, base: Ledger, layout: Layout, epoch: int, now: float
    ) -> None:
        self._folder = folder
        self._base = base
        self._layout = layout
        self._epoch = epoch
        self._now = now
        self._parts = {part.folder: part for part in base.parts}
        self._moves: list[Move] = []
        self._sequence = base.next_sequence if epoch == base.epoch else 0
        self._pieces: set[str] = set()
        self.may_be_committed = False

    def add(self, frame: pl.DataFrame) -> None:
        """Put the rows of ``frame`` into full files, and what is left into one piece."""
        if frame.is_empty():
            return
        row_bytes = frame.estimated_size() / frame.height  # of a part it would count shared buffers
        waiting: list[tuple[OpenPart, pl.DataFrame]] = []
        for name, rows in by_folder(frame, self._layout.partition_by, self._layout.step):
            left = self._fill(name, rows, row_bytes)
            if left.height:
                part = self._parts.get(name) or OpenPart(name, 0, 0, self._now, ())
                waiting.append((part.grown(left.height, int(left.height * row_bytes)), left))
        self._wait(waiting)

    def file_other_columns(self, columns: pl.Schema) -> None:
        """File what waits with other columns: the pipeline was changed between two runs."""
        inside = {name: t for name, t in columns.items() if name not in self._layout.partition_by}
        by_piece = {part.slices[0].piece: False for part in self._parts.values()}
        for piece in by_piece:
            by_piece[piece] = pl.read_ipc_schema(self._folder.path / piece) != inside
        self._file([part for part in self._parts.values() if by_piece[part.slices[0].piece]])

    def file_expired(self) -> None:
        """File every part that has been open for long enough."""
        rolling = self._layout.rolling
        self._file([p for p in self._parts.values() if rolling.expired(p.opened, self._now)])

    def file_everything(self) -> None:
        """File every open part."""
        self._file(list(self._parts.values()))

    def finish(self) -> Ledger:
        """Return the ledger to commit; all it names is on disk."""
        self._merge_pieces()
        return Ledger(
            version=self._base.version + 1,
            token=self._base.token,
            epoch=self._epoch,
            next_sequence=self._sequence,
            parts=tuple(self._parts.values()),
            moves=tuple(self._moves),
        )

    def leftovers(self, ledger: Ledger) -> set[str]:
        """Return the pieces that ``ledger`` no longer needs."""
        return (self._base.pieces | self._pieces) - ledger.pieces

    def discard(self) -> None:
        """Remove everything this epoch wrote, after an error."""
        self._folder.discard({*self._pieces, *(move.staged for move in self._moves)})

    def _fill(self, name: str, rows: pl.DataFrame, row_bytes: float) -> pl.DataFrame:
        """Write as many full files as there are rows for; return the rows that must wait."""
        part = self._parts.get(name) or OpenPart(name, 0, 0, self._now, ())
        total = part.rows + rows.height
        size = part.bytes + int(rows.height * row_bytes)
        limit = self._layout.rolling.rows_per_file(total, size)
        if limit is None:
            return rows
        if part.slices:
            rows = pl.concat([*self._read(part), rows])
            del self._parts[name]
        whole = total // limit * limit
        for start in range(0, whole, limit):
            self._write_file(name, rows.slice(start, limit))
        return rows.slice(whole)

    def _wait(self, waiting: list[tuple[OpenPart, pl.DataFrame]]) -> None:
        """Write rows into one piece, and note which of them belong to which part."""
        if not waiting:
            return
        piece = f"{uuid.uuid4().hex}.piece"
        path = self._folder.path / piece
        self._pieces.add(piece)
        pl.concat([rows for _, rows in waiting]).write_ipc(path)
        self._folder.sync_file(path)
        start = 0
        for part, rows in waiting:
            slices = (*part.slices, Slice(piece, start, rows.height))
            self._parts[part.folder] = msgspec.structs.replace(part, slices=slices)
            start += rows.height

    def _file(self, parts: list[OpenPart]) -> None:
        for part in parts:
            self._write_file(part.folder, pl.concat(self._read(part)))
            del self._parts[part.folder]

    def _write_file(self, name: str, rows: pl.DataFrame) -> None:
        layout = self._layout
        staged = f"{uuid.uuid4().hex}.staged"
        end = extension(layout.format, layout.compression)
        self._moves.append(Move(staged, name, max(self._epoch, 0), self._sequence, end))
        self._sequence += 1
        path = self._folder.path / staged
        write(rows, path, layout.format, layout.compression)
        self._folder.sync_file(path)

    def _read(self, part: OpenPart) -> Iterator[pl.DataFrame]:
        for each in part.slices:
            piece = pl.scan_ipc(self._folder.path / each.piece)
            yield piece.slice(each.start, each.rows).collect()

    def _merge_pieces(self) -> None:
        """Keep the number of pieces low; all of them have the same columns by now."""
        pieces = {each.piece for part in self._parts.values() for each in part.slices}
        if len(pieces) > _MOST_PIECES:
            parts = list(self._parts.values())
            self._wait([(p.emptied(), pl.concat(self._read(p))) for p in parts])
