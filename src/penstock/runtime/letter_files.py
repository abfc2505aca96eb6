"""Where the dead letters of a checkpoint are, and how they are read back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from penstock.errors import ConfigError
from penstock.runtime.letters import LETTER_SCHEMA
from penstock.topics import Topic

FOLDER = "dead-letters"
"""Name of the topic in a checkpoint's folder."""

OFFSET = "offset"


def folder_of(checkpoint: str | Path, folder: str | Path | None, step: str) -> Path:
    """Return the folder of the topic: the one given, or the one beside a local checkpoint."""
    if folder is not None:
        return Path(folder)
    if "://" in str(checkpoint):
        raise ConfigError(
            "dead letters are kept on a local disk, this checkpoint is not",
            step=step,
            value=str(checkpoint),
            hint="say where they are: dead_letters=FOLDER (on the command line --folder FOLDER)",
        )
    return Path(checkpoint) / FOLDER


def read_letters(folder: Path, step: str) -> pl.DataFrame:
    """Return all dead letters of a topic, numbered by ``offset``, oldest first."""
    if not Topic.exists(folder):
        if not folder.parent.is_dir():
            raise ConfigError("there is no checkpoint", step=step, value=str(folder.parent))
        return pl.DataFrame(schema={OFFSET: pl.Int64(), **LETTER_SCHEMA})
    with Topic.open(folder) as topic:
        if topic.schema != LETTER_SCHEMA:
            raise ConfigError(
                "the topic does not hold dead letters of this version", step=step, value=str(folder)
            )
        parts = list(_records(topic))
    return pl.concat(parts) if parts else pl.DataFrame(schema={OFFSET: pl.Int64(), **LETTER_SCHEMA})


def _records(topic: Topic) -> Iterator[pl.DataFrame]:
    at, end = topic.start_offsets()[0], topic.end_offsets()[0]
    while at < end:
        frame = topic.read(0, at).frame
        number = pl.int_range(at, at + frame.height, dtype=pl.Int64, eager=True).alias(OFFSET)
        yield frame.select(number, pl.all())
        at += frame.height
