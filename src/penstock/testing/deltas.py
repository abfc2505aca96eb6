"""Hold the deltas of a stream against what an operator owes, and add them up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import polars as pl

from penstock.columns import WEIGHT
from penstock.operators.deltas import consolidate, weighted
from penstock.stream import Stream
from penstock.testing.contracts import Bag, Contract, bag_of, plain, shown
from penstock.testing.driving import Epoch, drive

RELATIVE = 1e-9
"""How far two floats may be apart; sums come out differently in another order (design: exactness)."""


class Integral:
    """The table that the deltas of a stream make; no row may be deleted that is not there."""

    def __init__(self, stream: Stream, who: str = "stream") -> None:
        self.table = weighted(pl.DataFrame(schema=stream.schema), 1)
        self._contract = Contract(who)

    def add(self, delta: pl.DataFrame | None) -> None:
        """Add one delta, its deletions first."""
        if delta is None:
            return
        with_weight = delta if WEIGHT in delta.columns else weighted(delta, 1)
        deleted = with_weight.filter(pl.col(WEIGHT) < 0)
        table = consolidate(pl.concat([self.table, deleted]))
        missing = table.filter(pl.col(WEIGHT) < 0)
        self._contract.require(
            missing.is_empty(),
            "a changelog deletes only rows that are there",
            f"deleted but not there: {shown(missing.rows())}",
        )
        self.table = consolidate(pl.concat([table, with_weight.filter(pl.col(WEIGHT) > 0)]))


def integrate(stream: Stream, deltas: Iterable[pl.DataFrame | None]) -> pl.DataFrame:
    """Add deltas up; asserts that no row is deleted that is not there. Weights stay as a column."""
    integral = Integral(stream)
    for delta in deltas:
        integral.add(delta)
    return integral.table


def check_delta(stream: Stream, delta: pl.DataFrame | None, who: str = "stream") -> None:
    """Check one delta: its schema, rows in it, consolidated, deletions first."""
    if delta is None:
        return
    require = Contract(who).require
    require(delta.height, "an epoch without changes gives no frame, not an empty one", "no rows")
    names = delta.drop(WEIGHT, strict=False).schema
    require(
        dict(names) == dict(stream.schema),
        "a delta has the columns of the stream",
        f"{dict(names)} instead of {dict(stream.schema)}",
    )
    require(
        (WEIGHT in delta.columns) == stream.is_changelog,
        "a changelog has _weight, append-only rows have not",
        f"columns {delta.columns}",
    )
    if stream.is_changelog:
        _check_weights(delta, Contract(who))


def _check_weights(delta: pl.DataFrame, contract: Contract) -> None:
    require = contract.require
    require(delta.columns[-1] == WEIGHT, "_weight is the last column", f"{delta.columns}")
    weights = delta[WEIGHT].to_list()
    require(0 not in weights, "no row has weight 0", shown(delta.rows()))
    ordered = sorted(weights, key=lambda weight: weight > 0)
    require(ordered == weights, "deletions come before insertions", shown(delta.rows()))
    signs: dict[tuple[Any, ...], set[bool]] = {}
    for *row, weight in delta.rows():
        signs.setdefault(tuple(map(plain, row)), set()).add(weight > 0)
    both = [row for row, found in signs.items() if len(found) > 1]
    require(not both, "a row that is inserted and deleted cancels", shown(both))


def check_every_epoch(
    stream: Stream,
    epochs: Sequence[Epoch],
    oracle: Callable[[int], Bag],
    restart_after: set[int] | None = None,
) -> list[pl.DataFrame | None]:
    """Compare the integrated output after epoch ``n`` with ``oracle(n)``; return the deltas."""
    deltas: list[pl.DataFrame | None] = []
    integral = Integral(stream)
    for number, (delta,) in enumerate(drive(stream, epochs, restart_after=restart_after)):
        check_delta(stream, delta)
        deltas.append(delta)
        integral.add(delta)
        found, wanted = bag_of(integral.table), oracle(number)
        assert found == wanted, f"epoch {number}: extra {found - wanted}, missing {wanted - found}"
    return deltas


def difference(found: pl.DataFrame, wanted: pl.DataFrame) -> str | None:
    """Tell how two tables differ as bags of rows, floats to nine digits; None if they do not."""
    extra, missing = bag_of(found), bag_of(wanted)
    extra, missing = extra - missing, missing - extra
    if not extra and not missing:
        return None
    left, right = (sorted(bag.elements(), key=_order) for bag in (extra, missing))
    if len(left) == len(right) and all(map(_close_rows, left, right)):
        return None
    return f"too many: {shown(left)}; missing: {shown(right)}"


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
