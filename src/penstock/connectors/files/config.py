"""Specs of file sources, and the functions that build them.

| function | reads | ends |
|---|---|---|
| ``files("orders/*.csv.gz")`` | finished files, one after another | yes |
| ``tail("access.log", format="combined_log")`` | a log while it grows, across rotation | no |
| ``folder("inbox/*.parquet")`` | each file put into a folder, once it is complete | no |

The format follows from the extension unless it is named; the schema of JSON, CSV and logfmt is
guessed from the beginning of the first file unless it is given.
"""

from __future__ import annotations

import enum
import glob
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from penstock.connectors.contract import MAX_LINE_BYTES, Source
from penstock.connectors.files.content import (
    Content,
    LinesContent,
    TableContent,
)
from penstock.connectors.files.folder import FolderSource
from penstock.connectors.files.opening import open_bytes, uncompressed_suffix
from penstock.connectors.files.source import FilesSource, matching
from penstock.connectors.files.tables import Table, schema_of
from penstock.connectors.files.tail import TailSource
from penstock.connectors.formats import registry
from penstock.connectors.formats.contract import Format
from penstock.connectors.formats.json import Json
from penstock.connectors.options import choice, duration
from penstock.connectors.probing import readable_files
from penstock.errors import ConfigError
from penstock.instants import Duration

SAMPLE_BYTES = 1024 * 1024
"""How much of the first file a schema is guessed from."""

EXTENSIONS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".ndjson": "json",
    ".jsonl": "json",
    ".txt": "text",
    ".log": "text",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".ipc": "ipc",
    ".arrow": "ipc",
    ".feather": "ipc",
}
"""Format by extension, after ``.gz`` ``.bz2`` ``.xz`` ``.zst`` are taken off."""

_TABLES = {"parquet": Table.PARQUET, "ipc": Table.IPC, "arrow": Table.IPC, "feather": Table.IPC}


class Start(enum.Enum):
    """Where a tail begins when there is no checkpoint."""

    BEGINNING = "beginning"
    END = "end"


@dataclass(frozen=True)
class FilesSpec:
    """Finished files, read in order (a glob: byte order of the paths). Bounded, replayable."""

    paths: tuple[str, ...]
    content: Content
    bounded = True
    replayable = True
    partitioned = False
    frame_is_epoch = False

    @property
    def name(self) -> str:
        """Format and paths."""
        return f"{self.content.name} {' '.join(self.paths)}"

    @property
    def schema(self) -> pl.Schema:
        """The columns of every frame."""
        return self.content.schema

    def open(self) -> Source:
        """Return a live source."""
        return FilesSource(self.paths, self.content)

    def probe(self) -> str:
        """Look whether the files are there and may be read."""
        return readable_files(matching(self.paths), self.name)

    def narrowed(self, wanted: Collection[tuple[str, ...]]) -> FilesSpec:
        """Return the same files with the wanted columns, and fields of structs, at least.

        ``{("a",), ("b", "c")}``: all of the column ``a``, and of ``b`` the field ``c``.
        """
        content = self.content
        if isinstance(content, TableContent):
            names = {path[0] for path in wanted}
            kept = tuple(pair for pair in content.columns if pair[0] in names)
            return replace(self, content=replace(content, columns=kept))
        if isinstance(content, LinesContent) and isinstance(content.form, Json):
            return replace(self, content=replace(content, form=content.form.narrowed(wanted)))
        return self


@dataclass(frozen=True)
class TailSpec:
    """A log file that is followed while it grows. Unbounded; replayable while its files exist."""

    path: str
    form: Format
    start: Start = Start.BEGINNING
    interval: timedelta = timedelta(milliseconds=10)
    max_line_bytes: int = MAX_LINE_BYTES
    bounded = False
    replayable = True
    partitioned = False
    frame_is_epoch = False

    @property
    def name(self) -> str:
        """``tail`` and the path."""
        return f"tail {self.path}"

    @property
    def schema(self) -> pl.Schema:
        """The columns of every frame."""
        return self.form.schema

    def open(self) -> Source:
        """Return a live source."""
        return TailSource(
            self.path,
            self.form,
            from_end=self.start is Start.END,
            interval_s=self.interval.total_seconds(),
            max_line_bytes=self.max_line_bytes,
        )

    def probe(self) -> str:
        """Look whether the file is there; it may also come later."""
        there = Path(self.path).exists()
        return readable_files([self.path], self.name) if there else "the file is not there yet"


@dataclass(frozen=True)
class FolderSpec:
    """A folder that files are put into. Unbounded; replayable while its files exist."""

    pattern: str
    content: Content
    settle: timedelta = timedelta(seconds=1)
    bounded = False
    replayable = True
    partitioned = False
    frame_is_epoch = False

    @property
    def name(self) -> str:
        """``folder`` and the pattern."""
        return f"folder {self.pattern}"

    @property
    def schema(self) -> pl.Schema:
        """The columns of every frame."""
        return self.content.schema

    def open(self) -> Source:
        """Return a live source."""
        return FolderSource(self.pattern, self.content, settle_s=self.settle.total_seconds())

    def probe(self) -> str:
        """Look which files are there, and may be read."""
        return readable_files(matching((self.pattern,)), self.name)


