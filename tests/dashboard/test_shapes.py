"""Rows as the page shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from penstock.dashboard.shapes import SHOWN_ROWS, rows_view
from penstock.runtime.progress import Rows

START = datetime(2026, 5, 17, tzinfo=UTC)
TIMES = [START + timedelta(minutes=i) for i in range(20)]


def view(data: dict[str, Any], **options: Any) -> Any:
    return rows_view(Rows(pl.DataFrame(data), 0.0, **options))


def test_values_are_those_that_a_page_can_read() -> None:
    found = view(
        {
            "at": [START],
            "large": [2**60],
            "small": [7],
            "bytes": [b"\xff<b>"],
            "list": [[1, 2]],
            "none": [None],
            "long": ["x" * 1000],
        }
    )
    (row,) = found.rows
    assert row[:3] == [START.timestamp() * 1000, str(2**60), 7]
    assert row[3] == "\\xff<b>"
    assert row[5] is None
    assert len(str(row[6])) == 300
    kinds = ["instant", "number", "number", "other", "other", "other", "text"]
    assert [column.kind for column in found.columns] == kinds


def test_only_the_last_rows_are_sent() -> None:
    found = view({"a": range(SHOWN_ROWS + 1)})
    assert (len(found.rows), found.total, found.rows[-1]) == (SHOWN_ROWS, SHOWN_ROWS + 1, [500])


@pytest.mark.parametrize(
    ("data", "options", "expected"),
    [
        ({"window_start": TIMES, "rows": range(20)}, {}, ("time", "window_start", ["rows"])),
        (
            {"window_start": TIMES, "window_end": TIMES, "a": range(20), "b": range(20)},
            {},
            ("time", "window_start", ["a", "b"]),
        ),
        ({"page": ["x", "y"], "rows": [1, 2]}, {"view": True}, ("bars", "page", ["rows"])),
        (
            {"status": [200, 404], "rows": [5, 6]},
            {"view": True, "key": ("status",)},
            ("bars", "status", ["rows"]),
        ),
        ({"word": ["x"] * 20, "size": range(20)}, {}, ("histogram", "size", ["size"])),
        ({"word": ["x"] * 20, "status": [200] * 20}, {}, (None, None, [])),
        ({"word": ["x", "y"]}, {"view": True}, (None, None, [])),
        ({"rows": [1]}, {}, (None, None, [])),
        ({}, {}, (None, None, [])),
    ],
)
def test_the_chart_suits_the_shape(
    data: dict[str, Any], options: dict[str, Any], expected: tuple[object, ...]
) -> None:
    found = view(data, **options)
    assert (found.chart, found.x, found.y) == expected
