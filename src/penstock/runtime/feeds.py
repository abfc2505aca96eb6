"""Feeds: one thread per source, reading ahead into a bounded queue."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence

from penstock.connectors.contract import (
    Polled,
    Position,
    Source,
    SourceSpec,
    StoppingSource,
    lag_of,
    lost_of,
    partition_lag_of,
    share_of,
)
from penstock.failures import system_refused
from penstock.runtime.executor import Fed, SourceState

POLL_TIMEOUT_S = 0.25
"""Longest wait in a poll: bounds how long a quiet source takes to notice a stop."""

POLL_ROWS = 65_536
"""Rows asked for in one poll: large enough for columnar speed, small enough for the cache."""

AHEAD = 8
"""Epochs of a given size read ahead: with 4 light queries over Parquet are slower by about 5 %, far
more take memory."""


class Feed:
    """Reads one source ahead, at most ``limit`` rows, and hands over one epoch at a time."""

    def __init__(
        self,
        spec: SourceSpec,
        *,
        wake: threading.Condition,
        limit_rows: int,
        epoch_rows: int | None = None,
    ) -> None:
        self.spec = spec
        self.error: BaseException | None = None
        self.queued_rows = 0
        self._wake = wake
        self._limit = limit_rows if epoch_rows is None else min(limit_rows, AHEAD * epoch_rows)
        self._epoch_rows = epoch_rows
        self._source: Source = spec.open()
        self._queue: deque[Fed] = deque()
        self._partial = Fed([], None, [], ())
        self._partitions: tuple[int, ...] = ()
        self._stopping = False
        self._draining = False
        self._caught_up = False
        self._read_all = False
        self._room = threading.Condition()
        self._thread = threading.Thread(target=self._read, name=f"source {spec.name}", daemon=True)

    def replay(self, position: Position, rows: int, max_rows: int) -> Iterator[Fed]:
        """Read the ``rows`` rows before ``position`` again, in pieces, before ``start``.

        Ends early if there are fewer. The last piece ends at ``position``, if the source still has
        the same rows. Partitions go on from there, so those that are read up to it still hold time
        back.
        """
        self._source.seek(None)
        partitions = tuple(self._source.partitions())
        if isinstance(self._source, StoppingSource):
            self._source.stop_at(position)
        while rows > 0:
            polled = self._source.poll(min(rows, max_rows), POLL_TIMEOUT_S)
            partitions = tuple(dict.fromkeys([*partitions, *self._source.partitions()]))
            fed = _fed(polled, partitions)
            rows -= fed.rows
            if fed.rows:
                yield fed
            elif polled.ended or polled.caught_up:
                return

    def start(self, position: Position | None) -> None:
        """Seek and begin to read."""
        self._source.seek(position)
        self._partitions = tuple(self._source.partitions())
        self._thread.start()

    @property
    def started(self) -> bool:
        """Whether reading has begun."""
        return self._thread.ident is not None

    @property
    def fixed(self) -> bool:
        """Whether epochs are cut by the source or ``epoch_rows``, not by what has arrived."""
        return self.spec.frame_is_epoch or self._epoch_rows is not None

    @property
    def ready(self) -> bool:
        """Whether an epoch's rows are there."""
        return bool(self._queue)

    @property
    def lag_rows(self) -> int | None:
        """Rows that are there and wait, in the queue or in the source; None if that is unknown."""
        lag = lag_of(self._source)
        return None if lag is None else self.queued_rows + lag

    @property
    def full(self) -> bool:
        """Whether it has read ahead as far as it may, so that the source waits for the engine."""
        return self.queued_rows >= self._limit

    @property
    def partition_lag(self) -> tuple[tuple[str, int], ...]:
        """The rows that wait in each partition of the source, where it can tell."""
        return partition_lag_of(self._source)

    @property
    def share_read(self) -> float | None:
        """How much of a source that ends was read, from 0 to 1; None if that is unknown."""
        return 1.0 if self._read_all else share_of(self._source)

    @property
    def lost_rows(self) -> int:
        """Messages that were lost before the source could fetch them, as far as it knows."""
        return lost_of(self._source)

    @property
    def caught_up(self) -> bool:
        """Whether nothing more is there at this moment."""
        return self._caught_up and not self._queue

    def state(self, *, held: bool) -> SourceState:
        """Return what operators may know of the source; ``held``: it is not being read."""
        return SourceState(self._partitions, self.caught_up, self.ended, held)

    @property
    def ended(self) -> bool:
        """Whether everything was handed over and nothing will come."""
        return self._read_all and not self._queue

    def take(self, max_rows: int) -> Fed | None:
        """Take the rows of one epoch off the queue."""
        with self._room:
            if not self._queue:
                return None
            parts = [self._queue.popleft()]
            rows = parts[0].rows
            while self._queue and not self.fixed and rows < max_rows:
                parts.append(self._queue.popleft())
                rows += parts[-1].rows
            taken = _joined(parts)
            self.queued_rows -= rows
            self._partitions = taken.partitions
            self._room.notify()
        return taken

    def acknowledge(self, position: Position) -> None:
        """Tell the source that everything up to ``position`` is durable."""
        self._source.acknowledge(position)

    def drain(self) -> None:
        """End as a bounded source does, after what is there now: at the first poll without rows."""
        self._draining = True

    def stop(self) -> None:
        """End the reading thread and close the source."""
        with self._room:
            self._stopping = True
            self._room.notify()
        self._source.close()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _read(self) -> None:
        try:
            while not self._stopping and not self._read_all:
                self._poll_once()
        except OSError as error:
            self._fail(system_refused(error, self.spec.name))
        except BaseException as error:  # noqa: BLE001 - carried to the engine's thread
            self._fail(error)
        finally:
            with self._wake:
                self._wake.notify()

    def _fail(self, error: BaseException) -> None:
        if not self._stopping:
            self.error = error

    def _poll_once(self) -> None:
        with self._room:
            while self.queued_rows >= self._limit and not self._stopping:
                self._room.wait()
        if self._stopping:
            return
        wanted = self._epoch_rows - self._partial.rows if self._epoch_rows else POLL_ROWS
        draining = self._draining  # before the poll: rows may arrive while it returns with nothing
        polled = self._source.poll(wanted, POLL_TIMEOUT_S)
        fed = _fed(polled, tuple(self._source.partitions()))
        ended = polled.ended or (draining and not fed.rows)
        if self._epoch_rows:
            self._gather(fed, self._epoch_rows, ended=ended)
        elif fed.rows or (self.spec.frame_is_epoch and not polled.ended and not polled.caught_up):
            self._offer(fed)
        if ended or polled.caught_up != self._caught_up:
            with self._wake:
                self._read_all = ended
                self._caught_up = polled.caught_up
                self._wake.notify()

    def _gather(self, fed: Fed, epoch_rows: int, *, ended: bool) -> None:
        """Collect polls until they make exactly ``epoch_rows``, or the source ends."""
        self._partial = _joined([self._partial, fed])
        if self._partial.rows >= epoch_rows or (ended and self._partial.rows):
            self._offer(self._partial)
            self._partial = Fed([], None, [], ())

    def _offer(self, fed: Fed) -> None:
        with self._room:
            self._queue.append(fed)
            self.queued_rows += fed.rows
        with self._wake:
            self._wake.notify()


def _fed(polled: Polled, partitions: tuple[int, ...]) -> Fed:
    frames = [(polled.partition, polled.frame)] if polled.frame.height else []
    dead = [polled.dead] if polled.dead is not None and polled.dead.height else []
    return Fed(frames, polled.position, dead, partitions)


def _joined(parts: Sequence[Fed]) -> Fed:
    """Put what was polled one after another together; all at once, as there may be 100,000 polls."""
    if len(parts) == 1:
        return parts[0]
    frames = [frame for part in parts for frame in part.frames]
    dead = [frame for part in parts for frame in part.dead]
    last = parts[-1]
    return Fed(frames, last.position, dead, last.partitions, parts[0].arrived)
