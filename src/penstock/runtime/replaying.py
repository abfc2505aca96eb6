"""Replaying: dead letters given again to the step that refused them, in a run on the checkpoint.

    wanted letters -> the step that each is for -> epochs of their own -> "replayed" in the manifest

The rows that come of them are in the state and the staged output of the same checkpoint as the note
that they were replayed, so that a crash neither loses nor doubles any.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from penstock.checkpoints.opening import Checkpoint, open_storage
from penstock.checkpoints.storage import Storage
from penstock.columns import PARTITION, WEIGHT, dead_letters
from penstock.connectors.redecoding import decode_again
from penstock.errors import ConfigError
from penstock.letter_rows import unpacked
from penstock.lowering.graph import Edge, Graph, Vertex
from penstock.operators.deltas import consolidate
from penstock.runtime.executor import Fed, Injected
from penstock.runtime.letter_files import (
    OFFSET,
    REPLAYED,
    WANTED,
    letters_of,
    read_letters,
    want,
    wanted,
)

_ONE_BY_ONE = 1_000
"""Up to so many letters get an epoch each: what becomes of each is then known for certain."""

_CHUNK = 65_536

_LOOK_S = 1.0
"""How late a run may notice that letters are wanted."""

_CAN, _RUN = "can", "run"

_log = logging.getLogger("penstock")

Wanted = bool | str | Sequence[int]
"""Which letters: all, those of a step, or these offsets."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Letters of one step for one epoch, and what the executor is given for it."""

    letters: pl.DataFrame
    fed: dict[int, Fed]
    injected: dict[int, Injected]

    @property
    def offsets(self) -> list[int]:
        """Their offsets."""
        return self.letters[OFFSET].to_list()

    def attributed(self, dead: pl.DataFrame) -> pl.DataFrame:
        """Name in new dead letters the first one that each comes from."""
        first = self.letters.select("bytes", first=pl.coalesce("first", OFFSET))
        if first.height == 1:
            return dead.with_columns(pl.lit(first["first"][0], pl.Int64).alias("first"))
        first = first.unique("bytes", keep="first")
        return dead.drop("first").join(first, on="bytes", how="left", maintain_order="left")


