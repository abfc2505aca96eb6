"""A plan as a graph: its steps as data, for Graphviz, and as a picture."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from penstock.plan.explain import facts
from penstock.plan.node import Node
from penstock.plan.sinks import SinkNode
from penstock.plan.sources import Scan
from penstock.tables_of_text import short

_WIDTH = 34
"""Letters of a step that are shown in a box."""

_BOX, _GAP_X, _GAP_Y, _EDGE = (250, 46), 50, 22, 16
_STYLE = """
  .step { fill: #f6f8fa; stroke: #57606a; }
  .source { fill: #ddf4ff; stroke: #0969da; }
  .sink { fill: #fff1e5; stroke: #bc4c00; }
  text { font: 12px ui-monospace, monospace; fill: #1f2328; }
  .small { font-size: 10px; fill: #57606a; }
  .edge { fill: none; stroke: #8c959f; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    .step { fill: #161b22; stroke: #8b949e; }
    .source { fill: #0c2d6b; stroke: #58a6ff; }
    .sink { fill: #5a1e02; stroke: #f0883e; }
    text { fill: #e6edf3; } .small { fill: #8b949e; } .edge { stroke: #6e7681; }
  }
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One step; ``number`` is that of ``explain()``, ``inputs`` are the numbers of what it reads."""

    number: int
    role: str
    text: str
    name: str | None
    facts: str
    columns: dict[str, str]
    inputs: tuple[int, ...]
    line: str | None


def numbered(roots: Iterable[Node]) -> list[Node]:
    """Return every step below the roots once; the first is number 1, as ``explain()`` counts."""
    found: dict[int, Node] = {}
    stack = list(roots)[::-1]
    while stack:
        node = stack.pop()
        if id(node) not in found:
            found[id(node)] = node
            stack.extend(reversed(node.inputs))
    return list(found.values())


def steps(roots: Iterable[Node]) -> list[Step]:
    """Return every step below the roots once, numbered as ``explain()`` does."""
    found = numbered(roots)
    numbers = {id(node): number for number, node in enumerate(found, 1)}
    return [_step(node, numbers) for node in found]


def _step(node: Node, numbers: dict[int, int]) -> Step:
    return Step(
        number=numbers[id(node)],
        role=_role(node),
        text=node.describe(),
        name=node.label,
        facts=facts(node.properties),
        columns={name: str(dtype) for name, dtype in node.schema.items()},
        inputs=tuple(numbers[id(child)] for child in node.inputs),
        line=node.line,
    )


def _role(node: Node) -> str:
    if isinstance(node, SinkNode):
        return "sink"
    return "source" if isinstance(node, Scan) else "step"


def facts_of(roots: Iterable[Node]) -> str:
    """Return the steps as JSON."""
    return json.dumps([asdict(step) for step in steps(roots)], indent=2)


def dot(roots: Iterable[Node]) -> str:
    """Return the graph in the language of Graphviz, left to right."""
    found = steps(roots)
    shapes = {"source": "cds", "step": "box", "sink": "note"}
    nodes = [
        f"  {step.number} [label={json.dumps(_title(step), ensure_ascii=False)}, "
        f"tooltip={json.dumps(step.facts, ensure_ascii=False)}, shape={shapes[step.role]}];"
        for step in found
    ]
    edges = [f"  {child} -> {step.number};" for step in found for child in step.inputs]
    head = ["digraph plan {", "  rankdir=LR;", "  node [fontname=monospace, fontsize=11];"]
    return "\n".join([*head, *nodes, *edges, "}"])


def _title(step: Step) -> str:
    name = f" as {step.name}" if step.name else ""
    return f"{step.number}. {short(step.text, _WIDTH)}{name}"


def svg(roots: Iterable[Node]) -> str:
    """Return a picture: sources at the left, sinks at the right, light or dark as the reader's."""
    found = steps(roots)
    places = _places(found)
    width = max(x for x, _ in places.values()) + _BOX[0] + _EDGE
    height = max(y for _, y in places.values()) + _BOX[1] + _EDGE
    edges = [_curve(places[child], places[s.number]) for s in found for child in s.inputs]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" aria-label="plan">',
            f"<style>{_STYLE}</style>",
            *edges,
            *(_box(step, *places[step.number]) for step in found),
            "</svg>",
        ]
    )


def _places(found: Sequence[Step]) -> dict[int, tuple[int, int]]:
    """Put each step one column right of the last that it reads, near the middle of these."""
    columns: dict[int, int] = {}
    by_number = {step.number: step for step in found}
    for step in _inputs_first(found):
        columns[step.number] = 1 + max((columns[child] for child in step.inputs), default=-1)
    heights: dict[int, float] = {}
    places: dict[int, tuple[int, int]] = {}
    for column in range(max(columns.values()) + 1):
        members = [number for number, at in columns.items() if at == column]
        members.sort(key=lambda number: _middle(by_number[number], heights))
        for row, number in enumerate(members):
            heights[number] = row
            x = _EDGE + column * (_BOX[0] + _GAP_X)
            places[number] = (x, _EDGE + row * (_BOX[1] + _GAP_Y))
    return places


def _inputs_first(found: Sequence[Step]) -> list[Step]:
    by_number, done, order = {step.number: step for step in found}, set[int](), list[Step]()
    stack = [(step.number, False) for step in reversed(found)]
    while stack:
        number, ready = stack.pop()
        if ready:
            order.append(by_number[number])
        elif number not in done:
            done.add(number)
            stack.append((number, True))
            stack.extend((child, False) for child in by_number[number].inputs)
    return order


def _middle(step: Step, heights: dict[int, float]) -> tuple[float, int]:
    above = [heights[child] for child in step.inputs]
    return (sum(above) / len(above) if above else 0.0, step.number)


def _curve(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = start[0] + _BOX[0], start[1] + _BOX[1] // 2
    x2, y2 = end[0], end[1] + _BOX[1] // 2
    bend = (x1 + x2) // 2
    return f'<path class="edge" d="M{x1} {y1} C{bend} {y1} {bend} {y2} {x2} {y2}"/>'


def _box(step: Step, x: int, y: int) -> str:
    width, height = _BOX
    title, below = html.escape(_title(step)), html.escape(short(step.facts, 42))
    whole = html.escape(f"{step.text}\n{step.facts}\n{step.line or ''}".strip())
    return (
        f'<g><title>{whole}</title><rect class="{step.role}" x="{x}" y="{y}" rx="6" '
        f'width="{width}" height="{height}"/><text x="{x + 10}" y="{y + 19}">{title}</text>'
        f'<text class="small" x="{x + 10}" y="{y + 36}">{below}</text></g>'
    )
