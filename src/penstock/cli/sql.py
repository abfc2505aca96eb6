"""``penstock sql``: statements over files, URLs and the tables of a session."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

import penstock as ps

app = typer.Typer(add_completion=False)


class Shape(enum.StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@app.command()
def sql(
    text: Annotated[
        str,
        typer.Argument(
            help="One or several statements, separated by ; or - to read them from standard input."
        ),
    ],
    checkpoint: Annotated[
        Path | None, typer.Option(help="The folder of a durable session, with its tables.")
    ] = None,
    shape: Annotated[Shape, typer.Option("--format", help="How rows are written.")] = Shape.TABLE,
) -> None:
    """Run SQL: penstock sql "SELECT status, count(*) FROM 'access.csv' GROUP BY status"."""
    with ps.Session(checkpoint) as session:
        found = session.sql(sys.stdin.read() if text == "-" else text)
    if found is None:
        return
    if shape is Shape.CSV:
        typer.echo(found.write_csv(), nl=False)
    elif shape is Shape.JSON:
        typer.echo(_with_numbers(found).write_ndjson(), nl=False)
    else:
        with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True):
            typer.echo(str(found))


def _with_numbers(rows: pl.DataFrame) -> pl.DataFrame:
    """Return decimals without a fraction as whole numbers, where they fit: JSON gets text of others."""
    whole = [n for n, t in rows.schema.items() if isinstance(t, pl.Decimal) and t.scale == 0]
    numbers = rows.select(pl.col(whole).cast(pl.Int64, strict=False))
    fitting = [n for n in whole if numbers[n].null_count() == rows[n].null_count()]
    return rows.with_columns(numbers[n] for n in fitting)
