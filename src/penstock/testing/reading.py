"""Read a source by hand, holding every poll against the contract."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from penstock.columns import DEAD_LETTER_SCHEMA
from penstock.connectors.contract import Polled, Position, Source, SourceSpec, lag_of
from penstock.testing.contracts import Contract, plain, shown

SLACK_S = 10.0
"""How much longer than its time-out a poll may take on a busy machine."""

Row = tuple[Any, ...]


@dataclass
class Reading:
    """Rows as they came, by partition; dead letters by what identifies them."""

    good: dict[int, list[Row]] = field(default_factory=dict)
    dead: list[Row] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    ended: bool = False

    @property
    def count(self) -> int:
        """Rows, good and dead."""
        return sum(map(len, self.good.values())) + len(self.dead)

    def add(self, polled: Polled) -> None:
        """Append what a poll brought."""
        rows = [tuple(map(plain, row)) for row in polled.frame.rows()]
        if rows:
            self.good.setdefault(polled.partition, []).extend(rows)
        if polled.dead is not None:
            self.dead.extend(polled.dead.rows())
        self.positions.append(polled.position)
        self.ended = polled.ended

    def rest_is(self, whole: Reading, before: Reading, *, places: bool) -> str | None:
        """Tell how this differs from ``whole`` without what came ``before``; None if it does not.

        ``places``: whether dead letters must have the same positions (not of a new connection).
        """
        for number in whole.good.keys() | self.good.keys():
            wanted = whole.good.get(number, [])[len(before.good.get(number, [])) :]
            found = self.good.get(number, [])
            if not whole.ended:  # more may have come to one of them since
                common = min(len(wanted), len(found))
                wanted, found = wanted[:common], found[:common]
            if found != wanted:
                return f"in partition {number} {shown(found)} instead of {shown(wanted)}"
        here, there = Counter(self.dead), Counter(whole.dead[len(before.dead) :])
        if not places:
            here, there = (
                Counter((s, b, why) for s, _, b, why in dead.elements()) for dead in (here, there)
            )
        extra, missing = here - there, there - here
        if (extra or missing) if whole.ended else (extra and missing):
            return f"dead letters {shown(extra)} instead of {shown(missing)}"
        return None


class Reader:
    """Polls one opened source and checks each answer."""

    def __init__(self, contract: Contract, spec: SourceSpec, source: Source) -> None:
        self.source = source
        self._contract = contract
        self._spec = spec

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        """Poll once and check what came."""
        require = self._contract.require
        known = set(self.source.partitions())
        started = time.monotonic()
        polled = self.source.poll(max_rows, timeout_s)
        took = time.monotonic() - started
        require(
            took <= timeout_s + SLACK_S,
            "poll(max_rows, timeout_s) returns after timeout_s seconds at the latest",
            f"poll({max_rows}, {timeout_s}) took {took:.1f} s",
        )
        self._check_frames(polled, max_rows)
        require(
            _json(polled.position) == polled.position,
            "a position is a JSON value, equal to itself after json.dumps and json.loads "
            "(no tuples, no keys that are numbers)",
            f"position {polled.position!r} came back as {_json(polled.position)!r}",
        )
        partitions = list(self.source.partitions())
        require(
            all(isinstance(n, int) and n >= 0 for n in partitions)
            and len(set(partitions)) == len(partitions),
            "partitions() returns distinct numbers from 0 on",
            f"partitions() returned {partitions}",
        )
        require(
            not brought(polled) or polled.partition in known.union(partitions),
            "rows come from a partition that partitions() names before or after the poll",
            f"rows of partition {polled.partition}, partitions() {sorted(known.union(partitions))}",
        )
        require(
            self._spec.partitioned or polled.partition == 0,
            "a source that is not partitioned brings all rows as partition 0",
            f"a poll brought rows of partition {polled.partition}",
        )
        lag = lag_of(self.source)
        require(
            lag is None or lag >= 0, "lag() is None or a number of rows", f"lag() returned {lag}"
        )
        return polled

    def _check_frames(self, polled: Polled, max_rows: int) -> None:
        require, frame, dead = self._contract.require, polled.frame, polled.dead
        require(
            frame.schema == self._spec.schema and frame.columns == self._spec.schema.names(),
            "every frame, an empty one too, has exactly the columns of the spec's schema, in order",
            f"a frame of {dict(frame.schema)}, the schema is {dict(self._spec.schema)}",
        )
        count = brought(polled)
        require(
            count <= max_rows or self._spec.frame_is_epoch,
            "poll(max_rows, ...) returns at most max_rows rows, good and dead together",
            f"poll({max_rows}, ...) returned {count} rows",
        )
        require(
            dead is None or dead.schema == DEAD_LETTER_SCHEMA,
            f"dead letters have the columns {dict(DEAD_LETTER_SCHEMA)}",
            f"dead letters of {dict(dead.schema) if dead is not None else None}",
        )
        require(
            dead is None
            or not dead.select(pl.any_horizontal(pl.all().is_null())).to_series().any(),
            "a dead letter names its step, position, bytes and reason",
            f"a dead letter with a null: {shown(dead.rows() if dead is not None else [])}",
        )

    def until(
        self,
        done: Callable[[Reading], bool],
        max_rows: int,
        patience_s: float,
        after: Callable[[Polled], None] | None = None,
    ) -> Reading:
        """Poll until ``done``, or the end; raise if that does not happen in time."""
        found, deadline = Reading(), time.monotonic() + patience_s
        while not (found.ended or done(found)):
            self._contract.require(
                time.monotonic() < deadline,
                f"the rows arrive within {patience_s:g} s (patience=)",
                f"{found.count} rows came: {shown(r for p in found.good.values() for r in p)}",
            )
            polled = self.poll(max_rows, 0.05)
            found.add(polled)
            if after is not None:
                after(polled)
        return found


def brought(polled: Polled) -> int:
    """Return how many rows a poll brought, good and dead."""
    return polled.frame.height + (0 if polled.dead is None else polled.dead.height)


def _json(value: object) -> object:
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        return f"not JSON: {error}"
