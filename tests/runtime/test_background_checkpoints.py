"""Checkpoints are made beside the engine: epochs go on, within bounds, and errors stop the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from penstock.checkpoints.storage import MemoryStorage
from penstock.errors import CheckpointError, QueryFailed
from penstock.runtime import checkpointer
from penstock.runtime.launch import launch
from penstock.runtime.options import RunOptions
from penstock.stream import Stream
from penstock.testing import ManualClock, end, pause, rows, scripted
from penstock.testing.scripts import Action
from penstock.topics import Topic
from tests.simulation.inline import one_thread

LIMIT = 30.0
SCHEMA = {"n": pl.Int64()}
CLAIM = "manifest-0000000001"


class Gated(MemoryStorage):
    """Holds the commits of checkpoints up until ``gate`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.reached = threading.Event()
        self.commits = 0

    def create(self, path: str, data: bytes) -> bool:
        if path != CLAIM:
            self.reached.set()
            assert self.gate.wait(LIMIT)
            self.commits += 1
        return super().create(path, data)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)


def source(script: list[Action]) -> Stream:
    return scripted("numbers", SCHEMA, script=script, frame_is_epoch=True)


def batches(count: int, size: int = 1) -> list[Action]:
    return [rows({"n": [n] * size}) for n in range(count)]


def in_topic(path: Path) -> int:
    with Topic.open(path) as topic:
        return sum(topic.end_offsets().values())


def test_epochs_go_on_while_a_checkpoint_is_made(tmp_path: Path) -> None:
    storage, gate = Gated(), pause()
    stream = source([*batches(1), gate, *batches(30), end()])
    query = stream.sink_topic(tmp_path / "out")
    query.start(checkpoint=storage, checkpoint_interval=0)
    assert storage.reached.wait(LIMIT)
    gate.release()
    until(lambda: query.progress().rows_out == 31)
    assert (storage.commits, query.progress().checkpoint_epoch) == (0, None)
    assert in_topic(tmp_path / "out") == 0
    storage.gate.set()
    assert query.wait(LIMIT)
    assert in_topic(tmp_path / "out") == 31
    assert query.progress().checkpoint_epoch == query.progress().epoch


def test_output_that_waits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the buffer full the engine waits for the checkpoint that is being made."""
    monkeypatch.setattr(checkpointer, "_STAGED_ROWS", 50)
    storage = Gated()
    query = source([*batches(200, 10), end()]).sink_topic(tmp_path / "out")
    query.start(checkpoint=storage, checkpoint_interval="1h")
    until(lambda: query.progress().rows_out == 120)  # 60 in the checkpoint, 60 after it
    assert not query.wait(0.3)
    assert query.progress().rows_out == 120
    storage.gate.set()
    assert query.wait(LIMIT)
    assert in_topic(tmp_path / "out") == 2000


def test_stop_waits_for_the_last_checkpoint(tmp_path: Path) -> None:
    storage, gate = Gated(), pause()
    query = source([*batches(3), gate]).sink_topic(tmp_path / "out")
    query.start(checkpoint=storage, checkpoint_interval="1h")
    until(lambda: query.progress().rows_out == 3)
    query.request_stop()
    assert storage.reached.wait(LIMIT)
    assert not query.wait(0.1)
    storage.gate.set()
    assert query.wait(LIMIT)
    assert in_topic(tmp_path / "out") == 3
    assert query.progress().state == "stopped"


@pytest.mark.parametrize("call", ["write", "create"])
def test_an_error_beside_the_engine_stops_the_run(call: str, tmp_path: Path) -> None:
    """Though the source never ends, and nothing arrives any more."""

    class Failing(MemoryStorage):
        def write(self, path: str, data: bytes) -> None:
            self._fail("write")
            super().write(path, data)

        def create(self, path: str, data: bytes) -> bool:
            if path != CLAIM:
                self._fail("create")
            return super().create(path, data)

        def _fail(self, name: str) -> None:
            if name == call:
                raise PermissionError(13, "not allowed")

    query = source([*batches(3), pause()]).sink_topic(tmp_path / "out")
    query.start(checkpoint=Failing(), checkpoint_interval="1ms")
    with pytest.raises(QueryFailed, match="not allowed") as caught:
        query.wait(LIMIT)
    assert isinstance(caught.value.__cause__, CheckpointError)
    assert query.progress().state == "failed"
    assert in_topic(tmp_path / "out") == 0


def test_state_of_many_small_changes_stays_in_few_files() -> None:
    """Parts are merged as they pile up, and what they were merged from is deleted."""
    storage = MemoryStorage()
    script = [rows({"n": [n % 50]}) for n in range(400)]
    counted = source([*script, end()]).group_by("n").agg(count=pl.len())
    query = counted.sink_callback(lambda frame: None)
    query.start(checkpoint=storage, checkpoint_interval=0)
    assert query.wait(LIMIT)
    assert len(storage.list("runs/")) < 60
    assert len(storage.list("manifest-")) <= 4


class Measured(MemoryStorage):
    """Notes how many bytes of state each checkpoint writes."""

    def __init__(self) -> None:
        super().__init__()
        self.written = [0]

    def write(self, path: str, data: bytes) -> None:
        self.written[-1] += len(data)
        super().write(path, data)

    def create(self, path: str, data: bytes) -> bool:
        if path.startswith("manifest-"):
            self.written.append(0)
        return super().create(path, data)


def test_a_checkpoint_writes_only_what_is_new() -> None:
    """Two hundred thousand keys at first, then ten of them at a time."""
    storage = Measured()
    script = [rows({"n": list(range(200_000))}), *(rows({"n": list(range(10))}) for _ in range(4))]
    counted = source([*script, end()]).group_by("n").agg(count=pl.len())
    with one_thread():
        options = RunOptions(checkpoint=storage, checkpoint_interval_s=0.0)
        query = counted.sink_callback(lambda frame: None)
        launch(query.roots, options, ManualClock()).run()
    first = max(storage.written)
    assert first > 1_000_000
    later = storage.written[storage.written.index(first) + 1 :]
    assert len(later) >= 4
    assert all(size < first / 50 for size in later), storage.written
