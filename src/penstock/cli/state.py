"""``penstock state``: what the operators of a run remember, as its checkpoint holds it."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from penstock.checkpoints.reading import chosen, listed, state_of
from penstock.checkpoints.resetting import reset as emptied
from penstock.cli.storages import Options, Place, Sequence, opened
from penstock.instants import NS_PER_US

app = typer.Typer(no_args_is_help=True, help="Look at the state of operators in a checkpoint.")


@app.command("list")
def list_operators(checkpoint: Place, sequence: Sequence = None, option: Options = None) -> None:
    """List the operators that have state."""
    storage = opened(checkpoint, option)
    table = Table("operator", "part", "what", "rows", "bytes", "columns")
    for name, part, text, rows, size, columns in listed(storage, chosen(storage, sequence)).rows():
        table.add_row(name, part, text, f"{rows:,}", f"{size:,}", ", ".join(columns))
    Console(markup=False).print(table)


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
    Console(markup=False).print(table)
    typer.echo(f"{min(rows, frame.height):,} of {frame.height:,} rows")


@app.command()
def reset(
    checkpoint: Place,
    operators: Annotated[list[str], typer.Argument(help="Their names, as listed.")],
    option: Options = None,
) -> None:
    """Let operators start empty with the next run, and leave all others as they are.

    Operators that changes connect refer to what one another has emitted, so they are reset together.
    What sinks have been given stays. Refused while a run holds the checkpoint.
    """
    now = time.time_ns() // NS_PER_US
    for name in emptied(opened(checkpoint, option), operators, now=now):
        typer.echo(f"{name} starts empty")
