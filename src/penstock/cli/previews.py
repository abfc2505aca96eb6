"""``penstock preview`` and ``penstock tail``: look at rows of a source, or of any step of a pipeline."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from penstock.cli.exits import EXITS
from penstock.cli.given_sources import Columns, Form, Options, given_stream
from penstock.cli.programs import Program, load
from penstock.errors import ConfigError
from penstock.plan.graph import numbered
from penstock.plan.sinks import SinkNode
from penstock.stream import Stream

app = typer.Typer(add_completion=False)

_PROGRAMS = (".py", ".sql")

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@app.command(epilog=EXITS)
def preview(
    target: Annotated[
        str, typer.Argument(help="A pipeline (.py or .sql), or the URL of a source.")
    ],
    step: Annotated[
        str | None,
        typer.Argument(help="Which step: the variable of a stream, a name, or its number."),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, help="How many rows.")] = 10,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for them.")] = 5.0,
    form: Form = None,
    columns: Columns = None,
    option: Options = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Show the first rows of a source, or of a step of a pipeline. Nothing is written or committed."""
    if Path(target).suffix.lower() in _PROGRAMS:
        stream = _step_of(load(Path(target)), step)
    elif step is not None:
        raise ConfigError("a source has no steps", step="preview", value=step, hint="leave it out")
    else:
        stream = given_stream(target, form, columns, option)
    _show(stream.preview(rows, timeout=timeout), as_json=as_json)


@app.command(epilog=EXITS)
def tail(
    url: Annotated[
        str,
        typer.Argument(help="A source: tail:access.log, topic:FOLDER, kafka://host:9092/topic ..."),
    ],
    rows: Annotated[
        int | None, typer.Option("--rows", "-n", min=1, help="End after so many rows.")
    ] = None,
    form: Form = None,
    columns: Columns = None,
    option: Options = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Print the rows of a source as they come, until Ctrl-C: the source keeps them all."""
    stream, left = given_stream(url, form, columns, option), rows
    try:
        with stream.changes() as changes:
            for frame in changes:
                shown = frame if left is None else frame.head(left)
                _print_lines(shown, as_json=as_json)
                if left is not None:
                    left -= shown.height
                    if not left:
                        return
    except KeyboardInterrupt:
        return


def _step_of(program: Program, wanted: str | None) -> Stream:
    """Return the stream that is meant; without a name, what the last sink or stream gives."""
    nodes = numbered(program.nodes())
    if wanted is None:
        last = program.nodes()[-1]
        return Stream(last.input if isinstance(last, SinkNode) else last)
    if wanted in program.names:
        return program.names[wanted]
    for number, node in enumerate(nodes, 1):
        if wanted in (str(number), node.label):
            return Stream(node.input if isinstance(node, SinkNode) else node)
    raise ConfigError(
        f"the pipeline has no step {wanted!r}",
        step="preview",
        value=wanted,
        alternatives=[*program.names, *(node.label for node in nodes if node.label)],
        hint="or give the number that penstock explain shows",
        line=str(program.file),
    )


def _show(frame: pl.DataFrame, *, as_json: bool) -> None:
    if as_json:
        typer.echo(frame.write_ndjson(), nl=False)
        return
    width = shutil.get_terminal_size((200, 24)).columns
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True, tbl_width_chars=width):
        typer.echo(str(frame))


def _print_lines(frame: pl.DataFrame, *, as_json: bool) -> None:
    """Print a row a line: JSON, or the values of the row separated by tabs."""
    if frame.is_empty():
        return
    if as_json:
        typer.echo(frame.write_ndjson(), nl=False)
    else:
        typer.echo(_tabbed(frame), nl=False)


def _tabbed(frame: pl.DataFrame) -> str:
    plain = frame.with_columns(
        pl.col(name).struct.json_encode() if isinstance(dtype, pl.Struct) else pl.col(name)
        for name, dtype in frame.schema.items()
    )
    return plain.select(
        pl.concat_str(
            [_text(name, dtype) for name, dtype in plain.schema.items()], separator="\t"
        ).alias("line")
    ).write_csv(include_header=False, quote_style="never")


def _text(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, (pl.List, pl.Array)):
        column = pl.format("[{}]", column.cast(pl.List(pl.String)).list.join(", "))
    elif isinstance(dtype, pl.Binary):
        column = column.bin.encode("hex")
    return column.cast(pl.String).fill_null("null")
