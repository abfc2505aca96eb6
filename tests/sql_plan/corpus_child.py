"""A process that runs the statements of a case in a durable session until it is killed."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import penstock as ps
from penstock.errors import PlanError
from penstock.sql_session.log import SessionLog

PROGRESS = "progress"
"""The file that says how many of the statements had been written down when the process died."""


class Death:
    """Kills this process at one of its commits, before or after it is on disk."""

    def __init__(self, folder: Path, at: int, *, after: bool) -> None:
        self._progress = folder / PROGRESS
        self._at, self._after = at, after
        self._commits = 0
        self.statement = 0
        self.done = 0

    def commit(self, log: SessionLog, *args: Any, **named: Any) -> None:
        """Stand in for ``SessionLog.commit``; that of a session being opened is not counted."""
        if "token" in (named.get("notes") or {}):
            _COMMIT(log, *args, **named)
            return
        self._commits += 1
        dying = self._commits == self._at
        if dying and not self._after:
            self.die()
        _COMMIT(log, *args, **named)
        if threading.current_thread() is threading.main_thread():  # not a source's epoch
            self.done = self.statement + 1
        if dying:
            self.die()

    def die(self) -> None:
        """Note what is done, and be killed."""
        self._progress.write_text(str(self.done))
        os.kill(os.getpid(), signal.SIGKILL)


_COMMIT = SessionLog.commit


def main(folder: Path, texts: list[str], at: int, after: bool) -> None:
    """Run statements until the commit number ``at``, at the latest until all are done."""
    death = Death(folder, at, after=after)
    SessionLog.commit = lambda log, *args, **named: death.commit(log, *args, **named)  # type: ignore[method-assign]
    session = ps.Session(folder / "session")
    for death.statement, text in enumerate(texts):
        try:
            session.sql(text)
        except PlanError:
            continue
        session.wait()
    death.done = len(texts)
    death.die()
