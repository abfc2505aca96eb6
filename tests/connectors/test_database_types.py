"""Every Polars type goes into each database and comes back the same."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from penstock.columns import WEIGHT
from penstock.connectors.contract import SinkIdentity
from penstock.errors import ConfigError
from tests.connectors.databases import Database

Read = Callable[[Any], object]
MOMENT = datetime(2026, 11, 20, 10, 11, 12, 345678)
BERLIN = datetime(2026, 7, 1, 12, 0, 0, 5, tzinfo=ZoneInfo("Europe/Berlin"))


@dataclass(frozen=True)
class Case:
    """Values of one type, and how to read each database's value as what Polars had."""

    dtype: pl.DataType
    values: list[Any]
    sqlite: Read = lambda v: v
    duckdb: Read = lambda v: v
    postgres: Read = lambda v: v


def same_instant(value: datetime) -> object:
    return value.astimezone(UTC)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def single(value: float) -> float:
    return float(np.float32(value))  # PostgreSQL shows the shortest text that gives this number


def ints(dtype: type[pl.DataType], low: int, high: int) -> Case:
    return Case(dtype(), [low, high, 7], sqlite=int, postgres=int)


CASES = [
    ints(pl.Int8, -(2**7), 2**7 - 1),
    ints(pl.Int16, -(2**15), 2**15 - 1),
    ints(pl.Int32, -(2**31), 2**31 - 1),
    ints(pl.Int64, -(2**63), 2**63 - 1),
    ints(pl.Int128, -(2**127) + 1, 2**127 - 1),
    ints(pl.UInt8, 0, 2**8 - 1),
    ints(pl.UInt16, 0, 2**16 - 1),
    ints(pl.UInt32, 0, 2**32 - 1),
    ints(pl.UInt64, 2**63 - 1, 2**64 - 1),
    ints(pl.UInt128, 0, 2**128 - 1),
    Case(pl.Float16(), [1.5, -0.25]),
    Case(pl.Float32(), [0.1, math.nan, math.inf, -math.inf], float, postgres=single),
    Case(pl.Float64(), [0.1, math.nan, math.inf, -math.inf, 5e-324, 1.7e308], sqlite=float),
    Case(pl.Decimal(12, 3), [Decimal("1.500"), Decimal("-999999999.999")], sqlite=Decimal),
    Case(pl.Decimal(38, 0), [Decimal("9" * 38), Decimal(-5)], sqlite=Decimal),
    Case(pl.String(), ["", "é\n\"'\\", "\\.", "\\N", "NULL", "null", " , ", "\t\r\n", "NaN", "𝄞"]),
    Case(pl.Categorical(), ["a", "", "b c"]),
    Case(pl.Enum(["x", "y"]), ["y", "x"]),
    Case(pl.Binary(), [b"", b"\x00\xff\\x", b"plain"]),
    Case(pl.Boolean(), [True, False], sqlite=bool),
    Case(pl.Date(), [date(1, 1, 1), date(2026, 2, 28), date(9999, 12, 31)], date.fromisoformat),
    Case(pl.Time(), [time(0, 0), time(23, 59, 59, 999999)], lambda v: time.fromisoformat(v[:15])),
    Case(pl.Datetime("ms"), [MOMENT.replace(microsecond=345000), datetime(1900, 1, 1)], instant),
    Case(pl.Datetime("us"), [MOMENT, datetime(1, 1, 1), datetime(9999, 12, 31)], instant),
    Case(
        pl.Datetime("us", "Europe/Berlin"),
        [
            BERLIN,
            datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
            datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
        ],
        instant,
    ),
    Case(pl.Datetime("ms", "UTC"), [datetime(2026, 1, 1, tzinfo=UTC)], instant),
    Case(
        pl.Duration("us"),
        [timedelta(days=-3, microseconds=1), timedelta(days=99999, seconds=1), timedelta(0)],
        lambda v: timedelta(microseconds=v),
    ),
    Case(pl.Duration("ms"), [timedelta(milliseconds=-1)], lambda v: timedelta(milliseconds=v)),
    Case(pl.List(pl.Int64), [[1, None], [], [3]], json.loads),
    Case(pl.List(pl.List(pl.String)), [[["a"], [], None, ["\"{}'"]]], json.loads),
    Case(pl.Array(pl.Int32, 2), [[1, 2], [3, None]], json.loads, duckdb=list),
    Case(
        pl.Struct({"a": pl.Int64, "b c": pl.List(pl.String)}),
        [{"a": 1, "b c": ["x", None]}, {"a": None, "b c": None}],
        json.loads,
    ),
    Case(pl.Null(), []),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.dtype))
