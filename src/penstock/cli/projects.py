"""``penstock new``: a folder with a pipeline, its test, a README and a little data."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.exits import EXITS
from penstock.errors import ConfigError

app = typer.Typer(add_completion=False)

FILES = ("README.md", "access.log", "pipeline.py", "test_pipeline.py")


@app.command(epilog=EXITS)
def new(
    folder: Annotated[
        Path, typer.Argument(help="A new or empty folder; its name is the project's.")
    ],
) -> None:
    """Make a project: a pipeline that runs, a test that passes, a README, a little data."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            "this is not an empty folder",
            step="new",
            value=str(folder),
            hint="name a folder that is not there yet",
            line="",
        )
    folder.mkdir(parents=True, exist_ok=True)
    templates = files("penstock.cli") / "template"
    for name in FILES:
        text = (templates / f"{name}.txt").read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("NAME", folder.resolve().name), encoding="utf-8")
    typer.echo(f"{folder}: {', '.join(FILES)}")
    typer.echo(f"next: cd {folder} && penstock run pipeline.py --checkpoint state")
