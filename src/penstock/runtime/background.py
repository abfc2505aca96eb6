"""One job at a time on a thread of its own; what it raises is raised again where one looks."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """Runs jobs one after another; ``wake`` is notified at the end of each."""

    def __init__(self, name: str, wake: threading.Condition) -> None:
        self._name = name
        self._wake = wake
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether a job is running."""
        return self._busy

    def start(self, job: Callable[[], None]) -> None:
        """Start a job, when the one before has ended."""
        self.wait()
        thread = threading.Thread(target=self._run, args=(job,), name=self._name, daemon=True)
        self._thread, self._busy = thread, True
        thread.start()

    def wait(self) -> None:
        """Wait for the end of the job; raise what went wrong."""
        self.join()
        self.check()

    def join(self) -> None:
        """Wait for the end of the job, however it comes."""
        if self._thread is not None:
            self._thread.join()

    def check(self) -> None:
        """Raise what a job raised; no other is started after it."""
        if self._error is not None:
            raise self._error

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - carried to the thread that looks
            self._error = error
        finally:
            self._busy = False
            with self._wake:
                self._wake.notify_all()
