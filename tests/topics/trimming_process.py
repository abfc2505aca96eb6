"""Appends to and trims a journal until it is killed: ``python trimming_process.py FOLDER``.

Row ``n`` holds ``n``; each tenth row is a dead letter too; the note is the number of rows. Prints that
number after each append, and forgets all but the last thousand rows.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import polars as pl

from penstock.errors import ConnectorError
from penstock.topics.journal import Journal, Kind
from penstock.topics.store import Durability

SCHEMA = pl.Schema({"n": pl.Int64()})


def opened(folder: Path) -> Journal:
    deadline = time.monotonic() + 30
    while True:
        try:
            return Journal(folder, SCHEMA)
        except ConnectorError:
            if time.monotonic() > deadline:
                raise


def main() -> None:
    journal, rng = opened(Path(sys.argv[1])), random.Random()
    while True:
        end = journal.ends()[Kind.ROWS]
        count = 10 * rng.randint(1, 500)
        numbers = pl.int_range(end, end + count, eager=True).alias("n")
        dead = numbers.gather_every(10).cast(pl.String).alias("dead").to_frame()
        cut = max(0, end - 1000)
        forget = {Kind.ROWS: cut, Kind.DEAD_LETTERS: cut // 10}
        note = str(end + count).encode()
        journal.append(numbers.to_frame(), dead, note, forget, Durability.SYNC)
        print(end + count, flush=True)
        if rng.random() < 0.3:
            journal.forget(forget, note)


if __name__ == "__main__":
    main()
