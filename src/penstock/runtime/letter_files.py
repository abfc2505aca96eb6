"""Where the dead letters of a checkpoint are, and which of them are wanted again.

checkpoint/
  dead-letters/                    a topic; on an object store a file for each epoch that had any
  dead-letters-wanted/<id>.json    offsets that somebody wants to be replayed; gone when they are
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable, Iterator, Mapping

import msgspec
import polars as pl

from penstock.checkpoints.offsets import Ranges, offsets_of, ranges_of
from penstock.checkpoints.opening import Checkpoint, open_storage
from penstock.checkpoints.storage import PARTIAL, Storage
from penstock.checkpoints.store import CheckpointStore
from penstock.errors import ConfigError
from penstock.runtime.letters import LETTER_SCHEMA
from penstock.topics import Topic

FOLDER = "dead-letters"
OFFSET = "offset"
REPLAYED = "replayed"
WANTED = "dead-letters-wanted"


def letters_path(epoch: int) -> str:
    """Return where the dead letters of an epoch are, on an object store; in order of epochs."""
    return f"{FOLDER}/{epoch:010d}.arrow"


def epoch_of_letters(path: str) -> int:
    """Return the epoch of a path that ``letters_path`` gave."""
    return int(path.removeprefix(f"{FOLDER}/").removesuffix(".arrow"))


def read_letters(checkpoint: Checkpoint, options: Mapping[str, str | bool]) -> pl.DataFrame:
    """Return all dead letters of a checkpoint, and which of them were replayed."""
    storage = open_storage(checkpoint, options)
    manifest = CheckpointStore(storage).peek()
    if manifest is None and not storage.list("manifest-"):
        raise ConfigError("there is no checkpoint", step="dead letters", value=storage.name)
    replayed = offsets_of(manifest.replayed) if manifest is not None else set[int]()
    letters = letters_of(storage)
    return letters.with_columns(pl.col(OFFSET).is_in(list(replayed)).alias(REPLAYED))


def letters_of(storage: Storage) -> pl.DataFrame:
    """Return all dead letters in a storage, numbered by ``offset``, oldest first."""
    parts = list(_topic_parts(storage) if storage.folder is not None else _file_parts(storage))
    empty = pl.DataFrame(schema={OFFSET: pl.Int64(), **LETTER_SCHEMA})
    return pl.concat([empty, *parts])


def _topic_parts(storage: Storage) -> Iterator[pl.DataFrame]:
    assert storage.folder is not None
    folder = storage.folder / FOLDER
    if not Topic.exists(folder):
        return
    with Topic.open(folder) as topic:
        if topic.schema != LETTER_SCHEMA:
            raise ConfigError(
                "the topic does not hold dead letters of this version",
                step="dead letters",
                value=str(folder),
            )
        at, end = topic.start_offsets()[0], topic.end_offsets()[0]
        while at < end:
            frame = topic.read(0, at).frame
            yield _numbered(frame, at)
            at += frame.height


def _file_parts(storage: Storage) -> Iterator[pl.DataFrame]:
    at = 0
    for path in storage.list(f"{FOLDER}/"):
        if not path.endswith(PARTIAL):
            frame = pl.read_ipc(io.BytesIO(storage.read(path)))
            yield _numbered(frame, at)
            at += frame.height


def _numbered(frame: pl.DataFrame, start: int) -> pl.DataFrame:
    number = pl.int_range(start, start + frame.height, dtype=pl.Int64, eager=True).alias(OFFSET)
    return frame.select(number, *LETTER_SCHEMA)


def want(storage: Storage, offsets: Iterable[int]) -> None:
    """Ask the run on this checkpoint, or the next one, to replay these letters."""
    data = msgspec.json.encode(ranges_of(offsets))
    storage.create(f"{WANTED}/{uuid.uuid4().hex}.json", data)


def wanted(storage: Storage) -> dict[str, set[int]]:
    """Return what is asked for, by file; nothing by one that whoever asked did not finish."""
    found = {}
    for path in storage.list(f"{WANTED}/"):
        if not path.endswith(".json"):
            continue
        try:
            found[path] = offsets_of(msgspec.json.decode(storage.read(path), type=Ranges))
        except msgspec.DecodeError:
            found[path] = set()
    return found
