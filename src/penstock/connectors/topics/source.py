"""Live reading of a topic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
import polars as pl

from penstock.connectors.contract import Polled, Position
from penstock.connectors.decoding import Decoder
from penstock.connectors.record_rows import RecordRows
from penstock.errors import ConnectorError, Fault
from penstock.topics import Records, Topic

_READ_ROWS = 65_536
"""At least a whole stored batch, so that polls of few rows do not decode it again each time."""


class _Position(msgspec.Struct, omit_defaults=True):
    """What a position holds; see ``TopicSourceSpec``."""

    topic: str
    offsets: dict[str, int]
    turn: int = -1  # the partition that was served last
    stop: dict[str, int] | None = None


class TopicSource:
    """Hands over one partition's records per poll, taking the partitions in turn."""

    def __init__(
        self,
        topic: Topic,
        *,
        name: str,
        schema: pl.Schema,
        extra: tuple[str, ...],
        decoder: Decoder | None,
        partitions: tuple[int, ...] | None,
        start: Callable[[Topic], Mapping[int, int]],
        stops: bool,
        skips_trimmed: bool,
    ) -> None:
        self._topic = topic
        self._name = name
        self._schema = schema
        self._extra = extra
        self._decoder = decoder
        self._partitions = partitions or tuple(range(topic.partitions))
        self._start = start
        self._stops = stops
        self._skips_trimmed = skips_trimmed
        self._offsets: dict[int, int] = {}
        self._stop_at: dict[int, int] | None = None
        self._ahead: dict[int, Records] = {}  # read from the topic, not yet handed over
        self._turn = -1
        self._closed = False
        self._partition_lag: tuple[tuple[str, int], ...] = ()

    def seek(self, position: Position | None) -> None:
        """Begin at ``position``, or where the spec says."""
        self._ahead.clear()
        if position is None:
            self._turn = -1
            start = self._start(self._topic)
            self._offsets = {number: start[number] for number in self._partitions}
            ends = self._topic.end_offsets()
            self._stop_at = {n: ends[n] for n in self._partitions} if self._stops else None
            return
        held = msgspec.convert(position, _Position)
        if held.topic != self._topic.identity:
            raise ConnectorError(
                "the topic is not the one that the checkpoint was taken with",
                step=self._name,
                value=held.topic,
                fault=Fault.USER,
                hint="it was removed and created anew; start with a new checkpoint folder",
            )
        fresh = self._topic.start_offsets()
        self._turn = held.turn
        self._offsets = {n: held.offsets.get(str(n), fresh[n]) for n in self._partitions}
        stop = held.stop
        self._stop_at = None if stop is None else {int(n): offset for n, offset in stop.items()}

    def stop_at(self, position: Position) -> None:
        """End where ``position`` stands, partition by partition."""
        offsets = msgspec.convert(position, _Position).offsets
        self._stop_at = {n: offsets.get(str(n), self._offsets[n]) for n in self._partitions}

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        """Return the next records of the next partition that has any."""
        try:
            ends = self._ends()
            if not self._behind(ends) and not self._ended():
                self._topic.wait(self._offsets, timeout_s)
                ends = self._ends()
            behind = self._behind(ends)
            if not behind:
                self._partition_lag = tuple((str(number), 0) for number in self._offsets)
                empty = pl.DataFrame(schema=self._schema)
                return Polled(empty, self._position(), caught_up=True, ended=self._ended())
            return self._take(self._next_of(behind), ends, max_rows)
        except ConnectorError:
            if not self._closed:
                raise
            return Polled(pl.DataFrame(schema=self._schema), self._position())

    def lag(self) -> int | None:
        """Return the records that were there at the last poll and were not handed over by it."""
        return sum(rows for _, rows in self._partition_lag) if self._partition_lag else None

    def partition_lag(self) -> tuple[tuple[str, int], ...]:
        """Return the same for each partition."""
        return self._partition_lag

    def _ends(self) -> dict[int, int]:
        return self._topic.end_offsets() if self._stop_at is None else self._stop_at

    def _behind(self, ends: Mapping[int, int]) -> list[int]:
        return [number for number, offset in self._offsets.items() if offset < ends[number]]

    def _ended(self) -> bool:
        return self._stop_at is not None and not self._behind(self._stop_at)

    def _next_of(self, behind: list[int]) -> int:
        """Return the first of ``behind`` after the partition that was served last."""
        chosen = next((number for number in behind if number > self._turn), behind[0])
        self._turn = chosen
        return chosen

    def _take(self, partition: int, ends: Mapping[int, int], max_rows: int) -> Polled:
        records = self._records(partition, ends[partition], max_rows)
        self._offsets[partition] = records.next_offset
        self._partition_lag = tuple(
            (str(number), max(0, ends[number] - offset)) for number, offset in self._offsets.items()
        )
        frame, dead = self._rows(records)
        caught_up = not self._behind(ends)
        return Polled(
            frame,
            self._position(),
            partition=partition,
            dead=dead,
            caught_up=caught_up,
            ended=self._ended(),
        )

    def _records(self, partition: int, end: int, max_rows: int) -> Records:
        offset = self._offsets[partition]
        held = self._ahead.pop(partition, None)
        if held is None or held.offset != offset:
            held = self._read(partition, offset, max(max_rows, _READ_ROWS))
        count = min(max_rows, end - held.offset)
        if count < held.frame.height:
            rest = held.frame.slice(count)
            self._ahead[partition] = Records(partition, held.offset + count, rest)
            held = Records(partition, held.offset, held.frame.head(count))
        return held

    def _read(self, partition: int, offset: int, max_rows: int) -> Records:
        if self._skips_trimmed:
            offset = max(offset, self._topic.start_offsets()[partition])
        return self._topic.read(partition, offset, max_rows)

    def _rows(self, records: Records) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        if self._decoder is None:
            return _with_columns(records, self._extra).select(self._schema.names()), None
        rows = RecordRows(self._name, self._decoder, self._extra, tuple(self._schema), self._places)
        return rows.of(records.with_offsets())

    def _places(self, frame: pl.DataFrame) -> pl.Series:
        return frame.select(
            pl.format(f"{self._name}[{{}}]:{{}}", pl.col("partition"), pl.col("offset"))
        ).to_series()

    def _position(self) -> Position:
        stop = self._stop_at
        position = _Position(
            self._topic.identity,
            {str(number): offset for number, offset in self._offsets.items()},
            self._turn,
            None if stop is None else {str(number): end for number, end in stop.items()},
        )
        return msgspec.to_builtins(position)

    def partitions(self) -> Sequence[int]:
        """Return the partitions read, less those that have reached their stop."""
        stop = self._stop_at
        if stop is None:
            return self._partitions
        return tuple(n for n in self._partitions if self._offsets.get(n, 0) < stop[n])

    def acknowledge(self, position: Position) -> None:
        """Nothing to do: retention decides what a topic forgets."""

    def close(self) -> None:
        """Close the topic, which ends a waiting poll."""
        self._closed = True
        self._topic.close()


def _with_columns(records: Records, wanted: tuple[str, ...]) -> pl.DataFrame:
    """Add only the wanted ones of offset and partition: a typed topic may have such columns."""
    added = [name for name in ("offset", "partition") if name in wanted]
    if not added:
        return records.frame
    numbered = Records(records.partition, records.offset, records.frame.select(pl.first()))
    return records.frame.with_columns(numbered.with_offsets().get_column(name) for name in added)
