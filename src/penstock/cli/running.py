"""``penstock run``: the queries of a file, together, shown while they run and ended by Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

import penstock as ps
from penstock.cli.exits import EXITS
from penstock.cli.live import Shown, view
from penstock.cli.programs import Program, load
from penstock.cli.reloading import Changes
from penstock.cli.storages import Options, pairs_of
from penstock.connectors.console.config import ConsoleSinkSpec
from penstock.errors import ConfigError, PenstockError
from penstock.hiding import hidden
from penstock.query import StartOptions

app = typer.Typer(add_completion=False)

REFRESH_S = 0.1

File = Annotated[
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
Watch = Annotated[
    bool,
    typer.Option(
        "--watch", help="Start again whenever the file changes; a checkpoint keeps the state."
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print a snapshot each second, one JSON object a line.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


@app.command(epilog=EXITS)
def run(
    file: File,
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
    watch: Watch = False,  # noqa: FBT002
    as_json: Json = False,  # noqa: FBT002
    quiet: Quiet = False,  # noqa: FBT002
    option: Options = None,
) -> None:
    """Run the queries that a file defines, together: Python (or else its main()), or SQL."""
    program, stored = load(file), pairs_of(option)
    names = allow_lost_state or []
    allowed = True if "all" in names else names
    if not program.queries:
        if watch:
            raise ConfigError(
                "--watch needs queries at the top level of the file",
                step="run",
                value=str(file),
                hint="main() runs them itself, so they cannot be started again from here",
                line=str(file),
            )
        program.call_main(
            checkpoint=checkpoint,
            checkpoint_options=stored,
            allow_lost_state=allowed,
            rebuild=rebuild,
        )
        return
    options: StartOptions = {
        "checkpoint": checkpoint,
        "checkpoint_options": stored,
        "allow_lost_state": allowed,
        "takeover": takeover,
        "restart": None if no_restart else "auto",
        "rebuild": rebuild or (),
    }
    shown = Shown.JSON if as_json else Shown.NOTHING if quiet else Shown.AUTO
    if watch:
        _run_watched(program, options, shown)
    else:
        _run_queries(program, options, shown, until=lambda: None)


def _run_watched(program: Program, options: StartOptions, shown: Shown) -> None:
    """Run, and start again whenever the file changes; an error waits for the next change."""
    changes, current = Changes(program), program
    try:
        while True:
            try:
                changed = _run_queries(current, options, shown, until=changes.poll)
            except PenstockError as error:
                typer.echo(f"{type(error).__name__}: {hidden(str(error))}", err=True)
                changed = changes.wait()
            if changed is None:
                return
            current = changed
            typer.echo(f"{program.file} has changed: started again", err=True)
    except KeyboardInterrupt:  # while it waited for a change
        return


def _run_queries(
    program: Program,
    options: StartOptions,
    shown: Shown,
    *,
    until: Callable[[], Program | None],
) -> Program | None:
    """Run to the end, Ctrl-C, or until there is another program to run, which is returned."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # what systemd and Docker send
    query = ps.start(*program.queries, **options)
    roots = (root for each in program.queries for root in each.roots)
    screen = view(shown, has_screen=any(isinstance(root.spec, ConsoleSinkSpec) for root in roots))
    changed = None
    try:
        while changed is None and not query.wait(REFRESH_S):
            screen.show(query.progress())
            changed = until()
        if changed is not None:
            query.stop()
    except KeyboardInterrupt:
        typer.echo("stopping: the epoch is finished first", err=True)
        query.stop()
        typer.echo(_whereabouts(query, options), err=True)
    finally:
        screen.end(query.progress())
    return changed


def _whereabouts(query: ps.Query, options: StartOptions) -> str:
    epoch, place = query.progress().checkpoint_epoch, options.get("checkpoint")
    if epoch is None or place is None:
        return "stopped; with --checkpoint FOLDER it would go on from here"
    return f"stopped at epoch {epoch:,}; the next run with --checkpoint {place} goes on from there"
