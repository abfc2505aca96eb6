"""Live writing into a topic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import polars as pl

from penstock.columns import WEIGHT
from penstock.connectors.contract import SinkIdentity
from penstock.errors import ConfigError
from penstock.topics import Durability, Retention, Topic


class TopicSink:
    """Appends each epoch in one transaction with its number and token; if immediate, without number."""

    def __init__(
        self,
        path: str,
        *,
        name: str,
        partition_by: tuple[str, ...],
        partitions: int,
        timestamp: str | None,
        retention: Retention | None,
        weight_column: str,
        durability: Durability,
        immediate: bool,
    ) -> None:
        self._path = path
        self._name = name
        self._partition_by = partition_by
        self._partitions = partitions
        self._timestamp = timestamp
        self._retention = retention
        self._weight_column = weight_column
        self._durability = durability
        self._immediate = immediate
        self._topic: Topic | None = None
        self._identity: SinkIdentity | None = None

    def begin(self, identity: SinkIdentity | None, schema: pl.Schema | None = None) -> int | None:
        """Open the topic, or create it if the columns are known, and shut out older runs."""
        self._identity = identity
        if Topic.exists(self._path):
            self._topic = Topic.open(self._path)
        elif schema is not None:
            self._topic = self._create(self._stored(schema.to_frame(), None))
        else:
            return None  # created by the first frame, which brings the columns
        if identity is None:
            return None
        last = self._topic.fence(identity.sink_id, identity.token)
        return None if self._immediate else last

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        """Append ``frames``, all or nothing; skip an epoch that is there.

        An immediate sink skips none: the epochs after the newest checkpoint come again after a crash,
        and may be cut otherwise then, so that one of the same number holds other rows.
        """
        iterator = iter(frames)
        first = next(iterator, None)
        if first is None:
            return
        topic, identity = self._topic, self._identity
        if topic is None:
            self._topic = topic = self._create(self._stored(first, None))
        stored = self._stored_frames(chain([first], iterator), topic)
        if identity is None:
            topic.append_all(stored, durability=self._durability)
            return
        if self._immediate:
            topic.append_fenced(
                identity.sink_id, identity.token, stored, durability=self._durability
            )
            return
        topic.append_once(
            identity.sink_id, epoch, identity.token, stored, durability=self._durability
        )

    def _create(self, frame: pl.DataFrame) -> Topic:
        changes = self._weight_column in frame.columns
        return Topic.ensure(
            self._path,
            partitions=1 if changes and not self._partition_by else self._partitions,
            schema=frame.schema,
            timestamp=self._timestamp,
            key=self._partition_by,
            retention=self._retention,
        )

    def _stored_frames(
        self, frames: Iterable[pl.DataFrame], topic: Topic
    ) -> Iterator[pl.DataFrame]:
        for frame in frames:
            yield self._stored(frame, topic)

    def _stored(self, frame: pl.DataFrame, topic: Topic | None) -> pl.DataFrame:
        """Rename the weight to the column that keeps it; a row without weight counts once."""
        name = self._weight_column
        if WEIGHT in frame.columns:
            if name != WEIGHT and name in frame.columns:
                raise ConfigError(
                    f"the stream has a column {name!r}, so its weight cannot be kept under it",
                    step=self._name,
                    value=name,
                    hint="give the sink another weight_column=",
                )
            if topic is not None and name not in topic.record_schema:
                raise ConfigError(
                    f"the topic has no column {name!r} for the weight of a changelog",
                    step=self._name,
                    value=name,
                    hint='write to a new topic, or emit final results: .emit("final")',
                )
            return frame.rename({WEIGHT: name})
        if topic is not None and name in topic.record_schema and name not in frame.columns:
            return frame.with_columns(pl.lit(1, pl.Int64).alias(name))
        return frame

    def close(self) -> None:
        """Close the topic."""
        if self._topic is not None:
            self._topic.close()