def test_values_come_back(database: Database, case: Case) -> None:
    values = pl.Series([*case.values, None], dtype=case.dtype)
    frame = pl.DataFrame({"n": range(len(values)), "v": values})
    weight = pl.lit(1, pl.Int64).alias(WEIGHT)
    replaced = pl.concat([frame.with_columns(-weight), frame.with_columns(weight)])
    read: Read = getattr(case, database.kind)
    for table, key in (("appended", ()), ("keyed", ("n",))):
        spec = database.spec(table, key)
        spec.validate(frame.schema)
        sink = spec.open()
        sink.begin(SinkIdentity(table, 1))
        sink.apply(0, [frame])
        if key:
            sink.apply(1, [replaced, frame.with_columns(weight)[:0]])
        sink.close()
        found = [row[0] for row in database.query(f"SELECT v FROM {table} ORDER BY n")]
        came_back = [same(None if value is None else read(value)) for value in found]
        assert came_back == [same(value) for value in values]


KEY_CASES = [case for case in CASES if not case.dtype.is_nested() and case.values]


@pytest.mark.parametrize("case", KEY_CASES, ids=lambda case: str(case.dtype))
def test_values_are_keys(database: Database, case: Case) -> None:
    if database.kind == "duckdb" and isinstance(case.dtype, pl.Duration):
        with pytest.raises(ConfigError, match="no index over INTERVAL"):
            database.spec("t", ("v",)).validate(pl.Schema({"v": case.dtype}))
        return
    keys = pl.Series([*case.values, None], dtype=case.dtype)
    frame = pl.DataFrame({"v": keys, "n": range(len(keys))})
    added = frame.with_columns(pl.lit(1, pl.Int64).alias(WEIGHT))
    gone = frame.with_columns(pl.lit(-1, pl.Int64).alias(WEIGHT))
    spec = database.spec("t", ("v",))
    spec.validate(frame.schema)
    sink = spec.open()
    sink.begin(SinkIdentity("types", 1))
    sink.apply(0, [added])
    sink.apply(1, [pl.concat([gone, added.with_columns(pl.col("n") + 100)])])
    assert sorted(database.query("SELECT n FROM t")) == [(n + 100,) for n in range(len(keys))]
    sink.apply(2, [gone.with_columns(pl.col("n") + 100)])
    sink.close()
    assert database.query("SELECT n FROM t") == []


def test_nanoseconds_stay_in_sqlite_and_duckdb(database: Database) -> None:
    if database.kind == "postgres":
        return  # refused there: test_database_sinks.py
    frame = pl.DataFrame({"v": pl.Series([1_700_000_000_123_456_789], dtype=pl.Datetime("ns"))})
    sink = database.spec("t").open()
    sink.begin(None)
    sink.apply(0, [frame])
    sink.close()
    assert database.query("SELECT CAST(v AS VARCHAR) FROM t") == [
        ("2023-11-14 22:13:20.123456789",)
    ]


def same(value: object) -> object:
    """Make values comparable: NaN to itself, instants by what they mean."""
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, datetime) and value.tzinfo is not None:
        return same_instant(value)
    if isinstance(value, pl.Series):
        return value.to_list()
    return value
