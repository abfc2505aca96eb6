"""A real PostgreSQL server in a temporary folder, reached over a unix socket.

It runs as the user ``postgres`` when the tests run as root (the server refuses root). ``fsync`` is
off: what is tested is what survives a lost connection, not a lost machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "40",
    "shared_buffers": "32MB",
    "wal_level": "logical",
}


@dataclass(frozen=True)
class PostgresServer:
    """Where the running server listens."""

    folder: Path

    @property
    def conninfo(self) -> str:
        return f"host={self.folder} dbname=postgres user=postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = " ".join(f"-c {name}='{value}'" for name, value in _SETTINGS.items())
        options += f" -c unix_socket_directories='{self.folder}'"
        log = self.folder / "log"
        self._control("-l", log, "-o", options, "-w", "-t", "60", "start")

    def stop(self) -> None:
        """Stop it as a crash would: nobody is asked, nothing is finished."""
        self._control("-m", "immediate", "-w", "stop")

    def kill(self) -> None:
        """Stop it, as ``stop`` does."""
        self.stop()

    def _control(self, *words: object) -> None:
        _run(_binaries() / "pg_ctl", "-D", self.folder / "data", *words)

    @contextlib.contextmanager
    def empty_schema(self) -> Iterator[str]:
        """Give a connection string whose tables are in a new schema, dropped at the end."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
            yield f"{self.conninfo} options='-c search_path={name}'"
            connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Start a server, give it, and stop it."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-pg-"))
    server = PostgresServer(folder)
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        data = folder / "data"
        _run(
            _binaries() / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        raise RuntimeError("no PostgreSQL server is installed: run tests/servers/install.sh")
    return found[-1].parent


def _run(*command: object) -> None:
    words = [str(word) for word in command]
    if os.geteuid() == 0:
        words = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *words]
    done = subprocess.run(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/", timeout=90
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
