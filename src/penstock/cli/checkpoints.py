"""``penstock checkpoints``: what a run could go on from, whether it is sound, and a copy of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from penstock.checkpoints.export import export as copy_whole
from penstock.checkpoints.manifest import Manifest
from penstock.checkpoints.reading import Link, chain, chosen, damages
from penstock.checkpoints.store import links
from penstock.cli.storages import Options, Place, Sequence, opened, storage_at

app = typer.Typer(
    no_args_is_help=True, help="List, show, verify and export the checkpoints of a run."
)
_SHOWN_POSITION = 100


@app.command("list")
def list_all(checkpoint: Place, option: Options = None) -> None:
    """List the checkpoints that are kept, newest first."""
    table = Table("sequence", "epoch", "made", "run", "steps", "state", "files", "bytes")
    for link in chain(opened(checkpoint, option)):
        table.add_row(*_row(link))
    Console(markup=False).print(table)


def _row(link: Link) -> list[str]:
    manifest = link.manifest
    if manifest is None:
        return [str(link.sequence), "damaged"]
    if not manifest.origin:
        return [str(link.sequence), "-", "a run began", str(manifest.token)]
    made = _instant(manifest)
    return [
        str(link.sequence),
        str(manifest.epoch),
        f"{made}, resumed from" if link.is_claim else made,
        str(manifest.token),
        str(len(manifest.steps)),
        f"{_rows(manifest):,} rows",
        str(len(manifest.files)),
        f"{sum(piece.bytes for piece in manifest.pieces):,}",
    ]


def _instant(manifest: Manifest) -> str:
    made = datetime.fromtimestamp(manifest.created_at / 1e6, UTC)
    return f"{made:%Y-%m-%d %H:%M:%S}Z"


def _rows(manifest: Manifest, step: str | None = None) -> int:
    """Return the rows of state as they are stored: changed ones count once more for each change."""
    named = manifest.state if step is None else {step: manifest.state.get(step, {})}
    return sum(p.rows for primitives in named.values() for ps in primitives.values() for p in ps)


@app.command()
def show(checkpoint: Place, sequence: Sequence = None, option: Options = None) -> None:
    """Show one checkpoint: its steps, their state, positions and output still to be applied."""
    manifest = chosen(opened(checkpoint, option), sequence)
    console = Console(markup=False)
    console.print(
        f"checkpoint {manifest.origin} of epoch {manifest.epoch}, {_instant(manifest)}, "
        f"Penstock {manifest.penstock}, format {manifest.format}",
        highlight=False,
    )
    table = Table("step", "what", "state rows", "state bytes", "position or output")
    for step in manifest.steps:
        pieces = [
            piece
            for parts in manifest.state.get(step.name, {}).values()
            for part in parts
            for piece in part.frames.values()
        ]
        size = sum(piece.bytes for piece in pieces)
        table.add_row(
            step.name,
            step.text,
            f"{_rows(manifest, step.name):,}" if pieces else "",
            f"{size:,}" if pieces else "",
            _edge(manifest, step.name),
        )
    console.print(table)


def _edge(manifest: Manifest, step: str) -> str:
    if step in manifest.positions:
        text = json.dumps(manifest.positions[step])
        return text if len(text) <= _SHOWN_POSITION else f"{text[:_SHOWN_POSITION]}..."
    staged = manifest.outbox.get(step)
    return "" if not staged else f"{sum(piece.bytes for piece in staged):,} bytes"


@app.command()
def verify(checkpoint: Place, option: Options = None) -> None:
    """Read every file of every checkpoint; exit with 1 if one is missing or damaged."""
    storage, sound = opened(checkpoint, option), True
    for link in chain(storage):
        if link.manifest is None:
            typer.echo(f"{link.sequence}: the manifest is damaged")
            sound = False
            continue
        bad = list(damages(storage, link.manifest))
        if bad and link.sequence not in links(storage):
            continue  # the run that goes on has let go of it meanwhile
        sound = sound and not bad
        for path in bad:
            typer.echo(f"{link.sequence}: {path} is missing or damaged")
        if not bad:
            typer.echo(f"{link.sequence}: sound, {len(link.manifest.files)} files")
    if not sound:
        raise typer.Exit(1)


@app.command()
def export(
    checkpoint: Place,
    target: Annotated[str, typer.Argument(help="A new folder or URL.")],
    sequence: Sequence = None,
    option: Options = None,
    target_option: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE of the target's object store.")
    ] = None,
) -> None:
    """Copy one checkpoint whole, so that a run can go on from the copy."""
    source = opened(checkpoint, option)
    manifest = chosen(source, sequence)
    size = copy_whole(source, manifest, storage_at(target, target_option))
    typer.echo(f"checkpoint of epoch {manifest.epoch} copied, {size:,} bytes")
