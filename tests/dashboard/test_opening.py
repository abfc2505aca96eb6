"""Opening the dashboard: from Python, from the command line, and the browser or none."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.cli.main import main
from penstock.dashboard import opening

from .asking import eventually, told

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "CI", "SSH_CONNECTION", "PYTEST_CURRENT_TEST")
PROGRAM = """
import polars as pl
import penstock as ps
few = ps.scan_batches([pl.DataFrame({"a": [1, 2]})]).sink_callback(lambda frame: None)
"""


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the process have no dashboard yet, and none afterwards."""
    monkeypatch.setattr(opening, "_shared", None)
    yield
    if opening._shared is not None:
        opening._shared.close()


@pytest.mark.usefixtures("shared")
def test_runs_of_a_process_share_a_dashboard_that_says_where_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    frames = [pl.DataFrame({"a": [1, 2]})]
    for _ in range(2):
        ps.run(ps.scan_batches(frames).sink_callback(lambda _: None), ui=True)
    (said,) = capsys.readouterr().err.splitlines()
    address = said.removeprefix("dashboard: ")
    runs = told(address, "/api/snapshot")["runs"]
    assert [(run["name"], run["state"], run["rows_in"]) for run in runs] == [
        ("pipeline", "finished", 2)
    ]


def test_the_command_line_says_the_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "few.py"
    file.write_text(PROGRAM)
    assert main(["run", str(file), "--ui", "--port", "0", "--no-browser"]) == 0
    said = capsys.readouterr().err
    assert "dashboard: http://127.0.0.1:" in said
    assert "2 rows in" in said
    assert main(["run", str(file)]) == 0
    assert "dashboard" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("set_to", "opens"),
    [
        ({}, False),
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({"DISPLAY": ":0", "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, False),
        ({"DISPLAY": ":0", "CI": "true"}, False),
    ],
)
def test_a_browser_is_opened_where_there_is_a_display(
    monkeypatch: pytest.MonkeyPatch, set_to: dict[str, str], *, opens: bool
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(webbrowser, "open", asked.append)
    monkeypatch.setattr("sys.platform", "linux")
    for name in DISPLAYS:
        monkeypatch.delenv(name, raising=False)
    for name, value in set_to.items():
        monkeypatch.setenv(name, value)
    assert opening.open_browser("http://127.0.0.1:1/") is opens
    if opens:
        eventually(lambda: asked)
    assert asked == ["http://127.0.0.1:1/"] * opens
