"""As what values come back from JSON."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import polars as pl

from penstock.connectors.formats import registry
from penstock.testing import edge_values

KINDS = {
    name: pl.String() if dtype == pl.Duration else dtype
    for name, dtype in edge_values().rename({"row": "k"}).schema.items()
    if "Binary" not in repr(dtype)
}
"""Columns of ``edge_values`` that JSON can hold, as they are read."""


def schema_of(target: str) -> dict[str, Any]:
    """Return the columns of a target of ``check_sink``."""
    return KINDS if target.startswith("values") else {"k": pl.Int64, "v": pl.String}


def decoded(lines: list[bytes], schema: dict[str, Any]) -> pl.DataFrame:
    """Read JSON objects as our format does; all have to be good."""
    found = registry.build("json", schema).decode(pl.Series(lines, dtype=pl.Binary))
    assert found.errors.is_empty(), found.errors
    return found.frame


def in_json(_: str, value: Any) -> Any:
    """NaN and infinities are null, durations ISO texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _iso(value) if isinstance(value, timedelta) else value


def _iso(value: timedelta) -> str:
    seconds, micros = divmod(abs(value) // timedelta(microseconds=1), 1_000_000)
    if not seconds and not micros:
        return "P0D"
    rest = f".{micros:06d}".rstrip("0") if micros else ""
    return f"{'-' if value < timedelta(0) else ''}PT{seconds}{rest}S"
