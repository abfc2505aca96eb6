"""The ``penstock`` command.

Exit codes: 0 done, or ended by Ctrl-C after a last checkpoint; 1 a query failed while it ran, or
``doctor`` found something missing; 2 wrong use, plan or configuration, or a change of the pipeline
that would lose state, before anything started.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import penstock as ps
from penstock.cli import checkpoints, dead_letters, state
from penstock.cli.dashboards import opened
from penstock.cli.demo.command import run_demo
from penstock.cli.diff import app as diff_app
from penstock.cli.doctor import examine
from penstock.cli.programs import load
from penstock.cli.sql import app as sql_app
from penstock.dashboard.guard import LOOPBACK
from penstock.errors import (
    ChangedPipelineError,
    ConfigError,
    PenstockError,
    PlanError,
    QueryFailed,
)
from penstock.hiding import hidden

_EXITS = (
    "Exit codes: 0 done (Ctrl-C too); 1 a query failed while it ran; 2 wrong use or configuration."
)

Version = Annotated[
    bool,
    typer.Option("--version", callback=lambda value: _version(wanted=value), is_eager=True),
]

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, epilog=_EXITS
)
app.add_typer(checkpoints.app, name="checkpoints")
app.add_typer(state.app, name="state")

app.add_typer(diff_app)
app.add_typer(sql_app)
app.add_typer(dead_letters.app, name="dead-letters")

Program = Annotated[
    Path,
    typer.Argument(
        help="A Python file that defines queries, or main(); or a pipeline in SQL (.sql)."
    ),
]
Takeover = Annotated[
    bool, typer.Option("--takeover", help="Push aside a run that holds the checkpoint.")
]
NoRestart = Annotated[
    bool, typer.Option("--no-restart", help="End at a failure, even if it may pass.")
]
Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="The dashboard's port (0: any free one).")
]
NoBrowser = Annotated[
    bool, typer.Option("--no-browser", help="Open no browser; the dashboard's address is said.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the whole trace of an error.")]


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"penstock {ps.__version__}")
        raise typer.Exit


@app.callback()
def _penstock(version: Version = False, debug: Debug = False) -> None:  # noqa: FBT002
    """Stream processing for Python, with Polars as its language."""


@app.command(epilog=_EXITS)
def demo(
    log: Annotated[
        Path | None,
        typer.Option(help="Follow this log (combined format) instead of made-up traffic."),
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="End after so long.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where to put the results: a new or empty folder.")
    ] = None,
    port: Port = None,
    no_browser: NoBrowser = False,  # noqa: FBT002
) -> None:
    """Follow a web server's log, analyse it as it comes, store the results and show them live."""
    if log is not None and not log.is_file():
        raise ConfigError("no such file", step="demo", value=str(log), hint=str(log), line="")
    console = Console()
    with opened(LOOPBACK, port, browser=not no_browser) as dashboard:
        summary = run_demo(console, log=log, seconds=seconds, folder=folder, dashboard=dashboard)
    for line in summary.lines():
        typer.echo(line)


@app.command(epilog=_EXITS)
def run(
    file: Program,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="A folder or URL to resume from and to keep checkpoints in."),
    ] = None,
    allow_lost_state: Annotated[
        list[str] | None,
        typer.Option(help="A step whose state may be lost, or all; may be given several times."),
    ] = None,
    rebuild: Annotated[
        list[str] | None,
        typer.Option(help="A step or sink to compute afresh first; may be given several times."),
    ] = None,
    takeover: Takeover = False,  # noqa: FBT002
    no_restart: NoRestart = False,  # noqa: FBT002
    ui: Annotated[bool, typer.Option("--ui", help="Show the run in the browser.")] = False,  # noqa: FBT002
    port: Port = None,
    host: Annotated[
        str, typer.Option(help="Where the dashboard listens; other than loopback takes a token.")
    ] = LOOPBACK,
    no_browser: NoBrowser = False,  # noqa: FBT002
) -> None:
    """Run the queries that a file defines, together: Python (or else its main()), or SQL."""
    program = load(file)
    names = allow_lost_state or []
    allowed = True if "all" in names else names
    with contextlib.ExitStack() as closing:
        shown: ps.Dashboard | bool = False
        if ui:
            shown = closing.enter_context(opened(host, port, browser=not no_browser))
        if not program.queries:
            program.call_main(
                checkpoint=checkpoint, allow_lost_state=allowed, rebuild=rebuild, ui=shown
            )
            return
        done = ps.run(
            *program.queries,
            checkpoint=checkpoint,
            allow_lost_state=allowed,
            takeover=takeover,
            restart=None if no_restart else "auto",
            rebuild=rebuild or (),
            ui=shown,
        ).progress()
    typer.echo(
        f"{done.rows_in:,} rows in, {done.rows_out:,} out, {done.dead_letters:,} dead letters, "
        f"{done.running_seconds:.1f} s",
        err=True,
    )


@app.command(epilog=_EXITS)
def explain(file: Program) -> None:
    """Show the plan of the queries and streams that a file defines, without running them."""
    for text in load(file).plans():
        typer.echo(text)


@app.command(epilog=_EXITS)
def doctor() -> None:
    """Check this installation: versions, extras, and whether a small pipeline runs."""
    checks = examine()
    for check in checks:
        typer.echo(str(check))
    if not all(check.good for check in checks):
        raise typer.Exit(1)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    rest = [argument for argument in given if argument != "--debug"]
    try:
        app(rest, prog_name="penstock")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except (PenstockError, SyntaxError) as error:
        return _report(error, debug=debug)
    return 0


def _report(error: Exception, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    else:
        typer.echo(f"{type(error).__name__}: {hidden(str(error))}", err=True)
    cause = error.__cause__ if isinstance(error, QueryFailed) else error
    before = isinstance(error, (PlanError, SyntaxError))
    return 2 if before or isinstance(cause, (ConfigError, ChangedPipelineError)) else 1
