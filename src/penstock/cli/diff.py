"""``penstock diff``: what a changed pipeline would make of a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import penstock as ps
from penstock.cli.programs import load
from penstock.cli.storages import Options, pairs_of
from penstock.errors import ConfigError

EXITS = "Exit codes: 0 nothing would be lost; 1 something would be; 2 wrong use or configuration."

app = typer.Typer(add_completion=False)


@app.command(epilog=EXITS)
def diff(
    file: Annotated[Path, typer.Argument(help="A Python file that defines queries.")],
    checkpoint: Annotated[str, typer.Argument(help="The folder or URL of the checkpoint.")],
    option: Options = None,
) -> None:
    """Show which steps of a pipeline keep their state in a checkpoint, and what would be lost."""
    program = load(file)
    if not program.queries:
        raise ConfigError(
            "the file defines no query at its top level",
            step="diff",
            value=str(file),
            hint="of queries that main() makes, print(query.diff(checkpoint)) tells the same",
            line=str(file),
        )
    together = ps.Query(*(root for query in program.queries for root in query.roots))
    found = together.diff(checkpoint, checkpoint_options=pairs_of(option))
    typer.echo(repr(found))
    if found.lost:
        raise typer.Exit(1)
