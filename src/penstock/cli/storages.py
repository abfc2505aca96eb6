"""Checkpoints as the commands take them: a folder or URL, and options of an object store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from penstock.checkpoints.opening import open_storage
from penstock.checkpoints.storage import Storage
from penstock.checkpoints.store import links
from penstock.errors import ConfigError

Place = Annotated[
    str, typer.Argument(metavar="CHECKPOINT", help="A folder, or a URL such as s3://bucket/prefix.")
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        help="KEY=VALUE of the object store, repeatable; without it the environment is asked.",
    ),
]
Sequence = Annotated[
    int | None,
    typer.Option("--sequence", help="Which checkpoint, as listed; the newest if left out."),
]


def opened(place: str, options: list[str] | None) -> Storage:
    """Return the storage of a checkpoint that is there."""
    storage = storage_at(place, options)
    if storage.folder is not None and not Path(storage.folder).is_dir():
        raise ConfigError(
            f"there is no folder {place}",
            step="checkpoint",
            value=place,
            hint="give the folder or URL that the run has as its checkpoint",
            line="",
        )
    if not links(storage):
        raise ConfigError(
            f"there is no checkpoint in {place}",
            step="checkpoint",
            value=place,
            hint="give the folder or URL that the run has as its checkpoint",
            line="",
        )
    return storage


def storage_at(place: str, options: list[str] | None) -> Storage:
    """Return the storage at a place, whether anything is there or not."""
    return open_storage(place, pairs_of(options))


def pairs_of(options: list[str] | None) -> dict[str, str | bool]:
    """Read ``KEY=VALUE`` options."""
    pairs: dict[str, str | bool] = {}
    for option in options or ():
        key, equals, value = option.partition("=")
        if not equals:
            raise ConfigError(
                f"an option is KEY=VALUE, not {key}",
                step="checkpoint",
                value=key,
                hint="for example --option region=eu-central-1",
                line="",
            )
        pairs[key] = value
    return pairs
