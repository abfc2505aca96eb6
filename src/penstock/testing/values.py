"""Values at the edges of their types, to see what a sink makes of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

_EARLY = datetime(1901, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATE = datetime(2199, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
_INF = float("inf")

_COLUMNS: dict[str, tuple[list[Any], pl.DataType]] = {
    "int8": ([-128, 0, 127, None], pl.Int8()),
    "int64": ([-(2**63), -1, 2**63 - 1, None], pl.Int64()),
    "uint32": ([0, 1, 2**32 - 1, None], pl.UInt32()),
    "uint64": ([0, 2**63, 2**64 - 1, None], pl.UInt64()),
    "float32": ([0.5, -0.0, _INF, None], pl.Float32()),
    "float64": ([5e-324, 1.7976931348623157e308, 0.1, None], pl.Float64()),
    "signs": ([-0.0, _INF, -_INF, float("nan")], pl.Float64()),
    "boolean": ([True, False, True, None], pl.Boolean()),
    "string": (["", " a'b\"c\\\n\t,;", "é\U0001f600", None], pl.String()),
    "binary": ([b"", b"\x00\xff", b"'\\\n", None], pl.Binary()),
    "date": ([date(1, 1, 1), date(1970, 1, 1), date(9999, 12, 31), None], pl.Date()),
    "time": ([time(0), time(23, 59, 59, 999999), time(1, 2, 3), None], pl.Time()),
    "datetime": (
        [t.replace(tzinfo=None) for t in (_EARLY, _EPOCH, _LATE)] + [None],
        pl.Datetime("us"),
    ),
    "utc": (
        [_EARLY, _EPOCH, _LATE, None],
        pl.Datetime("us", "UTC"),
    ),
    "zoned": (
        [
            datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
            datetime(2026, 10, 25, 1, tzinfo=UTC),
            None,
            None,
        ],
        pl.Datetime("us", "Europe/Berlin"),
    ),
    "duration": (
        [timedelta(days=-400, microseconds=1), timedelta(0), timedelta(days=40000), None],
        pl.Duration("us"),
    ),
    "decimal": (
        [Decimal("-12345678901234.56"), Decimal("0.01"), Decimal(0), None],
        pl.Decimal(18, 2),
    ),
    "list": ([[1, None, 3], [], [2**62], None], pl.List(pl.Int64())),
    "texts": ([["a", "", None], [], ['"'], None], pl.List(pl.String())),
    "struct": (
        [{"a": 1, "b": "x"}, {"a": None, "b": ""}, {"a": -1, "b": None}, None],
        pl.Struct({"a": pl.Int64(), "b": pl.String()}),
    ),
    "nulls": ([None, None, None, None], pl.Int64()),
}


def edge_values() -> pl.DataFrame:
    """Return a frame of extreme values, nulls, NaN, signed zeros, zones, nested values and decimals.

    The column ``row`` (Int64, 0 to 3) tells the rows apart.
    """
    series = [pl.Series(name, values, dtype) for name, (values, dtype) in _COLUMNS.items()]
    return pl.DataFrame([pl.Series("row", [0, 1, 2, 3], pl.Int64), *series])
