"""Named instants at which a process kills itself: calls of functions that write, commit or restore.

A kill from outside lands mostly where a process spends its time. These land where it matters.
"""

from __future__ import annotations

import functools
import os
import pkgutil
import random
import signal
import threading
import time
from dataclasses import dataclass
from typing import Any

ONCE = (
    "penstock.runtime.engine:Engine._open",
    "penstock.runtime.checkpointer:Checkpointer.resume",
    "penstock.checkpoints.store:CheckpointStore.open",
    "penstock.checkpoints.store:CheckpointStore._claim",
    "penstock.checkpoints.state_files:StateWriter.restore",
    "penstock.connectors.tables:TableSink.begin",
)
"""Called when a process starts."""

OFTEN = (
    "penstock.runtime.checkpointer:Checkpointer.begin",
    "penstock.runtime.checkpointer:Checkpointer._make",
    "penstock.checkpoints.store:CheckpointStore.commit",
    "penstock.checkpoints.store:CheckpointStore._drop_links",
    "penstock.checkpoints.storage:LocalStorage.write",
    "penstock.checkpoints.storage:LocalStorage.create",
    "penstock.checkpoints.storage:LocalStorage.delete",
    "penstock.checkpoints.state_files:StateWriter.merge",
    "penstock.checkpoints.state_files:StateWriter.replace",
    "penstock.checkpoints.state_files:merge",
    "penstock.runtime.feeds:Feed.acknowledge",
    "penstock.connectors.tables:TableSink.apply",
    "os:fsync",
    "os:link",
    "os:unlink",
)
"""Called again and again: the commit, the merge of state, sinks, and the system calls beneath."""

FILES_AND_TOPICS = (
    "penstock.connectors.file_sink.sink:FilesSink.begin",
    "penstock.connectors.file_sink.sink:FilesSink.apply",
    "penstock.connectors.file_sink.folder:HiddenFolder.commit",
    "penstock.connectors.file_sink.folder:HiddenFolder.move",
    "penstock.connectors.topics.sink:TopicSink.begin",
    "penstock.connectors.topics.sink:TopicSink.apply",
    "penstock.topics.topic:Topic.append_once",
    "os:rename",
    "os:replace",
)
"""The same, of sinks that some lanes have."""

AT_THE_END = (
    "penstock.runtime.engine:Engine._finish",
    "penstock.connectors.tables:TableSink.close",
)
"""Called when a run ends in good order."""

WHEN = ("before", "during", "after")
_DURING_S = 0.002
"""How far into a call a kill may fall; a write and its fsync take about as long."""


@dataclass(frozen=True)
class Point:
    """The ``count``-th call of the function ``name``: before it, some time into it, or after it."""

    name: str
    when: str
    count: int
    delay_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.when} call {self.count} of {self.name.rpartition('.')[2]}"

    @property
    def at_the_end(self) -> bool:
        """Whether it is reached only by a run that is stopped."""
        return self.name in AT_THE_END


def draw(rng: random.Random, *, files_and_topics: bool) -> Point:
    """Choose a point; early calls more often than late ones."""
    often = (*OFTEN, *FILES_AND_TOPICS) if files_and_topics else OFTEN
    names = rng.choices((ONCE, often, AT_THE_END), (20, 70, 10))[0]
    count = 1 + min(int(rng.expovariate(0.3)), 15) if names is often else 1
    return Point(rng.choice(names), rng.choice(WHEN), count, rng.uniform(0, _DURING_S))


def die() -> None:
    """End this process as a power cut would end it, for all that it can do about it."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: Point) -> None:
    """Have this process kill itself at ``point``."""
    module, _, path = point.name.partition(":")
    *outer, name = path.split(".")
    owner: Any = pkgutil.resolve_name(":".join([module, ".".join(outer)]) if outer else module)
    original = getattr(owner, name)
    lock, calls = threading.Lock(), 0

    @functools.wraps(original)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        with lock:
            calls += 1
            due = calls == point.count
        if due and point.when == "before":
            die()
        if due and point.when == "during":
            threading.Thread(target=_die_later, args=(point.delay_s,), daemon=True).start()
        result = original(*arguments, **options)
        if due and point.when == "after":
            die()
        return result

    setattr(owner, name, wrapped)


def _die_later(delay_s: float) -> None:
    time.sleep(delay_s)
    die()
