"""Which rows of an append go to which partition, in the columns the topic stores."""

from __future__ import annotations

import itertools
import os
from datetime import UTC, datetime

import polars as pl

from penstock.topics.partitioning import partition_of
from penstock.topics.records import raw_records, typed_records
from penstock.topics.settings import Settings

_PARTITION = "_penstock_partition"


class Router:
    """Checks frames against the topic and cuts them by partition."""

    def __init__(self, settings: Settings, schema: pl.Schema | None) -> None:
        self._partitions = settings.partitions
        self._keys = settings.key
        self._schema = schema
        self._turns = itertools.count(os.getpid())  # keyless rows of two processes do not collide

    def route(self, frame: pl.DataFrame, partition: int | None) -> list[tuple[int, pl.DataFrame]]:
        """Return the pieces of ``frame``, in the order of their partitions."""
        frame = self._stored(frame)
        if partition is not None:
            return [(partition, frame)]
        turn = next(self._turns) % self._partitions
        if self._partitions == 1 or not self._has_keys(frame):
            return [(turn, frame)]
        numbers, keyless = partition_of(frame, self._keys, self._partitions)
        numbers[keyless] = turn
        split = frame.hstack([pl.Series(_PARTITION, numbers)]).partition_by(
            _PARTITION, as_dict=True, include_key=False, maintain_order=True
        )
        return [(int(number), piece) for (number,), piece in sorted(split.items(), key=_number)]

    def _stored(self, frame: pl.DataFrame) -> pl.DataFrame:
        if self._schema is None:
            return raw_records(frame, datetime.now(UTC))
        return typed_records(frame, self._schema)

    def _has_keys(self, frame: pl.DataFrame) -> bool:
        return any(frame[name].null_count() < frame.height for name in self._keys)


def _number(item: tuple[tuple[object, ...], pl.DataFrame]) -> int:
    return int(str(item[0][0]))
