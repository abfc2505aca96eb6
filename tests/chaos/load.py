"""The input of a lane: rows that depend on their number alone, so that anyone can count them again."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from penstock.topics import Topic

KEYS = 300
EPOCH_START = datetime(2026, 1, 1)
SCHEMA = pl.Schema(
    [("id", pl.Int64()), ("key", pl.String()), ("amount", pl.Int64()), ("ts", pl.Datetime("us"))]
)
DIMENSIONS = pl.Schema({"key": pl.String, "city": pl.String})

Row = dict[str, object]


def row(number: int) -> Row:
    """Return row ``number``: a pseudo-random key and amount, and a time that only goes forward."""
    mixed = number * 2_654_435_761 % 4_294_967_296
    return {
        "id": number,
        "key": f"k{mixed % KEYS}",
        "amount": mixed // KEYS % 100,
        "ts": EPOCH_START + timedelta(milliseconds=20 * number),
    }


def city(key: str) -> str:
    """Return what the dimension table says of a key."""
    return f"city {int(key[1:]) % 17}"


def rows(count: int) -> Iterator[Row]:
    """Return the first ``count`` rows."""
    return map(row, range(count))


class Writer(threading.Thread):
    """Writes batches of rows, with pauses, until it is told to finish."""

    def __init__(self, seed: str, rows_per_second: int) -> None:
        super().__init__(daemon=True)
        self.written = 0
        self.error: Exception | None = None
        self._rng = random.Random(seed)
        self._rows = rows_per_second
        self._ending = threading.Event()

    def run(self) -> None:
        """Write a batch about every 20 ms."""
        try:
            while not self._ending.wait(self._rng.uniform(0.005, 0.035)):
                self.write(self._rng.randint(1, max(1, self._rows // 25)))
        except Exception as error:  # noqa: BLE001 - raised again by finish()
            self.error = error

    def write(self, count: int) -> None:
        """Write the next ``count`` rows."""
        raise NotImplementedError

    def take(self, count: int) -> list[Row]:
        """Return the next rows and count them as written."""
        taken = [row(number) for number in range(self.written, self.written + count)]
        self.written += count
        return taken

    def finish(self) -> None:
        """Stop writing; everything counted has been written."""
        self._ending.set()
        self.join()
        if self.error is not None:
            raise self.error


class LogWriter(Writer):
    """Appends JSON lines to a file, in pieces that end anywhere in a line."""

    def __init__(self, path: Path, seed: str, rows_per_second: int) -> None:
        super().__init__(seed, rows_per_second)
        path.touch()
        self._path = path

    def write(self, count: int) -> None:
        """Append lines, torn in two."""
        lines = (json.dumps(each, default=datetime.isoformat) for each in self.take(count))
        text = "".join(f"{line}\n" for line in lines)
        cut = self._rng.randint(0, len(text))
        for piece in (text[:cut], text[cut:]):
            with self._path.open("a") as file:
                file.write(piece)


class TopicWriter(Writer):
    """Appends to a topic, by key."""

    def __init__(self, path: Path, seed: str, rows_per_second: int) -> None:
        super().__init__(seed, rows_per_second)
        self._topic = Topic.create(path, partitions=3, schema=SCHEMA, key=("key",))

    def write(self, count: int) -> None:
        """Append rows in one transaction."""
        self._topic.append(pl.DataFrame(self.take(count), schema=SCHEMA))

    def finish(self) -> None:
        """Close the topic too."""
        super().finish()
        self.close()

    def close(self) -> None:
        """Release the topic."""
        self._topic.close()


def write_dimensions(path: Path) -> None:
    """Write a topic with one row for each key."""
    keys = [f"k{number}" for number in range(KEYS)]
    with Topic.create(path, partitions=1, schema=DIMENSIONS) as topic:
        topic.append(pl.DataFrame({"key": keys, "city": [city(key) for key in keys]}))
