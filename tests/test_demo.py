"""The demo, on a log that grows line by line, against a count in plain Python."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from penstock.cli.demo.command import run_demo
from penstock.cli.demo.figures import Figures, Pulse
from penstock.cli.demo.traffic import Site
from penstock.cli.demo.view import Screen
from penstock.errors import ConfigError
from tests import access_log

ODD_LINES = (
    '203.0.113.5 - ann [17/May/2026:08:30:00 +0000] "\\x16\\x03" 400 226 "-" "-"',
    '203.0.113.5 - "x y" [17/May/2026:10:30:01 +0200] "GET /a\\"b?c#d HTTP/1.1" 200 - "-" "-"',
    '203.0.113.5 - - [17/May/2026:08:30:01 +0000] "GET /cut HTTP/1.1" 200 12 "-" "Mozi',
)


def made_up_log(seconds: float) -> bytes:
    """Return a few hours of made-up traffic, with odd lines put in where their time has come."""
    site = Site(datetime(2026, 5, 17, 8, tzinfo=UTC))
    lines = list(site.lines_until(seconds))
    middle = next(i for i, line in enumerate(lines) if "08:30:0" in line)
    lines[middle:middle] = ODD_LINES
    return "".join(f"{line}\n" for line in lines).encode()


def test_counts_equal_plain_python(tmp_path: Path) -> None:
    text = made_up_log(5000)
    expected = access_log.count(text.decode().splitlines())
    assert len(expected.dead_letters) > 1, "the log should have broken lines"
    assert max(n for _, _, n in expected.sessions) > 1
    found, said = access_log.run(text, tmp_path)
    assert ", 0 late rows" in said
    assert found.statuses == expected.statuses
    assert found.pages == expected.pages
    assert found.hours == expected.hours
    assert found.minutes == expected.minutes
    assert found.sessions == expected.sessions
    assert found.dead_letters == expected.dead_letters


def test_makes_its_own_traffic_and_ends_by_itself(tmp_path: Path) -> None:
    out = io.StringIO()
    summary = run_demo(Console(file=out), log=None, seconds=3, folder=tmp_path / "results")
    log = (tmp_path / "results" / "access.log").read_text()
    expected = access_log.count(log.splitlines())
    found = access_log.stored(tmp_path / "results")
    assert summary.pulse.rows == sum(expected.statuses.values()) > 0
    assert summary.figures.sessions_closed == expected.sessions.total()
    assert found.differences(expected) == []
    assert "requests" in out.getvalue()
    assert str(tmp_path) in "\n".join(summary.lines())


def test_screen_shows_what_is_known(tmp_path: Path) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, height=50)
    figures = Figures()
    minute = {"window_start": datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "requests": 30, "errors": 9}
    figures.minutes.append({**minute, "bytes": 5_000_000})
    figures.alerts.append({**minute, "rate": 0.3})
    figures.pages = {"/b": (5, 0), "/a[red]": (7, 1)}
    figures.statuses = {200: 90, 204: 5, 503: 5, None: 1}
    pulse = Pulse(1234, 99.0, 10.0, 5, datetime(2026, 1, 2, 3, 5, tzinfo=UTC), 2, 0, 12.0)
    with Screen(console, "test") as screen:
        screen.show(figures, pulse)
    shown = out.getvalue()
    for part in (
        "1,234",
        "03:04",
        "5.0",
        "30% errors: 9 of 30",
        "/a[red]",
        "2xx",
        "95",
        "03:05:00",
    ):
        assert part in shown
    assert shown.index("/a[red]") < shown.index("/b")


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep me")
    with pytest.raises(ConfigError, match="new or empty"):
        run_demo(Console(file=io.StringIO()), log=None, seconds=1, folder=tmp_path)
    assert (tmp_path / "mine").read_text() == "keep me"
