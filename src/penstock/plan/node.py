"""The base of all plan nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import polars as pl

from penstock.columns import is_reserved
from penstock.errors import PlanError
from penstock.plan.properties import Properties


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """A step of a plan: frozen, checked when built, holding specifications and no live client.

    A subclass derives ``schema`` and ``properties`` in ``derive`` and lists its ``inputs``. ``label``
    is the name the user gave the step, under which a checkpoint keeps its state.
    """

    line: str | None = field(default=None, repr=False)
    label: str | None = field(default=None, repr=False)
    schema: pl.Schema = field(init=False, repr=False)
    properties: Properties = field(init=False, repr=False)

    def __post_init__(self) -> None:
        schema, properties = self.derive()
        for name in schema:
            if is_reserved(name):
                raise PlanError(
                    f"column name {name!r} is reserved", step=self.kind, hint="rename the column"
                )
        object.__setattr__(self, "schema", schema)
        object.__setattr__(self, "properties", properties)

    @property
    def kind(self) -> str:
        """The step's name in plans and errors."""
        return type(self).__name__

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The nodes this one reads."""
        raise NotImplementedError  # pragma: no cover - every node overrides it

    @property
    def unbounded_state(self) -> str | None:
        """What it keeps that nothing ever frees, for ``explain()``; None where there is nothing."""
        return None

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Check the node and return its schema and properties."""
        raise NotImplementedError  # pragma: no cover - every node overrides it

    def describe(self) -> str:
        """Return one line for ``explain()``."""
        return self.kind


def options(node: Node) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of all that makes a step what it is: neither its line nor its name."""
    for option in fields(node):
        if option.init and option.name not in ("line", "label"):
            yield option.name, getattr(node, option.name)


def walk(*roots: Node) -> Iterator[Node]:
    """Yield every node below the roots once, inputs before the nodes that read them."""
    seen: set[int] = set()
    stack: list[tuple[Node, bool]] = [(root, False) for root in reversed(roots)]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(node.inputs))


def require_columns(step: str, schema: pl.Schema, names: list[str] | tuple[str, ...]) -> None:
    """Raise a ``PlanError`` with suggestions if a column is not there."""
    for name in names:
        if name not in schema:
            raise PlanError(f"no column {name!r}", step=step, value=name, alternatives=list(schema))
