"""What the planner proves about the rows on an edge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from penstock.instants import Passing, Reach, Through


@dataclass(frozen=True, slots=True)
class TimeBound:
    """How the watermark W of an edge bounds one of its columns.

    Every row (or change of a row) still to come has ``column >= f(W + shift_ns - refine_ns)``
    (``>`` if ``strict``), ``f`` being the functions of ``through`` one after another. At
    ``f(W + shift_ns)`` results are due; until ``refine_ns`` later they may still be refined.
    """

    shift_ns: int = 0
    refine_ns: int = 0
    strict: bool = False
    through: tuple[Through, ...] = ()

    @property
    def reach(self) -> Reach:
        """When results are due."""
        return Reach(self.shift_ns, self.through)

    @property
    def reach_over(self) -> Reach:
        """When nothing changes any more."""
        return Reach(self.shift_ns - self.refine_ns, self.through)

    def due(self, column: str, dtype: pl.DataType) -> Passing:
        """Return when results for a value of the column are due."""
        return Passing(column, dtype, self.reach, self.strict)

    def over(self, column: str, dtype: pl.DataType) -> Passing:
        """Return when state for a value of the column may be freed."""
        return Passing(column, dtype, self.reach_over, self.strict)

    def then(self, function: Through) -> TimeBound:
        """Return the bound of what a function makes of the column."""
        return replace(self, strict=False, through=(*self.through, function))

    @property
    def plain(self) -> TimeBound | None:
        """A bound without functions that holds too, if less closely; None if none is known."""
        slacks = [function.slack_ns for function in self.through]
        known = [slack for slack in slacks if slack is not None]
        if len(known) < len(slacks):
            return None
        return TimeBound(self.shift_ns - sum(known), self.refine_ns, self.strict or bool(slacks))


def joint_bound(left: TimeBound, right: TimeBound) -> TimeBound | None:
    """Return the bound of a column that both sides bound, by the lower watermark of the two."""
    if left.through != right.through:
        plain = left.plain, right.plain
        return None if plain[0] is None or plain[1] is None else joint_bound(plain[0], plain[1])
    return TimeBound(
        min(left.shift_ns, right.shift_ns),
        max(left.refine_ns, right.refine_ns),
        left.strict and right.strict,
        left.through,
    )


@dataclass(frozen=True, slots=True)
class Properties:
    """Proven facts about the rows of an edge.

    ``changelog``: rows carry a weight and may be retracted. ``keys``: column sets that are unique in
    the integrated contents. ``times``: bounds by column. ``event_time``: the column that windows use
    unless told otherwise. ``bounded``: the input ends by itself. ``partitioned``: the hidden
    partition column is present.
    """

    changelog: bool = False
    keys: tuple[tuple[str, ...], ...] = ()
    times: Mapping[str, TimeBound] = field(default_factory=dict)
    event_time: str | None = None
    bounded: bool = False
    partitioned: bool = False

    def unique_on(self, columns: Iterable[str]) -> bool:
        """Tell whether the rows are proven unique on (a subset of) these columns."""
        given = set(columns)
        return any(set(key) <= given for key in self.keys)


def kept_keys(
    keys: Iterable[tuple[str, ...]], columns: Iterable[str]
) -> tuple[tuple[str, ...], ...]:
    """Return the keys all of whose columns survive."""
    there = set(columns)
    return tuple(key for key in keys if set(key) <= there)


def copied_columns(exprs: Iterable[pl.Expr]) -> dict[str, str]:
    """Return output name -> input column for expressions that only copy or rename a column."""
    bare = ((expr.meta.output_name(), expr.meta.undo_aliases()) for expr in exprs)
    return {name: expr.meta.output_name() for name, expr in bare if expr.meta.is_column()}
