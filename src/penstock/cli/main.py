"""The ``penstock`` command.

Exit codes: 0 done, or ended by Ctrl-C after a last checkpoint; 1 a query failed while it ran, or
``doctor`` found something missing; 2 wrong use, plan or configuration, or a change of the pipeline
that would lose state, before anything started.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import penstock as ps
from penstock.cli import (
    bench,
    checkpoints,
    connectors,
    dead_letters,
    plans,
    previews,
    projects,
    running,
    shell,
    state,
    topics,
)
from penstock.cli.check import app as check_app
from penstock.cli.demo.command import run_demo
from penstock.cli.diff import app as diff_app
from penstock.cli.doctor import examine
from penstock.cli.exits import EXITS
from penstock.cli.logs import LogFormat, LogLevel, log_to_stderr
from penstock.cli.sql import app as sql_app
from penstock.errors import (
    ChangedPipelineError,
    ConfigError,
    PenstockError,
    PlanError,
    QueryFailed,
)
from penstock.hiding import hidden

Version = Annotated[
    bool,
    typer.Option("--version", callback=lambda value: _version(wanted=value), is_eager=True),
]

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, epilog=EXITS)
app.add_typer(checkpoints.app, name="checkpoints")
app.add_typer(state.app, name="state")

for part in (running, plans, previews, connectors, projects, shell, bench):
    app.add_typer(part.app)
app.add_typer(diff_app)
app.add_typer(check_app)
app.add_typer(sql_app)
app.add_typer(topics.app, name="topics")
app.add_typer(dead_letters.app, name="dead-letters")

Debug = Annotated[bool, typer.Option("--debug", help="Show the whole trace of an error.")]


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"penstock {ps.__version__}")
        raise typer.Exit


@app.callback()
def _penstock(
    version: Version = False,  # noqa: FBT002, ARG001 - says so by its callback
    debug: Debug = False,  # noqa: FBT002, ARG001 - main() reads it
    log_format: Annotated[
        LogFormat | None, typer.Option(help="Write the log as text with times, or as JSON lines.")
    ] = None,
    log_level: Annotated[LogLevel, typer.Option(help="What to log.")] = LogLevel.WARNING,
) -> None:
    """Stream processing for Python, with Polars as its language."""
    if log_format is not None or log_level is not LogLevel.WARNING:
        log_to_stderr(log_format or LogFormat.TEXT, log_level)


@app.command(epilog=EXITS)
def demo(
    log: Annotated[
        Path | None,
        typer.Option(help="Follow this log (combined format) instead of made-up traffic."),
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="End after so long.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where to put the results: a new or empty folder.")
    ] = None,
) -> None:
    """Follow a web server's log, analyse it as it comes, store the results and show them live."""
    if log is not None and not log.is_file():
        raise ConfigError("no such file", step="demo", value=str(log), hint=str(log), line="")
    console = Console()
    summary = run_demo(console, log=log, seconds=seconds, folder=folder)
    for line in summary.lines():
        typer.echo(line)


@app.command(epilog=EXITS)
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
