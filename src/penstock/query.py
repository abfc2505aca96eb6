"""Query: one or several sinks that run together, and the handle of the run."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, Self, TypedDict, Unpack

import polars as pl

from penstock.checkpoints.opening import RETAIN, Checkpoint
from penstock.deferred import Deferred
from penstock.errors import PlanError, QueryFailed
from penstock.instants import Duration, duration_ns, size_bytes
from penstock.plan.explain import explain
from penstock.plan.naming import named
from penstock.plan.sinks import SinkNode
from penstock.restarts import Restart
from penstock.runtime.clock import Clock
from penstock.runtime.dead_letter_limit import DeadLetterLimit, Limit
from penstock.runtime.interrupts import keep_interrupts_to_main_thread
from penstock.runtime.letters import LETTER_SCHEMA
from penstock.runtime.options import RunOptions
from penstock.runtime.progress import Progress

if TYPE_CHECKING:
    from penstock.checkpoints.difference import PipelineDiff
    from penstock.runtime import launch as engine_room
    from penstock.runtime.supervisor import Supervisor
else:
    engine_room = Deferred("penstock.runtime.launch")


Wanted = bool | str | Iterable[int]
"""All dead letters, those of a step, or those with these offsets."""

AllowLost = bool | str | Iterable[str]
"""Nothing, everything, or the names of the steps whose state may be lost."""


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
        self._engine: Supervisor | None = None
        self._ended = threading.Event()
        self._error: BaseException | None = None

    def named(self, name: str) -> Query:
        """Fix the name under which checkpoints know the sink, as ``Stream.named`` does for steps."""
        if len(self.roots) > 1:
            raise PlanError(
                "a query of several sinks has no single name",
                step="named",
                value=name,
                hint="name the query of each sink before they are put together",
            )
        return Query(named(self.roots[0], name))

    def start(
        self,
        *,
        checkpoint: Checkpoint | None = None,
        checkpoint_interval: Duration = "1s",
        checkpoint_options: Mapping[str, str | bool] | None = None,
        retain: int = RETAIN,
        takeover: bool = False,
        allow_lost_state: AllowLost = False,
        rebuild: str | Iterable[str] = (),
        memory: str | int | None = None,
        max_drift: Duration | None = "1h",
        restart: Restart | Literal["auto"] | None = "auto",
        dead_letter_limit: Limit | None = None,
        replay_dead_letters: Wanted = False,
        replay_overwrites: bool = False,
        clock: Clock | None = None,
    ) -> Self:
        """Begin to run in the background and return at once.

        ``checkpoint`` is a folder to resume from and to keep checkpoints in, one every
        ``checkpoint_interval``; without it nothing survives the process. The newest ``retain`` are
        kept. A second run on a folder is refused, unless it is to ``takeover``: the first one then
        stops with a ``FencedError``. ``memory`` (``"2GB"``)
        limits the memory that state takes; the rest is moved to scratch files, in the checkpoint's
        folder or the system's temporary one. ``max_drift`` is how far, in event time, a source may
        run ahead of those it is joined or put together with, while these have rows; None: any far.

        ``dead_letter_limit`` stops the query, after a checkpoint, when more rows are refused: a
        number of rows, or a share of the last rows (``"1%"`` of 10,000, ``"1% of 100_000"``);
        without it no number of bad rows stops a query. ``replay_dead_letters`` gives the dead
        letters of the checkpoint again to the steps that refused them: all (True), those of a step
        (its name), or some by their offsets; each at most once, whatever crashes. A table with a key
        that rows are appended to gets a replayed row only if it has none of its key, which may be
        newer, unless ``replay_overwrites``; else it is a dead letter again.

        Of a checkpoint that another version of the pipeline wrote, the steps that are still there
        go on with what they hold. A change that would lose anything is a ``CheckpointError``, unless
        ``allow_lost_state`` is true or names what may be lost; ``diff`` shows it beforehand.
        ``rebuild`` names steps and sinks that are computed afresh first, from all that their sources
        have handed over so far; the tables they are written to are replaced. It is ignored where
        there is no checkpoint yet.

        ``restart`` says how often and how fast to start again, from the newest checkpoint, after a
        failure that may pass (a database that is away, a full disk); any other failure ends the
        query at once. By default a query that keeps checkpoints is restarted without end, backing
        off from 1 s to 1 min, and one that keeps none is not; None: never. With a ``Restart`` but
        without a checkpoint, only a query that fails before its first epoch is started again.
        """
        if self._engine is not None and not self._ended.is_set():
            raise PlanError("the query is running already", step="start", hint="stop() it first")
        interval = duration_ns(checkpoint_interval, step="start", option="checkpoint_interval")
        options = RunOptions(
            checkpoint=checkpoint,
            checkpoint_options=dict(checkpoint_options or {}),
            retain=retain,
            takeover=takeover,
            allow_lost_state=_allowed(allow_lost_state),
            rebuild=frozenset([rebuild] if isinstance(rebuild, str) else rebuild),
            checkpoint_interval_s=interval / 1e9,
            memory_bytes=None
            if memory is None
            else size_bytes(memory, step="start", option="memory"),
            max_drift_ns=None
            if max_drift is None
            else duration_ns(max_drift, step="start", option="max_drift"),
            dead_letter_limit=None
            if dead_letter_limit is None
            else DeadLetterLimit.parse(dead_letter_limit, "start"),
            replay_dead_letters=_letters(replay_dead_letters, kept=checkpoint is not None),
            replay_overwrites=replay_overwrites,
        )
        if restart == "auto":
            restart = Restart() if checkpoint is not None else None
        if restart is not None and not isinstance(restart, Restart):
            raise PlanError(
                f"restart must be a Restart or None, not {restart!r}",
                step="start",
                hint='for example restart=ps.Restart(attempts=5, max_backoff="30s")',
            )
        keep_interrupts_to_main_thread()
        self._error = None
        self._engine = engine_room.supervise(self.roots, options, restart, clock)
        self._ended.clear()
        threading.Thread(target=self._run, name="penstock", daemon=True).start()
        return self

    def diff(
        self, checkpoint: Checkpoint, *, checkpoint_options: Mapping[str, str | bool] | None = None
    ) -> PipelineDiff:
        """Show what this query would make of a checkpoint: kept, moved, new, lost. Changes nothing.

        ``diff(...).lost`` is what a start would be refused for. ``CheckpointError`` if there is no
        checkpoint.
        """
        return engine_room.diff(self.roots, checkpoint, dict(checkpoint_options or {}))

    def _run(self) -> None:
        assert self._engine is not None
        try:
            self._engine.run()
        except BaseException as error:  # noqa: BLE001 - raised again by wait()
            self._error = error
        finally:
            self._ended.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; False if ``timeout`` seconds passed first. Raises what went wrong."""
        if self._engine is None:
            raise PlanError("the query was not started", step="wait", hint="call start() first")
        # Not Thread.join: a Ctrl-C inside it makes Python take the thread for dead (bpo-46726).
        if not self._ended.wait(timeout):
            return False
        if self._error is not None:
            said = str(self._error) or type(self._error).__name__
            cause = "\n".join([said, *getattr(self._error, "__notes__", ())])
            raise QueryFailed(f"the query failed: {cause}", line="") from self._error
        return True

    def join(self) -> None:
        """Wait for the end, however it comes; ``wait`` then tells what went wrong."""
        if self._engine is not None:
            self._ended.wait()

    def request_stop(self) -> None:
        """Ask the query to end, and return at once."""
        if self._engine is not None:
            self._engine.stop()

    def stop(self) -> None:
        """Finish the epoch, make a last checkpoint and end. Returns when it has ended.

        Called by a sink's own callback it returns at once, since the end waits for the callback.
        """
        self.request_stop()
        if self._engine is not None and not self._engine.owns(threading.current_thread()):
            self.wait()

    def drain(self, timeout: float | None = None) -> bool:
        """Process what the sources have now, as if they ended there, and end.

        Windows close and everything held back leaves. ``stop`` leaves windows open, to go on from the
        checkpoint; after ``drain`` rows of a closed window would be late. Returns what ``wait`` does.
        """
        if self._engine is not None:
            self._engine.drain()
        return self.wait(timeout)

    def __repr__(self) -> str:
        sinks = ", ".join(root.spec.name for root in self.roots)
        ended = "failed" if self._error is not None else "ended"
        running = ended if self._ended.is_set() else "running"
        return f"<Query {running if self._engine is not None else 'not started'}: {sinks}>"

    def explain(self) -> str:
        """Return the plan as text, with what is proven of each step and what its state costs."""
        return explain(*self.roots)

    def dead_letters(self) -> pl.DataFrame:
        """Return the latest dead letters of the run (up to 1,000), oldest first.

        With a checkpoint all of them are kept, in the topic ``dead-letters`` inside its folder.
        """
        if self._engine is None:
            return pl.DataFrame(schema=LETTER_SCHEMA)
        return self._engine.dead_letters.recent()

    def progress(self) -> Progress:
        """Return a frozen snapshot of rows, rates, watermarks and state; ``print`` shows a table."""
        if self._engine is None:
            raise PlanError("the query was not started", step="progress", hint="call start() first")
        return self._engine.progress()


