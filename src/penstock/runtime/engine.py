"""The engine: the loop that moves a graph in epochs, and its checkpoints."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import polars as pl

from penstock.connectors.contract import Position, SourceSpec
from penstock.instants import NS_PER_SECOND
from penstock.lowering.graph import Graph
from penstock.runtime.alignment import Alignment, Held
from penstock.runtime.checkpointer import Checkpointer
from penstock.runtime.clock import Clock, SystemClock
from penstock.runtime.dead_letter_limit import LimitWatch
from penstock.runtime.dead_letters import WARN_AT_ROWS, DeadLetters
from penstock.runtime.executor import EpochOutput, Executor, Fed, Injected
from penstock.runtime.feeds import Feed
from penstock.runtime.measuring import progress_of, step_progress
from penstock.runtime.options import RunOptions
from penstock.runtime.outlets import Outlet, refused_by
from penstock.runtime.overwriting import NoOverwriting
from penstock.runtime.progress import Progress, StepProgress
from penstock.runtime.rates import RecentRate
from penstock.runtime.rebuilding import RebuildPlan, Rebuilt, Replay
from penstock.runtime.replaying import Replayer, letters_named
from penstock.runtime.switching import quick_switching
from penstock.runtime.upkeep import Upkeep
from penstock.state.contract import Part
from penstock.state.memory import MemoryBudget

_BETWEEN_TIMERS_S = 0.01
"""The least time from an epoch to one that only timers ask for: each row may have one of its own."""


class Engine:
    """Runs a graph on one thread; ``stop`` and ``progress`` may be called from others."""

    def __init__(
        self,
        graph: Graph,
        options: RunOptions,
        clock: Clock | None = None,
        budget: MemoryBudget | None = None,
        afresh: Callable[[], Graph] | None = None,
    ) -> None:
        self.graph = graph
        self.options = options
        self.executor = Executor(graph)
        self.epoch = 0
        self.state = "created"
        self.dead_letters = DeadLetters()
        self._clock = clock or SystemClock()
        self._budget = budget
        self._afresh = afresh
        self._wake = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._draining = threading.Event()
        self._feeds: dict[int, Feed] = {}
        self._outlets: dict[int, Outlet] = {}
        self._positions: dict[int, Position] = {}
        self._alignment = Alignment(graph, None, 0)
        self._held = Held()
        self._rows: dict[int, int] = {}
        self._checkpointer: Checkpointer | None = None
        self._checkpoint_due = 0.0
        self._upkeep = Upkeep(self._clock)
        self._epoch_at = -1.0
        self._replayed = False
        self._started_at = 0.0
        self._rate = RecentRate(0.0)
        self._limit = LimitWatch(options.dead_letter_limit)
        self._replayer: Replayer | None = None
        self.replay_noted = False
        """Whether it is noted beside the checkpoint what is to be replayed."""

    def run(self) -> None:
        """Run until every source has ended or ``stop`` was called."""
        self._started_at = self._clock.elapsed()
        self._rate = RecentRate(self._started_at)
        self._thread = threading.current_thread()
        try:
            with quick_switching(), contextlib.ExitStack() as closing:
                self._open(closing)
                self.state = "running"
                self._loop()
                self._finish()
            self.state = "finished" if self._ended() else "stopped"
        except BaseException:
            self.state = "failed"
            raise

    @property
    def untouched(self) -> bool:
        """Whether nothing was handed on yet, so that a new start without a checkpoint is right."""
        return self.epoch == 0 and all(
            f.spec.replayable or not f.started for f in self._feeds.values()
        )

    @property
    def rebuilt(self) -> bool:
        """Whether what was to be rebuilt is in a checkpoint."""
        return self._checkpointer is not None and self._checkpointer.rebuilt

    @property
    def token(self) -> int | None:
        """The token under which this run keeps checkpoints; None if it has none (yet)."""
        return (self._checkpointer.store.token or None) if self._checkpointer else None

    def opened_sources(self) -> list[SourceSpec]:
        """Return the sources that this run has opened."""
        return [feed.spec for feed in self._feeds.values()]

    def owns(self, thread: threading.Thread) -> bool:
        """Tell whether the end of the run waits for this thread."""
        return thread is self._thread or any(o.owns(thread) for o in self._outlets.values())

    def stop(self) -> None:
        """Finish the epoch, make a checkpoint and end the run."""
        self._stop.set()
        with self._wake:
            self._wake.notify()

    def drain(self) -> None:
        """Let every source end after what it has now, so that everything is closed, and the run ends."""
        self._draining.set()
        with self._wake:
            self._wake.notify()

    def _open(self, closing: contextlib.ExitStack) -> None:
        """Open everything; what was opened is closed in the opposite order, whatever happens."""
        if self._budget is not None:
            closing.callback(self._budget.close)
        if self.options.checkpoint is not None:
            keeper = Checkpointer(self.options, self.graph, self._wake, self._acknowledge)
            self._checkpointer = keeper
            closing.callback(keeper.close)
            closing.callback(self.dead_letters.close)
            keeper.open(self.dead_letters, self._clock.now())
        for vertex in self.graph.sources:
            assert vertex.source is not None
            feed = Feed(
                vertex.source,
                wake=self._wake,
                limit_rows=self.options.max_epoch_rows,
                epoch_rows=vertex.epoch_rows,
            )
            closing.callback(feed.stop)
            self._feeds[vertex.number] = feed
        for vertex in self.graph.sinks:
            assert vertex.sink is not None
            outlet = Outlet(vertex.sink, self._wake)
            closing.callback(outlet.close)
            self._outlets[vertex.number] = outlet
            identity = self._checkpointer.identity(vertex.name) if self._checkpointer else None
            outlet.begin(identity, vertex.schema)
        if self._checkpointer is not None:
            self._positions = self._checkpointer.resume(self._outlets, self._replay)
            self._rows = self._checkpointer.rows
            self.epoch = self._checkpointer.epoch or 0
            closing.callback(self._checkpointer.join)  # before the sinks it writes to are closed
            storage, replayed = self._checkpointer.store.storage, self._checkpointer.replayed
            self._replayer = Replayer(self.graph, storage, replayed)
            self._replayer.request(self.options.replay_dead_letters)
            self.replay_noted = True
        self._alignment = Alignment(self.graph, self.options.max_drift_ns, self._clock.now())
        for number, feed in self._feeds.items():
            feed.start(self._positions.get(number))

    def _replay(
        self,
        plan: RebuildPlan,
        positions: Mapping[int, Position],
        rows: Mapping[int, int],
        watermarks: Mapping[int, Mapping[str, list[Part]]],
    ) -> Rebuilt | None:
        """Compute views from the history of their sources, in a graph of their own."""
        assert self._afresh is not None
        self.state = "rebuilding"
        graph = self._afresh()
        for vertex, known in zip(graph.vertices, self.graph.vertices, strict=True):
            vertex.partition_base = known.partition_base
        replay = Replay(graph, plan, self._clock.now())
        limit = self.options.max_epoch_rows
        if not replay.run(self._feeds, positions, rows, limit, self._stop.is_set):
            return None
        return replay.finish(watermarks)

    def _loop(self) -> None:
        self._checkpoint_due = self._clock.elapsed() + self.options.checkpoint_interval_s
        if self.executor.wants_step():
            self._epoch([])
        self._replay_letters()
        while not self._stop.is_set():
            ready = self._wait()
            if self._stop.is_set():
                break
            if self._look_for_replays():
                self._replay_letters()
            ended = self._ended()
            self._epoch(ready)
            if self._limit.exceeded:
                return
            self._upkeep.tidy(self._outlets.values(), self.epoch)
            self._note_refused()
            if self._checkpoint_wanted():
                self._checkpoint()
            if ended:
                return

    def _checkpoint_wanted(self) -> bool:
        """One is made when it is time and none is being made; at once if too much output waits."""
        keeper = self._checkpointer
        if keeper is None:
            return False
        due = self._clock.elapsed() >= self._checkpoint_due
        return keeper.full or (due and not keeper.busy)

    def _ended(self) -> bool:
        return all(feed.ended for feed in self._feeds.values())

    def _wait(self) -> list[int]:
        """Wait for rows, an end, or a time somebody asked for; return the feeds that are ready."""
        with self._wake:
            while not self._stop.is_set():
                self._check()
                ready = self._ready()
                if ready or self._ended():
                    return ready
                self._upkeep.tidy(self._outlets.values(), self.epoch)
                timeout = self._timeout()
                if timeout <= 0 or self._look_for_replays():
                    return []
                self._wake.wait(min(timeout, self._upkeep.untidy_s()))
        return []

    def _check(self) -> None:
        for feed in self._feeds.values():
            if self._draining.is_set():
                feed.drain()
            if feed.error is not None:
                raise feed.error
        for outlet in self._outlets.values():
            outlet.check()
        keeper = self._checkpointer
        if keeper is not None:
            keeper.check()
            self._upkeep.watch(keeper)

    def _ready(self) -> list[int]:
        """Return the sources to take from: none that is far ahead of those it is read with.

        Bounded ones with fixed epochs go in step.
        """
        self._held = self._alignment.held(self._feeds, self._clock.now())
        held = self._held.numbers
        ready = [n for n, feed in self._feeds.items() if feed.ready and n not in held]
        in_step = [f for f in self._feeds.values() if f.fixed and f.spec.bounded and not f.ended]
        if in_step and not all(feed.ready for feed in in_step):
            return [number for number in ready if self._feeds[number] not in in_step]
        return ready

    def _timeout(self) -> float:
        """Seconds until an operator or a checkpoint wants its turn; an hour if nothing does."""
        now, timer = self._clock.now(), self.executor.deadline()
        waits = [3600.0]
        if self._held.until is not None:
            waits.append((self._held.until - now) / NS_PER_SECOND)
        if timer is not None:
            rest = self._epoch_at + _BETWEEN_TIMERS_S - self._clock.elapsed()
            waits.append(max((timer - now) / NS_PER_SECOND, rest))
        keeper = self._checkpointer
        if keeper is not None and keeper.captured != self.epoch and not keeper.busy:
            waits.append(self._checkpoint_due - self._clock.elapsed())
        return min(waits)

    def _replay_letters(self) -> None:
        """Give the dead letters that are wanted to the steps that refused them."""
        if self._replayer is None or self._checkpointer is None:
            return
        self._replayer.forget(self._checkpointer.replay_kept)
        over = [v.number for v in self.graph.sources if v.name in self._checkpointer.ended_before]
        guard = NoOverwriting(self.executor, self._outlets, self._checkpointer, self.options)
        for batch in self._replayer.batches():
            if self._stop.is_set():
                break
            output = self._run_epoch(batch.fed, batch.injected, over)
            guard.sift(output, self._clock.now())
            output.dead = letters_named(output.dead, batch)
            self._deliver(output)
            self._replayer.done(batch)
            self._replayed = True

    def _look_for_replays(self) -> bool:
        """Look whether somebody has asked for a replay."""
        return self._replayer is not None and self._replayer.asked(self._clock.elapsed())

    def _epoch(self, ready: Sequence[int]) -> None:
        fed = {}
        for number in ready:
            taken = self._feeds[number].take(self.options.max_epoch_rows)
            if taken is not None:
                fed[number] = taken
                self._positions[number] = taken.position
                self._rows[number] = self._rows.get(number, 0) + taken.rows
        output = self._run_epoch(fed, {})
        self._limit.note(sum(taken.rows for taken in fed.values()), output.dead)
        self._deliver(output)

    def _run_epoch(
        self,
        fed: Mapping[int, Fed],
        injected: Mapping[int, Injected],
        over: Collection[int] = (),
    ) -> EpochOutput:
        """Run an epoch; the sources ``over`` had ended before this run began."""
        held = self._held.numbers
        sources = {n: feed.state(held=n in held) for n, feed in self._feeds.items()}
        for number in over:
            sources[number].ended = True
        self.epoch += 1
        output = self.executor.run(self.epoch, fed, sources, self._clock.now(), injected)
        self._epoch_at = self._clock.elapsed()
        self._rate.note(self._epoch_at, self.executor.rows_in)
        return output

    def _deliver(self, output: EpochOutput) -> None:
        self.dead_letters.add(output.dead)
        if output.dead:
            self.dead_letters.warn_of(self._steps(), at_least=WARN_AT_ROWS)
        for number, frame in output.sinks.items():
            outlet = self._outlets[number]
            if self._checkpointer is None or outlet.spec.immediate:
                outlet.apply(self.epoch, [frame])
            else:
                self._checkpointer.stage(number, frame)

    def _note_refused(self) -> None:
        """Count what sinks have refused; with a checkpoint it is kept there by now."""
        for number, frame in self._refused_by_sinks():
            self.executor.stats[number].dead += frame.filter(pl.col("weight") > 0).height
            self.dead_letters.note([frame])
            self._limit.note(0, [frame])

    def _refused_by_sinks(self) -> Iterator[tuple[int, pl.DataFrame]]:
        if self._checkpointer is None:
            yield from refused_by(self._outlets, self.graph, self._clock.now())
            return
        while self._checkpointer.refused:
            yield self._checkpointer.refused.popleft()

    def _checkpoint(self) -> None:
        """Begin a checkpoint of this instant."""
        assert self._checkpointer is not None
        ended = [self.graph.vertices[n].name for n, feed in self._feeds.items() if feed.ended]
        self._checkpointer.ended = ended
        self._checkpointer.begin(self.epoch, self._positions, self._rows, self._clock.now())
        self._checkpoint_due = self._clock.elapsed() + self.options.checkpoint_interval_s

    def _acknowledge(self, positions: Mapping[int, Position]) -> None:
        """Let the sources forget what a checkpoint covers."""
        for number, position in positions.items():
            self._feeds[number].acknowledge(position)

    def _finish(self) -> None:
        keeper = self._checkpointer
        if keeper is not None:
            if keeper.captured != self.epoch:
                self._checkpoint()
            keeper.settle()
            if self._replayer is not None:
                self._replayer.forget(keeper.replay_kept)
        for outlet in self._outlets.values():
            outlet.flush()
        self._note_refused()
        if not self._replayed:  # what was refused before may well be refused again
            self.dead_letters.warn_of(self._steps(), at_least=1)
        if self._limit.exceeded:
            raise self._limit.error(kept=self._checkpointer is not None)

    def progress(self) -> Progress:
        """Return a snapshot; safe from any thread."""
        now = self._clock.elapsed()
        seconds = now - self._started_at if self._started_at else 0.0
        steps = self._steps()
        rows_in = sum(s.rows_out for s in steps if s.kind == "source")
        recent = self._rate.per_second(now, rows_in) if seconds > 0 else 0.0
        made = self._checkpointer.epoch if self._checkpointer else None
        return progress_of(steps, self.state, self.epoch, seconds, recent, made)

    def _steps(self) -> tuple[StepProgress, ...]:
        now = self._clock.now()
        return tuple(
            step_progress(self.executor, vertex, self._feeds.get(vertex.number), now)
            for vertex in self.graph.vertices
        )