def files(
    paths: str | Path | Iterable[str | Path],
    format: str | Format | None = None,  # noqa: A002 - the word that users know
    schema: Mapping[str, Any] | None = None,
    *,
    columns: Iterable[str] | None = None,
    max_line_bytes: int = MAX_LINE_BYTES,
    **options: Any,
) -> FilesSpec:
    """Describe finished files: a path, a glob, or a list of them; compressed or not.

    ``columns`` (Parquet, Arrow) reads only these. ``options`` go to the format. Raises
    ``ConfigError`` if there is no such file, or the format or its options are wrong.
    """
    names = (str(paths),) if isinstance(paths, str | Path) else tuple(str(p) for p in paths)
    found = matching(names)
    missing = [name for name in found if not Path(name).is_file()]
    if missing or not found:
        wrong = missing[0] if missing else " ".join(names)
        raise ConfigError(f"no such file: {wrong}", step="file", value=wrong, hint=_nearby(wrong))
    content = _content(found[0], found, format, schema, columns, max_line_bytes, options)
    return FilesSpec(names, content)


def tail(
    path: str | Path,
    format: str | Format | None = None,  # noqa: A002 - the word that users know
    schema: Mapping[str, Any] | None = None,
    *,
    start: Start | str = Start.BEGINNING,
    interval: Duration = timedelta(milliseconds=10),
    max_line_bytes: int = MAX_LINE_BYTES,
    **options: Any,
) -> TailSpec:
    """Describe a log file that is followed; it need not exist yet if the schema is known.

    ``start``: ``"beginning"`` or ``"end"``, where there is no checkpoint. ``interval``: how often
    it is looked at.
    """
    name = str(path)
    existing = [name] if Path(name).is_file() else []
    content = _content(name, existing, format, schema, None, max_line_bytes, options)
    if not isinstance(content, LinesContent):
        raise ConfigError(f"{content.name} cannot be followed", step="tail", value=content.name)
    return TailSpec(
        name,
        content.form,
        choice(Start, start, step="tail", option="start"),
        duration(interval, step="tail", option="interval"),
        max_line_bytes,
    )


def folder(
    pattern: str | Path,
    format: str | Format | None = None,  # noqa: A002 - the word that users know
    schema: Mapping[str, Any] | None = None,
    *,
    columns: Iterable[str] | None = None,
    settle: Duration = timedelta(seconds=1),
    max_line_bytes: int = MAX_LINE_BYTES,
    **options: Any,
) -> FolderSpec:
    """Describe a folder (or a glob) whose files are read as they are completed.

    ``settle``: how long a file must have stayed unchanged to be complete.
    """
    name = str(Path(pattern) / "*") if Path(pattern).is_dir() else str(pattern)
    found = matching((name,)) if glob.has_magic(name) else []
    content = _content(name, found, format, schema, columns, max_line_bytes, options)
    return FolderSpec(name, content, duration(settle, step="folder", option="settle"))


def _content(
    name: str,
    found: list[str],
    form: str | Format | None,
    schema: Mapping[str, Any] | None,
    columns: Iterable[str] | None,
    max_line_bytes: int,
    options: dict[str, Any],
) -> Content:
    if form is None:
        form = _by_extension(found[0] if found else name)
    if isinstance(form, str) and form in _TABLES:
        return _table(_TABLES[form], form, found, schema, columns, options)
    if columns is not None:
        raise ConfigError(
            "columns= is for Parquet and Arrow; use schema=", step="file", value=columns
        )
    if not isinstance(form, str):
        return LinesContent(form, max_line_bytes)
    guessable = registry.SYNONYMS.get(form, form) in registry.INFERS
    if schema is not None or not guessable:
        return LinesContent(registry.build(form, schema, **options), max_line_bytes)
    if not found:
        raise ConfigError(
            f"there is no file yet to guess the columns of {form} from",
            step="file",
            value=name,
            hint="give schema={...}",
        )
    return LinesContent(registry.infer(form, sample(found[0]), **options), max_line_bytes)


def _table(
    kind: Table,
    form: str,
    found: list[str],
    schema: Mapping[str, Any] | None,
    columns: Iterable[str] | None,
    options: dict[str, Any],
) -> TableContent:
    if options:
        raise ConfigError("there is no such option", step=form, value=next(iter(options)))
    if not found and schema is None:
        raise ConfigError(
            "there is no file yet to take the columns from", step=form, hint="give schema={...}"
        )
    known = pl.Schema(schema) if schema is not None else schema_of(kind, found[0])
    wanted = list(known) if columns is None else list(columns)
    for column in wanted:
        if column not in known:
            raise ConfigError(
                f"there is no column {column!r}", step=form, value=column, alternatives=known
            )
    return TableContent(kind, tuple((column, known[column]) for column in wanted))


def _by_extension(path: str) -> str:
    suffix = uncompressed_suffix(path)
    if suffix not in EXTENSIONS:
        raise ConfigError(
            f"the extension {suffix or '(none)'} does not tell the format of {path}",
            step="file",
            value=suffix,
            alternatives=EXTENSIONS,
            hint='say format="..."',
        )
    return EXTENSIONS[suffix]


def sample(path: str) -> bytes:
    """Return whole lines from the beginning of a file."""
    with open_bytes(path) as file:
        begun = file.read(SAMPLE_BYTES)
    return begun[: begun.rfind(b"\n") + 1] if len(begun) == SAMPLE_BYTES else begun


def _nearby(path: str) -> str:
    folder = Path(path).parent
    if glob.has_magic(str(folder)) or not folder.is_dir():
        return f"there is no folder {folder}"
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())[:5]
    return f"{folder} holds {', '.join(names)} ..." if names else f"{folder} holds no files"
