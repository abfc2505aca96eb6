"""Feed a log to a running demo, line by line, and hold its results against plain Python.

    python -m tests.access_log access.log

The log grows in a temporary folder while ``penstock demo --log`` follows it in a process of its own;
then the demo is asked to end (as by Ctrl-C) and what it stored is compared with a count of our own:
requests by status, by page, by hour and by page and minute, distinct visitors by hour, sessions, and
dead letters. Nothing of Penstock is used for that count.
"""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from tests.child_processes import ENVIRONMENT, interruptible

SESSION_GAP = timedelta(minutes=30)
STARTS_WITHIN_S = 60.0
ENDS_WITHIN_S = 120.0

_LINE = re.compile(
    r'^(?P<client>\S+) \S+ .+? \[(?P<at>[^\]]+)\] "(?P<request>(?:[^"\\]|\\.)*)" '
    r'(?P<status>\d{3}|-) (?P<bytes>\d+|-) "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*"$'
)
_REQUEST = re.compile(r"^[A-Z]+ (\S+) [A-Z]+/[0-9.]+$")


@dataclass
class Counts:
    """What is compared."""

    statuses: dict[int, int] = field(default_factory=dict)
    pages: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    hours: dict[datetime, tuple[int, int, int, int]] = field(default_factory=dict)
    minutes: dict[tuple[datetime, str], tuple[int, int, int]] = field(default_factory=dict)
    sessions: Counter[tuple[str, datetime, int]] = field(default_factory=Counter)
    dead_letters: list[bytes] = field(default_factory=list)

    def figures(self) -> str:
        """Return the totals as text."""
        return (
            f"{sum(self.statuses.values()):,} requests, {len(self.statuses)} statuses, "
            f"{len(self.pages):,} pages, {len(self.hours):,} hours, "
            f"{len(self.minutes):,} pages and minutes, {self.sessions.total():,} sessions, "
            f"{len(self.dead_letters):,} dead letters"
        )

    def differences(self, other: Counts) -> list[str]:
        """Return what is not the same, by name."""
        return [name for name in vars(self) if getattr(self, name) != getattr(other, name)]


def count(lines: Iterable[str]) -> Counts:
    """Count in plain Python."""
    found = Counts()
    statuses: Counter[int] = Counter()
    pages: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    minutes: defaultdict[tuple[datetime, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    hours: defaultdict[datetime, list[int]] = defaultdict(lambda: [0, 0, 0])
    visitors: defaultdict[datetime, set[str]] = defaultdict(set)
    visits: defaultdict[str, list[datetime]] = defaultdict(list)
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            found.dead_letters.append(line.encode())
            continue
        request = _REQUEST.match(match["request"])
        if request is None:
            continue  # a request that is none: dropped by the cleaning
        page = re.split("[?#]", request[1].replace('\\"', '"'))[0]
        at = datetime.strptime(match["at"], "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC)
        status, size = int(match["status"]), match["bytes"]
        values = (1, int(status >= 500), 0 if size == "-" else int(size))
        minute, hour = at.replace(second=0), at.replace(minute=0, second=0)
        statuses[status] += 1
        for total in (pages[page], minutes[minute, page], hours[hour]):
            total[:] = (a + b for a, b in zip(total, values, strict=True))
        visitors[hour].add(match["client"])
        visits[match["client"]].append(at)
    found.statuses = dict(statuses)
    found.pages = {page: (a, b, c) for page, (a, b, c) in pages.items()}
    found.minutes = {key: (a, b, c) for key, (a, b, c) in minutes.items()}
    found.hours = {hour: (a, b, c, len(visitors[hour])) for hour, (a, b, c) in hours.items()}
    found.sessions = Counter(s for client, times in visits.items() for s in sessions(client, times))
    return found


def sessions(client: str, times: list[datetime]) -> Iterator[tuple[str, datetime, int]]:
    """Yield client, start and requests of each session."""
    begin, before, length = None, None, 0
    for at in sorted(times):
        if begin is None or before is None or at - before > SESSION_GAP:
            if begin is not None:
                yield client, begin, length
            begin, length = at, 0
        before, length = at, length + 1
    if begin is not None:
        yield client, begin, length


def stored(folder: Path) -> Counts:
    """Read what the demo stored."""

    def time_of(text: str) -> datetime:
        return datetime.fromisoformat(text)

    with closing(sqlite3.connect(folder / "traffic.db")) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master").fetchall()}

        def rows(columns: str, table: str) -> list[tuple[object, ...]]:
            if table not in tables:
                return []
            return database.execute(f"SELECT {columns} FROM {table}").fetchall()

        found = Counts(
            statuses=dict(rows("status, requests", "statuses")),  # type: ignore[arg-type]
            pages={
                str(page): (a, b, c)  # type: ignore[misc]
                for page, a, b, c in rows("page, requests, errors, bytes", "pages")
            },
            hours={
                time_of(str(start)): (a, b, c, d)  # type: ignore[misc]
                for start, a, b, c, d in rows(
                    "window_start, requests, errors, bytes, visitors", "hours"
                )
            },
            sessions=Counter(
                (str(client), time_of(str(start)), int(str(requests)))
                for client, start, requests in rows("client, window_start, requests", "sessions")
            ),
            dead_letters=[bytes(data) for (data,) in rows("bytes", "dead_letters")],  # type: ignore[call-overload]
        )
    minutes = pl.read_parquet(folder / "minutes" / "**" / "*.parquet")
    for start, page, a, b, c in minutes.select(
        "window_start", "page", "requests", "errors", "bytes"
    ).iter_rows():
        assert (start, page) not in found.minutes, "a minute of a page was stored twice"
        found.minutes[start, page] = (a, b, c)
    return found


@contextmanager
def demo(log: Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the demo on a log, ready to take lines; never leave it behind."""
    command = [sys.executable, "-m", "penstock.cli", "demo", "--log", str(log)]
    process = subprocess.Popen(
        [*command, "--folder", str(folder)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("follows"), "the demo did not start"
        yield process
    finally:
        process.kill()
        process.communicate()


def feed(log: Path, text: bytes) -> None:
    """Append line by line; every hundredth line in two parts."""
    with log.open("ab", buffering=0) as file:
        for number, line in enumerate(text.splitlines(keepends=True)):
            if number % 100 == 0:
                file.write(line[:40])
                line = line[40:]
            file.write(line)


def run(text: bytes, folder: Path) -> tuple[Counts, str]:
    """Let the demo follow ``text`` as it is written; return what it stored and what it said."""
    log, results = folder / "access.log", folder / "results"
    log.touch()
    with demo(log, results) as process:
        feed(log, text)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=ENDS_WITHIN_S)
        assert process.returncode == 0, said
    return stored(results), said


def main(path: str) -> int:
    """Compare, and say what was found."""
    text = Path(path).read_bytes()
    expected = count(text.decode(errors="replace").splitlines())
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found, said = run(text, Path(folder))
    print(said)
    print(f"plain Python  {expected.figures()}")
    print(f"the demo      {found.figures()}")
    wrong = expected.differences(found)
    print(f"differ: {', '.join(wrong)}" if wrong else "all the same")
    print(f"{time.monotonic() - begun:.1f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
