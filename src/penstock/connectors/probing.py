"""Tests of connections without moving data: what ``penstock check`` asks of files and sockets.

A spec of a source or sink that reaches outside has a method ``probe``: it connects as a run would,
reads and writes nothing that lasts, and returns what it found, in a few words; what is wrong is the
error that a run would raise.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from penstock.errors import ConnectorError, Fault
from penstock.secrets import revealed_connection

_CONNECT_S = 10.0


def probed(spec: object) -> str | None:
    """Probe a spec; None if it reaches nothing outside."""
    probe = getattr(spec, "probe", None)
    found: str | None = None if probe is None else probe()
    return found


def readable_files(paths: Iterable[str], step: str) -> str:
    """Return how many files there are; one that may not be read is an error."""
    count = size = 0
    for path in paths:
        if not os.access(path, os.R_OK):
            there = Path(path).exists()
            said = "may not be read" if there else "there is no such file"
            raise _refused(f"{said}: {path}", step, path)
        count, size = count + 1, size + Path(path).stat().st_size
    return f"{count} file{'s' * (count != 1)}, {size:,} bytes"


def writable_folder(path: str | Path, step: str) -> str:
    """Return whether a folder is there, or would be made; neither is an error."""
    folder = Path(path).absolute()
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    if not nearest.is_dir():
        raise _refused(f"{nearest} is no folder", step, str(nearest))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise _refused(f"nothing may be written in {nearest}", step, str(nearest))
    return "the folder is there" if nearest == folder else "the folder will be made"


def writable_file(path: str | Path, step: str) -> str:
    """Return whether a file is there, or would be made."""
    file = Path(path).absolute()
    if not file.exists():
        writable_folder(file.parent, step)
        return "the file will be made"
    if not file.is_file() or not os.access(file, os.R_OK | os.W_OK):
        raise _refused(f"{file} may not be written", step, str(file))
    return "the file is there"


def can_listen(host: str, port: int, kind: socket.SocketKind, step: str) -> str:
    """Bind to an address and let it go."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as found:
        if kind is socket.SOCK_STREAM:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, port))
        except OSError as error:
            raise _refused(f"cannot listen: {error.strerror}", step, f"{host}:{port}") from error
    return "the address is free"


def can_connect_to(url: str, step: str) -> str:
    """Connect to the server of a URL, and close the connection: nothing is asked of it."""
    parts = urlsplit(revealed_connection(url, step=step))
    port = parts.port or (443 if parts.scheme in ("https", "wss") else 80)
    return can_connect(parts.hostname or "", port, step)


def can_connect(host: str, port: int, step: str) -> str:
    """Connect, and close the connection."""
    try:
        socket.create_connection((host, port), timeout=_CONNECT_S).close()
    except OSError as error:
        said = error.strerror or str(error)
        raise ConnectorError(
            f"cannot connect: {said}", step=step, value=f"{host}:{port}", retry=True
        ) from error
    return "it answers"


def _refused(message: str, step: str, value: str) -> ConnectorError:
    return ConnectorError(message, step=step, value=value, fault=Fault.USER)
