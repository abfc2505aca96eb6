"""What should be in the sinks, made by plain Python, and what is."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import psycopg

import penstock as ps
from tests.chaos.load import EPOCH_START, Row, city, rows

Rows = Counter[tuple[object, ...]]
WINDOW = timedelta(seconds=10)


@dataclass(frozen=True)
class Missed:
    """How many rows of a sink are missing, and how many are too many."""

    sink: str
    lost: int
    doubled: int


def compare(sink: str, expected: Rows, found: Rows) -> Missed:
    """Count both ways."""
    return Missed(sink, (expected - found).total(), (found - expected).total())


def log_sinks(folder: Path, conninfo: str, written: int) -> list[Missed]:
    """Check ``pipelines.from_log``."""
    kept = [row for row in rows(written) if _amount(row) > 9]
    counts: Rows = Counter()
    for key, group in _grouped(kept, "key").items():
        amounts = [_amount(row) for row in group]
        counts[key, len(group), sum(amounts), max(amounts)] += 1
    singles: Rows = Counter((row["id"], row["key"], row["amount"]) for row in kept)
    files = _files(folder / "files", "*.ndjson", pl.read_ndjson)
    return [
        compare("sqlite", counts, _sqlite(folder, "SELECT key, n, total, top FROM counts")),
        compare("files", singles, _rows(files, ["id", "key", "amount"])),
        compare("topic", singles, _topic(folder / "out", ["id", "key", "amount"])),
    ]


def window_sinks(folder: Path, conninfo: str, written: int) -> list[Missed]:
    """Check ``pipelines.windows``."""
    closed: dict[datetime, list[int]] = defaultdict(list)
    for row in rows(written):
        assert isinstance(row["ts"], datetime)
        closed[row["ts"] - (row["ts"] - EPOCH_START) % WINDOW].append(_amount(row))
    by_key = _grouped(rows(written), "key")
    windows: Rows = Counter((start, len(each), sum(each)) for start, each in closed.items())
    totals: Rows = Counter((key, len(group), len(group)) for key, group in by_key.items())
    ids: Rows = Counter((row["id"], row["key"]) for row in rows(written))
    with psycopg.connect(conninfo) as connection:

        def found(query: bytes) -> Rows:
            return Counter(connection.execute(query).fetchall())

        return [
            compare("windows", windows, found(b"SELECT window_start, n, total FROM windows")),
            compare("totals", totals, found(b"SELECT key, n, ids FROM totals")),
            compare("ids", ids, found(b"SELECT id, key FROM ids")),
        ]


def joined_sinks(folder: Path, conninfo: str, written: int) -> list[Missed]:
    """Check ``pipelines.joined``."""
    ids: Rows = Counter((row["id"], city(str(row["key"]))) for row in rows(written))
    cities: dict[str, list[int]] = defaultdict(list)
    for row in rows(written):
        cities[city(str(row["key"]))].append(_amount(row))
    totals: Rows = Counter((name, len(each), sum(each)) for name, each in cities.items())
    with duckdb.connect(str(folder / "out.duckdb"), read_only=True) as connection:
        found_ids: Rows = Counter(connection.execute("SELECT id, city FROM ids").fetchall())
        found = connection.execute("SELECT city, n, total FROM cities").fetchall()
    return [compare("ids", ids, found_ids), compare("cities", totals, Counter(found))]


def running_sinks(folder: Path, conninfo: str, written: int) -> list[Missed]:
    """Check ``pipelines.running``."""
    sums: Rows = Counter()
    so_far: Counter[object] = Counter()
    for row in rows(written):
        so_far[row["key"]] += _amount(row)
        sums[row["id"], row["key"], so_far[row["key"]]] += 1
    firsts: Rows = Counter({(row["key"], row["amount"]) for row in rows(written)})
    files = _files(folder / "files", "part=*/*.parquet", pl.read_parquet)
    return [
        compare("files", sums, _rows(files, ["id", "key", "so_far"])),
        compare("sqlite", sums, _sqlite(folder, "SELECT id, key, so_far FROM sums")),
        compare("topic", firsts, _topic(folder / "out", ["key", "amount"])),
    ]


CHECKS: dict[str, Callable[[Path, str, int], list[Missed]]] = {
    "log": log_sinks,
    "windows": window_sinks,
    "joined": joined_sinks,
    "running": running_sinks,
}


def _amount(row: Row) -> int:
    assert isinstance(row["amount"], int)
    return row["amount"]


def _grouped(of: Iterable[Row], column: str) -> dict[object, list[Row]]:
    groups: dict[object, list[Row]] = defaultdict(list)
    for row in of:
        groups[row[column]].append(row)
    return groups


def _rows(frames: Iterable[pl.DataFrame], columns: list[str]) -> Rows:
    found: Rows = Counter()
    for frame in frames:
        found.update(frame.select(columns).rows())
    return found


def _files(
    folder: Path, pattern: str, read: Callable[[Path], pl.DataFrame]
) -> Iterable[pl.DataFrame]:
    return (read(path) for path in sorted(folder.glob(pattern)))


def _topic(path: Path, columns: list[str]) -> Rows:
    return _rows([ps.scan_topic(path, stop="at end").collect()], columns)


def _sqlite(folder: Path, query: str) -> Rows:
    with closing(sqlite3.connect(folder / "out.db")) as connection:
        return Counter(connection.execute(query).fetchall())