class Replayer:
    """Finds the letters that are wanted and not replayed yet, and where they go.

    Requests are files beside the checkpoint, so that they outlive a crash and other processes can
    make them. Requests for a local checkpoint are noticed while the run lasts, others when it begins.
    """

    def __init__(self, graph: Graph, storage: Storage, replayed: set[int]) -> None:
        self._graph = graph
        self._storage = storage
        self._replayed = replayed
        self._passed_over: set[int] = set()
        self._look_at = 0.0
        self._asked = False

    def request(self, selection: Wanted) -> None:
        """Note for good which letters are wanted; refuse what cannot be replayed."""
        if selection is False:
            return
        chosen = _select(letters_of(self._storage), self._replayed, selection)
        for key, some in _groups(chosen):
            if self._target(key, some) is None:
                raise self._no_target(key)
        if chosen.height:
            want(self._storage, chosen[OFFSET])

    def asked(self, elapsed: float) -> bool:
        """Look, once a second, whether there may be new requests: a look at a folder, nothing else."""
        folder = self._storage.folder
        if elapsed >= self._look_at and folder is not None:
            self._look_at = elapsed + _LOOK_S
            self._asked = any((folder / WANTED).glob("*.json"))
        return self._asked

    def batches(self) -> Iterator[Batch]:
        """Yield what is wanted now, in order, an epoch each; ``done`` is owed for each."""
        self._asked = False
        asked = set[int]().union(*wanted(self._storage).values())
        asked -= self._replayed | self._passed_over
        if not asked:
            return
        letters = letters_of(self._storage).filter(pl.col(OFFSET).is_in(list(asked)))
        self._passed_over |= asked - set(letters[OFFSET])
        size = 1 if letters.height <= _ONE_BY_ONE else _CHUNK
        for key, some in _groups(letters):
            vertex = self._target(key, some)
            if vertex is None:
                self._passed_over.update(some[OFFSET])
                _log.warning("%d dead letters are not replayed: %s", some.height, self._why(key))
                continue
            for part in some.iter_slices(size):
                yield self._batch(vertex, part)

    def done(self, batch: Batch) -> None:
        """The epoch of a batch is over."""
        self._replayed.update(batch.offsets)

    def forget(self, kept: set[int]) -> None:
        """Drop requests all of whose letters were replayed, which the newest checkpoint knows."""
        for path, offsets in wanted(self._storage).items():
            if offsets <= kept | self._passed_over:
                self._storage.delete(path)

    def _batch(self, vertex: Vertex, letters: pl.DataFrame) -> Batch:
        if vertex.source is not None:
            return Batch(letters, {vertex.number: _decoded(vertex, letters)}, {})
        side = int(letters["side"][0])
        rows = _rows(vertex.reads[side], letters)
        late = vertex.reads[side].bounds if self._graph.feeds_state(vertex.number) else ()
        return Batch(letters, {}, {vertex.number: Injected(side, rows, late)})

    def _target(self, key: _Key, letters: pl.DataFrame) -> Vertex | None:
        """Return the step that letters are for: of their name, or the only one like it."""
        fitting = [v for v in self._graph.vertices if _fits(v, key, letters)]
        own = [v for v in fitting if v.name == key.operator]
        alike = [v for v in fitting if v.kind == key.kind]
        same = [v for v in alike if _step_name(v) == key.step]
        columns = set() if letters["row"][0] is None else _columns(letters["row"][0])
        exact = [v for v in alike if v.reads and set(v.reads[key.side or 0].schema) == columns]
        found = own or [v for v in same if v in exact] or same or exact or alike
        return found[0] if len(found) == 1 else None

    def _why(self, key: _Key) -> str:
        if key.side is None:
            return f"what {key.step} refused is no row that could be given to it again"
        return (
            f"no step of the pipeline, or more than one, is {key.operator} ({key.step}) and reads "
            "rows like these"
        )

    def _no_target(self, key: _Key) -> ConfigError:
        return ConfigError(
            self._why(key),
            step="replay_dead_letters",
            value=key.operator,
            alternatives=[v.name for v in self._graph.vertices if v.reads or v.source],
            hint="replay the letters of other steps only; a step that keeps state is found again by "
            'the name that .named("...") gives it',
            line="",
        )


def request(checkpoint: Checkpoint, selection: Wanted, options: Mapping[str, str | bool]) -> int:
    """Ask the run on a checkpoint, or the next one, for a replay; return how many letters wait."""
    letters = read_letters(checkpoint, options)
    replayed = set(letters.filter(REPLAYED)[OFFSET])
    chosen = _select(letters, replayed, selection)
    if chosen.height:
        want(open_storage(checkpoint, options), chosen[OFFSET])
    return chosen.height


@dataclass(frozen=True, slots=True)
class _Key:
    """What letters for one step have in common; ``side`` is None where there is no row to replay."""

    operator: str
    step: str
    side: int | None

    @property
    def kind(self) -> str:
        """The kind of the step, of a name that the planner gave: ``map-1`` -> ``map``."""
        return self.operator.rpartition("-")[0]


