"""A lane: one pipeline under load, killed and started again until there were enough kills."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

from tests.chaos.child import RUNNING, Task, main
from tests.chaos.counting import CHECKS, Missed
from tests.chaos.load import LogWriter, TopicWriter, Writer, write_dimensions
from tests.chaos.points import Point, draw

_START_UP = 1.2
"""A kill during start-up comes within so many times as long as a start-up has taken lately."""
_WORK_S, _LONGEST_S = 0.25, 3.0
"""A kill at work comes so long after the pipeline runs, on average and at most."""
_POINT_S = 0.5
"""A point that was not reached by then is left: the process is killed from outside."""
_END_LIMIT_S = 300.0
"""Time for what is left to be processed when there were enough kills."""

FAST, SLOW = 4000, 1200
"""Rows a second; the slow one where the state keeps all rows."""


class UnexpectedEndError(Exception):
    """A process ended by itself, or never."""


def fork_server() -> ForkServerContext:
    """Return the context whose processes begin with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.chaos.child"])
    return context


class Budget:
    """How many kills are still to be made, by all lanes together."""

    def __init__(self, kills: int) -> None:
        self._left = kills
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one; False if none is left."""
        with self._lock:
            self._left -= 1
            return self._left >= 0

    def give_back(self) -> None:
        """It was not a kill after all."""
        with self._lock:
            self._left += 1

    def cancel(self) -> None:
        """Let every lane end."""
        with self._lock:
            self._left = -(1 << 30)


def _signal(process: ForkServerProcess, number: int) -> None:
    assert process.pid is not None
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)


def _was_killed(process: ForkServerProcess) -> bool:
    """Tell whether a process that ended was killed; of itself it ends with 0 or 1.

    255 is what ``multiprocessing`` says when its fork server had no status to hand on, as of a
    process that was killed while it came up.
    """
    return process.exitcode in (-signal.SIGKILL, 255)


def _ask_to_stop(pipe: Connection) -> None:
    with suppress(OSError):  # it has ended meanwhile
        pipe.send("stop")


@dataclass
class Lane:
    """One pipeline, its folder, its load and what was done to it."""

    name: str
    folder: Path
    conninfo: str
    rng: random.Random
    context: ForkServerContext
    kills: Counter[str] = field(default_factory=Counter)
    missed: list[Missed] = field(default_factory=list)
    written: int = 0
    fenced: int = 0
    _starting_s: float = 0.3

    def run(self, budget: Budget) -> None:
        """Kill until the budget is spent, then run to the end and count."""
        writer = self._writer()
        writer.start()
        try:
            while budget.take():
                if not self._kill_once():
                    budget.give_back()
        finally:
            writer.finish()
        self.written = writer.written
        self._finish()
        self.missed = CHECKS[self.name](self.folder, self.conninfo, self.written)

    def _writer(self) -> Writer:
        self.folder.mkdir(parents=True)
        seed = f"{self.rng.random()}"
        if self.name in ("windows", "running"):
            return TopicWriter(self.folder / "in", seed, FAST)
        if self.name == "joined":
            write_dimensions(self.folder / "cities")
        rows = SLOW if self.name == "joined" else FAST
        return LogWriter(self.folder / "in.ndjson", seed, rows)

    def _kill_once(self) -> bool:
        """Start a process and see to it that it is killed; False if it was not there to be."""
        kind = self.rng.choices(("start-up", "work", "point", "asleep"), (22, 22, 46, 10))[0]
        if kind == "asleep":
            return self._overtake_once()
        with_files = self.name in ("log", "running")
        point = draw(self.rng, files_and_topics=with_files) if kind == "point" else None
        process, pipe = self._start(Task(self.name, self.folder, self.conninfo, point))
        with pipe:
            how = self._end(kind, process, pipe, point)
        if process.exitcode == 0 and point is not None and point.at_the_end:
            return False
        if not _was_killed(process):
            raise UnexpectedEndError(f"{self.name}: {self._why(process)}")
        self._note(process, how, point)
        return True

    def _overtake_once(self) -> bool:
        """Stop a process in its work, let another take over, and wake it up again.

        From then on the first may write nothing more. It ends by itself when it notices, or is
        killed; the other is killed.
        """
        first, first_pipe = self._start(Task(self.name, self.folder, self.conninfo))
        self._await_running(first_pipe)
        first.join(self._work_s())
        _signal(first, signal.SIGSTOP)
        task = Task(self.name, self.folder, self.conninfo, takeover=True)
        second, second_pipe = self._start(task)
        second.join(self.rng.uniform(0, _START_UP * self._starting_s))  # it may wait for a lock
        _signal(first, signal.SIGCONT)
        self._await_running(second_pipe)
        with first_pipe, second_pipe:
            for process in self.rng.sample([first, second], 2):
                process.join(self._work_s())
                _signal(process, signal.SIGKILL)
                process.join(_END_LIMIT_S)
        if not (_was_killed(first) or first.exitcode == 1) or not _was_killed(second):
            raise UnexpectedEndError(f"{self.name}: {self._why(second)}")
        if first.exitcode == 1:
            if "FencedError" not in (self.folder / "failed.txt").read_text():
                raise UnexpectedEndError(f"{self.name}: {self._why(first)}")
            (self.folder / "failed.txt").unlink()
            self.fenced += 1
        self._note(second, "taken over", None)
        return True

    def _note(self, process: ForkServerProcess, how: str, point: Point | None) -> None:
        self.kills[how] += 1
        with (self.folder / "kills.log").open("a") as log:
            log.write(f"{time.time():.3f} {process.pid} {how} {point or ''}\n")
        process.close()

    def _end(
        self, kind: str, process: ForkServerProcess, pipe: Connection, point: Point | None
    ) -> str:
        """Wait for the instant, kill, and say in which way the process ended."""
        if kind == "start-up":
            process.join(self.rng.uniform(0, _START_UP * self._starting_s))
        else:
            self._await_running(pipe)
            if point is not None and point.at_the_end:
                process.join(self._work_s())
                _ask_to_stop(pipe)
            process.join(_POINT_S if point else self._work_s())
        if process.exitcode is None:
            _signal(process, signal.SIGKILL)
            kind = "point not reached" if point else kind
        process.join(_END_LIMIT_S)
        return kind

    def _work_s(self) -> float:
        return min(self.rng.expovariate(1 / _WORK_S), _LONGEST_S)

    def _await_running(self, pipe: Connection) -> None:
        """Wait until the pipeline runs, or its process has ended."""
        began = time.monotonic()
        with suppress(EOFError, ConnectionResetError):
            if pipe.poll(_END_LIMIT_S) and pipe.recv() == RUNNING:
                self._starting_s += 0.2 * (time.monotonic() - began - self._starting_s)

    def _finish(self) -> None:
        """Let what is left be processed, in one run that is not killed."""
        process, pipe = self._start(
            Task(self.name, self.folder, self.conninfo, to_the_end=True),
        )
        with pipe:
            process.join(_END_LIMIT_S)
        if process.exitcode != 0:
            process.kill()
            raise UnexpectedEndError(f"{self.name}, at the end: {self._why(process)}")

    def _start(self, task: Task) -> tuple[ForkServerProcess, Connection]:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=main, args=(task, theirs), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def _why(self, process: ForkServerProcess) -> str:
        failed, log = self.folder / "failed.txt", self.folder / "child.log"
        said = failed if failed.exists() else log
        text = said.read_text()[-6000:] if said.exists() else ""
        return f"process {process.pid} ended with {process.exitcode}\n{text}"
