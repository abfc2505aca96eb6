"""What a live Kafka source is told: everything of its spec, with rows and columns settled."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import polars as pl

from penstock.connectors.decoding import Decoder
from penstock.connectors.kafka.cluster import Start
from penstock.connectors.kafka.connection import Connection
from penstock.connectors.record_rows import RecordRows


class OnLost(enum.Enum):
    """What to do when the broker has deleted messages that were still to be read."""

    FAIL = "fail"
    SKIP = "skip"


class Tombstones(enum.Enum):
    """What a message without value is, where a format is to decode it."""

    DEAD_LETTER = "dead letter"
    SKIP = "skip"
    ROW = "row"
    """A row whose decoded columns are null; its key tells what was deleted."""


@dataclass(frozen=True, slots=True)
class Reading:
    """See ``KafkaSourceSpec``."""

    step: str
    connection: Connection
    topics: tuple[str, ...]
    schema: pl.Schema
    decoder: Decoder | None
    extra: tuple[str, ...]
    start: Start
    stops: bool
    on_lost: OnLost
    tombstones: Tombstones
    isolation: str
    group: str | None
    discover_s: float

    def rows(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """Return rows and dead letters of messages."""
        if self.decoder is None:
            return frame.select(self.schema.names()), None
        if self.tombstones is Tombstones.SKIP:
            frame = frame.filter(pl.col("value").is_not_null())
        rows = RecordRows(
            self.step,
            self.decoder,
            self.extra,
            tuple(self.schema),
            places,
            keeps_null=self.tombstones is Tombstones.ROW,
        )
        return rows.of(frame)


def places(frame: pl.DataFrame) -> pl.Series:
    """Return ``kafka TOPIC[partition]:offset`` of each message."""
    where = pl.format("kafka {}[{}]:{}", "topic", "partition", "offset")
    return frame.select(where).to_series()
