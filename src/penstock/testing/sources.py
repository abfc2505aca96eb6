"""``check_source``: hold a source against its contract (``penstock/connectors/contract.py``).

The rules are checked in this order, each on sources opened anew:

1. the spec is frozen, comparable, shows no secret, and describes rows that a plan can take
2. a whole reading: frames, row limits, positions, partitions, the end
3. the same rows in the same order however small the polls are
4. every position ever returned can be sought, after a trip through JSON (replayable sources)
5. acknowledgements at any time, twice, and from another thread change nothing
6. time-outs are honoured, and ``close`` from another thread ends a waiting poll
"""

from __future__ import annotations

import contextlib
import copy
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import polars as pl

from penstock.columns import WEIGHT, is_reserved
from penstock.connectors.contract import Polled, Position, Source, SourceSpec, is_changelog
from penstock.testing.contracts import Contract, is_frozen, plain, shown
from penstock.testing.reading import Reader, Reading, brought

_MOST_POSITIONS = 24
"""Positions sought in one check, spread over all that were returned."""

Feed = Callable[[Source], contextlib.AbstractContextManager[object]]


def check_source(
    make: Callable[[], SourceSpec],
    *,
    rows: int | None = None,
    feed: Feed | None = None,
    expected: pl.DataFrame | None = None,
    secrets: Sequence[str] = (),
    exclusive: bool = False,
    patience: timedelta = timedelta(seconds=20),
) -> None:
    """Check that a source keeps the contract; raise ``ContractBroken``, which names the rule.

    ``make`` returns a new spec of the same data each time. ``rows`` says how many rows (good and
    dead) are there to read, of a source that does not end by itself. ``feed`` is entered with each
    source that was opened, and brings the rows of one that only listens. ``expected`` are the good
    rows, in any order; ``secrets`` are texts that no name or ``repr`` may show. ``exclusive``: while
    one is open no other can be.

    >>> import polars as pl
    >>> from penstock.connectors.batches.config import BatchesSpec
    >>> from penstock.testing import check_source
    >>> frames = [pl.DataFrame({"n": [1, 2]}), pl.DataFrame({"n": [3]})]
    >>> check_source(lambda: BatchesSpec(frames), expected=pl.DataFrame({"n": [1, 2, 3]}))
    """
    check = _SourceCheck(make, rows, feed, patience.total_seconds())
    check.spec(secrets)
    whole = check.whole(expected)
    if check.repeats:
        for max_rows in (1, 3):
            check.small_polls(whole, max_rows)
    if check.replays:
        check.seeking(whole)
        if not exclusive:
            check.beside_each_other(whole)
    if check.repeats:
        check.acknowledging(whole)
    check.closing()


