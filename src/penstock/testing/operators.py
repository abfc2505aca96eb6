"""``check_operator``: hold a step, or a whole pipeline, against a query over all rows so far.

Random rows, and deletions of rows inserted before, are cut into random epochs; between epochs the
state is written out (as a delta, or in full), and now and then loaded into a new graph. After each
epoch the deltas so far must add up to what the oracle says of the rows so far. What fails is cut
down to fewer rows before it is reported, with the seed.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from penstock.columns import WEIGHT
from penstock.errors import ConfigError
from penstock.stream import Stream
from penstock.testing.contracts import Contract, ContractBroken, plain
from penstock.testing.deltas import Integral, check_delta, difference
from penstock.testing.driving import Driven, Epoch
from penstock.testing.scripts import scripted

_START = datetime(2026, 1, 1, tzinfo=UTC)
_DAY = date(2026, 1, 1)
_POOLS: list[tuple[tuple[type[pl.DataType], ...], Sequence[Any]]] = [
    ((pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64), [0, 1, 2, 3, None]),
    ((pl.Int8, pl.Int16, pl.Int32, pl.Int64), [-1, 0, 1, 2, 3, None]),
    ((pl.Float32, pl.Float64), [-0.0, 0.0, 0.25, 1.5, -2.0, float("nan"), None]),
    ((pl.String,), ["", "a", "b", "é", None]),
    ((pl.Boolean,), [True, False, None]),
    ((pl.Date,), [_DAY, _DAY + timedelta(days=1), None]),
    ((pl.Duration,), [timedelta(0), timedelta(seconds=1), None]),
]


class Compare(enum.Enum):
    """When the output must equal the oracle."""

    EVERY_EPOCH = "after every epoch"
    AT_END = "at the end of the inputs"


@dataclass(frozen=True)
class Input:
    """Random rows of one input.

    ``values`` names the values to draw for a column; otherwise a few of its type, nulls too. With
    ``changelog`` rows are deleted again. ``time`` is an event-time column: each row is up to
    ``step`` after the one before it, or up to ``disorder`` back.
    """

    schema: Mapping[str, pl.DataType | type[pl.DataType]]
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    changelog: bool = False
    time: str | None = None
    step: timedelta = timedelta(seconds=2)
    disorder: timedelta = timedelta(0)

    @property
    def sourced(self) -> pl.Schema:
        """The schema of the source."""
        weight = {WEIGHT: pl.Int64()} if self.changelog else {}
        return pl.Schema({**pl.Schema(self.schema), **weight})


class Between(enum.Enum):
    """What happens to the state after an epoch."""

    NOTHING = "nothing"
    DELTA = "its changes are saved"
    FULL = "all of it is saved"
    COMPACT = "its saved parts are merged"
    COMPACT_LATER = "its saved parts but the first are merged"
    RESTART = "its changes are saved and loaded into a new graph"
    RESTART_FULL = "all of it is saved and loaded into a new graph"


Row = tuple[Any, ...]
Weighted = tuple[Row, int]


@dataclass(frozen=True)
class _Turn:
    """One epoch: what arrives by input, deletions first, and what happens to the state then."""

    rows: Mapping[str, tuple[Weighted, ...]]
    between: Between


def check_operator(
    pipeline: Callable[..., Stream],
    oracle: Callable[..., pl.DataFrame | pl.LazyFrame],
    inputs: Mapping[str, Input],
    *,
    compare: Compare = Compare.EVERY_EPOCH,
    most_state_rows: int | None = None,
    examples: int = 40,
    seed: int = 0,
) -> None:
    """Check that a pipeline gives what the oracle says, however its input is cut and interrupted.

    ``pipeline`` gets a stream for each of ``inputs``, ``oracle`` for each the whole input so far as
    a frame (append-only rows in order of arrival), both in their order. ``most_state_rows`` is what
    the state may hold after any epoch of a long run: a pipeline whose state expires stays below it.
    Raises ``ContractBroken`` with the seed and the smallest input found that fails.

    >>> import polars as pl
    >>> from penstock.testing import Input, check_operator
    >>> check_operator(
    ...     lambda clicks: clicks.group_by("page").agg(pl.col("n").sum()),
    ...     lambda clicks: clicks.group_by("page").agg(pl.col("n").sum()),
    ...     {"clicks": Input({"page": pl.String, "n": pl.Int64}, changelog=True)},
    ...     examples=5,
    ... )
    """
    check = _OperatorCheck(pipeline, oracle, inputs, compare)
    for example in range(examples):
        rng = random.Random(f"{seed}/{example}")  # noqa: S311 - draws, no secrets
        turns = check.drawn(rng, rng.randint(1, 7))
        try:
            check.run(turns)
        except ContractBroken as error:
            smallest, told = check.shrunk(turns, error)
            text = f"{told.found}\n  seed:  {seed}, example {example}\n  input: {_shown(smallest)}"
            raise ContractBroken(told.who, told.rule, text) from None
    if most_state_rows is not None:
        check.bounded(random.Random(f"{seed}/long"), most_state_rows)  # noqa: S311


class _OperatorCheck:
    def __init__(
        self,
        pipeline: Callable[..., Stream],
        oracle: Callable[..., pl.DataFrame | pl.LazyFrame],
        inputs: Mapping[str, Input],
        compare: Compare,
    ) -> None:
        self._oracle = oracle
        self._inputs = inputs
        self._compare = compare
        self._stream = pipeline(
            *(scripted(n, each.sourced, changelog=each.changelog) for n, each in inputs.items())
        )
        self._who = f"pipeline {getattr(pipeline, '__name__', 'pipeline')}"

    def drawn(self, rng: random.Random, count: int) -> list[_Turn]:
        """Draw epochs of all inputs."""
        histories = {name: _history(rng, each) for name, each in self._inputs.items()}
        return [
            _Turn(
                {name: next(history) for name, history in histories.items()},
                rng.choice(list(Between)),
            )
            for _ in range(count)
        ]

    def run(self, turns: Sequence[_Turn]) -> None:
        """Run the epochs, and one more in which everything ends."""
        driven, integral = Driven(self._stream), Integral(self._stream, self._who)
        so_far: dict[str, list[Weighted]] = {name: [] for name in self._inputs}
        last = _Turn({}, Between.NOTHING)
        for number, turn in enumerate([*turns, last]):
            ended = frozenset(self._inputs) if turn is last else frozenset[str]()
            (delta,) = driven.step(self._epoch(turn, ended))
            check_delta(self._stream, delta, self._who)
            integral.add(delta)
            for name, rows in turn.rows.items():
                so_far[name].extend(rows)
            if turn is last or self._compare is Compare.EVERY_EPOCH:
                self._agree(integral.table, so_far, f"after epoch {number}")
            _between(driven, turn.between)

    def _agree(self, found: pl.DataFrame, so_far: Mapping[str, list[Weighted]], when: str) -> None:
        wanted = self._oracle(*(_living(self._inputs[name], rows) for name, rows in so_far.items()))
        differs = difference(found, wanted.lazy().select(self._stream.columns).collect())
        Contract(self._who).require(
            differs is None,
            f"{self._compare.value} the output equals the oracle",
            f"{when}: {differs}",
        )

    def _epoch(self, turn: _Turn, ended: frozenset[str]) -> Epoch:
        frames: dict[str | tuple[str, int], pl.DataFrame] = {
            name: _frame(self._inputs[name], rows) for name, rows in turn.rows.items() if rows
        }
        return Epoch(frames, ended=ended)

    def shrunk(
        self, turns: list[_Turn], error: ContractBroken
    ) -> tuple[list[_Turn], ContractBroken]:
        """Leave out epochs, rows and restarts for as long as it still fails."""
        smaller = True
        while smaller:
            smaller = False
            for candidate in _smaller(turns):
                failed = self._fails(candidate)
                if failed is not None:
                    turns, error, smaller = candidate, failed, True
                    break
        return turns, error

    def _fails(self, turns: list[_Turn]) -> ContractBroken | None:
        try:
            self.run(turns)
        except ContractBroken as error:
            return error
        return None

    def bounded(self, rng: random.Random, most: int) -> None:
        """Run for long; the state must stay below the limit."""
        driven = Driven(self._stream)
        for number, turn in enumerate(self.drawn(rng, 120)):
            driven.step(self._epoch(turn, frozenset()))
            _between(driven, turn.between if number % 20 == 0 else Between.NOTHING)
            Contract(self._who).require(
                driven.state_rows() <= most,
                f"the state holds at most {most} rows (most_state_rows=)",
                f"{driven.state_rows()} after epoch {number}: {driven.primitives()}",
            )


def random_frames(given: Input, epochs: int, rng: random.Random) -> list[pl.DataFrame]:
    """Draw what one input brings in so many epochs, as frames of its source."""
    history = _history(rng, given)
    return [_frame(given, next(history)) for _ in range(epochs)]


def _between(driven: Driven, between: Between) -> None:
    if between in (Between.DELTA, Between.FULL):
        driven.save(full=between is Between.FULL)
    elif between in (Between.COMPACT, Between.COMPACT_LATER):
        driven.compact(keep=int(between is Between.COMPACT_LATER))
    elif between is not Between.NOTHING:
        driven.restart(full=between is Between.RESTART_FULL)


def _history(rng: random.Random, given: Input) -> Iterator[tuple[Weighted, ...]]:
    """Yield the rows of one input, epoch by epoch."""
    living: list[Row] = []
    now = _START
    while True:
        gone: list[Row] = []
        if given.changelog:
            count = min(len(living), rng.choice([0, 0, 1, 2]))
            gone = [living.pop(rng.randrange(len(living))) for _ in range(count)]
        fresh: list[Row] = []
        for _ in range(rng.choice([0, 1, 1, 2, 4])):
            now += given.step * rng.random()
            fresh.append(_row(rng, given, now - given.disorder * rng.random()))
        kept = {_plain(row) for row in gone}
        fresh = [row for row in fresh if _plain(row) not in kept]
        living += fresh
        yield (*((row, -1) for row in gone), *((row, 1) for row in fresh))


def _row(rng: random.Random, given: Input, now: datetime) -> Row:
    return tuple(
        _instant(now, dtype)
        if name == given.time
        else rng.choice(given.values.get(name) or _pool(name, dtype))
        for name, dtype in pl.Schema(given.schema).items()
    )


def _instant(now: datetime, dtype: pl.DataType) -> Any:
    if isinstance(dtype, pl.Date):
        return now.date()
    return now if getattr(dtype, "time_zone", None) else now.replace(tzinfo=None)


def _pool(name: str, dtype: pl.DataType) -> Sequence[Any]:
    for kinds, pool in _POOLS:
        if isinstance(dtype, kinds):
            return pool
    if isinstance(dtype, pl.Datetime):
        return [_instant(_START + timedelta(seconds=n), dtype) for n in range(3)]
    raise ConfigError(
        f"no values are known for column {name!r} of type {dtype}",
        step="check_operator",
        hint=f"give Input(..., values={{{name!r}: [...]}})",
    )


def _frame(given: Input, rows: Sequence[Weighted]) -> pl.DataFrame:
    if given.changelog:
        weighed = [(*row, weight) for row, weight in rows]
        return pl.DataFrame(weighed, schema=given.sourced, orient="row")
    return pl.DataFrame([row for row, _ in rows], schema=given.sourced, orient="row")


def _living(given: Input, rows: Sequence[Weighted]) -> pl.DataFrame:
    """Return the rows that were not deleted, in order of arrival."""
    gone: dict[Row, int] = {}
    for row, weight in rows:
        if weight < 0:
            gone[_plain(row)] = gone.get(_plain(row), 0) + 1
    living = []
    for row, weight in rows:
        if weight > 0 and gone.get(_plain(row), 0) > 0:
            gone[_plain(row)] -= 1
        elif weight > 0:
            living.append(row)
    return pl.DataFrame(living, schema=pl.Schema(given.schema), orient="row")


def _plain(row: Row) -> Row:
    return tuple(map(plain, row))


def _smaller(turns: list[_Turn]) -> Iterator[list[_Turn]]:
    """Yield simpler inputs: without an epoch, without a restart, without a row."""
    for at in range(len(turns)):
        if not any(
            weight < 0 for turn in turns[at:] for rows in turn.rows.values() for _, weight in rows
        ):
            yield turns[:at] + turns[at + 1 :]
    for at, turn in enumerate(turns):
        if turn.between is not Between.NOTHING:
            yield [*turns[:at], replace(turn, between=Between.NOTHING), *turns[at + 1 :]]
    for at, turn in enumerate(turns):
        for name, rows in turn.rows.items():
            for number, (row, weight) in enumerate(rows):
                left = (*rows[:number], *rows[number + 1 :])
                without = replace(turn, rows={**turn.rows, name: left})
                rest = (
                    _without_deletion(turns[at + 1 :], name, row) if weight > 0 else turns[at + 1 :]
                )
                yield [*turns[:at], without, *rest]


def _without_deletion(turns: list[_Turn], name: str, row: Row) -> list[_Turn]:
    """Leave out the first deletion of a row whose insertion is left out."""
    for at, turn in enumerate(turns):
        rows = turn.rows.get(name, ())
        for number, (each, weight) in enumerate(rows):
            if weight < 0 and _plain(each) == _plain(row):
                left = (*rows[:number], *rows[number + 1 :])
                return [
                    *turns[:at],
                    replace(turn, rows={**turn.rows, name: left}),
                    *turns[at + 1 :],
                ]
    return turns


def _shown(turns: list[_Turn]) -> str:
    lines = []
    for number, turn in enumerate(turns):
        rows = "; ".join(
            f"{name}: " + ", ".join(f"{'-' if weight < 0 else '+'}{row}" for row, weight in found)
            for name, found in turn.rows.items()
            if found
        )
        then = "" if turn.between is Between.NOTHING else f" (then {turn.between.value})"
        lines.append(f"epoch {number}: {rows or 'nothing'}{then}")
    return "\n         ".join(lines)
