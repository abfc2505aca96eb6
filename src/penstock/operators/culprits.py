"""Culprits: the rows at fault when a function of many rows fails, and what becomes of the others.

    run(rows) raises   ->   what run gives for the rows that are sound; the others, each with its error

A row is at fault if the function fails on it alone. Where it is known which rows a strict function
refuses (``Cause``), they are taken out all at once: three of each cause are tried alone, and if
their errors differ in nothing but the value, the errors of the others are written, not provoked.
All else is tried (``gallop``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.errors import PenstockError
from penstock.gallop import gallop
from penstock.letter_rows import first_line
from penstock.operators.contract import Tick
from penstock.operators.refusing import refuse_each

_FEW_ROWS = 32
"""Up to so many rows are tried rather than thought about."""

_PARTS = 1_024
"""Results that are put together while more are made: a frame of one row takes some kilobytes."""

_LONG = 200
_UNPRINTED = r"[\x00-\x1f\x7f-\x9f\u2028\u2029]"
"""What a line of text may end at: the reason is the first line of an error."""

Run = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Cause:
    """Rows that are likely to fail, by position, in order.

    ``values`` are their values in the text of the error, as Polars writes them; None if the text is
    not known beforehand.
    """

    rows: np.ndarray
    values: pl.Series | None


Suspect = Callable[[pl.DataFrame], Sequence[Cause]]
"""Names the likely culprits among rows; it may be wrong of any, and raises nothing."""


def sift(
    run: Run, frame: pl.DataFrame, name: str, tick: Tick, *, hidden: str | None = None
) -> list[pl.DataFrame]:
    """Return what a function gives for the rows that are sound, in order, and refuse the others.

    An error of our own (a wrong schema) is not a row's, and is raised. The column ``hidden`` is not
    shown in dead letters. The function is never called without rows: models seldom bear that.
    """
    found = tried(run, frame)
    if isinstance(found, pl.DataFrame):
        return [found]
    return without_culprits(run, frame, found, name, tick, hidden=hidden)


def tried(run: Run, frame: pl.DataFrame) -> pl.DataFrame | BaseException:
    """Return what a function gives, or the error for which rows may be at fault."""
    try:
        return run(frame)
    except PenstockError:
        raise
    except Exception as error:  # noqa: BLE001 - a user's function may raise anything
        return error
    except pl.exceptions.PanicException as error:
        return error


def without_culprits(
    run: Run,
    frame: pl.DataFrame,
    failed: BaseException,
    name: str,
    tick: Tick,
    *,
    suspect: Suspect | None = None,
    side: int = 0,
    hidden: str | None = None,
) -> list[pl.DataFrame]:
    """Do as ``sift`` for rows on which the function has failed."""
    refused: dict[int, str] = {}
    if suspect is not None and frame.height > _FEW_ROWS:
        refused = _judged(run, frame, suspect(frame))
    places = np.delete(np.arange(frame.height), list(refused))
    kept = frame[places] if refused else frame
    parts = _Parts()
    for start, found in _gallop(run, kept, None if refused else failed):
        if isinstance(found, pl.DataFrame):
            parts.add(found)
        else:
            refused[int(places[start])] = first_line(found)
    rows = sorted(refused)
    if rows:
        dead = frame[rows] if hidden is None else frame[rows].drop(hidden)
        refuse_each(dead, name, [refused[row] for row in rows], tick, side=side)
    return parts.all()


def _gallop(
    run: Run, frame: pl.DataFrame, failed: BaseException | None
) -> Iterator[tuple[int, pl.DataFrame | BaseException]]:
    """Yield what the function gives for spans of rows, and the errors of rows at fault."""
    last: pl.DataFrame | None = None

    def attempt(start: int, end: int) -> BaseException | None:
        nonlocal last
        found = tried(run, frame[start:end])
        last = found if isinstance(found, pl.DataFrame) else None
        return None if isinstance(found, pl.DataFrame) else found

    for start, _, error in gallop(frame.height, attempt, failed):
        if error is not None:
            yield start, error
        elif last is not None:
            yield start, last


def _judged(run: Run, frame: pl.DataFrame, causes: Sequence[Cause]) -> dict[int, str]:
    """Return the culprits among the suspects, with the reason of each."""
    refused: dict[int, str] = {}
    doubtful = [np.zeros(0, np.int64)]
    for cause in causes:
        told = _told(run, frame, cause)
        refused.update(told)
        doubtful.append(cause.rows)
    rest = np.setdiff1d(np.concatenate(doubtful), list(refused))
    for start, found in _gallop(run, frame[rest], None):
        if not isinstance(found, pl.DataFrame):
            refused[int(rest[start])] = first_line(found)
    return refused


def _told(run: Run, frame: pl.DataFrame, cause: Cause) -> dict[int, str]:
    """Write the reasons of rows that three of them, tried alone, have shown."""
    if cause.values is None or len(cause.rows) <= _FEW_ROWS:
        return {}
    plain = ~cause.values.str.contains(_UNPRINTED) & (cause.values.str.len_chars() <= _LONG)
    rows, values = cause.rows[plain.to_numpy()], cause.values.filter(plain)
    wording: tuple[str, str] | None = None
    for at in (0, len(rows) // 2, len(rows) - 1) if len(rows) else ():
        row = int(rows[at])
        error = tried(run, frame[row : row + 1])
        if isinstance(error, pl.DataFrame):
            return {}
        before, found, after = first_line(error).partition(f"[{values[at]}]")
        if not found or wording not in (None, (before, after)):
            return {}
        wording = before, after
    if wording is None:
        return {}
    before, after = wording
    return {
        row: f"{before}[{value}]{after}"
        for row, value in zip(rows.tolist(), values.to_list(), strict=True)
    }


class _Parts:
    """Results in order, put together while more are made."""

    def __init__(self) -> None:
        self._large: list[pl.DataFrame] = []
        self._new: list[pl.DataFrame] = []

    def add(self, part: pl.DataFrame) -> None:
        self._new.append(part)
        if len(self._new) == _PARTS:
            self._large.append(pl.concat(self._new, rechunk=True))
            self._new = []

    def all(self) -> list[pl.DataFrame]:
        return [*self._large, *self._new]