def _letters(given: Wanted, *, kept: bool) -> bool | str | list[int]:
    if given is not False and not kept:
        raise PlanError(
            "dead letters are replayed from a checkpoint, and none is given",
            step="start",
            hint='add checkpoint="folder", the one of the run that refused them',
        )
    return given if isinstance(given, (bool, str)) else list(given)


def _allowed(given: AllowLost) -> bool | frozenset[str]:
    if isinstance(given, bool):
        return given
    return frozenset([given] if isinstance(given, str) else given)


class StartOptions(TypedDict, total=False):
    """The options of ``Query.start``, which says what each means."""

    checkpoint: Checkpoint | None
    checkpoint_interval: Duration
    checkpoint_options: Mapping[str, str | bool] | None
    retain: int
    takeover: bool
    allow_lost_state: AllowLost
    rebuild: str | Iterable[str]
    memory: str | int | None
    max_drift: Duration | None
    restart: Restart | Literal["auto"] | None
    dead_letter_limit: Limit | None
    replay_dead_letters: Wanted
    replay_overwrites: bool
    clock: Clock | None


def start(
    *queries: Query,
    **options: Unpack[StartOptions],
) -> Query:
    """Begin to run queries together, their common steps once; return the handle of them all.

    The options are those of ``Query.start``.

    >>> import penstock as ps, polars as pl
    >>> seen, rows = [], ps.scan_batches([pl.DataFrame({"a": [1, 2]})])
    >>> big, small = rows.filter(pl.col("a") > 1), rows.filter(pl.col("a") < 2)
    >>> ps.start(*(s.sink_callback(seen.append) for s in (big, small))).wait()
    True
    >>> sum(frame.height for frame in seen)
    2
    """
    for query in queries:
        if not isinstance(query, Query):
            raise PlanError(
                f"a {type(query).__name__} is not a query",
                step="run",
                hint="give a stream a sink first: stream.sink_console(), .sink_sqlite(...) ...",
            )
    together = Query(*(root for query in queries for root in query.roots))
    return together.start(**options)


def run(
    *queries: Query,
    **options: Unpack[StartOptions],
) -> Query:
    """Run queries together, their common steps once, until they end or Ctrl-C.

    The options are those of ``Query.start``. Ctrl-C finishes the epoch and makes a checkpoint.
    Returns the ended query, for ``progress()``.
    """
    together = start(*queries, **options)
    try:
        while not together.wait(0.2):
            pass
    except KeyboardInterrupt:
        together.stop()
    return together
