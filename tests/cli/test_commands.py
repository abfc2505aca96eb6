"""The command line, called as a function, and as a process where signals matter."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from penstock.checkpoints import store
from penstock.checkpoints.storage import LocalStorage
from penstock.cli.main import main
from tests.child_processes import ENVIRONMENT, interruptible

COUNTS = """
import polars as pl, penstock as ps
rows = ps.scan_batches([pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [3]})])
big = rows.filter(pl.col("a") > 1).sink_sqlite("FOLDER/out.db", "big")
again = big
both = [rows.sink_sqlite("FOLDER/out.db", "everything")]
"""
ENDLESS = """
import polars as pl, penstock as ps
counts = ps.scan_rate(20_000).select(pl.len().alias("rows")).sink_sqlite("FOLDER/out.db", "n", key="rows")
"""


def written(folder: Path, code: str) -> str:
    file = folder / "program.py"
    file.write_text(code.replace("FOLDER", str(folder)))
    return str(file)


def rows_of(database: Path, query: str) -> list[tuple[int, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("penstock ")


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    assert "Exit codes" in capsys.readouterr().out


def test_runs_all_queries_of_a_file_once_and_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", written(tmp_path, COUNTS)]) == 0
    assert rows_of(tmp_path / "out.db", "SELECT a FROM big ORDER BY a") == [(2,), (3,)]
    assert rows_of(tmp_path / "out.db", "SELECT count(*) FROM everything") == [(3,)]
    assert "3 rows in, 5 out" in capsys.readouterr().err


def test_explains_without_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", written(tmp_path, COUNTS)]) == 0
    shown = capsys.readouterr().out
    assert "Filter" in shown
    assert "big" in shown
    assert not (tmp_path / "out.db").exists()


def test_explains_streams_where_there_is_no_query(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "import penstock as ps\nticks = ps.scan_ticks('1s')\n"
    assert main(["explain", written(tmp_path, code)]) == 0
    assert "Scan" in capsys.readouterr().out


def test_calls_main(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "def main(checkpoint=None):\n    Path('FOLDER/x').write_text(str(checkpoint))\n"
    )
    assert main(["run", written(tmp_path, code), "--checkpoint", "here"]) == 0
    assert (tmp_path / "x").read_text() == "here"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1\n", "neither a query nor main()"),
        ("def main(): pass\n", "main() takes no checkpoint"),
        ("import penstock as ps\nps.scan_ticks('1s').select('tim').sink_console()\n", "tim"),
        ("def broken(:\n", "SyntaxError"),
    ],
)
def test_errors_are_a_few_lines_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], code: str, said: str
) -> None:
    assert main(["run", written(tmp_path, code), "--checkpoint", str(tmp_path / "c")]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown
    assert shown.count("\n") <= 6


def test_debug_shows_the_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", written(tmp_path, "x = 1\n"), "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_failure_while_running_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = """
import polars as pl, penstock as ps
def fail(frame):
    raise ValueError("out of paper")
printed = ps.scan_batches([pl.DataFrame({"a": [1]})]).sink_callback(fail)
"""
    assert main(["run", written(tmp_path, code)]) == 1
    assert "out of paper" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["run", "nowhere.py"], ["demo", "--log", "nowhere.log"]])
def test_a_file_that_is_not_there(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "no such file" in capsys.readouterr().err


def test_an_unknown_option_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--no-such"]) == 2
    assert "--no-such" in capsys.readouterr().err


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "polars" in shown
    assert "3 rows carried, their sum is 6" in shown


def test_ctrl_c_ends_a_run_with_a_checkpoint(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "penstock.cli", "run", written(tmp_path, ENDLESS)]
    process = subprocess.Popen(
        [*command, "--checkpoint", str(tmp_path / "checkpoint")],
        env=ENVIRONMENT,
        preexec_fn=interruptible,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until = time.monotonic() + 60
        while not _has_rows(tmp_path / "out.db"):
            assert time.monotonic() < until, "nothing was written"
            with pytest.raises(subprocess.TimeoutExpired):  # it must not end by itself
                process.wait(timeout=0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, said
    counted = int(said.split(" rows in")[0].replace(",", "").split()[-1])
    assert rows_of(tmp_path / "out.db", "SELECT rows FROM n") == [(counted,)]


def _has_rows(database: Path) -> bool:
    if not database.exists():
        return False
    try:
        return bool(rows_of(database, "SELECT rows FROM n"))
    except sqlite3.OperationalError:  # the table is not there yet
        return False


FAILING = """
import polars as pl, penstock as ps
from penstock.errors import ConnectorError
def fail(_):
    raise ConnectorError("the service is away", retry=True)
pl.DataFrame({"a": [1]}).write_csv("FOLDER/in.csv")
query = ps.scan_csv("FOLDER/in.csv").sink_callback(fail)
"""


def test_no_restart_ends_at_a_failure_that_may_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program, kept = written(tmp_path, FAILING), str(tmp_path / "kept")
    assert main(["run", program, "--checkpoint", kept, "--no-restart"]) == 1
    assert "the service is away" in capsys.readouterr().err


def test_takeover_pushes_aside_a_run_that_holds_the_checkpoint(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store, "LET_GO_S", 0.1)  # the other one hangs
    program, kept = written(tmp_path, COUNTS), str(tmp_path / "kept")
    storage = LocalStorage(Path(kept))
    storage.hold(takeover=False)
    assert main(["run", program, "--checkpoint", kept]) == 1
    assert "another run holds this checkpoint" in capsys.readouterr().err
    assert main(["run", program, "--checkpoint", kept, "--takeover"]) == 0
    assert "the run that was taken over has not let go" in caplog.text
    storage.release()
    assert rows_of(tmp_path / "out.db", "SELECT count(*) FROM everything") == [(3,)]
