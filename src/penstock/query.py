"""Query: one or several sinks that run together, and the handle of the run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

import polars as pl

from penstock.columns import DEAD_LETTER_SCHEMA
from penstock.errors import PlanError, QueryFailed
from penstock.instants import Duration, duration_ns, size_bytes
from penstock.lowering.table import lower
from penstock.plan.sinks import SinkNode
from penstock.runtime.clock import Clock
from penstock.runtime.engine import Engine, RunOptions
from penstock.runtime.progress import Progress
from penstock.state.memory import MemoryBudget, using


class Query:
    """A stream written to a sink, ready to run; several can run as one (``ps.run``).

    >>> import penstock as ps, polars as pl
    >>> seen = []
    >>> q = ps.scan_batches([pl.DataFrame({"a": [1]})]).sink_callback(seen.append)
    >>> q.start().wait()
    True
    >>> seen[0]["a"].to_list()
    [1]
    """

    def __init__(self, *roots: SinkNode) -> None:
        if not roots:
            raise PlanError(
                "nothing to run", step="run", hint="give at least one stream with a sink"
            )
        self.roots = roots
        self._engine: Engine | None = None
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(
        self,
        *,
        checkpoint: str | Path | None = None,
        checkpoint_interval: Duration = "1s",
        memory: str | int | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Begin to run in the background and return at once.

        ``checkpoint`` is a folder to resume from and to keep checkpoints in, one every
        ``checkpoint_interval``; without it nothing survives the process. ``memory`` (``"2GB"``)
        limits the memory that state takes; the rest is moved to scratch files, in the checkpoint's
        folder or the system's temporary one.
        """
        if self._thread is not None and self._thread.is_alive():
            raise PlanError("the query is running already", step="start", hint="stop() it first")
        interval = duration_ns(checkpoint_interval, step="start", option="checkpoint_interval")
        folder = None if checkpoint is None else Path(checkpoint)
        options = RunOptions(checkpoint=folder, checkpoint_interval_s=interval / 1e9)
        budget = None
        if memory is not None:
            limit = size_bytes(memory, step="start", option="memory")
            budget = MemoryBudget(limit, None if folder is None else folder / "scratch")
        with using(budget):
            graph = lower(self.roots)
        self._error = None
        self._engine = Engine(graph, options, clock, budget)
        self._thread = threading.Thread(target=self._run, name="penstock", daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        assert self._engine is not None
        try:
            self._engine.run()
        except BaseException as error:  # noqa: BLE001 - raised again by wait()
            self._error = error

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; False if ``timeout`` seconds passed first. Raises what went wrong."""
        if self._thread is None:
            raise PlanError("the query was not started", step="wait", hint="call start() first")
        self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        if self._error is not None:
            raise QueryFailed(f"the query failed: {self._error}", line="") from self._error
        return True

    def join(self) -> None:
        """Wait for the end, however it comes; ``wait`` then tells what went wrong."""
        if self._thread is not None:
            self._thread.join()

    def request_stop(self) -> None:
        """Ask the query to end, and return at once."""
        if self._engine is not None:
            self._engine.stop()

    def stop(self) -> None:
        """Finish the epoch, make a last checkpoint and end. Returns when it has ended."""
        self.request_stop()
        if self._engine is not None:
            self.wait()

    def dead_letters(self) -> pl.DataFrame:
        """Return the latest dead letters of the run (up to 1,000), oldest first.

        With a checkpoint all of them are kept, in the topic ``dead-letters`` inside its folder.
        """
        if self._engine is None:
            return pl.DataFrame(schema=DEAD_LETTER_SCHEMA)
        return self._engine.dead_letters.recent()

    def progress(self) -> Progress:
        """Return a frozen snapshot of rows, rates, watermarks and state."""
        if self._engine is None:
            raise PlanError("the query was not started", step="progress", hint="call start() first")
        return self._engine.progress()


def run(
    *queries: Query,
    checkpoint: str | Path | None = None,
    checkpoint_interval: Duration = "1s",
    memory: str | int | None = None,
    clock: Clock | None = None,
) -> Query:
    """Run queries together, their common steps once, until they end or Ctrl-C.

    The options are those of ``Query.start``. Ctrl-C finishes the epoch and makes a checkpoint.
    Returns the ended query, for ``progress()``.
    """
    together = Query(*(root for query in queries for root in query.roots))
    together.start(
        checkpoint=checkpoint, checkpoint_interval=checkpoint_interval, memory=memory, clock=clock
    )
    try:
        while not together.wait(0.2):
            pass
    except KeyboardInterrupt:
        together.stop()
    return together
