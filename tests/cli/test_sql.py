"""``penstock sql``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.cli.main import main


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
