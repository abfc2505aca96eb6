"""Rows that a database refuses for their own values: which they are, and how all others are written.

An epoch is written in one go. If the database refuses a value in it, all is rolled back and written
again with care: rows are tried in spans (``gallop``), those that fail alone are kept as dead letters,
and the epoch, the letters and the other rows are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import polars as pl

from penstock.columns import REFUSED_SCHEMA, WEIGHT
from penstock.connectors.changes import KeyedChanges, keyed_changes
from penstock.errors import ConnectorError
from penstock.gallop import gallop
from penstock.letter_rows import letters, packed, unpacked

LETTERS_TABLE = "penstock_dead_letters"
"""Rows of the last epoch that were refused, until they are beside the checkpoint:
sink_id, epoch, letters (an Arrow IPC stream of ``columns.REFUSED_SCHEMA``)."""

_FEW_ROWS = 32
"""Up to so many rows are tried rather than thought about."""

Write = Callable[[pl.DataFrame], None]
Refused = dict[int, str]
"""Place of a row -> why the database refused it."""


@dataclass(frozen=True, slots=True)
class Likely:
    """Rows that a database is likely to refuse for one cause.

    ``reason`` is what to say of each; None if the database says the same of all of them.
    """

    rows: list[int]
    reason: str | None


class ValueRefusedError(ConnectorError):
    """The database refused a value of a row: a constraint, a range, a text that it cannot hold.

    ``row`` is its place among those written together, where the database tells; it may be too high.
    """

    row: int | None = None


Attempt = Callable[[int, int], ValueRefusedError | None]
"""Writes rows from a place to another, all or none."""


class Trial(Protocol):
    """How writes are tried: each is done for good, or not at all."""

    def do(self, write: Callable[[], None]) -> None:
        """Do what must succeed."""

    def sift(self, rows: pl.DataFrame, write: Write) -> Refused:
        """Write the rows that the database takes; return the others."""


class Savepoints:
    """Trials within one transaction."""

    def __init__(self, savepoint: Callable[[], AbstractContextManager[None]]) -> None:
        self._savepoint = savepoint

    def do(self, write: Callable[[], None]) -> None:
        """Do it."""
        write()

    def sift(self, rows: pl.DataFrame, write: Write) -> Refused:
        """Write span by span, each behind a savepoint."""

        def attempt(start: int, end: int) -> ValueRefusedError | None:
            try:
                with self._savepoint():
                    write(rows[start:end])
            except ValueRefusedError as error:
                return error
            return None

        return _stepped(rows.height, attempt)


class _RehearsedError(Exception):
    """Ends a rehearsal that went well, so that it is rolled back."""


class Rehearsals:
    """Trials for a database without savepoints: transactions that are rolled back.

    A rehearsal takes some milliseconds, so the rows that are ``likely`` to be refused are taken out
    first: three of each cause are tried. Rows are then tried beside what was written before them,
    without each other; ``repeated`` finds those that repeat what is unique among themselves. If they
    still fail together, each span is tried behind all rows before it, which is slow. ``accepted`` is
    what to write in the end.
    """

    def __init__(
        self,
        transaction: Callable[[], AbstractContextManager[None]],
        likely: Callable[[pl.DataFrame], list[Likely]],
        repeated: Callable[[pl.DataFrame], Refused],
    ) -> None:
        self._transaction = transaction
        self._likely = likely
        self._repeated = repeated
        self.accepted: list[Callable[[], None]] = []

    def do(self, write: Callable[[], None]) -> None:
        """Note it; if the database refuses it, no row is to blame."""
        error = self._attempt(write)
        if error is not None:
            raise error
        self.accepted.append(write)

    def sift(self, rows: pl.DataFrame, write: Write) -> Refused:
        """Find out which rows can be written, and note that they are to be."""
        if rows.is_empty():
            return {}
        refused: Refused = {}
        for cause in self._likely(rows) if rows.height > _FEW_ROWS else ():
            refused |= self._judged(rows, write, cause)
        places = [row for row in range(rows.height) if row not in refused]
        rest = rows[places]
        alone = _refused(
            rest.height, lambda start, end: self._attempt(partial(write, rest[start:end]))
        )
        refused |= {places[row]: reason for row, reason in alone.items()}
        places = [row for row in places if row not in refused]
        again = self._repeated(rows[places])
        refused |= {places[row]: reason for row, reason in again.items()}
        places = [row for row in places if row not in refused]
        kept = rows[places]
        if kept.is_empty():
            return refused
        together = partial(write, kept)
        if self._attempt(together) is None:
            self.accepted.append(together)
            return refused

        def attempt(start: int, end: int) -> ValueRefusedError | None:
            span = partial(write, kept[start:end])
            error = self._attempt(span)
            if error is None:
                self.accepted.append(span)
            return error

        late = _refused(kept.height, attempt)
        return refused | {places[row]: reason for row, reason in late.items()}

    def _judged(self, rows: pl.DataFrame, write: Write, cause: Likely) -> Refused:
        """Say that all rows of a cause are refused, if three of them are, for the same reason."""
        chosen = {cause.rows[0], cause.rows[len(cause.rows) // 2], cause.rows[-1]}
        errors = [self._attempt(partial(write, rows[row : row + 1])) for row in chosen]
        reasons = {cause.reason or said(error) for error in errors if error is not None}
        if None in errors or len(reasons) > 1:
            return {}
        return dict.fromkeys(cause.rows, reasons.pop())

    def _attempt(self, write: Callable[[], None]) -> ValueRefusedError | None:
        try:
            with self._transaction():
                for before in self.accepted:
                    before()
                write()
                _roll_back()
        except ValueRefusedError as error:
            return error
        except _RehearsedError:
            pass
        return None


def _roll_back() -> None:
    raise _RehearsedError


def _refused(height: int, attempt: Attempt) -> Refused:
    return {
        start: said(error)
        for start, _, error in gallop(height, attempt, None)
        if isinstance(error, ValueRefusedError)
    }


def _stepped(height: int, attempt: Attempt) -> Refused:
    """Go from culprit to culprit, where the database tells which row it refused; else gallop.

    The rows before it are written, so it was indeed the first one. Spans are twice as long as
    culprits have been apart: what is behind a culprit was sent in vain.
    """
    refused: Refused = {}
    start, size = 0, height
    while start < height:
        end = min(start + size, height)
        error = attempt(start, end)
        if error is None:
            start, size = end, size * 2
            continue
        at = end if error.row is None else start + error.row
        if at >= end or (at > start and attempt(start, at) is not None):
            found = _refused(end - start, partial(_from, attempt, start))
            refused |= {start + row: reason for row, reason in found.items()}
            start = end
        else:
            refused[at] = said(error)
            start = at + 1
        size = max(_FEW_ROWS, 2 * start // max(len(refused), 1))
    return refused


def _from(attempt: Attempt, first: int, start: int, end: int) -> ValueRefusedError | None:
    return attempt(first + start, first + end)


def said(error: ConnectorError) -> str:
    """Return the reason of a dead letter: why a value was refused, on one line."""
    reason = " ".join(error.message.split())
    return f"{reason} ({error.hint})" if error.hint else reason


def append_carefully(
    rows: pl.DataFrame, write: Write, trial: Trial, step: str
) -> Iterator[pl.DataFrame]:
    """Append rows; yield dead letters of those refused."""
    yield from _letters(rows, trial.sift(rows, write), step)


def upsert_carefully(
    rows: pl.DataFrame,
    key: tuple[str, ...],
    change: Callable[[KeyedChanges], None],
    trial: Trial,
    step: str,
) -> Iterator[pl.DataFrame]:
    """Write append-only rows by key; a row that is refused leaves what is there, or came before it."""
    names = list(key)
    while rows.height:
        upserts = keyed_changes([rows], key, step).upserts
        refused = trial.sift(upserts, _upsert(change, names))
        yield from _letters(upserts, refused, step)
        earlier = pl.int_range(pl.len()) < pl.len() - 1
        again = upserts[sorted(refused)].select(names)
        rows = rows.filter(earlier.over(names)).join(again, on=names, how="semi", nulls_equal=True)


def change_carefully(
    frames: Sequence[pl.DataFrame],
    key: tuple[str, ...],
    change: Callable[[KeyedChanges], None],
    trial: Trial,
    step: str,
) -> Iterator[pl.DataFrame]:
    """Write changes by key; a key whose new row is refused has none, for its old one holds no more.

    A letter of a change is not to be replayed: newer changes of its key may have come since.
    """
    names = list(key)
    changes = keyed_changes(frames, key, step)
    nothing = changes.upserts.clear()

    def delete(keys: pl.DataFrame) -> None:
        change(KeyedChanges(keys, nothing))

    stay = trial.sift(changes.deletes, delete)
    gone = changes.deletes.with_columns(pl.lit(-1, pl.Int64).alias(WEIGHT))
    yield from _letters(gone, stay, step, replayable=False)
    refused = trial.sift(changes.upserts, _upsert(change, names))
    yield from _letters(changes.upserts, refused, step, replayable=False)
    old = changes.upserts[sorted(refused)].select(names)
    stay = trial.sift(old, delete)
    gone = old.with_columns(pl.lit(-1, pl.Int64).alias(WEIGHT))
    yield from _letters(gone, stay, step, replayable=False)


def _upsert(change: Callable[[KeyedChanges], None], names: list[str]) -> Write:
    def write(rows: pl.DataFrame) -> None:
        change(KeyedChanges(rows.select(names).clear(), rows))

    return write


def _letters(
    rows: pl.DataFrame, refused: Refused, step: str, *, replayable: bool = True
) -> Iterator[pl.DataFrame]:
    places = sorted(refused)
    reasons = [refused[place] for place in places]
    return letters(rows[places], step, reasons, replayable=replayable)


def stored(frames: Sequence[pl.DataFrame]) -> list[bytes]:
    """Return letters as the database keeps them."""
    return [packed(frame) for frame in frames]


def restored(found: Sequence[bytes]) -> pl.DataFrame | None:
    """Return letters that ``stored`` wrote."""
    if not found:
        return None
    return pl.concat([unpacked(data).select(*REFUSED_SCHEMA) for data in found])
