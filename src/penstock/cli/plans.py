"""``penstock explain``: the plan of a file as text, as a graph for Graphviz, or as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.exits import EXITS
from penstock.cli.programs import load
from penstock.cli.running import File
from penstock.errors import ConfigError
from penstock.plan.graph import dot, facts_of, svg

app = typer.Typer(add_completion=False)

Dot = Annotated[bool, typer.Option("--dot", help="As a graph in the language of Graphviz.")]
Svg = Annotated[bool, typer.Option("--svg", help="As a picture.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON: a list of steps.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write to this file instead of printing.")
]


@app.command(epilog=EXITS)
def explain(
    file: File,
    as_dot: Dot = False,  # noqa: FBT002
    as_svg: Svg = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
    output: Output = None,
) -> None:
    """Show the plan of the queries and streams that a file defines, without running them."""
    if as_dot + as_svg + as_json > 1:
        raise ConfigError(
            "give one of --dot, --svg and --json", step="explain", hint="leave the others out"
        )
    program = load(file)
    if as_dot:
        text = dot(program.nodes())
    elif as_svg:
        text = svg(program.nodes())
    elif as_json:
        text = facts_of(program.nodes())
    else:
        text = "\n".join(program.plans())
    if output is None:
        typer.echo(text)
    else:
        output.write_text(text + "\n")
