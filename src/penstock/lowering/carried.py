"""What a filter computes, and a later step of the same query wants again, is carried there.

    filter(f(a) > 1), select(x=f(a))   ->   with_columns(p=f(a)), filter(p > 1), select(x=p)

Polars finds what is equal within a step, not across a filter. Nexmark's q21, which extracts by a
regular expression in WHERE and again in SELECT, takes two thirds of the processor time so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import polars as pl

from penstock.errors import PlanError
from penstock.operators import map as operators
from penstock.plan.expressions.classify import dtype_of
from penstock.plan.expressions.tree import (
    Tree,
    column,
    kind_of,
    map_children,
    payload_of,
    tag_of,
    to_expr,
    to_tree,
    walk,
)
from penstock.plan.rows import Filter, RowStep, Select, WithColumns

_CARRIED = "_penstock_carried_"
_COSTLY = frozenset({"StringExpr", "TemporalExpr", "ListExpr", "Pow"})
"""Families of functions that take longer than a column takes to be filtered."""


@dataclass(frozen=True, slots=True)
class _Carrying:
    """A step over rows with carried columns behind the hidden ones."""

    step: RowStep
    exprs: tuple[pl.Expr, ...]
    before: tuple[pl.Expr, ...]
    carried: tuple[str, ...]

    def apply(self, frame: pl.LazyFrame, hidden: list[str]) -> pl.LazyFrame:
        """Compute what is carried, do what the step does, and pass on what is still wanted."""
        if self.before:
            frame = frame.with_columns(*self.before)
        passed = [*hidden, *self.carried]
        if isinstance(self.step, Filter):
            return frame.filter(*self.exprs)
        if isinstance(self.step, Select):
            return frame.select(*self.exprs, *passed)
        return frame.with_columns(*self.exprs).select(*self.step.schema, *passed)


def carried(steps: Sequence[RowStep]) -> list[operators.RowStep]:
    """Return the steps with what the first filter computes carried to the step that wants it again."""
    first = next((n for n, step in enumerate(steps) if isinstance(step, Filter)), None)
    if first is None or first == len(steps) - 1:
        return list(steps)
    try:
        return _carried(steps, first) or list(steps)
    except PlanError:  # an expression that cannot be analysed
        return list(steps)


def _carried(steps: Sequence[RowStep], first: int) -> list[operators.RowStep] | None:
    filtered = steps[first]
    assert isinstance(filtered, Filter)
    parts = _parts(to_tree(filtered.predicate), filtered.input.schema)
    names = {name: name for name in filtered.schema}
    for last in range(first + 1, len(steps)) if parts else ():
        step = steps[last]
        if isinstance(step, Select | WithColumns):
            again = _Again(parts, names)
            exprs = tuple(map(again.of, step.exprs))
            if again.used:
                between = [
                    _Carrying(s, _exprs(s), (), tuple(again.used)) for s in steps[first + 1 : last]
                ]
                end = _Carrying(step, exprs, (), ())
                return [
                    *steps[:first],
                    _begin(filtered, parts, again.used),
                    *between,
                    end,
                    *steps[last + 1 :],
                ]
            names = _renamed(step, names)
        elif not isinstance(step, Filter):
            return None
    return None


def _begin(step: Filter, parts: Mapping[bytes, Tree], used: Mapping[str, bytes]) -> _Carrying:
    """Return the filter, which computes first what is carried."""
    before = tuple(to_expr(parts[part]).alias(name) for name, part in used.items())
    again = _Again({part: parts[part] for part in used.values()}, {n: n for n in step.schema})
    again.used.update(used)
    return _Carrying(step, (again.of(step.predicate),), before, tuple(used))


def _exprs(step: RowStep) -> tuple[pl.Expr, ...]:
    if isinstance(step, Filter):
        return (step.predicate,)
    assert isinstance(step, Select | WithColumns)
    return step.exprs


def _parts(tree: Tree, schema: pl.Schema) -> dict[bytes, Tree]:
    """Return what is worth carrying in a predicate; none of a user's function, which has one place."""
    if _calls_python(tree):
        return {}
    nodes = [node for node in walk(tree) if _is_costly(node, schema)]
    return {msgspec.msgpack.encode(node): node for node in nodes}


def _is_costly(tree: Tree, schema: pl.Schema) -> bool:
    if not any(kind_of(node) == "Column" for node in walk(tree)):
        return False
    if kind_of(tree) == "Function":
        return tag_of(tree).partition(".")[0] in _COSTLY
    if kind_of(tree) == "BinaryExpr":
        return isinstance(dtype_of(tree, schema), pl.Decimal)
    return kind_of(tree) == "Eval"


def _calls_python(tree: Tree) -> bool:
    """Tell whether there is a function in a tree, which would be a copy in an expression made of it."""
    return any(kind_of(node) == "AnonymousFunction" for node in walk(tree))


def _renamed(step: Select | WithColumns, names: Mapping[str, str]) -> dict[str, str]:
    """Return the names that columns had at the filter, of those that are still the same."""
    found = dict(names) if isinstance(step, WithColumns) else {}
    for expr in step.exprs:
        bare, name = expr.meta.undo_aliases(), expr.meta.output_name()
        found.pop(name, None)
        if bare.meta.is_column() and bare.meta.output_name() in names:
            found[name] = names[bare.meta.output_name()]
    return found


class _Again:
    """Reads expressions for parts that a filter has computed; ``names``: what columns were there."""

    def __init__(self, parts: Mapping[bytes, Tree], names: Mapping[str, str]) -> None:
        self._parts, self._names = parts, names
        self.used: dict[str, bytes] = {}

    def of(self, expr: pl.Expr) -> pl.Expr:
        """Return an expression that reads the parts as columns, itself if it has none of them."""
        tree = to_tree(expr)
        if _calls_python(tree):
            return expr
        read = self.read(tree)
        return expr if read == tree else to_expr(read)

    def read(self, tree: Tree) -> Tree:
        """Replace the parts by columns, and note which are used."""
        there = self._at_filter(tree) if isinstance(tree, dict) else None
        part = None if there is None else msgspec.msgpack.encode(there)
        if part not in self._parts:
            return map_children(tree, self.read)
        assert part is not None
        known = next((name for name, used in self.used.items() if used == part), None)
        name = known or f"{_CARRIED}{len(self.used)}"
        self.used[name] = part
        return column(name)

    def _at_filter(self, tree: Tree) -> Tree | None:
        """Return a tree with the names of the filter; None if it reads something else."""
        read = {str(payload_of(node)) for node in walk(tree) if kind_of(node) == "Column"}
        if not read or not read <= self._names.keys():
            return None
        return self._named(tree)

    def _named(self, tree: Tree) -> Tree:
        if kind_of(tree) == "Column":
            return column(self._names[str(payload_of(tree))])
        return map_children(tree, self._named)
