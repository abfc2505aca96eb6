"""Steps that look at all rows of a key: aggregation, and expressions over other rows."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from penstock.errors import PlanError
from penstock.plan.bounds import carried_bounds, longest_ns, start_bound
from penstock.plan.expressions import output_schema
from penstock.plan.node import Node, require_columns
from penstock.plan.properties import Properties, TimeBound, copied_columns
from penstock.windows import END, START, Hopping, Rows, Session, Sliding, Window, check_unit


class Emission(enum.Enum):
    """When results leave a step."""

    FINAL = "final"  # each once, when it can no longer change
    CHANGES = "changes"  # after every epoch, as insertions and retractions


@dataclass(frozen=True, eq=False, kw_only=True)
class Aggregate(Node):
    """Group by keys, and by a window if there is one, and aggregate each group."""

    input: Node
    keys: tuple[pl.Expr, ...]
    aggs: tuple[pl.Expr, ...]
    window: Window | None = None
    emission: Emission | None = None
    ttl_ns: int | None = None
    max_group_rows: int | None = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The one node it reads."""
        return (self.input,)

    @property
    def key_names(self) -> tuple[str, ...]:
        """Output names of the keys, without the window."""
        return tuple(key.meta.output_name() for key in self.keys)

    @property
    def window_column(self) -> str | None:
        """The event-time column the window is over; None for row-count windows without one."""
        if self.window is None:
            return None
        return self.window.on or self.input.properties.event_time

    @property
    def window_bound(self) -> TimeBound | None:
        """The bound of that column, where the input has a watermark on it."""
        return self.input.properties.times.get(self.window_column or "")

    @property
    def final(self) -> bool:
        """Whether each group is emitted once."""
        if self.emission is not None:
            return self.emission is Emission.FINAL
        return isinstance(self.window, Rows) or self.window_bound is not None

    @property
    def unbounded_state(self) -> str | None:
        """What is kept that neither the watermark nor a time to live frees."""
        if self.window is not None or not self.keys or self.ttl_ns is not None:
            return None
        freed = any(name in self.properties.times for name in self.key_names)
        return None if freed else "a row for every key"

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Aggregate an empty frame; add the window's columns behind the keys."""
        before = self.input.properties
        keys = output_schema(self.keys, self.input.schema, "group_by") if self.keys else {}
        aggs = output_schema(self.aggs, self.input.schema, "agg") if self.aggs else {}
        columns: dict[str, pl.DataType] = dict(keys)
        if self.window is not None:
            added = self._window_columns()
            for name in added.keys() & columns.keys():
                raise PlanError(
                    f"key {name!r} has the name of a column that the window gives",
                    step="group_by",
                    value=name,
                    hint=f'rename it, e.g. .rename({{"{name}": "other"}})',
                )
            columns |= added
        for name, dtype in aggs.items():
            if name in columns:
                raise PlanError(
                    f"column {name!r} would be there twice",
                    step="group_by",
                    hint=f'rename it with .alias("...") or name it in agg({name}_2=...)',
                )
            columns[name] = dtype
        self._check_rows()
        counted = isinstance(self.window, Rows)
        keyed = self.window is None and bool(self._key_times())
        due = self.window_bound is not None or keyed or before.bounded or counted
        if self.emission is Emission.FINAL and not due:
            raise PlanError(
                'emit("final") needs a window or key over a watermark, or an input that ends',
                step="group_by",
                hint="declare one with .with_watermark(...)",
            )
        refine = self.window_bound.refine_ns if self.window_bound and not counted else 0
        if keyed:
            refine = max(bound.refine_ns for bound in self._key_times().values())
        return pl.Schema(columns), Properties(
            changelog=not self.final or refine > 0,
            keys=self._unique(),
            times=self._times(),
            event_time=self._event_time(),
            bounded=before.bounded,
        )

    def _check_rows(self) -> None:
        """Rows are counted in order of arrival, which changes do not have."""
        if not isinstance(self.window, Rows):
            return
        if self.input.properties.changelog:
            raise PlanError(
                "changes cannot be counted in order of arrival",
                step="tumbling",
                hint="count before the first aggregation, or use a window over time",
            )
        if self.emission is Emission.CHANGES:
            raise PlanError(
                "a window of so many rows is emitted once, when it is complete",
                step="emit",
                hint='leave emit("changes") out',
            )

    def _window_columns(self) -> Mapping[str, pl.DataType]:
        assert self.window is not None
        column = self.window_column
        if column is None:
            if isinstance(self.window, Rows):
                return {START: pl.Int64(), END: pl.Int64()}
            raise PlanError(
                "the stream has no event-time column",
                step=self.window.kind,
                hint='declare it with .with_watermark("ts", lateness="5s"), or name it with on="ts"',
            )
        require_columns(self.window.kind, self.input.schema, [column])
        dtype = self.input.schema[column]
        check_unit(self.window, dtype)
        return {START: dtype, END: dtype}

    def _unique(self) -> tuple[tuple[str, ...], ...]:
        if isinstance(self.window, Sliding):
            return ()
        return ((*self.key_names, START),) if self.window else (self.key_names,)

    def _event_time(self) -> str | None:
        """The start where windows touch, so that the minutes of an hour fall into that hour."""
        if self.window_bound is None:
            return None
        return START if isinstance(self.window, Hopping) else END

    def _times(self) -> dict[str, TimeBound]:
        bound, column = self.window_bound, self.window_column
        times = self._key_times()
        if bound is None:
            return times
        if isinstance(self.window, Hopping):
            assert column is not None
            times[START] = start_bound(bound, self.window, column, self.input.schema[column])
            times[END] = replace(bound, strict=True)
        elif isinstance(self.window, (Sliding, Session)):
            times[END] = bound
        return times

    def _key_times(self) -> dict[str, TimeBound]:
        """Keys keep their bounds, but a window that is held until its end delays them."""
        before = self.input.properties.times
        times = carried_bounds(self.keys, self.input.schema, before)
        if self.window is None or not self.final:
            return times
        if not isinstance(self.window, Hopping):
            return {}
        column = self.window_column
        assert column is not None
        size = longest_ns(self.window, self.input.schema[column])
        return {n: replace(b, shift_ns=b.shift_ns - size) for n, b in times.items()}

    def describe(self) -> str:
        """Show keys, window, aggregates and emission."""
        by = [*self.key_names, *([self.window.kind] if self.window else [])]
        mode = "final" if self.final else "changes"
        aggs = ", ".join(str(a).replace("\n", " ") for a in self.aggs)
        return f"Aggregate by [{', '.join(by)}] {aggs} ({mode})"


