"""How a conformance check says what was broken."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import polars as pl

from penstock.columns import WEIGHT


class ContractBroken(AssertionError):  # noqa: N818 - reads as a finding, like AssertionError
    """A connector or an operator does not do what its contract says.

    ``rule`` is what the contract asks, ``found`` what happened instead.
    """

    def __init__(self, who: str, rule: str, found: str) -> None:
        self.who, self.rule, self.found = who, rule, found
        super().__init__(f"{who} breaks its contract\n  rule:  {rule}\n  found: {found}")


class Contract:
    """Checks rules for one party."""

    def __init__(self, who: str) -> None:
        self.who = who

    def require(self, held: object, rule: str, found: str) -> None:
        """Raise ``ContractBroken`` unless the rule held."""
        if not held:
            raise ContractBroken(self.who, rule, found)

    def broken(self, rule: str, error: BaseException) -> ContractBroken:
        """Return what to raise when a call failed that should not."""
        return ContractBroken(self.who, rule, f"{type(error).__name__}: {error}")


def exactly(value: Any) -> Any:
    """Return a value for an exact comparison: NaN equals NaN, -0.0 is not 0.0, instants in UTC."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, float):
        return ("float", repr(value))
    if isinstance(value, datetime) and value.tzinfo is not None:
        return ("instant", value.astimezone(UTC).replace(tzinfo=None))
    if isinstance(value, list | tuple):
        return tuple(map(exactly, value))
    if isinstance(value, dict):
        return tuple((key, exactly(each)) for key, each in value.items())
    return value


def is_frozen(spec: Any) -> bool:
    """Tell whether no attribute of a spec can be set."""
    try:
        spec.name = spec.name
    except (AttributeError, TypeError):  # dataclasses.FrozenInstanceError is an AttributeError
        return True
    return False


Bag = Counter[tuple[Any, ...]]
"""Rows by how often they are there."""


def plain(value: Any) -> Any:
    """Return a value that equals itself and can be counted: NaN as text, -0.0 as 0.0."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    if isinstance(value, list):
        return tuple(plain(each) for each in value)
    if isinstance(value, dict):
        return tuple((key, plain(each)) for key, each in value.items())
    return value


def bag_of(frame: pl.DataFrame) -> Bag:
    """Count rows; a weight column says how often each is there. NaN equals NaN, -0.0 equals 0.0.

    >>> bag_of(pl.DataFrame({"n": [1, 1, 2]}))
    Counter({(1,): 2, (2,): 1})
    """
    weights = frame[WEIGHT].to_list() if WEIGHT in frame.columns else [1] * frame.height
    bag: Bag = Counter()
    for row, weight in zip(frame.drop(WEIGHT, strict=False).rows(), weights, strict=True):
        bag[tuple(map(plain, row))] += weight
    return bag


def shown(rows: Any, most: int = 8) -> str:
    """Show the first rows of a collection."""
    found = list(rows)
    more = f" ... and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(map(repr, found[:most])) + more
