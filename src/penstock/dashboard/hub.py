"""The runs of a process, and their newest snapshot, made only when somebody asks for it."""

from __future__ import annotations

import threading
import time

import msgspec

from penstock.dashboard.contract import Watched
from penstock.dashboard.rates import Meter
from penstock.dashboard.views import Health, Snapshot
from penstock.version import version

_GONE = ("failed",)
_OVER = ("finished", "stopped", "failed")
_NOT_YET = ("created", "rebuilding", "restarting")


class Hub:
    """Knows the runs by name; any thread may ask. A snapshot is shared by all who ask at once."""

    def __init__(self, process: str, interval_s: float) -> None:
        self.interval_s = interval_s
        self._process = process
        self._runs: dict[str, tuple[Watched, Meter]] = {}
        self._lock = threading.Lock()
        self._made = float("-inf")
        self._snapshot = Snapshot(at=0.0, process=process, version=version(), runs=[])
        self._encoded = b""

    def add(self, run: Watched, name: str) -> str:
        """Show a run from now on, in the place of one of the same name that has ended."""
        run.watch.attend()
        with self._lock:
            unique, number = name, 2
            while unique in self._runs and not self._is_over(unique):
                unique, number = f"{name}-{number}", number + 1
            self._runs[unique] = (run, Meter())
            self._made = float("-inf")
        return unique

    def _is_over(self, name: str) -> bool:
        run, _ = self._runs[name]
        return run.progress().state in _OVER

    def run(self, name: str) -> Watched | None:
        """Return a run by its name."""
        found = self._runs.get(name)
        return None if found is None else found[0]

    def runs(self) -> dict[str, Watched]:
        """Return all runs."""
        return {name: run for name, (run, _) in list(self._runs.items())}

    def snapshot(self) -> Snapshot:
        """Return the snapshot of this moment."""
        self._refresh()
        return self._snapshot

    def encoded(self) -> bytes:
        """Return it as JSON."""
        self._refresh()
        return self._encoded

    def _refresh(self) -> None:
        with self._lock:
            now = time.monotonic()
            if now - self._made < self.interval_s / 2:
                return
            views = []
            for name, (run, meter) in self._runs.items():
                run.watch.look()
                views.append(meter.view(name, run.progress()))
            self._snapshot = Snapshot(
                at=time.time(), process=self._process, version=version(), runs=views
            )
            self._encoded = msgspec.json.encode(self._snapshot)
            self._made = now

    def health(self) -> Health:
        """Return whether every run is well."""
        states = {name: run.progress().state for name, run in self.runs().items()}
        if any(state in _GONE for state in states.values()):
            return Health("failed", states)
        starting = not states or any(state in _NOT_YET for state in states.values())
        return Health("starting" if starting else "ok", states)