@dataclass(frozen=True, eq=False, kw_only=True)
class Final(Node):
    """Hold changes back until they can no longer be undone, then emit the rows once."""

    input: Node

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The one node it reads."""
        return (self.input,)

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Check that the end of a row is known some time."""
        before = self.input.properties
        if not before.times and not before.bounded:
            raise PlanError(
                'emit("final") needs a column bounded by the watermark, or an input that ends',
                step="emit",
                hint="group by a window over a stream with a watermark",
            )
        refined = any(bound.refine_ns for bound in before.times.values())
        return self.input.schema, replace(before, changelog=refined)


class Verb(enum.Enum):
    """The Polars verb that evaluates expressions over other rows."""

    SELECT = "select"
    WITH_COLUMNS = "with_columns"
    FILTER = "filter"


@dataclass(frozen=True, eq=False, kw_only=True)
class Over(Node):
    """Expressions that look at other rows of the same ``keys`` (no keys: at all rows).

    For the keys that an epoch touches the expressions are evaluated afresh, and the difference from
    what was emitted before is emitted.
    """

    input: Node
    verb: Verb
    exprs: tuple[pl.Expr, ...]
    keys: tuple[str, ...] = ()
    ttl_ns: int | None = None
    max_group_rows: int | None = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The one node it reads."""
        return (self.input,)

    @property
    def unbounded_state(self) -> str | None:
        """What is kept that neither the watermark nor a time to live frees."""
        freed = self.ttl_ns is not None or any(k in self.input.properties.times for k in self.keys)
        return None if freed else "all rows, and the touched keys are computed afresh in each epoch"

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Run the expressions on an empty frame."""
        before, schema = self.input.properties, self.input.schema
        if self.verb is Verb.FILTER:
            output_schema(self.exprs, schema, "select", "filter")
            out = schema
        else:
            out = output_schema(self.exprs, schema, self.verb.value)
        copies = copied_columns(self.exprs)
        written = {expr.meta.output_name() for expr in self.exprs}
        kept = set(schema) - written if self.verb is Verb.WITH_COLUMNS else set()
        kept |= {name for name, column in copies.items() if name == column}
        kept = set(schema) if self.verb is Verb.FILTER else kept
        times = {c: b for c, b in before.times.items() if c in self.keys and c in kept}
        return out, Properties(changelog=True, times=times, bounded=before.bounded)

    def describe(self) -> str:
        """Show the verb, the keys and the expressions."""
        exprs = ", ".join(str(e).replace("\n", " ") for e in self.exprs)
        return f"Over [{', '.join(self.keys)}] {self.verb.value} {exprs}"
