"""Running the demo: start both queries, show them until it is time to end, then say what came out."""

from __future__ import annotations

import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

import penstock as ps
from penstock.cli.demo.figures import Figures, Pulse, PulseMeter
from penstock.cli.demo.traffic import SPEED, TrafficWriter
from penstock.cli.demo.view import Lines, Screen
from penstock.cli.demo.web_traffic import Results, analyse, collect, store
from penstock.errors import ConfigError

_REFRESH_S = 0.1
_TRY = "SELECT page, requests, errors FROM top_pages ORDER BY requests DESC"
_CARRY_EVERY = "100ms"
"""The collector's checkpoint interval: rows reach the topic this soon, exactly once."""


@dataclass(frozen=True)
class Summary:
    """What a run of the demo came to."""

    pulse: Pulse
    figures: Figures
    results: Results

    def lines(self) -> list[str]:
        """Return it as text."""
        pulse, figures, results = self.pulse, self.figures, self.results
        return [
            "",
            f"{pulse.rows:,} requests in {pulse.seconds:.1f} s, "
            f"{pulse.rows / max(pulse.seconds, 1e-3):,.0f} per second",
            f"{figures.windows_closed:,} minutes and {figures.sessions_closed:,} sessions closed, "
            f"{figures.alerts_raised:,} alerts, {figures.totals.get('visitors', 0):,} visitors",
            f"{pulse.dead_letters:,} dead letters, {pulse.late:,} late rows",
            "",
            f"SQLite   {results.database}",
            f"Parquet  {results.parquet}/**/*.parquet",
            f'try      sqlite3 {results.database} "{_TRY}"',
        ]


def run_demo(
    console: Console,
    *,
    log: Path | None,
    seconds: float | None,
    folder: Path | None,
    dashboard: ps.Dashboard | None = None,
) -> Summary:
    """Run until ``seconds`` have passed or Ctrl-C, and end with every window closed."""
    logging.getLogger("penstock").addHandler(
        logging.NullHandler()
    )  # the screen counts dead letters
    results = Results(_new_folder(folder))
    writer = None if log is not None else TrafficWriter(results.folder / "access.log")
    followed = log if log is not None else results.folder / "access.log"
    if writer is not None:
        writer.start()
    figures = Figures()
    collecting = ps.start(
        *collect(followed, results),
        checkpoint=results.folder / "collect.checkpoint",
        checkpoint_interval=_CARRY_EVERY,
    )
    traffic = analyse(ps.scan_topic(results.topic))
    analysing = ps.start(
        *store(traffic, results),
        *figures.follow(traffic),
        checkpoint=results.folder / "analyse.checkpoint",
    )
    if dashboard is not None:
        dashboard.add(collecting, "collect")
        dashboard.add(analysing, "analyse")
    meter = PulseMeter(collecting, analysing)
    title = f"follows {log}" if log else f"made-up traffic, {SPEED:.0f} times as fast as real"
    if dashboard is not None:
        title += f"; dashboard: {dashboard.address}"
    view = (Screen if console.is_terminal else Lines)(console, title)
    with view:
        try:
            _show(view, figures, meter, (collecting, analysing), seconds)
        except KeyboardInterrupt:
            pass
        finally:
            if writer is not None:
                writer.stop()
        collecting.drain()
        analysing.drain()
        view.show(figures, meter.take())
    return Summary(meter.take(), figures, results)


def _show(
    view: Screen | Lines,
    figures: Figures,
    meter: PulseMeter,
    queries: tuple[ps.Query, ...],
    seconds: float | None,
) -> None:
    until = None if seconds is None else time.monotonic() + seconds
    while until is None or time.monotonic() < until:
        view.show(figures, meter.take())
        ended = [query.wait(_REFRESH_S / len(queries)) for query in queries]
        if any(ended):
            return


def _new_folder(folder: Path | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="penstock-demo-"))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            "the folder for the results must be new or empty",
            step="demo",
            value=str(folder),
            hint=f"remove {folder}, or give another one with --folder",
            line="",
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder
