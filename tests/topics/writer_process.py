"""Writers for test_topic_processes.py: run as ``python writer_process.py COMMAND PATH ...``."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable

import polars as pl

from penstock.topics import Durability, Topic


def rows(epoch: int) -> int:
    """Size of an epoch: mixed, now and then one that spans several batches."""
    return 70_000 if epoch % 20 == 3 else 1 + epoch * 37 % 500


def epochs(path: str, token: str) -> None:
    """Write epochs for ever, each spread over the partitions, and say which are done."""
    sys.stdin.readline()  # started ahead of its turn, since importing takes the longest
    topic = Topic.open(path)
    durability = Durability.OS if int(token) % 2 else Durability.SYNC  # a kill spares both
    last = topic.fence("writer", int(token)) or 0
    for epoch in itertools.count(max(last, 1)):  # begins with a repeat, as a recovery does
        numbers = pl.select(n=pl.int_range(rows(epoch)))
        text = pl.concat_str(pl.lit(f"{epoch}:"), pl.col("n")).cast(pl.Binary)
        frame = numbers.select(key=pl.col("n").cast(pl.String).cast(pl.Binary), value=text)
        topic.append_once(
            "writer", epoch, int(token), [frame.head(5), frame.slice(5)], durability=durability
        )
        os.write(1, f"{epoch}\n".encode())


def plain(path: str, name: str, appends: str) -> None:
    """Append single records, as fast as they go, beside other writers."""
    topic = Topic.open(path)
    for number in range(int(appends)):
        value = f"{name}:{number}".encode()
        topic.append(pl.DataFrame({"value": [value]}), partition=0, durability=Durability.OS)


def stamps(path: str, count: str) -> None:
    """Append the time of the append, one at a time, each asked for by a line on stdin."""
    topic = Topic.open(path)
    for _ in range(int(count)):
        sys.stdin.readline()
        value = str(time.monotonic_ns()).encode()
        topic.append(pl.DataFrame({"value": [value]}), partition=0)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    commands: dict[str, Callable[..., None]] = {"epochs": epochs, "plain": plain, "stamps": stamps}
    commands[command](*arguments)
