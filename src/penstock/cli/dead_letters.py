"""``penstock dead-letters``: see what was refused, and have it tried again."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

import penstock as ps
from penstock.cli.programs import load
from penstock.cli.storages import Options, Place, pairs_of
from penstock.errors import ConfigError
from penstock.instants import duration_ns
from penstock.letter_rows import unpacked
from penstock.runtime.replaying import request
from penstock.tables_of_text import short, table

app = typer.Typer(no_args_is_help=True, help="See what was refused, and have it tried again.")

_STEP = "dead-letters"
_POSITION = 40

Step = Annotated[
    str | None, typer.Option(help='Only those of a step: its name ("filter") or its id ("map-1").')
]
Since = Annotated[
    str | None,
    typer.Option(help='Only those refused since then: "2026-05-17T10:00" (UTC), or "2h" ago.'),
]
Until = Annotated[str | None, typer.Option(help="Only those refused before then.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Write rows also where the table has one of their key.")
]


@app.command("list")
def list_letters(
    checkpoint: Place,
    step: Step = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=0, help="How many to list, the latest.")] = 20,
    option: Options = None,
) -> None:
    """Count the dead letters by step and reason, and list the latest."""
    letters = _chosen(_letters(checkpoint, option), step, since, until)
    if not letters.height:
        typer.echo("no dead letters")
        return
    for line in _counts(letters):
        typer.echo(line)
    latest = letters.tail(limit)
    if latest.height:
        typer.echo("")
        for line in _rows(latest):
            typer.echo(line)
    if latest.height < letters.height:
        typer.echo(f"... the latest {latest.height:,} of {letters.height:,}")


@app.command()
def show(
    checkpoint: Place,
    offsets: Annotated[list[int], typer.Argument(help="Numbers of letters, as list shows them.")],
    as_json: AsJson = False,  # noqa: FBT002
    option: Options = None,
) -> None:
    """Show dead letters whole: bytes, position, step, reason."""
    letters = _letters(checkpoint, option)
    known = set(letters["offset"])
    for offset in offsets:
        if offset not in known:
            highest = f"0 to {max(known)}" if known else "none"
            raise ConfigError(
                f"there is no dead letter {offset}",
                step=_STEP,
                value=offset,
                hint=f"there are: {highest}",
                line="",
            )
    for letter in letters.filter(pl.col("offset").is_in(offsets)).rows(named=True):
        typer.echo(json.dumps(_plain(letter)) if as_json else _text(letter))


@app.command()
def replay(
    checkpoint: Place,
    file: Annotated[
        Path | None,
        typer.Argument(help="The repaired pipeline, a Python file: runs it, as penstock run does."),
    ] = None,
    step: Step = None,
    offset: Annotated[
        list[int] | None, typer.Option(help="Only this letter; may be given several times.")
    ] = None,
    overwrite: Overwrite = False,  # noqa: FBT002
    option: Options = None,
) -> None:
    """Give dead letters again to the steps that refused them, each once whatever crashes.

    Without a file they are marked, for the run on this checkpoint or the next one.
    """
    if step is not None and offset:
        raise ConfigError(
            "give --step or --offset, not both",
            step=_STEP,
            value=step,
            hint="leave one out",
            line="",
        )
    if overwrite and file is None:
        raise ConfigError(
            "--overwrite is for a replay by a file",
            step=_STEP,
            value="--overwrite",
            hint="give the file, or start the run with replay_overwrites=True",
            line="",
        )
    wanted: bool | str | list[int] = offset or step or True
    if file is not None:
        queries = load(file).queries
        if not queries:
            raise ConfigError(
                "the file defines no query at its top level",
                step=_STEP,
                value=str(file),
                hint="mark the letters without a file, and let main() run the pipeline",
                line=str(file),
            )
        done = ps.run(
            *queries,
            checkpoint=checkpoint,
            checkpoint_options=pairs_of(option),
            replay_dead_letters=wanted,
            replay_overwrites=overwrite,
        ).progress()
        typer.echo(f"{done.rows_out:,} rows out, {done.dead_letters:,} dead letters", err=True)
        return
    count = request(checkpoint, wanted, pairs_of(option))
    typer.echo(
        f"{count:,} dead letters will be replayed, by the run on this checkpoint or by the next one"
        if count
        else "no dead letter waits"
    )


def _letters(checkpoint: str, options: list[str] | None) -> pl.DataFrame:
    return ps.read_dead_letters(checkpoint, checkpoint_options=pairs_of(options))


def _chosen(
    letters: pl.DataFrame, step: str | None, since: str | None, until: str | None
) -> pl.DataFrame:
    if step is not None:
        _check_step(letters, step)
        letters = letters.filter((pl.col("step") == step) | (pl.col("operator") == step))
    if since is not None:
        letters = letters.filter(pl.col("time") >= _instant(since, "--since"))
    if until is not None:
        letters = letters.filter(pl.col("time") < _instant(until, "--until"))
    return letters


def _check_step(letters: pl.DataFrame, step: str) -> None:
    known = sorted({*letters["step"], *letters["operator"]})
    if letters.height and step not in known:
        raise ConfigError(
            f"no dead letter is of a step {step!r}",
            step=_STEP,
            value=step,
            alternatives=known,
            line="",
        )


def _instant(given: str, option: str) -> datetime:
    """Read an ISO instant, in UTC unless it says otherwise, or how long ago."""
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        ago = duration_ns(given, step=_STEP, option=option)
        return datetime.now(UTC) - timedelta(microseconds=ago // 1000)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _counts(letters: pl.DataFrame) -> list[str]:
    found = (
        letters.group_by("operator", "step", "reason", maintain_order=True)
        .agg(
            pl.len(),
            replayed=pl.col("replayed").sum(),
            first=pl.col("time").min(),
            last=pl.col("time").max(),
        )
        .sort("len", descending=True, maintain_order=True)
    )
    rows = [("letters", "replayed", "id", "step", "first", "last", "reason")]
    rows += [
        (
            f"{row['len']:,}",
            f"{row['replayed']:,}" if row["replayed"] else "",
            row["operator"],
            short(row["step"], 40),
            _moment(row["first"]),
            _moment(row["last"]),
            short(row["reason"], 100),
        )
        for row in found.rows(named=True)
    ]
    return table(rows, left=(2, 3, 4, 5, 6))


def _rows(letters: pl.DataFrame) -> list[str]:
    rows = [("offset", "time", "id", "weight", "position", "reason", "bytes")]
    rows += [
        (
            str(row["offset"]),
            _moment(row["time"]),
            row["operator"],
            "" if row["weight"] == 1 else f"{row['weight']:+}",
            _ending(row["position"]),
            short(row["reason"], 50),
            short(row["bytes"].decode(errors="backslashreplace"), 60),
        )
        for row in letters.rows(named=True)
    ]
    return table(rows, left=(1, 2, 4, 5, 6))


def _moment(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M:%S")


def _ending(position: str) -> str:
    """Return the end of a position, which tells more than its beginning."""
    return position if len(position) <= _POSITION else f"...{position[3 - _POSITION :]}"


def _text(letter: dict[str, Any]) -> str:
    """Write a letter as ``name: value`` lines, what it does not have left out."""
    shown = dict(letter, bytes=letter["bytes"].decode(errors="backslashreplace"))
    shown["time"] = letter["time"].isoformat()
    shown.pop("row")
    shown["weight"] = None if letter["weight"] == 1 else letter["weight"]
    shown["side"] = letter["side"] or None
    shown["replayed"] = "yes" if letter["replayed"] else None
    lines = [f"{name + ':':<10}{value}" for name, value in shown.items() if value not in (None, "")]
    if letter["row"] is not None:
        (row,) = unpacked(letter["row"]).rows(named=True)
        lines.append("row:")
        lines += [f"    {name} = {value!r}" for name, value in row.items()]
    return "\n".join(lines) + "\n"


def _plain(letter: dict[str, Any]) -> dict[str, Any]:
    """Return a letter as JSON can hold it; bytes that are no text as ``bytes_base64``."""
    found = dict(letter, time=letter["time"].isoformat())
    try:
        found["bytes"] = letter["bytes"].decode()
    except UnicodeDecodeError:
        found["bytes"] = None
        found["bytes_base64"] = base64.b64encode(letter["bytes"]).decode()
    if letter["row"] is not None:
        row = unpacked(letter["row"])
        found["row"] = json.loads(row.write_ndjson())
        found["row_types"] = {name: str(dtype) for name, dtype in row.schema.items()}
    return found
