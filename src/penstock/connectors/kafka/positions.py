"""Where a Kafka source stands: ``{"topics": {name: id}, "at": [[topic, partition, next, stop]]}``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from penstock.connectors.contract import Position
from penstock.connectors.kafka.cluster import Place
from penstock.errors import ConnectorError, Fault


class Held(msgspec.Struct):
    """A decoded position; the order of ``at`` numbers the partitions."""

    topics: dict[str, str]
    at: list[tuple[str, int, int, int | None]]

    def offsets(self) -> dict[Place, int]:
        """Return the next offset of each partition."""
        return {Place(topic, number): offset for topic, number, offset, _ in self.at}

    def places(self) -> list[tuple[Place, int, int | None]]:
        """Return partitions with their next offset and stop."""
        return [(Place(topic, number), offset, stop) for topic, number, offset, stop in self.at]


def held_in(position: Position, step: str) -> Held:
    """Decode a position that ``encode`` made."""
    try:
        return msgspec.convert(position, Held)
    except msgspec.ValidationError as error:
        raise ConnectorError(
            f"this is no position of a Kafka source: {error}",
            step=step,
            fault=Fault.USER,
            hint="the checkpoint is of another source under the same name",
        ) from error


def encode(topics: Mapping[str, str], parts: Iterable[tuple[Place, int, int | None]]) -> Position:
    """Return a position as plain values."""
    at = [[place.topic, place.partition, offset, stop] for place, offset, stop in parts]
    return {"topics": dict(topics), "at": at}