class _SourceCheck:
    def __init__(
        self,
        make: Callable[[], SourceSpec],
        rows: int | None,
        feed: Feed | None,
        patience_s: float,
    ) -> None:
        self._make = make
        self._rows = rows
        self._feed = feed
        self._patience_s = patience_s
        described = make()
        self._contract = Contract(f"source {getattr(described, 'name', described)!s}")
        self._contract.require(
            isinstance(described, SourceSpec),
            "a spec has name, schema, bounded, replayable, partitioned, frame_is_epoch and open()",
            f"{type(described).__name__} lacks some of them",
        )
        self._contract.require(
            described.bounded or rows is not None,
            "check_source(..., rows=n) says how many rows to wait for where a source does not end",
            "rows= is missing",
        )
        self.replays = described.replayable
        self.repeats = described.replayable or feed is not None

    def spec(self, secrets: Sequence[str]) -> None:
        require, spec, other = self._contract.require, self._make(), self._make()
        require(spec.name.strip(), "a spec has a name", "the name is empty")
        for secret in secrets:
            for text in (spec.name, repr(spec), str(spec)):
                require(secret not in text, "neither name nor repr shows a secret", "one is shown")
        require(is_frozen(spec), "a spec is frozen: no attribute can be set", "one could be")
        by_identity = type(spec).__eq__ is object.__eq__
        require(
            by_identity or spec == other,
            "two specs made alike are equal",
            f"{spec!r} != {other!r}",
        )
        require(spec == spec, "a spec equals itself", "it does not")
        schema, changes = spec.schema, is_changelog(spec)
        require(isinstance(schema, pl.Schema), "schema is a polars.Schema", f"{type(schema)}")
        require(schema == spec.schema, "schema is the same each time", "it changed")
        own = [n for n in schema if is_reserved(n) and not (changes and n == WEIGHT)]
        require(not own, "no column begins with _penstock_ or is _weight", f"columns {own}")
        require(
            not changes or (schema.names()[-1:] == [WEIGHT] and schema[WEIGHT] == pl.Int64),
            "a source of changes has _weight (Int64) as last column",
            f"columns {schema.names()}",
        )

    def whole(self, expected: pl.DataFrame | None) -> Reading:
        """Read everything in large polls; look at what follows the end."""
        with self._opened(None) as reader:
            found = self._read(reader, 1 << 16)
            if found.ended:
                self._after_the_end(reader, found)
            else:
                self._nothing_more(reader)
        if expected is not None:
            rows = [row for part in found.good.values() for row in part]
            wanted = [tuple(map(plain, row)) for row in expected.rows()]
            self._contract.require(
                sorted(map(repr, rows)) == sorted(map(repr, wanted)),
                "it brings the rows that are expected",
                f"{shown(rows)} instead of {shown(wanted)}",
            )
        return found

    def small_polls(self, whole: Reading, max_rows: int) -> None:
        with self._opened(None) as reader:
            found = self._read(reader, max_rows)
        self._same(found, whole, Reading(), f"read from the beginning by poll({max_rows}, ...)")

    def acknowledging(self, whole: Reading) -> None:
        """Acknowledge before anything came, after each poll, twice, and from another thread."""
        with self._opened(None) as reader:
            source = reader.source

            def acknowledge(polled: Polled) -> None:
                kept = copy.deepcopy(polled.position)
                source.acknowledge(polled.position)
                other = threading.Thread(target=source.acknowledge, args=(polled.position,))
                other.start()
                other.join(self._patience_s)
                self._contract.require(
                    polled.position == kept,
                    "a position that was returned does not change any more",
                    f"{kept!r} became {polled.position!r}",
                )

            found = reader.until(self._complete, 2, self._patience_s, acknowledge)
        self._same(found, whole, Reading(), "read with an acknowledgement after each poll")

    def seeking(self, whole: Reading) -> None:
        """Seek to positions of a reading in small polls, in sources opened anew."""
        for max_rows in (2, 1 << 16):
            befores: list[tuple[Position, Reading]] = []
            so_far, polls = Reading(), list[Polled]()
            with self._opened(None) as reader:
                reader.until(self._complete, max_rows, self._patience_s, polls.append)
            for polled in polls:
                so_far.add(polled)
                befores.append((polled.position, copy.deepcopy(so_far)))
            step = max(1, len(befores) // _MOST_POSITIONS)
            for position, before in befores[::step] + befores[-1:]:
                self._resume(position, before, whole)

    def _resume(self, position: Position, before: Reading, whole: Reading) -> None:
        held = json.loads(json.dumps(position))
        with self._opened(held) as reader:
            found = reader.until(
                lambda r: self._rows is not None and before.count + r.count >= self._rows,
                3,
                self._patience_s,
            )
        self._same(found, whole, before, f"after seek({held!r})")

    def beside_each_other(self, whole: Reading) -> None:
        """Open twice; each source keeps its own place."""
        with self._opened(None) as one, self._opened(None) as two:
            first, second = Reading(), Reading()
            waiting = [(one, first), (two, second)]
            deadline = time.monotonic() + self._patience_s
            while waiting and time.monotonic() < deadline:
                for reader, reading in waiting:
                    reading.add(reader.poll(2, 0.05))
                waiting = [(p, r) for p, r in waiting if not (r.ended or self._complete(r))]
        for reading in (first, second):
            self._same(reading, whole, Reading(), "read by one of two sources open at once")

    def closing(self) -> None:
        """Close during a poll that would wait for long, from another thread."""
        source = self._make().open()
        source.seek(None)
        begun, ended = threading.Event(), threading.Event()

        def wait() -> None:
            with contextlib.suppress(Exception):  # a closed source may refuse to be polled
                for _ in range(100):  # take what is there; some always have more
                    if not brought(source.poll(1 << 16, 0)):
                        break
                begun.set()
                source.poll(1 << 16, 60)
            ended.set()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        begun.wait(self._patience_s)
        source.close()
        self._contract.require(
            ended.wait(min(30.0, self._patience_s)),
            "close() from another thread ends a waiting poll",
            "the poll went on",
        )
        try:
            source.close()
        except Exception as error:
            raise self._contract.broken("close() may be called again", error) from error

    @contextlib.contextmanager
    def _opened(self, position: Position | None) -> Iterator[Reader]:
        spec = self._make()
        source = spec.open()
        feed = self._feed or (lambda _: contextlib.nullcontext())
        try:
            source.seek(position)
            with feed(source):
                yield Reader(self._contract, spec, source)
        finally:
            source.close()

    def _complete(self, reading: Reading) -> bool:
        return self._rows is not None and reading.count >= self._rows

    def _read(self, reader: Reader, max_rows: int) -> Reading:
        return reader.until(self._complete, max_rows, self._patience_s)

    def _after_the_end(self, reader: Reader, found: Reading) -> None:
        for _ in range(2):
            polled = reader.poll(10, 0)
            count = brought(polled)
            self._contract.require(
                polled.ended and not count and polled.position == found.positions[-1],
                "a source that has ended stays ended: no rows, the same position, ended=True",
                f"ended={polled.ended}, {count} rows, position {polled.position!r}",
            )

    def _nothing_more(self, reader: Reader) -> None:
        """Poll for what is not there: an empty frame after the time-out, the position unchanged."""
        first, second = reader.poll(10, 0), reader.poll(10, 0.2)
        self._contract.require(
            first.position == second.position or brought(second),
            "a poll that brings nothing does not move the position",
            f"{first.position!r} became {second.position!r}",
        )

    def _same(self, found: Reading, whole: Reading, before: Reading, how: str) -> None:
        differs = found.rest_is(whole, before, places=self.replays)
        self._contract.require(
            differs is None,
            "the same position always brings the same rows in the same order",
            f"{how}: {differs}",
        )
