"""``penstock sql``."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.cli.main import main
from tests.child_processes import ENVIRONMENT, interruptible


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text("id,shop,amount\n1,a,5\n2,b,6\n3,a,7\n")
    return path


def test_a_file_is_a_table(orders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = f"SELECT shop, sum(amount) AS total FROM '{orders}' GROUP BY shop ORDER BY shop"
    assert main(["sql", "--format", "json", query]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"shop": "a", "total": 12},
        {"shop": "b", "total": 6},
    ]


def test_rows_as_a_table_and_as_csv(orders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sql", f"SELECT id FROM '{orders}' WHERE shop = 'b'"]) == 0
    assert "│ 2" in capsys.readouterr().out
    assert main(["sql", "--format", "csv", "SELECT 1 AS a, 'x' AS b"]) == 0
    assert capsys.readouterr().out == "a,b\n1,x\n"


def test_tables_stay_in_a_durable_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--checkpoint", str(tmp_path / "session")]
    assert main(["sql", *where, "CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2)"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["sql", *where, "--format", "csv", "SELECT sum(a) AS s FROM t"]) == 0
    assert capsys.readouterr().out == "s\n3\n"


def test_a_wrong_query_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sql", "SELECT a FROM nothing"]) == 2
    assert "no table 'nothing' at line 1, column 15" in capsys.readouterr().err


def test_statements_come_from_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 1 AS a;\nSELECT 2 AS b;\n"))
    assert main(["sql", "--format", "csv", "-"]) == 0
    assert capsys.readouterr().out == "b\n2\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SELEC 1", "cannot read the SQL at line 1, column 7, near '1'"),
        ("SELECT 1;\nSELECT * FROM (", "line 2"),
        ("SELECT -", "something is missing in NEG"),
        ("SELECT * FROM {", "Expected table name"),
        ("SELECT 'open", "a quote or a comment is not closed"),
        ("SELECT * FROM 'nothing.csv'", "no such file"),
        ("CREATE TABLE t (a INT); INSERT INTO t VALUES ('x')", "'x' is not a"),
    ],
)
def test_what_is_wrong_ends_with_2_and_says_where(
    text: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sql", text]) == 2
    written = capsys.readouterr()
    assert says in written.err
    assert "sqlglot" not in written.err + written.out
    assert written.out == ""


def test_without_a_statement_there_is_advice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sql"]) == 2
    assert "Usage" in capsys.readouterr().err


SOURCE = "CREATE SOURCE n WITH (connector = 'rate', {0});\n"
SINK = "CREATE SINK s FROM n WITH (connector = 'console');\n"


def test_a_pipeline_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pipeline.sql"
    file.write_text(SOURCE.format("total = 3") + SINK)
    assert main(["run", str(file)]) == 0
    written = capsys.readouterr()
    assert written.out.count("\n") == 4
    assert "3 rows in, 3 out" in written.err
    assert main(["explain", str(file)]) == 0
    assert "Sink console as s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "there is no CREATE SINK"),
        ("CREATE SOURCE n WITH (connector = 'rate'", "at line 1"),
        (
            SOURCE.format("total = 3") + "CREATE VIEW v AS\n  SELECT offse FROM n;\n" + SINK,
            "no column 'offse' at line 3, column 10",
        ),
        (SOURCE.format("total = 3") + "DELETE FROM n;", "a pipeline has CREATE SOURCE"),
    ],
)
def test_a_wrong_pipeline_ends_with_2_and_names_the_file(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "wrong.sql"
    file.write_text(text)
    assert main(["run", str(file)]) == 2
    written = capsys.readouterr()
    assert says in written.err
    assert "wrong.sql" in written.err
    assert main(["run", str(tmp_path / "missing.sql")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_control_c_ends_a_pipeline_in_good_order(tmp_path: Path) -> None:
    file = tmp_path / "live.sql"
    file.write_text(SOURCE.format("rows_per_second = 50") + SINK)
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock.cli", "run", str(file)],
        env=ENVIRONMENT,
        preexec_fn=interruptible,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().split() == ["offset", "timestamp"]
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, said
    assert "rows in" in said
    assert "Traceback" not in said
