"""How a plan of a session gets its rows: from tables and views, and from what stands in the query."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from penstock.connectors.contract import OnePartition, Polled, Position, SourceSpec
from penstock.errors import ConnectorError, Fault, PlanError

_ROWS = 1 << 20
_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class RelationSpec:
    """A table or view as a source of a plan: the session hands over its rows and changes itself."""

    name: str
    schema: pl.Schema
    bounded: bool = False
    changelog: bool = True
    replayable: bool = True
    partitioned: bool = False
    frame_is_epoch: bool = True
    unique_keys: tuple[tuple[str, ...], ...] = ()

    def open(self) -> _NeverPolled:
        """Return a source that nobody polls."""
        return _NeverPolled(self.name)


class _NeverPolled(OnePartition):
    def __init__(self, name: str) -> None:
        self._name = name

    def seek(self, position: Position | None) -> None:
        """Do nothing."""

    def poll(self, max_rows: int, timeout_s: float) -> Polled:  # noqa: ARG002 - the contract
        """Refuse: a table changes by statements of its session, not by itself."""
        raise ConnectorError(
            f"table {self._name!r} lives in a session and cannot be read by a running query",
            step="sql",
            fault=Fault.USER,
            hint="use a materialized view of the session, or write the rows to a topic",
        )

    def acknowledge(self, position: Position) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def whole(spec: SourceSpec) -> list[tuple[int, pl.DataFrame]]:
    """Read a source to its end: VALUES, ``generate_series``, a frame, a file; by partition."""
    if not spec.bounded:
        raise PlanError(
            f"{spec.name} does not end, and a session cannot wait for it",
            step="sql",
            value=spec.name,
            hint="run it as a query of its own: ps.sql(...).sink_...",
        )
    source = spec.open()
    found = []
    try:
        source.seek(None)
        ended = False
        while not ended:
            polled = source.poll(_ROWS, _WAIT_S)
            found.append((polled.partition, polled.frame))
            ended = polled.ended
    finally:
        source.close()
    return found
