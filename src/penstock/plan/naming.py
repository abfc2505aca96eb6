"""Names that users give to steps, under which checkpoints keep their state."""

from __future__ import annotations

import dataclasses
import re
from typing import TypeVar

from penstock.errors import PlanError
from penstock.plan.node import Node, walk
from penstock.plan.rows import RowStep

AnyNode = TypeVar("AnyNode", bound=Node)

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_TAKEN = frozenset({"dead-letters"})
"""What a checkpoint calls its own."""


def named(node: AnyNode, name: str) -> AnyNode:
    """Return the plan with a name given to its last step that is not row-wise.

    Row-wise steps keep nothing that a name could be for, and are fused with their neighbours.
    """
    _check(name)
    if isinstance(node, RowStep):
        above = named(node.input, name)
        return dataclasses.replace(node, input=above)
    if node.label not in (None, name):
        raise PlanError(f"the step is named {node.label!r} already", step="named", value=name)
    twice = next((n for n in walk(node) if n.label == name and n is not node), None)
    if twice is not None:
        raise used_twice(name, twice, node)
    return dataclasses.replace(node, label=name)


def used_twice(name: str, first: Node, second: Node) -> PlanError:
    """Return the error of two steps that have one name."""
    return PlanError(
        f"two steps are named {name!r}: {first.describe()}, and {second.describe()}",
        step="named",
        value=name,
        hint="give each a name of its own; a checkpoint keeps their state under it",
    )


def _check(name: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _TAKEN:
        raise PlanError(
            f"{name!r} cannot name a step",
            step="named",
            value=name,
            hint="up to 64 letters, digits, _ and -, a letter first",
        )
