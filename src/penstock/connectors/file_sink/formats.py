"""File formats that can be written: how each is spelled, compressed, and written by Polars."""

from __future__ import annotations

import enum
import io
from pathlib import Path
from typing import IO, Any

import polars as pl

from penstock.errors import ConfigError


class FileFormat(enum.Enum):
    """What a file holds; the value is the extension."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"
    IPC = "arrow"
    TEXT = "txt"


_COMPRESSIONS: dict[FileFormat, tuple[str, ...]] = {
    FileFormat.CSV: ("uncompressed", "gzip", "zstd"),
    FileFormat.NDJSON: ("uncompressed", "gzip", "zstd"),
    FileFormat.PARQUET: ("zstd", "lz4", "snappy", "gzip", "brotli", "uncompressed"),
    FileFormat.IPC: ("uncompressed", "lz4", "zstd"),
    FileFormat.TEXT: ("uncompressed", "gzip", "zstd"),
}
"""The first is the default."""

_SUFFIX = {"gzip": ".gz", "zstd": ".zst"}
"""Added to the extension of formats that are compressed as a whole."""

_WHOLE = (FileFormat.CSV, FileFormat.NDJSON, FileFormat.TEXT)


def compression_of(file_format: FileFormat, given: str | None, step: str) -> str:
    """Return the compression to use, or raise ``ConfigError`` naming those that the format has."""
    known = _COMPRESSIONS[file_format]
    if given is None:
        return known[0]
    if given not in known:
        raise ConfigError(
            f"{file_format.name} files cannot be compressed with {given!r}",
            step=step,
            value=given,
            alternatives=known,
        )
    return given


def extension(file_format: FileFormat, compression: str) -> str:
    """Return the end of the file name, e.g. ``csv.gz``."""
    return file_format.value + (_SUFFIX.get(compression, "") if file_format in _WHOLE else "")


def write(frame: pl.DataFrame, to: Path, file_format: FileFormat, compression: str) -> None:
    """Write ``frame`` as one whole file."""
    with to.open("wb") as file:
        _write(frame, file, file_format, compression)


def check(schema: pl.Schema, file_format: FileFormat, step: str) -> None:
    """Raise ``ConfigError`` for a column that the format cannot hold."""
    if file_format is FileFormat.TEXT and list(schema.values()) != [pl.String]:
        raise ConfigError(
            f"text files take exactly one String column, not {dict(schema)}",
            step=step,
            value=schema.names(),
            hint="build the line first, e.g. select(line=pl.format('{} {}', 'a', 'b'))",
        )
    for name, dtype in schema.items():
        if not _can_write(name, dtype, file_format):
            raise ConfigError(
                f"column {name!r} is {dtype}, which {file_format.name} files cannot hold",
                step=step,
                value=name,
                hint=_way_out(name, dtype),
            )


def _can_write(name: str, dtype: pl.DataType, file_format: FileFormat) -> bool:
    if file_format is FileFormat.NDJSON and _holds(dtype, pl.Binary):
        return False  # Polars panics, which prints to the terminal before it can be caught
    if _holds(dtype, pl.Object):
        return False
    try:
        frame = pl.DataFrame({name: [None]}, schema={name: dtype})
        _write(frame, io.BytesIO(), file_format, _COMPRESSIONS[file_format][0])
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return False
    return True


def _holds(dtype: pl.DataType, inner: type[pl.DataType]) -> bool:
    return inner.__name__ in repr(dtype)


def _way_out(name: str, dtype: pl.DataType) -> str:
    column = f"pl.col({name!r})"
    if isinstance(dtype, pl.Binary):
        return f"encode it as text: {column}.bin.encode('base64')"
    if isinstance(dtype, pl.Duration):
        return f"write it as a number: {column}.dt.total_microseconds()"
    if isinstance(dtype, pl.Struct):
        return f"write it as JSON, {column}.struct.json_encode(), or unnest() it"
    return f"cast it first, e.g. {column}.cast(pl.String), or choose parquet or arrow"


def _write(frame: pl.DataFrame, file: IO[bytes], file_format: FileFormat, compression: Any) -> None:
    if file_format is FileFormat.PARQUET:
        frame.write_parquet(file, compression=compression)
    elif file_format is FileFormat.IPC:
        frame.write_ipc(file, compression=compression)
    elif file_format is FileFormat.NDJSON:
        frame.write_ndjson(file, compression=compression)
    elif file_format is FileFormat.CSV:
        frame.write_csv(file, compression=compression)
    else:
        frame.write_csv(file, compression=compression, include_header=False, quote_style="never")
