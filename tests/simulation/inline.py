"""The engine on one thread, so that a run is the same each time, call for call.

The product starts a thread for each source, for each sink and for each checkpoint. Here a source is
polled when the engine looks for rows, a sink is called when output is handed over, and a checkpoint
is made when the engine has looked ``LAG`` times whether the one before it is done: with 0 at once,
with more while later epochs run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import polars as pl
import pytest

from penstock.checkpoints import store
from penstock.checkpoints.storage import Storage
from penstock.connectors.contract import Position, SinkIdentity
from penstock.query import Query
from penstock.runtime import checkpointer, engine, merging
from penstock.runtime.background import Background
from penstock.runtime.feeds import Feed
from penstock.runtime.launch import launch
from penstock.runtime.options import RunOptions
from penstock.runtime.outlets import Outlet
from penstock.testing import ManualClock


class InlineFeed(Feed):
    """Polls when it is asked whether rows are there."""

    def start(self, position: Position | None) -> None:
        self._source.seek(position)
        self._partitions = tuple(self._source.partitions())

    @property
    def ready(self) -> bool:
        for _ in range(100):  # an epoch may take several polls
            if self._queue or self._read_all:
                break
            self._poll_once()
        return bool(self._queue)


class InlineOutlet(Outlet):
    """Calls the sink at once."""

    def begin(self, identity: SinkIdentity | None, schema: pl.Schema | None = None) -> None:
        self.applied = self._sink.begin(identity, schema)


class InlineBackground(Background):
    """Does a job when somebody waits for it, or has looked ``lag`` times whether it is done."""

    lag = 0
    _job: Callable[[], None] | None = None
    _looks = 0

    @property
    def busy(self) -> bool:
        self._looks += 1
        if self._job is not None and self._looks > self.lag:
            self.join()
        return self._job is not None

    def start(self, job: Callable[[], None]) -> None:
        self.wait()
        self._job, self._looks = job, 0
        if not self.lag:
            self.join()

    def join(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            self._run(job)


@contextmanager
def one_thread(lag: int = 0) -> Iterator[None]:
    """Run engines on the thread that calls them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "Feed", InlineFeed)
        patch.setattr(engine, "Outlet", InlineOutlet)
        patch.setattr(checkpointer, "Background", InlineBackground)
        patch.setattr(merging, "Background", InlineBackground)
        patch.setattr(InlineBackground, "lag", lag)
        patch.setattr(store, "LET_GO_S", 0.0)  # the other run is on this thread, too
        yield


def run(
    query: Query,
    checkpoint: Storage,
    lag: int = 0,
    *,
    takeover: bool = False,
    replay: bool = False,
) -> None:
    """Run a query to its end; each epoch is a checkpoint, if the one before it is done."""
    options = RunOptions(
        checkpoint=checkpoint,
        checkpoint_interval_s=0.0,
        takeover=takeover,
        replay_dead_letters=replay,
    )
    with one_thread(lag):
        launch(query.roots, options, ManualClock()).run()
