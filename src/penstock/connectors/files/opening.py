"""Open a file for reading, compressed or not, by its name."""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, cast

from penstock.errors import ConfigError, ConnectorError, Fault
from penstock.failures import os_error_passes

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


def compressed(path: str) -> bool:
    """Tell whether the name says that the file is compressed."""
    return Path(path).suffix.lower() in COMPRESSED


def uncompressed_suffix(path: str) -> str:
    """Return the extension that tells the format: ``a.csv.gz`` -> ``.csv``."""
    name = Path(path)
    return (Path(name.stem) if name.suffix.lower() in COMPRESSED else name).suffix.lower()


def open_bytes(path: str) -> BinaryIO:
    """Open ``path``; offsets are of the uncompressed bytes."""
    suffix = Path(path).suffix.lower()
    try:
        if suffix == ".gz":
            return cast(BinaryIO, gzip.open(path, "rb"))
        if suffix == ".bz2":
            return cast(BinaryIO, bz2.open(path, "rb"))
        if suffix == ".xz":
            return cast(BinaryIO, lzma.open(path, "rb"))
        if suffix == ".zst":
            return cast(BinaryIO, _zstandard(path).open(path, "rb"))
        return Path(path).open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def _zstandard(path: str) -> ModuleType:
    try:
        return importlib.import_module("zstandard")
    except ImportError as error:
        raise ConfigError(
            "reading .zst needs the package zstandard",
            step="file",
            value=path,
            hint='pip install "penstock[files]"',
        ) from error


def _unreadable(path: str, error: OSError) -> ConnectorError:
    passing = os_error_passes(error)
    return ConnectorError(
        f"cannot open: {error.strerror or error}",
        step=f"file {path}",
        value=path,
        fault=Fault.REMOTE if passing else Fault.USER,
        retry=passing,
    )


def damaged(path: str, error: Exception) -> ConnectorError:
    """Return the error for compressed data that is cut short or corrupt."""
    return ConnectorError(
        f"the compressed data is damaged: {error}",
        step=f"file {path}",
        value=path,
        fault=Fault.USER,
    )
