"""``penstock topics``: look at embedded topics, make them, and change what they keep."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from penstock.errors import ConfigError
from penstock.instants import duration_ns, size_bytes
from penstock.tables_of_text import table
from penstock.topics import Retention, Topic

app = typer.Typer(no_args_is_help=True, help="Look at embedded topics, and make them.")

Place = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of the topic.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Age = Annotated[str | None, typer.Option("--retention", help='Forget what is older: "7d".')]
Size = Annotated[str | None, typer.Option("--retention-bytes", help='Keep at most: "10GB".')]


@app.command("list")
def list_topics(
    folder: Annotated[Path, typer.Argument(help="Where to look, folders in it included.")],
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """List the topics below a folder."""
    if not folder.is_dir():
        raise ConfigError("no such folder", step="topics", value=str(folder), line="")
    places = sorted(p.parent for p in folder.rglob("topic.db") if Topic.exists(p.parent))
    found = [_facts(place) for place in places]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    head = ("topic", "partitions", "records", "columns")
    rows = [
        (
            fact["path"],
            str(len(fact["partitions"])),
            f"{fact['records']:,}",
            ", ".join(fact["columns"]),
        )
        for fact in found
    ]
    for line in table([head, *rows], left=(0, 3)):
        typer.echo(line)


@app.command()
def show(topic: Place, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Show the columns, partitions and retention of a topic."""
    fact = _facts(topic)
    if as_json:
        typer.echo(json.dumps(fact, indent=2))
        return
    typer.echo(f"{fact['path']}: {fact['records']:,} records, {fact['kept']}")
    columns = Table("column", "type")
    for name, dtype in fact["columns"].items():
        columns.add_row(name, dtype)
    partitions = Table("partition", "first offset", "next offset", "records")
    for partition in fact["partitions"]:
        partitions.add_row(*(f"{value:,}" for value in partition.values()))
    console = Console(markup=False)
    console.print(columns)
    console.print(partitions)


@app.command()
def create(
    topic: Place,
    partitions: Annotated[int, typer.Option(min=1, help="How many partitions.")] = 4,
    retention: Age = None,
    retention_bytes: Size = None,
) -> None:
    """Make a topic of raw records: key, value, timestamp, headers.

    A topic with columns of its own is made by the first stream that is written to it.
    """
    Topic.create(topic, partitions=partitions, retention=_kept(retention, retention_bytes)).close()
    typer.echo(f"{topic}: {partitions} partitions")


@app.command()
def keep(topic: Place, retention: Age = None, retention_bytes: Size = None) -> None:
    """Change what a topic keeps, and drop what is outside now; without options it keeps all."""
    kept = _kept(retention, retention_bytes)
    with _opened(topic) as found:
        found.set_retention(kept)
        found.trim()
    typer.echo(f"{topic}: {_said(kept)}")


def _opened(topic: Path) -> Topic:
    if not Topic.exists(topic):
        raise ConfigError(
            "there is no topic here",
            step="topics",
            value=str(topic),
            hint="penstock topics list FOLDER shows those below a folder",
            line="",
        )
    return Topic.open(topic)


def _facts(place: Path) -> dict[str, Any]:
    with _opened(place) as topic:
        starts, ends = topic.start_offsets(), topic.end_offsets()
        partitions = [
            {"partition": n, "start": starts[n], "end": end, "records": end - starts[n]}
            for n, end in sorted(ends.items())
        ]
        return {
            "path": str(place),
            "columns": {name: str(dtype) for name, dtype in topic.record_schema.items()},
            "partitions": partitions,
            "records": sum(partition["records"] for partition in partitions),
            "kept": _said(topic.retention),
        }


def _kept(age: str | None, size: str | None) -> Retention:
    nanoseconds = None if age is None else duration_ns(age, step="topics", option="--retention")
    return Retention(
        age=None if nanoseconds is None else timedelta(microseconds=nanoseconds // 1000),
        size_bytes=None
        if size is None
        else size_bytes(size, step="topics", option="--retention-bytes"),
    )


def _said(kept: Retention) -> str:
    limits = []
    if kept.age is not None:
        limits.append(f"keeps {kept.age}")
    if kept.size_bytes is not None:
        limits.append(f"keeps {kept.size_bytes:,} bytes")
    return ", ".join(limits) or "keeps everything"
