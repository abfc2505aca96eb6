"""A live source that reads what its intake has kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from penstock.columns import PARTITION
from penstock.connectors.contract import (
    Polled,
    Position,
    Source,
    lag_of,
    lost_of,
    promise_acknowledgement,
)
from penstock.connectors.durable.intake import Intake, Note, as_position, read_note
from penstock.connectors.durable.shelf import Mark, Shelf
from penstock.errors import ConnectorError, Fault
from penstock.topics import Durability
from penstock.topics.journal import Journal, Kind, Offsets

if TYPE_CHECKING:
    from penstock.connectors.durable.config import DurableSpec


class _Position(msgspec.Struct):
    """What a position holds."""

    topic: str
    offsets: dict[str, int]


class DurableSource:
    """Hands over, in order, what the source within has brought and the journal holds."""

    def __init__(self, spec: DurableSpec) -> None:
        self._spec = spec
        self._stored = pl.Schema(spec.schema)
        if spec.partitioned:
            self._stored[PARTITION] = pl.UInt32()
        self._journal = Journal(Path(spec.folder or "."), self._stored)
        try:
            self._note: Note = read_note(self._journal.note())
            self.inner: Source | None = None if self._note.ended else spec.inner.open()
        except BaseException:
            self._journal.close()
            raise
        self._shelf = Shelf(self._journal, spec.max_bytes)
        self._acknowledged: deque[Offsets] = deque(maxlen=spec.kept_checkpoints)
        self._intake: Intake | None = None

    @property
    def lost(self) -> int:
        """What the source within counts as lost before it could be fetched."""
        return 0 if self.inner is None else lost_of(self.inner)

    def seek(self, position: Position | None) -> None:
        """Go on at the offsets of a checkpoint, else at the first row kept; then begin to listen."""
        offsets, ends = self._offsets(position), self._journal.ends()
        self._check_columns(offsets)
        after: frozenset[int] = frozenset()
        if self.inner is not None:
            promise_acknowledgement(self.inner)
            self.inner.seek(self._note.position)
            after = frozenset(self.inner.partitions())
        mark = Mark(
            ends[Kind.ROWS],
            ends[Kind.DEAD_LETTERS],
            self._journal.bytes_from(offsets),
            frozenset(self._note.partitions),
            after,
        )
        self._shelf.begin(offsets, ends, mark)
        if self.inner is None:
            self._shelf.tell(after, caught_up=True, ended=True)
            return
        self._intake = Intake(
            self.inner,
            self._journal,
            self._shelf,
            name=self._spec.name,
            schema=self._stored,
            carries_partition=self._spec.partitioned,
            durability=Durability[self._spec.sync.name],
            note=self._note,
        )
        self._intake.start()

    def _offsets(self, position: Position | None) -> Offsets:
        starts, ends = self._journal.starts(), self._journal.ends()
        if position is None:  # a new checkpoint, perhaps in place of one that was thrown away
            read = self._note.acknowledged
            return {kind: max(starts[kind], read.get(kind, 0)) for kind in Kind}
        try:
            held = msgspec.convert(position, _Position)
        except msgspec.ValidationError as error:
            if starts == ends:  # of a checkpoint from before the source went through a topic
                return starts
            raise self._refused(
                "the checkpoint was taken without this topic, which holds rows",
                "they came before that checkpoint or after it; remove the folder to forget them",
            ) from error
        if held.topic != self._journal.identity:
            raise self._refused(
                "the topic is not the one that the checkpoint was taken with",
                "it was removed and created anew; start with a new checkpoint folder",
            )
        offsets = {kind: held.offsets.get(str(int(kind)), 0) for kind in Kind}
        if any(offsets[kind] < starts[kind] for kind in Kind):
            raise self._refused(
                "the topic has forgotten what this checkpoint goes on with",
                f"only the newest {self._spec.kept_checkpoints} checkpoints can be resumed from",
            )
        if any(offsets[kind] > ends[kind] for kind in Kind):
            raise self._refused(
                "the topic ends before the point where this checkpoint goes on",
                "its folder was restored from an older copy; start with a new checkpoint folder",
            )
        return offsets

    def _check_columns(self, offsets: Offsets) -> None:
        """Refuse rows that wait in the columns of an earlier program."""
        for found in self._journal.schemas_from(offsets[Kind.ROWS]):
            if found != self._stored:
                raise self._refused(
                    f"rows wait in it with the columns {dict(found)}, the source has "
                    f"{dict(self._stored)}",
                    "run the earlier program with drain() first, or remove the folder to lose them",
                )

    def _refused(self, message: str, hint: str) -> ConnectorError:
        return ConnectorError(
            message, step=self._spec.name, value=self._spec.folder, fault=Fault.USER, hint=hint
        )

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        """Return what was kept and not handed over yet, of one partition."""
        try:
            self._shelf.wait(timeout_s)
            dead = self._shelf.take(Kind.DEAD_LETTERS, max(1, max_rows // 2))
            rows, partition = self._rows(max_rows - sum(frame.height for frame in dead))
            self._shelf.pass_marks()
        except ConnectorError:
            if not self._shelf.closed:
                raise
            dead, rows, partition = [], pl.DataFrame(schema=self._spec.schema), 0
        return Polled(
            rows,
            as_position(self._journal.identity, self._shelf.offsets),
            partition=partition,
            dead=pl.concat(dead) if dead else None,
            caught_up=self._shelf.caught_up,
            ended=self._shelf.ended,
        )

    def _rows(self, wanted: int) -> tuple[pl.DataFrame, int]:
        frames = self._shelf.take(Kind.ROWS, wanted)
        if not frames:
            return pl.DataFrame(schema=self._spec.schema), 0
        rows = frames[0] if len(frames) == 1 else pl.concat(frames)
        if not self._spec.partitioned:
            return rows, 0
        numbers = rows[PARTITION]
        partition = int(numbers[0])
        run = int((numbers != partition).arg_max() or 0) or rows.height
        if run < rows.height:
            self._shelf.put_back(rows.slice(run))
        return rows.head(run).drop(PARTITION), partition

    def partitions(self) -> Sequence[int]:
        """Return those of the source within, as of the rows handed over."""
        return tuple(self._shelf.partitions())

    def acknowledge(self, position: Position) -> None:
        """Let the topic forget what the checkpoints that are kept all cover."""
        held = msgspec.convert(position, _Position)
        self._acknowledged.append({kind: held.offsets.get(str(int(kind)), 0) for kind in Kind})
        if self._intake is not None:
            full = len(self._acknowledged) == self._acknowledged.maxlen
            oldest = self._acknowledged[0] if full else {}
            self._intake.forget(oldest, self._acknowledged[-1])

    def lag(self) -> int | None:
        """Return what was kept and not handed over, and what the source within knows of."""
        waiting = None if self.inner is None else lag_of(self.inner)
        return self._shelf.unread + (waiting or 0)

    def close(self) -> None:
        """Stop listening, keep what was read already, and let others have the folder."""
        self._shelf.close()
        if self._intake is not None:
            self._intake.stop()
        elif self.inner is not None:
            self.inner.close()
        self._journal.close()
