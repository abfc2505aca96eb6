"""``check_source`` finds each way of breaking the contract."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from penstock.connectors.contract import OnePartition, Polled, Position
from penstock.testing import ContractBroken, check_source

SCHEMA = pl.Schema({"n": pl.Int64()})
ROWS = 9


class Counting(OnePartition):
    """Counts to ``ROWS``; each subclass does one thing wrong."""

    at = 0

    def seek(self, position: Any) -> None:
        self.at = 0 if position is None else position["next"]

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        first, self.at = self.at, min(ROWS, self.at + max_rows)
        frame = pl.DataFrame({"n": range(first, self.at)}, schema=SCHEMA)
        return Polled(frame, {"next": self.at}, ended=self.at == ROWS)

    def acknowledge(self, position: Position) -> None:
        pass

    def close(self) -> None:
        pass


class TooMany(Counting):
    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        return super().poll(max_rows + 1, timeout_s)


class OtherColumns(Counting):
    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        polled = super().poll(max_rows, timeout_s)
        return replace(polled, frame=polled.frame.cast(pl.Int32))


class NotJson(Counting):
    def seek(self, position: Any) -> None:
        self.at = 0 if position is None else position[0]

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        polled = super().poll(max_rows, timeout_s)
        return replace(polled, position=(self.at,))


class SeeksOneTooFar(Counting):
    def seek(self, position: Any) -> None:
        super().seek(position)
        self.at += position is not None


class EndsTwice(Counting):
    calls = 0

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        polled = super().poll(max_rows, timeout_s)
        if self.at < ROWS:
            return polled
        self.calls += 1
        return replace(polled, ended=self.calls == 1)


class OtherPartition(Counting):
    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        return replace(super().poll(max_rows, timeout_s), partition=1)


class DeadWithoutReason(Counting):
    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        polled = super().poll(max(1, max_rows - 1), timeout_s)
        return replace(polled, dead=pl.DataFrame({"bytes": [b"x"]})) if max_rows > 1 else polled


class ForgetsOnAcknowledge(Counting):
    def acknowledge(self, position: Any) -> None:
        self.at = min(ROWS, self.at + 1)


class SharedPosition(Counting):
    def __init__(self) -> None:
        self.place: dict[str, int] = {"next": 0}

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        polled = super().poll(max_rows, timeout_s)
        self.place["next"] = self.at
        return replace(polled, position=self.place)

    def acknowledge(self, position: Any) -> None:
        self.place["next"] += 0 if threading.current_thread() is threading.main_thread() else 1


class NeverWakes(Counting):
    def __init__(self) -> None:
        self.never = threading.Event()

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        if timeout_s >= 1:
            self.never.wait(timeout_s)
        return super().poll(max_rows, timeout_s)


@dataclass(frozen=True)
class Spec:
    source: Callable[[], Any]
    name: str = "counting"
    schema: pl.Schema = field(default_factory=lambda: SCHEMA)
    bounded: bool = True
    replayable: bool = True
    partitioned: bool = False
    frame_is_epoch: bool = False

    def open(self) -> Any:
        return self.source()


def test_a_good_source_passes() -> None:
    check_source(lambda: Spec(Counting), expected=pl.DataFrame({"n": range(ROWS)}))


BROKEN: Sequence[tuple[type[Counting], str]] = [
    (TooMany, "at most max_rows"),
    (OtherColumns, "exactly the columns"),
    (NotJson, "JSON"),
    (SeeksOneTooFar, "same rows in the same order"),
    (EndsTwice, "stays ended"),
    (OtherPartition, "from a partition that"),
    (DeadWithoutReason, "dead letters have the columns"),
    (ForgetsOnAcknowledge, "same rows in the same order"),
    (SharedPosition, "same rows in the same order|does not change"),
    (NeverWakes, "ends a waiting poll"),
]


@pytest.mark.parametrize(("source", "rule"), BROKEN, ids=lambda v: getattr(v, "__name__", ""))
def test_a_broken_source_is_found(source: type[Counting], rule: str) -> None:
    with pytest.raises(ContractBroken, match=rule):
        check_source(lambda: Spec(source), patience=timedelta(seconds=2))


@dataclass(frozen=True)
class Telling(Spec):
    password: str = "hunter2"


def test_broken_specs_are_found() -> None:
    numbers = iter(range(100))
    broken: list[tuple[Callable[[], Any], str]] = [
        (lambda: Telling(Counting), "secret"),
        (lambda: Spec(Counting, name=" "), "has a name"),
        (lambda: Spec(Counting, name=f"{next(numbers)}"), "made alike are equal"),
        (lambda: Spec(Counting, schema=pl.Schema({"_weight": pl.Int64()})), "_penstock_"),
        (lambda: Spec(Counting, bounded=False), "rows="),
        (lambda: object(), "a spec has name"),
    ]
    for make, rule in broken:
        with pytest.raises(ContractBroken, match=rule):
            check_source(make, secrets=["hunter2"])


def test_rows_that_are_not_expected_are_found() -> None:
    with pytest.raises(ContractBroken, match="rows that are expected"):
        check_source(lambda: Spec(Counting), expected=pl.DataFrame({"n": [1]}))
