"""History that hands over to a live source, as one source."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from penstock.columns import WEIGHT
from penstock.connectors.contract import Source, SourceSpec, is_changelog
from penstock.connectors.probing import probed
from penstock.deferred import Deferred
from penstock.errors import ConfigError
from penstock.instants import is_event_time, unit_ns

if TYPE_CHECKING:
    from penstock.connectors.handover import source as going
else:
    going = Deferred("penstock.connectors.handover.source")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class HandoverSpec:
    """Reads ``history`` to its end, then ``live``, each row of the two once.

    Before ``at``, an instant of the event-time column ``on``, rows are those of ``history``, from
    then on those of ``live``. Without ``at`` the newest row of ``history`` decides: ``live`` goes on
    with what is newer. Rows without an instant and dead letters of both are passed on. Columns are
    those of ``live``; ``history`` has the same, in any order.

    ``live`` listens from the beginning, but is read when ``history`` has ended. It must bring again
    what came meanwhile: a topic, a broker, a followed file, or a socket with ``durable="folder"``.
    """

    history: SourceSpec
    live: SourceSpec
    on: str
    at: datetime | date | None = None

    def __post_init__(self) -> None:
        if not self.history.bounded:
            raise self._wrong(
                f"history must end, and {self.history.name} does not", "read finished files"
            )
        if not self.live.replayable:
            raise self._wrong(
                f"{self.live.name} cannot bring again what comes while history is read",
                'give it durable="folder", or write it into a topic and go on with that',
            )
        if is_changelog(self.history) or is_changelog(self.live):
            raise self._wrong("changes cannot be handed over", "hand over plain rows")
        self._check_columns()
        self.cut()

    def _check_columns(self) -> None:
        old, new = dict(self.history.schema), dict(self.live.schema)
        if old != new:
            differing = sorted(n for n in {*old, *new} if old.get(n) != new.get(n))
            raise self._wrong(
                f"column {differing[0]!r} is {old.get(differing[0], 'missing')} in history and "
                f"{new.get(differing[0], 'missing')} in what follows",
                "read both with one schema",
            )
        if self.on not in new or not is_event_time(new[self.on]):
            raise ConfigError(
                f"on={self.on!r} is not a Datetime or Date column",
                step=self.name,
                value=self.on,
                alternatives=[n for n, dtype in new.items() if is_event_time(dtype)],
            )

    def cut(self) -> int | None:
        """Return ``at`` in the units of the column."""
        at, dtype = self.at, self.schema[self.on]
        if at is None:
            return None
        if not isinstance(at, datetime):
            at = datetime(at.year, at.month, at.day, tzinfo=None if _naive(dtype) else UTC)
        if _naive(dtype) != (at.tzinfo is None):
            raise ConfigError(
                f"at={at} and column {self.on!r} ({dtype}) must both have a time zone, or neither",
                step=self.name,
                value=at,
            )
        since = at.replace(tzinfo=UTC) - _EPOCH if at.tzinfo is None else at - _EPOCH
        nanoseconds = since // timedelta(microseconds=1) * 1000
        return -(-nanoseconds // unit_ns(dtype))

    def _wrong(self, message: str, hint: str) -> ConfigError:
        return ConfigError(message, step=self.name, hint=hint)

    @property
    def name(self) -> str:
        """``HISTORY, then LIVE``."""
        return f"{self.history.name}, then {self.live.name}"

    @property
    def schema(self) -> pl.Schema:
        """Columns of the live source."""
        return pl.Schema({n: dtype for n, dtype in self.live.schema.items() if n != WEIGHT})

    @property
    def bounded(self) -> bool:
        """Whether the live source ends."""
        return self.live.bounded

    @property
    def replayable(self) -> bool:
        """Whether history can be sought too."""
        return self.history.replayable

    @property
    def partitioned(self) -> bool:
        """Whether one of the two is."""
        return self.history.partitioned or self.live.partitioned

    @property
    def frame_is_epoch(self) -> bool:
        """Whether one of the two says so."""
        return self.history.frame_is_epoch or self.live.frame_is_epoch

    def probe(self) -> str:
        """Probe both."""
        found = [probed(spec) for spec in (self.history, self.live)]
        return "; then ".join(each or "nothing outside" for each in found)

    def open(self) -> Source:
        """Open both, so that what is wrong with one is known before anything is read."""
        return going.HandoverSource(self)


def _naive(dtype: pl.DataType) -> bool:
    return not isinstance(dtype, pl.Datetime) or dtype.time_zone is None
