"""The values of the lines of several shapes as columns.

Each call of NumPy or Polars costs as much as some hundred values, so all whole numbers of a block are
read in one go, and so are its instants of one spelling, and its texts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from penstock.connectors.formats.json_index import Index
from penstock.connectors.formats.json_instants import instants, spelling
from penstock.connectors.formats.json_matching import Match
from penstock.connectors.formats.json_shapes import Kind, Path, Value
from penstock.connectors.formats.json_types import as_instance, convert
from penstock.connectors.formats.json_values import booleans, integers, numbers, texts
from penstock.deferred import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from penstock.connectors.formats.json_index import Flags, Places

    Kept = TypeVar("Kept", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a batch, and their columns; a column that is not there is null."""

    rows: Places
    columns: Mapping[str, pl.Series]


@dataclass(slots=True)
class _Rows:
    """What has been read of the lines of one shape."""

    match: Match
    good: Flags
    leaves: dict[Path, pl.Series] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Job:
    """One value of one shape, in all lines of that shape; ``idle``: checked, but not wanted."""

    into: _Rows
    value: Value
    dtype: pl.DataType | None
    idle: bool
    starts: Places
    ends: Places

    def give(self, found: pl.Series | npt.NDArray[Any], sound: Flags | None) -> None:
        """Keep what was read, and for which lines it holds."""
        if sound is not None:
            self.into.good &= sound
        if self.value.path is None or self.dtype is None or (self.idle and self.dtype in _READ):
            return
        column = pl.Series(found)
        if column.dtype != self.dtype:
            column, bad = convert(column, self.dtype)
            self.into.good &= ~bad.to_numpy()
        self.into.leaves[self.value.path] = column


_READ = (pl.Int64(), pl.Float64(), pl.Boolean(), pl.String())
"""Types that every value has that is sound: nothing more is to be looked at if nobody wants it."""


class Columns:
    """Reads the values of lines of ``schema``; all are checked, the ``wanted`` are given."""

    def __init__(
        self, schema: Mapping[str, pl.DataType], wanted: Mapping[str, pl.DataType]
    ) -> None:
        self._wanted = dict(wanted)
        self._types, self._given = _types(schema), _types(wanted)

    def parts(self, index: Index, matches: Sequence[Match]) -> list[Part]:
        """Return the wanted columns of the lines matched, but for lines with an unsound value."""
        rows = [_Rows(match, np.ones(len(match.rows), bool)) for match in matches]
        groups: dict[Hashable, list[_Job]] = {}
        for some in rows:
            for job in self._jobs(some):
                groups.setdefault(_way(job, index), []).append(job)
        for way, jobs in groups.items():
            _READERS[way if isinstance(way, Kind) else None](index, jobs)
        return [_part(self._wanted, some) for some in rows]

    def _jobs(self, some: _Rows) -> Iterator[_Job]:
        for value, (starts, ends) in zip(some.match.shape.values, some.match.spans, strict=True):
            dtype = None if value.path is None else self._types[value.path]
            idle = value.path not in self._given
            if value.kind is not Kind.TEXT or not (dtype is None or (idle and dtype == pl.String)):
                yield _Job(some, value, dtype, idle, starts, ends)


def _types(schema: Mapping[str, pl.DataType]) -> dict[Path, pl.DataType]:
    found: dict[Path, pl.DataType] = {}

    def note(path: Path, dtype: pl.DataType) -> None:
        found[path] = dtype
        if isinstance(dtype, pl.Struct):
            for inner in dtype.fields:
                note((*path, inner.name), as_instance(inner.dtype))

    for name, dtype in schema.items():
        note((name,), dtype)
    return found


def _way(job: _Job, index: Index) -> Hashable:
    """Say what is read in one go: a kind, or instants of one type and spelling."""
    if job.value.kind is not Kind.TEXT or not isinstance(job.dtype, pl.Datetime):
        return job.value.kind
    spelt = spelling(index, job.starts, job.ends)
    return Kind.TEXT if spelt is None else (spelt, job.dtype)


def _integers(index: Index, jobs: list[_Job]) -> None:
    values, sound = integers(index, *_spans(jobs))
    for job, found, good in zip(jobs, _cut(values, jobs), _cut(sound, jobs), strict=True):
        job.give(found, good)


def _instants(index: Index, jobs: list[_Job]) -> None:
    dtype = jobs[0].dtype
    assert isinstance(dtype, pl.Datetime)
    values, sound = instants(index, *_spans(jobs), dtype.time_unit or "us")
    for job, found, good in zip(jobs, _cut(values, jobs), _cut(sound, jobs), strict=True):
        if job.idle:
            job.into.good &= good
        else:
            job.give(pl.Series(found).cast(dtype), good)


def _booleans(index: Index, jobs: list[_Job]) -> None:
    for job in jobs:
        values, sound = booleans(index, job.starts, job.ends)
        job.give(values, sound)


def _numbers(index: Index, jobs: list[_Job]) -> None:
    values, sound = numbers(texts(index, *_spans(jobs)))
    at = 0
    for job, good in zip(jobs, _cut(sound, jobs), strict=True):
        job.give(values.slice(at, len(good)), good)
        at += len(good)


def _texts(index: Index, jobs: list[_Job]) -> None:
    written = texts(index, *_spans(jobs))
    at = 0
    for job in jobs:
        job.give(written.slice(at, len(job.starts)), None)
        at += len(job.starts)


_READERS = {
    Kind.INTEGER: _integers,
    Kind.BOOLEAN: _booleans,
    Kind.NUMBER: _numbers,
    Kind.TEXT: _texts,
    None: _instants,
}


def _spans(jobs: list[_Job]) -> tuple[Places, Places]:
    starts = np.concatenate([job.starts for job in jobs])
    return starts, np.concatenate([job.ends for job in jobs])


def _cut(values: npt.NDArray[Kept], jobs: list[_Job]) -> list[npt.NDArray[Kept]]:
    ends = accumulate(len(job.starts) for job in jobs)
    return [values[end - len(job.starts) : end] for end, job in zip(ends, jobs, strict=True)]


def _part(wanted: Mapping[str, pl.DataType], some: _Rows) -> Part:
    rows, leaves = some.match.rows, some.leaves
    if not some.good.all():
        rows, keep = rows[some.good], pl.Series(some.good)
        leaves = {path: column.filter(keep) for path, column in leaves.items()}
    tree = _Tree(some.match.shape.objects, leaves, len(rows))
    found = {name: tree.column((name,), dtype) for name, dtype in wanted.items()}
    return Part(rows, {name: column for name, column in found.items() if column is not None})


@dataclass(frozen=True, slots=True)
class _Tree:
    """The columns of values put together to structs."""

    objects: frozenset[Path]
    leaves: Mapping[Path, pl.Series]
    height: int

    def column(self, path: Path, dtype: pl.DataType) -> pl.Series | None:
        """Return the column at a path; None where it is null in each row."""
        if path not in self.objects:
            leaf = self.leaves.get(path)
            return None if leaf is None else leaf.alias(path[-1])
        assert isinstance(dtype, pl.Struct)
        return pl.DataFrame([self._field(path, f) for f in dtype.fields]).to_struct(path[-1])

    def _field(self, path: Path, inner: pl.Field) -> pl.Series:
        dtype = as_instance(inner.dtype)
        found = self.column((*path, inner.name), dtype)
        if found is not None:
            return found
        return pl.Series(inner.name, [None], dtype=dtype).new_from_index(0, self.height)
