"""``penstock state``: what the operators of a run remember, as its checkpoint holds it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from penstock.checkpoints.reading import chosen, listed, state_of
from penstock.cli.storages import Options, Place, Sequence, opened

app = typer.Typer(no_args_is_help=True, help="Look at the state of operators in a checkpoint.")


@app.command("list")
def list_operators(checkpoint: Place, sequence: Sequence = None, option: Options = None) -> None:
    """List the operators that have state."""
    storage = opened(checkpoint, option)
    table = Table("operator", "part", "what", "rows", "bytes", "columns")
    for name, part, text, rows, size, columns in listed(storage, chosen(storage, sequence)).rows():
        table.add_row(name, part, text, f"{rows:,}", f"{size:,}", ", ".join(columns))
    Console().print(table)


@app.command()
def show(
    checkpoint: Place,
    operator: Annotated[str, typer.Argument(help="Its name, as listed.")],
    part: Annotated[str | None, typer.Option(help="Which part, if it has several.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows to show.")] = 20,
    sequence: Sequence = None,
    option: Options = None,
) -> None:
    """Show the state of an operator: a row for each key, or for each row it holds."""
    storage = opened(checkpoint, option)
    frame = state_of(storage, chosen(storage, sequence), operator, part)
    table = Table(*frame.columns)
    for row in frame.head(rows).rows():
        table.add_row(*("" if value is None else str(value) for value in row))
    Console().print(table)
    typer.echo(f"{min(rows, frame.height):,} of {frame.height:,} rows")
