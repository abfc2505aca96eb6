"""The dashboard of a command: opened with it, closed with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

import penstock as ps
from penstock.dashboard.guard import LOOPBACK
from penstock.dashboard.opening import open_browser

Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="The dashboard's port (0: any free one).")
]
Host = Annotated[
    str, typer.Option(help="Where the dashboard listens; other than loopback it takes a token.")
]
NoBrowser = Annotated[
    bool, typer.Option("--no-browser", help="Open no browser; the dashboard's address is said.")
]


@contextmanager
def opened(
    title: str, *, host: str = LOOPBACK, port: int | None, browser: bool
) -> Iterator[ps.Dashboard]:
    """Listen, say where, and open a browser where there is a display."""
    with ps.Dashboard(host=host, port=port, title=title) as dashboard:
        typer.echo(f"dashboard: {dashboard.address}", err=True)
        if browser:
            open_browser(dashboard.address)
        yield dashboard
