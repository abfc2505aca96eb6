"""The topic among processes: killed writers, rival writers, readers that wait."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl

from penstock.topics import Topic
from tests.topics.writer_process import rows

SCRIPT = Path(__file__).with_name("writer_process.py")
KILLS = 8


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def everything(topic: Topic) -> pl.DataFrame:
    """Return every record's epoch and number."""
    frames = []
    for partition in range(topic.partitions):
        offset = 0
        while (records := topic.read(partition, offset)).frame.height:
            frames.append(records.frame)
            offset = records.next_offset
    text = pl.col("value").cast(pl.String).str.split(":").list.eval(pl.element().cast(pl.Int64))
    return pl.concat(frames).select(epoch=text.list.get(0), number=text.list.get(1))


def test_kill_9_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    chance = random.Random(7)
    path = tmp_path / "topic"
    Topic.create(path, partitions=3).close()
    following = start("epochs", str(path), "0")
    for life in range(KILLS):
        acknowledged = 0
        writer, following = following, start("epochs", str(path), str(life + 1))
        with writer:
            assert writer.stdout is not None
            assert writer.stdin is not None
            writer.stdin.write(b"\n")
            writer.stdin.flush()
            for _ in range(chance.randint(1, 12)):
                acknowledged = int(writer.stdout.readline())
            deadline = time.monotonic() + chance.random() * 0.01
            while time.monotonic() < deadline:  # anywhere within the next appends
                pass
            writer.send_signal(signal.SIGKILL)
            acknowledged = max([acknowledged, *map(int, writer.stdout.read().split(b"\n")[:-1])])
        with Topic.open(path) as topic:
            last = topic.fence("writer", life)
            assert last is not None
            assert last >= acknowledged
            found = everything(topic)
        assert found.is_duplicated().sum() == 0
        per_epoch = dict(found.group_by("epoch").len().rows())
        assert per_epoch == {epoch: rows(epoch) for epoch in range(1, last + 1)}
    with following:
        following.kill()


def test_rival_writers_and_a_reader(tmp_path: Path) -> None:
    path, appends = tmp_path / "topic", 300
    with Topic.create(path, partitions=1) as topic:
        writers = [start("plain", str(path), name, str(appends)) for name in ("a", "b")]
        seen: list[bytes] = []
        while len(seen) < 2 * appends:
            assert topic.wait({0: len(seen)}, 60)
            seen += topic.read(0, len(seen)).frame["value"].to_list()
        for writer in writers:
            with writer:
                assert writer.wait(30) == 0
        for name in ("a", "b"):
            own = [value for value in seen if value.startswith(name.encode())]
            assert own == [f"{name}:{number}".encode() for number in range(appends)]


def test_an_append_of_another_process_wakes_a_reader(tmp_path: Path) -> None:
    path, count = tmp_path / "topic", 30
    with (
        Topic.create(path, partitions=1) as topic,
        start("stamps", str(path), str(count)) as writer,
    ):
        assert writer.stdin is not None
        latencies_ms = []
        for offset in range(count):
            writer.stdin.write(b"\n")
            writer.stdin.flush()
            assert topic.wait({0: offset}, 60)
            now = time.monotonic_ns()
            value = topic.read(0, offset).frame["value"].item()
            latencies_ms.append((now - int(value)) / 1e6)
        assert writer.wait(30) == 0
    assert min(latencies_ms) < 1000, "2 to 3 ms where no other work is done, not the time-out"
