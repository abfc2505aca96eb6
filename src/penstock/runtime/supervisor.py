"""The supervisor: starts a run again after a failure that may pass.

    launch -> engine.run() -> ended
                   | failed
                   v
       may it pass, and can a restart be right?  -- no --> the failure is raised
                   | yes
       wait (longer each time; stop() ends it) -> launch afresh, from the newest checkpoint

``launch`` is given the token of the run that failed, so that a restart does not push aside another
run that has taken over meanwhile. An engine is used once. What outlives it is here: how many
restarts there were, the last failure, and what was asked meanwhile (``stop``, ``drain``).
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable

from penstock.connectors.contract import opens_once
from penstock.failures import may_pass
from penstock.hiding import hidden
from penstock.restarts import Restart
from penstock.runtime.clock import Clock, SystemClock
from penstock.runtime.dead_letters import DeadLetters
from penstock.runtime.engine import Engine
from penstock.runtime.progress import Progress
from penstock.runtime.watching import Watch

_log = logging.getLogger("penstock")


class Supervisor:
    """Runs engines, one after another, on one thread; the rest may be called from others."""

    def __init__(
        self,
        launch: Callable[[int | None], Engine],
        restart: Restart | None,
        clock: Clock | None = None,
    ) -> None:
        self._launch = launch
        self._policy = restart
        self._clock = clock or SystemClock()
        self.watch = Watch()
        self._engine = launch(None)
        self._engine.watch = self.watch
        self._state: str | None = None
        self._restarts = 0
        self._in_a_row = 0
        self._error: str | None = None
        self._token: int | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._draining = False
        self._paused = False

    def run(self) -> None:
        """Run until the query ends, or fails in a way that a restart cannot mend."""
        while True:
            began = self._clock.elapsed()
            try:
                self._engine.run()
            except Exception as error:
                self._error = _said(error)
                if self._clock.elapsed() - began >= self._reset_after_s:
                    self._in_a_row = 0
                if not self._may_restart(error):
                    raise
                if not self._wait(error):
                    return
                self._relaunch()
            else:
                return

    @property
    def _reset_after_s(self) -> float:
        return 0.0 if self._policy is None else self._policy.reset_after_s

    def _may_restart(self, error: Exception) -> bool:
        """Decide, and say in a note on the error why a failure that may pass is final."""
        if self._stopping.is_set() or self._policy is None or not may_pass(error):
            return False
        why_not = self._why_not(self._policy)
        if why_not is not None:
            error.add_note(f"not restarted: {why_not}")
        return why_not is None

    def _why_not(self, policy: Restart) -> str | None:
        if policy.attempts is not None and self._in_a_row >= policy.attempts:
            return f"it was restarted {self._in_a_row} times already"
        for spec in self._engine.opened_sources():
            if opens_once(spec):
                return f"source {spec.name} is an iterator, which can be read only once"
        if self._engine.options.checkpoint is None and not self._engine.untouched:
            return "without a checkpoint, what was written would be written twice"
        return None

    def _wait(self, error: Exception) -> bool:
        """Wait for the next attempt; False if the query was stopped meanwhile."""
        assert self._policy is not None
        self._in_a_row += 1
        seconds = self._policy.jittered_s(self._in_a_row)
        _log.warning("the query failed and is started again in %.1f s: %s", seconds, _said(error))
        self._state = "restarting"
        if self._stopping.wait(seconds):
            self._state = "stopped"
            return False
        return True

    def _relaunch(self) -> None:
        self._token = self._engine.token or self._token
        engine = self._launch(self._token)
        self.watch.restarted()
        engine.watch = self.watch
        with self._lock:
            self._engine = engine
            self._restarts += 1
            if self._paused:
                engine.pause()
            if self._stopping.is_set():
                engine.stop()
            if self._draining:
                engine.drain()
        self._state = None

    @property
    def dead_letters(self) -> DeadLetters:
        """The dead letters since the last start."""
        return self._engine.dead_letters

    def owns(self, thread: threading.Thread) -> bool:
        """Tell whether the end of the run waits for this thread."""
        return self._engine.owns(thread)

    def stop(self) -> None:
        """End the run in good order, or the wait for the next one at once."""
        with self._lock:
            self._stopping.set()
            self._engine.stop()

    def drain(self) -> None:
        """Let every source end after what it has now; a run that is to be restarted does so then."""
        with self._lock:
            self._draining, self._paused = True, False
            self._engine.drain()

    def pause(self) -> None:
        """Take no rows until ``resume``, across restarts."""
        with self._lock:
            self._paused = True
            self._engine.pause()

    def resume(self) -> None:
        """Go on after ``pause``."""
        with self._lock:
            self._paused = False
            self._engine.resume()

    def progress(self) -> Progress:
        """Return a snapshot of the engine that runs, with what happened before it."""
        found = self._engine.progress()
        return dataclasses.replace(
            found,
            state=self._state or found.state,
            restarts=self._restarts,
            last_error=self._error,
        )


def _said(error: BaseException) -> str:
    return hidden(str(error)) or type(error).__name__
