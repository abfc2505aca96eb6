"""``penstock run`` while it runs: what it shows, ``--json``, ``--watch``."""

from __future__ import annotations

import io
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from penstock.cli.live import JsonLines, Line, PlainLines, Shown, view
from penstock.cli.main import main
from penstock.cli.programs import load
from penstock.cli.reloading import Changes
from penstock.runtime.progress import Progress, StepProgress
from tests.child_processes import ENVIRONMENT, interruptible

WAIT_S = 60
NOW = Progress("running", 3, 10, 4, 5.0, 1, 2, 2.0, 1, (), 5.0)

ENDLESS = """
import polars as pl, penstock as ps
from beside import LABEL
rows = ps.scan_rate(2_000).select(pl.len().alias("rows")).named("counted")
counts = rows.with_columns(label=pl.lit(LABEL)).sink_sqlite("FOLDER/out.db", "n", key="rows")
"""


def test_a_run_prints_snapshots_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.py").write_text(
        "import penstock as ps\nq = ps.scan_rate(total=9).sink_callback(lambda f: None)\n"
    )
    assert main(["run", str(tmp_path / "p.py"), "--json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["state"], last["rows_in"], last["dead_letters"]) == ("finished", 9, 0)
    assert last["steps"][0]["share_read"] == 1.0
    assert main(["run", str(tmp_path / "p.py"), "--quiet"]) == 0
    assert "9 rows in" in capsys.readouterr().err


def test_the_share_of_files_that_was_read(tmp_path: Path) -> None:
    import penstock as ps

    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("x\n" + "1\n" * 500)
    seen = []
    source = ps.scan_csv([tmp_path / "a.csv", tmp_path / "b.csv"], epoch_rows=250)
    query = source.sink_callback(lambda frame: seen.append(query.progress().share_read))
    query.start().wait()
    assert query.progress().share_read == 1.0
    assert all(0 <= share <= 1 for share in seen)
    assert seen == sorted(seen)


def test_where_no_source_tells_there_is_no_share() -> None:
    assert NOW.share_read is None
    both = replace(NOW, steps=(source_step(0.5), source_step(1.0)))
    assert both.share_read == 0.75
    assert replace(NOW, steps=(source_step(0.5), source_step(None))).share_read is None


def source_step(share: float | None) -> StepProgress:
    counts = (0,) * 6
    return StepProgress("s", "source", "", (), *counts, 0.0, 0.0, None, 0, share_read=share)


@pytest.mark.parametrize("share", [None, 0.25])
def test_a_terminal_gets_one_line_and_a_summary(
    share: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = io.StringIO()
    line = Line(Console(file=file, force_terminal=True, width=120))
    now = replace(NOW, steps=(source_step(share),), last_error="a database is away\nmore")
    line.show(now)
    line.show(replace(now, rows_in=11))
    line.end(now)
    shown = file.getvalue()
    assert "11 rows in" in shown
    assert "2 late, 1 dead, a database is away" in shown
    assert capsys.readouterr().err.startswith("10 rows in, 4 out, 1 dead letters, 2.0 s")


def test_what_fits_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(view(Shown.JSON, has_screen=False), JsonLines)
    assert isinstance(view(Shown.AUTO, has_screen=False), PlainLines)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(view(Shown.AUTO, has_screen=False), Line)
    assert isinstance(view(Shown.AUTO, has_screen=True), PlainLines)
    assert isinstance(view(Shown.NOTHING, has_screen=False), PlainLines)


def test_plain_lines_come_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    PlainLines(0.0).show(NOW)
    PlainLines(float("inf")).show(NOW)
    assert capsys.readouterr().err == "running, epoch 3, 10 rows in (5/s), 4 out, 2 late, 1 dead\n"


def written(folder: Path, label: str) -> Path:
    (folder / "beside.py").write_text(f"LABEL = {label!r}\n")
    file = folder / "p.py"
    file.write_text(ENDLESS.replace("FOLDER", str(folder)))
    return file


def test_changes_are_noticed_in_modules_too_and_bad_ones_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, "one")
    changes = Changes(load(file))
    assert changes.poll() is None
    (tmp_path / "beside.py").write_text("LABEL = 'another'\n")
    program = changes.poll()
    assert program is not None
    assert len(program.queries) == 1
    (tmp_path / "beside.py").write_text("LABEL = nothing at all\n")
    assert changes.poll() is None
    assert "SyntaxError" in capsys.readouterr().err
    file.write_text("x = 1\n")
    assert changes.poll() is None
    assert "no query now" in capsys.readouterr().err
    file.unlink()
    assert changes.poll() is None
    written(tmp_path, "back again")
    assert changes.wait().queries


def test_watch_needs_queries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.py").write_text("def main(): pass\n")
    assert main(["run", str(tmp_path / "p.py"), "--watch"]) == 2
    assert "--watch needs queries" in capsys.readouterr().err


def test_a_changed_pipeline_goes_on_with_its_state(tmp_path: Path) -> None:
    file = written(tmp_path, "one")
    command = [sys.executable, "-m", "penstock.cli", "run", str(file), "--watch"]
    command += ["--checkpoint", str(tmp_path / "state")]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible
    ) as process:
        try:
            before = until(lambda: shown(tmp_path, "one"))
            written(tmp_path, "two of them")
            after = until(lambda: shown(tmp_path, "two of them"))
            process.terminate()
            _, said = process.communicate(timeout=WAIT_S)
        finally:
            process.kill()
    assert after >= before
    assert "has changed: started again" in said
    assert "goes on from there" in said
    assert process.returncode == 0


def shown(folder: Path, label: str) -> int | None:
    try:
        with closing(sqlite3.connect(folder / "out.db")) as connection:
            found = connection.execute("SELECT rows FROM n WHERE label = ?", (label,)).fetchone()
    except sqlite3.OperationalError:  # there is no table yet
        return None
    return found[0] if found else None


def until(look: Callable[[], int | None]) -> int:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come")
