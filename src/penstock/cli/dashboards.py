"""The dashboard of a command: opened with it, closed with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

import penstock as ps
from penstock.dashboard.opening import open_browser


@contextmanager
def opened(host: str, port: int | None, *, browser: bool) -> Iterator[ps.Dashboard]:
    """Listen, say where, and open a browser where there is a display."""
    with ps.Dashboard(host=host, port=port) as dashboard:
        typer.echo(f"dashboard: {dashboard.address}", err=True)
        if browser:
            open_browser(dashboard.address)
        yield dashboard
