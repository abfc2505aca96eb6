"""A plan as text: steps, what is proven about their output, and what their state costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.connectors.durable.config import promise
from penstock.instants import duration_text
from penstock.plan.guarantees import end_to_end
from penstock.plan.node import Node, walk
from penstock.plan.properties import Properties
from penstock.plan.sinks import SinkNode
from penstock.plan.sources import Scan


def explain(*roots: Node) -> str:
    """Return the plan as a tree, sinks first; a step that several read is shown once.

    Behind each step: ``append-only`` or ``changes``, the watermark, and a warning where state is
    not bounded by anything.
    """
    shown: dict[int, int] = {}
    lines: list[str] = []
    for root in roots:
        lines.extend(_tree(root, "", "", shown))
    warnings = [f"! {line}" for node in walk(*roots) for line in _warnings(node)]
    return "\n".join([*lines, *dict.fromkeys(warnings)])


def _tree(node: Node, first: str, rest: str, shown: dict[int, int]) -> Iterator[str]:
    if id(node) in shown:
        yield f"{first}(step {shown[id(node)]}, shown above)"
        return
    shown[id(node)] = len(shown) + 1
    name = f" as {node.label}" if node.label else ""
    yield f"{first}{shown[id(node)]}. {node.describe()}{name}  [{facts(node.properties)}]"
    yield from _children(node.inputs, rest, shown)


def _children(inputs: Sequence[Node], rest: str, shown: dict[int, int]) -> Iterator[str]:
    for number, child in enumerate(inputs, 1):
        last = number == len(inputs)
        branch = "└─ " if last else "├─ "
        yield from _tree(child, rest + branch, rest + ("   " if last else "│  "), shown)


def facts(properties: Properties) -> str:
    """Return what is proven of a step's output: ``append-only; watermark on ts -10s; ends``."""
    said = ["changes" if properties.changelog else "append-only"]
    if properties.keys:
        said.append("unique on " + " or ".join(", ".join(k) or "one row" for k in properties.keys))
    for column, bound in properties.times.items():
        offset = f" {duration_text(bound.shift_ns)}" if bound.shift_ns else ""
        derived = " (derived)" if bound.through else ""
        said.append(f"watermark on {column}{offset}{derived}")
    if properties.bounded:
        said.append("ends")
    return "; ".join(said)


def _warnings(node: Node) -> Iterator[str]:
    if isinstance(node, SinkNode):
        yield f"{node.describe()}: {end_to_end(node)}"
    if isinstance(node, Scan):
        promised = promise(node.spec)
        if promised is not None:
            yield f"{node.describe()}: {promised}"
    kept = node.unbounded_state
    if kept is not None and not node.properties.bounded:
        yield (
            f"{node.describe()}: keeps {kept}, for ever; "
            "let a column bounded by a watermark be a key, or give ttl="
        )
