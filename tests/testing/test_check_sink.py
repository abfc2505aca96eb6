"""``check_sink`` finds each way of breaking the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pytest

from penstock.columns import WEIGHT
from penstock.connectors.changes import keyed_changes
from penstock.connectors.contract import Accepts, Guarantee, SinkIdentity
from penstock.connectors.epochs import Recorded, is_applied, refuse_fenced, take_over
from penstock.errors import ConfigError, ConnectorError
from penstock.testing import ContractBroken, check_sink


@dataclass
class Table:
    """A table in memory with its book of epochs."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    book: dict[str, Recorded] = field(default_factory=dict)


_NO_ROWS = pl.DataFrame(schema={"k": pl.Int64, "v": pl.String})


class Keeping:
    """A sink that keeps the contract; each subclass breaks it once."""

    def __init__(self, table: Table, key: tuple[str, ...]) -> None:
        self.table, self.key = table, key
        self.identity: SinkIdentity | None = None

    def begin(self, identity: SinkIdentity | None, schema: Any = None) -> int | None:
        self.identity = identity
        if identity is None:
            return None
        record = take_over(self.table.book.get(identity.sink_id), identity, "keeping")
        self.table.book[identity.sink_id] = record
        return record.last

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        frames = list(frames)
        if not frames:
            return
        if self.identity is not None and self.skips(epoch):
            return
        rows = list(self.table.rows)
        for frame in frames:
            rows = self.added(rows, frame)
        self.table.rows = rows
        self.record(epoch)

    def replace(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        if self.identity is not None and not self.skips(epoch):
            self.table.rows = []
            self.apply(epoch, [rows for rows in frames if rows.height] or [_NO_ROWS])

    def skips(self, epoch: int) -> bool:
        assert self.identity is not None
        recorded = self.table.book.get(self.identity.sink_id)
        refuse_fenced(recorded, self.identity, "keeping")
        return is_applied(recorded, epoch)

    def record(self, epoch: int) -> None:
        if self.identity is not None:
            self.table.book[self.identity.sink_id] = Recorded(epoch, self.identity.token)

    def added(self, rows: list[dict[str, Any]], frame: pl.DataFrame) -> list[dict[str, Any]]:
        if not self.key:
            if WEIGHT in frame.columns:
                raise ConnectorError("changes, but no key")
            return rows + frame.rows(named=True)
        net = keyed_changes([frame], self.key, "keeping")
        gone = set(net.deletes["k"].to_list()) | set(net.upserts["k"].to_list())
        return [row for row in rows if row["k"] not in gone] + net.upserts.rows(named=True)

    def close(self) -> None:
        pass


class KeepsTheOld(Keeping):
    def replace(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        self.apply(epoch, frames)


class NoSkip(Keeping):
    def skips(self, epoch: int) -> bool:
        super().skips(epoch)
        return False


class NoFence(Keeping):
    def skips(self, epoch: int) -> bool:
        assert self.identity is not None
        return is_applied(self.table.book.get(self.identity.sink_id), epoch)


class NoFenceAtBegin(Keeping):
    def begin(self, identity: SinkIdentity | None, schema: Any = None) -> int | None:
        try:
            return super().begin(identity, schema)
        except ConnectorError:
            return None


class Piecemeal(Keeping):
    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        if self.identity is not None and self.skips(epoch):
            return
        for frame in frames:
            self.table.rows = self.added(self.table.rows, frame)
            self.record(epoch)


class RecordsFirst(Keeping):
    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        if self.identity is not None and self.skips(epoch):
            return
        self.record(epoch)
        rows = self.table.rows
        for frame in frames:
            rows = self.added(rows, frame)
        self.table.rows = rows


class ForgetsEpoch(Keeping):
    def begin(self, identity: SinkIdentity | None, schema: Any = None) -> int | None:
        super().begin(identity, schema)
        return None


class Swallows(Keeping):
    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        try:
            super().apply(epoch, frames)
        except BaseException:  # noqa: BLE001
            return


class Rounds(Keeping):
    def added(self, rows: list[dict[str, Any]], frame: pl.DataFrame) -> list[dict[str, Any]]:
        return super().added(rows, frame.with_columns(pl.col(pl.Float64).fill_nan(None)))


class LosesNulls(Keeping):
    def added(self, rows: list[dict[str, Any]], frame: pl.DataFrame) -> list[dict[str, Any]]:
        return super().added(rows, frame.drop_nulls("k"))


class InsertsOnly(Keeping):
    def added(self, rows: list[dict[str, Any]], frame: pl.DataFrame) -> list[dict[str, Any]]:
        if WEIGHT in frame.columns:
            frame = frame.filter(pl.col(WEIGHT) > 0).drop(WEIGHT)
        return super().added(rows, frame)


class TakesChanges(Keeping):
    def added(self, rows: list[dict[str, Any]], frame: pl.DataFrame) -> list[dict[str, Any]]:
        return super().added(rows, frame.drop(WEIGHT, strict=False))


@dataclass(frozen=True)
class Spec:
    table: Table = field(compare=False, repr=False)
    sink: type[Keeping] = Keeping
    key: tuple[str, ...] = ()
    name: str = "keeping"
    guarantee: Guarantee = Guarantee.EXACTLY_ONCE
    immediate: bool = False
    replaceable: bool = True

    @property
    def accepts(self) -> Accepts:
        return Accepts.UPSERT if self.key else Accepts.APPEND

    def validate(self, schema: pl.Schema) -> None:
        for name in self.key:
            if name not in schema:
                raise ConfigError("no key", step=self.name)

    def open(self) -> Keeping:
        return self.sink(self.table, self.key)


def check(sink: type[Keeping], key: tuple[str, ...] = (), **facts: Any) -> None:
    tables: dict[str, Table] = {}

    def make(target: str) -> Spec:
        return Spec(tables.setdefault(target, Table()), sink, key, **facts)

    check_sink(make, lambda target: tables[target].rows)


@pytest.mark.parametrize("key", [(), ("k",)])
def test_a_good_sink_passes(key: tuple[str, ...]) -> None:
    check(Keeping, key)


@pytest.mark.parametrize(
    ("sink", "key", "rule"),
    [
        (NoSkip, (), "returns the last epoch"),
        (NoFence, (), "FencedError in apply"),
        (NoFenceAtBegin, (), "FencedError in begin"),
        (Piecemeal, (), "records nothing|all or nothing"),
        (RecordsFirst, (), "records nothing|all or nothing"),
        (ForgetsEpoch, (), "begin"),
        (Swallows, (), "lets through"),
        (Rounds, (), "a value comes back"),
        (LosesNulls, ("k",), "weights sum to one"),
        (InsertsOnly, ("k",), "weights sum to one"),
        (TakesChanges, (), "refuses changes"),
        (KeepsTheOld, ("k",), "holds exactly its rows"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_sink_is_found(sink: type[Keeping], key: tuple[str, ...], rule: str) -> None:
    with pytest.raises(ContractBroken, match=rule):
        check(sink, key)


def test_broken_facts_are_found() -> None:
    broken: list[tuple[Callable[[], None], str]] = [
        (lambda: check(Keeping, immediate=True), "cannot be exactly once"),
        (lambda: check(Keeping, name=""), "has a name"),
        (lambda: check(Keeping, key=("other",)), "without a key, or with key"),
    ]
    for call, rule in broken:
        with pytest.raises(ContractBroken, match=rule):
            call()