def _select(letters: pl.DataFrame, replayed: set[int], selection: Wanted) -> pl.DataFrame:
    """Return the letters that are meant, of those that were not replayed."""
    waiting = letters.filter(~pl.col(OFFSET).is_in(list(replayed)))
    if selection is True:
        return waiting.filter(pl.col("row").is_not_null() | _of_source())
    if isinstance(selection, str):
        of_step = (pl.col("operator") == selection) | (pl.col("step") == selection)
        if letters.filter(of_step).is_empty() and not letters.is_empty():
            raise ConfigError(
                f"no dead letter is of a step {selection!r}",
                step="replay_dead_letters",
                value=selection,
                alternatives=sorted({*letters["operator"], *letters["step"]}),
                line="",
            )
        return waiting.filter(of_step)
    offsets = list(selection) if not isinstance(selection, bool) else []
    missing = sorted(set(offsets) - set(waiting[OFFSET]))
    if missing:
        raise ConfigError(
            f"there is no dead letter {missing[0]} that was not replayed",
            step="replay_dead_letters",
            value=missing[0],
            line="",
        )
    return waiting.filter(pl.col(OFFSET).is_in(offsets))


def _of_source() -> pl.Expr:
    """Letters of sources have bytes that can be decoded again; others without a row have nothing."""
    return pl.col("row").is_null() & (pl.col("position") != "")


def _groups(letters: pl.DataFrame) -> Iterator[tuple[_Key, pl.DataFrame]]:
    """Yield runs of letters, in order, that are for the same step."""
    if not letters.height:
        return
    can = (pl.col("row").is_not_null() | _of_source()).alias(_CAN)
    keyed = letters.with_columns(can)
    run = pl.struct("operator", "step", "side", _CAN).rle_id().alias(_RUN)
    for part in keyed.with_columns(run).partition_by(_RUN, maintain_order=True):
        side = int(part["side"][0]) if part[_CAN][0] else None
        yield _Key(part["operator"][0], part["step"][0], side), part.drop(_RUN, _CAN)


def _columns(row: bytes) -> set[str]:
    """Return the user's columns of a row."""
    return set(unpacked(row).columns) - {PARTITION, WEIGHT}


def _step_name(vertex: Vertex) -> str | None:
    """Return what a vertex calls itself in dead letters."""
    if vertex.sink is not None:
        return vertex.sink.name
    return None if vertex.operator is None else vertex.operator.step_name


def _fits(vertex: Vertex, key: _Key, letters: pl.DataFrame) -> bool:
    """Tell whether a vertex can be given the rows of letters."""
    row = letters["row"][0]
    if key.side is None:
        return False
    if row is None:
        return vertex.source is not None
    if vertex.source is not None or key.side >= len(vertex.reads):
        return False
    edge, schema = vertex.reads[key.side], unpacked(row).schema
    if not edge.changelog and (letters["weight"] < 0).any():
        return False
    return all(schema.get(name) == dtype for name, dtype in edge.schema.items())


def _rows(edge: Edge, letters: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of letters as they come in by an edge."""
    parts = []
    for data, weight in letters.select("row", "weight").rows():
        row = unpacked(data)
        columns = [pl.col(name) for name in edge.schema]
        if edge.partition is not None:
            there = PARTITION in row.columns
            number = pl.col(PARTITION) if there else pl.lit(edge.partition, pl.UInt32)
            columns.append(number.alias(PARTITION))
        if edge.changelog:
            columns.append(pl.lit(weight, pl.Int64).alias(WEIGHT))
        parts.append(row.select(columns))
    rows = pl.concat(parts)
    return consolidate(rows) if edge.changelog and rows.height > 1 else rows


def _decoded(vertex: Vertex, letters: pl.DataFrame) -> Fed:
    """Decode the bytes of letters again; what still fails is a dead letter again."""
    assert vertex.source is not None
    found = decode_again(vertex.source, letters)
    bad = letters[sorted(found.reasons)]
    reasons = [found.reasons[index] for index in sorted(found.reasons)]
    dead = dead_letters(letters["step"][0], bad["position"], bad["bytes"], reasons)
    return Fed([(0, found.frame)] if found.frame.height else [], None, [dead] if bad.height else [])


def letters_named(dead: Iterable[pl.DataFrame], batch: Batch) -> list[pl.DataFrame]:
    """Return the dead letters of the epoch of a batch, each naming its first one."""
    return [batch.attributed(frame).select(frame.columns) for frame in dead]
