"""``penstock check``: whether every source and sink of a pipeline can be reached."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.programs import Program, load
from penstock.connectors.probing import probed
from penstock.errors import ConfigError, ConnectorError, PenstockError
from penstock.plan.node import Node
from penstock.plan.sinks import SinkNode
from penstock.plan.sources import Scan

EXITS = "Exit codes: 0 all can be reached; 1 one cannot; 2 wrong use or configuration."
_AT_ONCE = 8
_NOTHING = "reaches nothing outside"

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Finding:
    """What was found of one source or sink; ``retry``: it may be there later."""

    kind: str
    name: str
    good: bool
    found: str
    hint: str | None = None
    fault: str | None = None
    retry: bool = False

    def __str__(self) -> str:
        line = f"{'ok ' if self.good else 'BAD'}  {self.kind:<6}  {self.name}: {self.found}"
        return f"{line}\n     hint: {self.hint}" if self.hint else line


@app.command(epilog=EXITS)
def check(
    file: Annotated[Path, typer.Argument(help="A Python file that defines queries, or .sql.")],
    as_json: Annotated[  # noqa: FBT002
        bool, typer.Option("--json", help="One JSON object for each source and sink.")
    ] = False,
) -> None:
    """Test every connection of a pipeline as a run would make it, without moving data."""
    specs = list(_specs(load(file)))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        findings = list(pool.map(lambda each: examined(*each), specs))
    for finding in findings:
        typer.echo(json.dumps(asdict(finding)) if as_json else str(finding))
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)


def examined(kind: str, spec: object) -> Finding:
    """Probe one source or sink."""
    name = str(getattr(spec, "name", spec))
    try:
        return Finding(kind, name, good=True, found=probed(spec) or _NOTHING)
    except PenstockError as error:
        fault = error.fault.value if isinstance(error, ConnectorError) else "the configuration"
        retry = isinstance(error, ConnectorError) and error.retry
        return Finding(
            kind, name, good=False, found=error.message, hint=error.hint, fault=fault, retry=retry
        )
    except OSError as error:
        return Finding(
            kind, name, good=False, found=str(error), fault="the remote system", retry=True
        )


def _specs(program: Program) -> Iterator[tuple[str, object]]:
    """Return sources and sinks, each once, sources first."""
    roots: list[Node] = [root for query in program.queries for root in query.roots]
    roots = roots or [stream.node for stream in program.streams]
    if not roots:
        raise ConfigError(
            "the file defines neither a query nor a stream at its top level",
            step="check",
            value=str(program.file),
            line=str(program.file),
        )
    nodes = list(_nodes(roots))
    sources = [node.spec for node in nodes if isinstance(node, Scan)]
    yield from (("source", spec) for spec in _distinct(sources))
    yield from (("sink", node.spec) for node in nodes if isinstance(node, SinkNode))


def _nodes(roots: Iterable[Node]) -> Iterator[Node]:
    seen: set[int] = set()
    left = list(roots)[::-1]
    while left:
        node = left.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            left += reversed(node.inputs)


def _distinct(specs: Iterable[object]) -> Iterator[object]:
    """Drop equal ones; a spec need not be hashable."""
    found: list[object] = []
    for spec in specs:
        if not any(spec is each or spec == each for each in found):
            found.append(spec)
    return iter(found)
