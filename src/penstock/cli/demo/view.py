"""How the demo looks: a screen that is redrawn, or plain lines where there is no terminal."""

from __future__ import annotations

from typing import Any, Self

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from penstock.cli.demo.figures import ALERTS_KEPT, Figures, Pulse

_BARS = " ▁▂▃▄▅▆▇█"
_CLASS_STYLES = {"2xx": "green", "3xx": "cyan", "4xx": "yellow", "5xx": "red"}
_TOP, _LAST = 10, 10


class Screen:
    """The live screen; as a context manager it takes the terminal and gives it back."""

    def __init__(self, console: Console, title: str) -> None:
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._title = title

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, figures: Figures, pulse: Pulse) -> None:
        """Redraw."""
        self._live.update(draw(figures, pulse, self._title), refresh=True)


class Lines:
    """One line a second, and one for each alert."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._shown_at = -1.0
        self._alerts = 0

    def __enter__(self) -> Self:
        self._print(self._title)
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to give back."""

    def show(self, figures: Figures, pulse: Pulse) -> None:
        """Print what is new."""
        fresh = min(figures.alerts_raised - self._alerts, ALERTS_KEPT)
        self._alerts = figures.alerts_raised
        for alert in list(figures.alerts)[-fresh:] if fresh > 0 else []:
            self._print(f"ALERT {_alert(alert)}")
        if pulse.seconds - self._shown_at >= 1:
            self._shown_at = pulse.seconds
            self._print(
                f"{_clock(pulse)}  {pulse.rows:,} requests  {pulse.rows_per_second:,.0f}/s  "
                f"{pulse.epochs_per_second:,.0f} epochs/s  {pulse.waiting:,} waiting  "
                f"{figures.sessions_closed:,} sessions  {pulse.dead_letters:,} dead letters"
            )

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def draw(figures: Figures, pulse: Pulse, title: str) -> RenderableType:
    """Return the whole screen."""
    return Group(
        Panel(_rates(figures, pulse), title=f"[bold]penstock demo[/] {title}", title_align="left"),
        Columns([_minutes(figures), _pages(figures), _statuses(figures)], padding=(0, 1)),
        _alerts(figures),
    )


def _rates(figures: Figures, pulse: Pulse) -> RenderableType:
    grid = Table.grid(padding=(0, 3))
    cells = {
        "requests": f"{pulse.rows:,}",
        "requests/s": f"{pulse.rows_per_second:,.0f}",
        "epochs/s": f"{pulse.epochs_per_second:,.0f}",
        "watermark": _clock(pulse),
        "waiting": f"{pulse.waiting:,}",
        "late": f"{pulse.late:,}",
        "dead letters": f"{pulse.dead_letters:,}",
        "visitors": f"{figures.totals.get('visitors', 0):,}",
        "sessions": f"{figures.sessions_closed:,}",
    }
    for _ in cells:
        grid.add_column(justify="right")
    grid.add_row(*(Text(value, style="bold") for value in cells.values()))
    grid.add_row(*(Text(name, style="dim") for name in cells))
    return grid


def _minutes(figures: Figures) -> RenderableType:
    table = Table(title="requests per minute", title_justify="left")
    for name in ("minute", "requests", "errors", "MB"):
        table.add_column(name, justify="right")
    rows = figures.last_minutes(_LAST)
    for row in rows:
        style = "red" if row["errors"] * 10 >= row["requests"] else ""
        cells = (f"{row['requests']:,}", f"{row['errors']:,}", f"{row['bytes'] / 1e6:.1f}")
        table.add_row(f"{row['window_start']:%H:%M}", *cells, style=style)
    for _ in range(_LAST - len(rows)):
        table.add_row("", "", "", "")
    table.caption = Text(_spark([row["requests"] for row in figures.minutes]), no_wrap=True)
    return table


def _pages(figures: Figures) -> RenderableType:
    table = Table(title="top pages", title_justify="left")
    table.add_column("page", width=22, no_wrap=True)
    table.add_column("requests", justify="right", width=9)
    table.add_column("errors", justify="right", width=7)
    rows = figures.busiest()[:_TOP]
    for page, requests, errors in rows:
        table.add_row(Text(page), f"{requests:,}", f"{errors:,}")
    for _ in range(_TOP - len(rows)):
        table.add_row("", "", "")
    return table


def _statuses(figures: Figures) -> RenderableType:
    table = Table(title="status", title_justify="left")
    table.add_column("class")
    table.add_column("requests", justify="right", width=9)
    table.add_column("share", justify="right", width=6)
    classes = figures.status_classes()
    total = sum(classes.values()) or 1
    for name, requests in classes.items():
        share = f"{100 * requests / total:.1f}%"
        table.add_row(name, f"{requests:,}", share, style=_CLASS_STYLES.get(name, ""))
    return table


def _alerts(figures: Figures) -> RenderableType:
    lines = [Text(_alert(alert), style="red") for alert in reversed(tuple(figures.alerts))]
    lines += [Text("")] * (ALERTS_KEPT - len(lines))
    title = f"alerts: {figures.alerts_raised:,}"
    return Panel(Group(*lines), title=title, title_align="left", border_style="red")


def _alert(alert: dict[str, Any]) -> str:
    return (
        f"{alert['window_start']:%Y-%m-%d %H:%M}  {100 * alert['rate']:.0f}% errors: "
        f"{alert['errors']:,} of {alert['requests']:,} requests"
    )


def _clock(pulse: Pulse) -> str:
    return "-" if pulse.watermark is None else f"{pulse.watermark:%Y-%m-%d %H:%M:%S}"


def _spark(values: list[int]) -> str:
    highest = max(values, default=0) or 1
    return "".join(_BARS[round(8 * value / highest)] for value in values[-34:])
