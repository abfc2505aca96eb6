"""Messages of one partition as columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import polars as pl

from penstock.connectors.kafka.cluster import Place

if TYPE_CHECKING:
    from confluent_kafka import Message

INSTANT = pl.Datetime("us", "UTC")
HEADERS = pl.List(pl.Struct({"name": pl.String(), "value": pl.Binary()}))
COLUMNS = pl.Schema(
    {
        "key": pl.Binary(),
        "value": pl.Binary(),
        "timestamp": INSTANT,
        "headers": HEADERS,
        "topic": pl.String(),
        "offset": pl.Int64(),
        "partition": pl.UInt32(),
    }
)


@dataclass(frozen=True, slots=True)
class Messages:
    """Consecutive messages of one partition, not always of consecutive offsets."""

    columns: pl.DataFrame

    @classmethod
    def of(cls, messages: Sequence[Message], wanted: Iterable[str]) -> Messages:
        """Take ``value``, ``offset`` and the wanted ones of key, timestamp and headers."""
        kind = type(messages[0])  # methods of the class are mapped without a Python call each
        columns = {
            "value": pl.Series(list(map(kind.value, messages)), dtype=pl.Binary()),
            "offset": _offsets(messages),
        }
        if "key" in wanted:
            columns["key"] = pl.Series(list(map(kind.key, messages)), dtype=pl.Binary())
        if "timestamp" in wanted:
            columns["timestamp"] = _instants(messages)
        if "headers" in wanted:
            columns["headers"] = _headers(messages)
        return cls(pl.DataFrame(columns))

    @property
    def height(self) -> int:
        """How many there are."""
        return self.columns.height

    @property
    def next_offset(self) -> int | None:
        """The offset after the last; None if there are none."""
        return self.columns["offset"][-1] + 1 if self.columns.height else None

    def before(self, offset: int) -> Messages:
        """Return those before an offset."""
        if not self.height or self.columns["offset"][-1] < offset:
            return self
        return replace(self, columns=self.columns.filter(pl.col("offset") < offset))

    def head(self, count: int) -> Messages:
        """Return the first ones."""
        return replace(self, columns=self.columns.head(count))

    def after(self, count: int) -> Messages:
        """Return those behind the first ones."""
        return replace(self, columns=self.columns.slice(count))

    def frame(self, place: Place) -> pl.DataFrame:
        """Return all columns that are there, with topic and partition."""
        return self.columns.with_columns(
            topic=pl.lit(place.topic), partition=pl.lit(place.partition, pl.UInt32())
        )


class Gathered:
    """Messages by partition, of each in order."""

    def __init__(self, wanted: tuple[str, ...]) -> None:
        self._wanted = wanted
        self._found: dict[Place, list[pl.DataFrame]] = {}
        self.count = 0

    def add(self, messages: Sequence[Message]) -> None:
        """Take good messages of any partitions."""
        for run in _runs(messages):
            place = Place(run[0].topic() or "", run[0].partition() or 0)
            columns = Messages.of(run, self._wanted).columns
            self._found.setdefault(place, []).append(columns)
        self.count += len(messages)

    def by_partition(self) -> Iterator[tuple[Place, Messages]]:
        """Return what was gathered of each."""
        for place, frames in self._found.items():
            yield place, Messages(pl.concat(frames))


def _runs(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Cut messages where the partition changes. Mostly it does not, or seldom."""
    kind = type(messages[0])
    for read in (kind.partition, kind.topic):
        values = list(map(read, messages))
        if values.count(values[0]) < len(values):
            break
    else:
        yield messages
        return
    for _, same in groupby(messages, kind.partition):
        for _, run in groupby(same, kind.topic):
            yield list(run)


def _offsets(messages: Sequence[Message]) -> pl.Series:
    """The offsets of a partition only go up, so those between are known if none is left out."""
    first, last = messages[0].offset() or 0, messages[-1].offset() or 0
    if last - first == len(messages) - 1:
        return pl.int_range(first, last + 1, dtype=pl.Int64(), eager=True)
    return pl.Series([message.offset() for message in messages], dtype=pl.Int64())


def _instants(messages: Sequence[Message]) -> pl.Series:
    """``(kind, ms)`` of each; kind 0 says that there is none."""
    kinds, millis = zip(*map(type(messages[0]).timestamp, messages), strict=True)
    found = pl.Series(millis, dtype=pl.Int64())
    if not min(kinds):
        found = found.set(pl.Series(kinds, dtype=pl.Int64()) == 0, None)
    return (found * 1000).cast(INSTANT)


def _headers(messages: Sequence[Message]) -> pl.Series:
    rows = [
        None
        if (given := m.headers()) is None
        else [{"name": each[0], "value": each[1]} for each in given]
        for m in messages
    ]
    return pl.Series(rows, dtype=HEADERS)
