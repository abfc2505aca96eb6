"""A query over a session as the source of a pipeline: its rows, then each change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import polars as pl
from sqlglot import exp

from penstock.columns import WEIGHT
from penstock.connectors.contract import OnePartition, Polled, Position
from penstock.errors import CheckpointError
from penstock.operators.deltas import repeat_rows
from penstock.scans import from_source
from penstock.sql_plan.statements import shown
from penstock.sql_session.definitions import fill
from penstock.sql_session.execute import planned
from penstock.sql_session.following import Following
from penstock.sql_session.relations import View
from penstock.sql_session.upkeep import Upkeep
from penstock.stream import Stream

Ending = Callable[[], None]


def followed(upkeep: Upkeep, query: exp.Expr, lock: threading.RLock) -> Stream:
    """Return the stream of a query, which is kept up to date while somebody reads it."""
    view = _view(upkeep, query)
    columns = dict(view.schema)
    if view.changelog:
        columns[WEIGHT] = pl.Int64()
    spec = FollowedSpec(
        "a query of a session",
        pl.Schema(columns),
        view.changelog,
        view.unique_keys,
        partial(_begun, upkeep, query, lock),
    )
    return from_source(spec)


def _view(upkeep: Upkeep, query: exp.Expr) -> View:
    relation, reads = planned(upkeep.relations, query, once=False)
    number = 1
    while f"#followed {number}" in upkeep.relations:
        number += 1
    stream = shown(relation)
    return View(f"#followed {number}", query, stream, frozenset(reads), "", followed=True)


def _begun(upkeep: Upkeep, query: exp.Expr, lock: threading.RLock) -> tuple[Following, Ending]:
    """Keep the query up to date from now on, as a view without a name."""
    with lock:
        view = _view(upkeep, query)
        fill(upkeep.relations, view, upkeep.now, upkeep.complete)
        assert view.contents is not None
        upkeep.relations[view.name] = view
        following = Following(view.name, view.contents.weighted(), upkeep.watchers)

    def end() -> None:
        with lock:
            if following in upkeep.watchers:
                upkeep.remove(view.name)

    return following, end


@dataclass(frozen=True, slots=True)
class FollowedSpec:
    """A query over a session as a source of a pipeline: each statement that changes it is an epoch."""

    name: str
    schema: pl.Schema
    changelog: bool
    unique_keys: tuple[tuple[str, ...], ...]
    begin: Callable[[], tuple[Following, Ending]] = field(repr=False, compare=False)
    bounded: bool = False
    replayable: bool = False
    partitioned: bool = False
    frame_is_epoch: bool = True

    def open(self) -> FollowedSource:
        """Begin with what the query holds now."""
        return FollowedSource(self)


class FollowedSource(OnePartition):
    """Hands over what ``Following`` sees. It ends when the session is closed."""

    def __init__(self, spec: FollowedSpec) -> None:
        self._spec = spec
        self._taken = 0
        self._following, self._end = spec.begin()

    def seek(self, position: Position | None) -> None:
        """Refuse to go on in the middle: of changes that were not taken nothing is kept."""
        if position is not None:
            raise CheckpointError(
                "what a session held when a checkpoint was made is not known any more",
                step=self._spec.name,
                hint="without a checkpoint it begins anew; or CREATE SINK into a topic, and read that",
            )

    def poll(self, max_rows: int, timeout_s: float) -> Polled:  # noqa: ARG002 - an epoch is whole
        """Return the next frame, without weights where rows never go."""
        frame = self._following.take(timeout_s)
        ended = self._following.ended
        if frame is None:
            return Polled(
                pl.DataFrame(schema=self._spec.schema), self._taken, caught_up=True, ended=ended
            )
        self._taken += 1
        shown = frame if self._spec.changelog else repeat_rows(frame)
        return Polled(shown, self._taken, caught_up=self._following.caught_up)

    def acknowledge(self, position: Position) -> None:
        """Do nothing: what was taken is gone."""

    def close(self) -> None:
        """Stop following."""
        self._end()
