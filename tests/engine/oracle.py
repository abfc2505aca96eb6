"""Comparison of tables as bags of rows, floats to nine digits."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import polars as pl

from penstock.columns import WEIGHT

RELATIVE = 1e-9


def bag(frame: pl.DataFrame) -> Counter[tuple[Any, ...]]:
    """Count the rows; NaN equals NaN, -0.0 equals 0.0."""
    found: Counter[tuple[Any, ...]] = Counter()
    weights = frame[WEIGHT].to_list() if WEIGHT in frame.columns else [1] * frame.height
    for row, weight in zip(frame.drop(WEIGHT, strict=False).rows(), weights, strict=True):
        found[tuple(map(_plain, row))] += weight
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    if isinstance(value, list):
        return tuple(map(_plain, value))
    if isinstance(value, dict):
        return tuple((name, _plain(inner)) for name, inner in value.items())
    return value


def assert_same(found: pl.DataFrame, wanted: pl.DataFrame, where: str) -> None:
    """Compare two tables as bags; what does not match exactly must match closely, row by row."""
    extra, missing = bag(found), bag(wanted)
    extra, missing = extra - missing, missing - extra
    if not extra and not missing:
        return
    left, right = (sorted(b.elements(), key=_order) for b in (extra, missing))
    close = len(left) == len(right) and all(map(_close_rows, left, right))
    assert close, f"{where}:\n  extra   {left}\n  missing {right}"


def _order(row: tuple[Any, ...]) -> list[tuple[str, Any]]:
    return [
        (type(v).__name__, round(v, 6) if isinstance(v, float) and math.isfinite(v) else v)
        for v in row
        if v is not None
    ]


def _close_rows(one: tuple[Any, ...], two: tuple[Any, ...]) -> bool:
    return all(map(_close, one, two))


def _close(one: Any, two: Any) -> bool:
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=RELATIVE, abs_tol=RELATIVE)
    return bool(one == two)
