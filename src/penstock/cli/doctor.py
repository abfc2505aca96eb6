"""``penstock doctor``: what is installed, what is not, and whether a small pipeline runs."""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import polars as pl

import penstock as ps

_CORE = ("polars", "numpy", "msgspec", "cloudpickle", "typer", "rich")
_EXTRAS = {
    "arrow": ("pyarrow",),
    "duckdb": ("duckdb",),
    "files": ("zstandard",),
    "kafka": ("confluent-kafka",),
    "objects": ("obstore",),
    "pandas": ("pandas", "pyarrow"),
    "postgres": ("psycopg",),
    "shell": ("prompt_toolkit",),
}


@dataclass(frozen=True)
class Check:
    """One line of the report; ``good`` is False only for what Penstock cannot do without."""

    name: str
    found: str
    good: bool = True

    def __str__(self) -> str:
        return f"{'ok ' if self.good else 'BAD'}  {self.name:<10}  {self.found}"


def examine() -> list[Check]:
    """Look at everything."""
    return [
        Check("penstock", ps.__version__),
        Check("python", f"{platform.python_version()} on {platform.platform()}"),
        Check("machine", f"{os.cpu_count()} cores, Polars uses {pl.thread_pool_size()}"),
        Check("sqlite", sqlite3.sqlite_version),
        *(_package(name) for name in _CORE),
        *(_extra(name, packages) for name, packages in _EXTRAS.items()),
        _pipeline(),
    ]


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _package(name: str) -> Check:
    found = _installed(name)
    return Check(name, found or "is not installed: pip install penstock", found is not None)


def _extra(name: str, packages: tuple[str, ...]) -> Check:
    found = {package: _installed(package) for package in packages}
    if all(found.values()):
        return Check(f"[{name}]", ", ".join(f"{package} {v}" for package, v in found.items()))
    return Check(f"[{name}]", f'not installed; pip install "penstock[{name}]" to use it')


def _pipeline() -> Check:
    """Carry three rows through a topic on disk and add them up."""
    rows = ps.scan_batches([pl.DataFrame({"a": [1, 2, 3]})])
    with tempfile.TemporaryDirectory() as folder:
        topic = Path(folder) / "topic"
        try:
            rows.sink_topic(topic).start().wait()
            total = rows.select(pl.col("a").sum()).collect().item()
            carried = ps.scan_topic(topic).preview(3).height
        except ps.PenstockError as error:
            return Check("pipeline", f"{error}", good=False)
    return Check(
        "pipeline", f"{carried} rows carried, their sum is {total}", (carried, total) == (3, 6)
    )
