"""Pipelines in SQL: the same queries that streams and sinks in Python make."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.cli.main import main
from penstock.connectors.contract import SourceSpec
from penstock.errors import ConfigError, PenstockError, PlanError
from penstock.plan.node import walk
from penstock.plan.sources import Scan

LINES = [
    '10.0.0.1 - - [10/Oct/2023:13:55:36 +0000] "GET / HTTP/1.1" 200 512 "-" "curl/8"',
    '10.0.0.2 - - [10/Oct/2023:13:55:37 +0000] "GET /a HTTP/1.1" 404 0 "-" "curl/8"',
]
SHOPS = """
CREATE SOURCE orders (shop TEXT, amount INT) WITH (
    connector = 'file', path = 'FOLDER/orders.ndjson'
) FORMAT PLAIN ENCODE JSON;
CREATE VIEW large AS SELECT * FROM orders WHERE amount > 1;
CREATE MATERIALIZED VIEW totals (shop, total) AS SELECT shop, sum(amount) FROM large GROUP BY shop;
CREATE SINK stored FROM totals WITH (
    connector = 'sqlite', path = 'FOLDER/out.db', "table" = 'totals', key = 'shop'
);
CREATE SINK counted AS SELECT count(*) AS n FROM orders WITH (
    connector = 'sqlite', path = 'FOLDER/out.db', table = 'counted', primary_key = 'n'
);
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = pl.DataFrame({"shop": ["a", "b", "a", "c"], "amount": [5, 6, 7, 1]})
    rows.write_ndjson(tmp_path / "orders.ndjson")
    return tmp_path


def in_folder(text: str, folder: Path) -> str:
    return text.replace("FOLDER", str(folder))


def stored(folder: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "out.db")) as connection:
        return connection.execute(query).fetchall()


def test_sources_views_and_sinks_become_queries(folder: Path) -> None:
    ps.run(*ps.sql_script(in_folder(SHOPS, folder)))
    assert stored(folder, "SELECT shop, total FROM totals ORDER BY shop") == [("a", 12), ("b", 6)]
    assert stored(folder, "SELECT n FROM counted") == [(4,)]


def test_the_command_runs_a_file_and_goes_on_from_its_checkpoint(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = folder / "pipeline.sql"
    program.write_text(in_folder(SHOPS, folder))
    arguments = ["run", str(program), "--checkpoint", str(folder / "c")]
    assert main(arguments) == 0
    assert "4 rows in" in capsys.readouterr().err
    assert main(arguments) == 0
    assert "0 rows in" in capsys.readouterr().err
    assert stored(folder, "SELECT sum(total) FROM totals") == [(18,)]
    assert main(["checkpoints", "show", str(folder / "c")]) == 0
    assert "stored" in capsys.readouterr().out
    assert main(["explain", str(program)]) == 0
    assert "sqlite" in capsys.readouterr().out


def test_both_spellings_of_a_source_are_one_specification(folder: Path) -> None:
    path = folder / "access.log"
    path.write_text("\n".join(LINES) + "\n")
    sink = "CREATE SINK s FROM hits WITH (connector = 'console')"
    options = "format = 'combined_log', max_line_bytes"
    both = (
        f"CREATE SOURCE hits WITH (connector = 'tail', path = '{path}', {options} = '4096'); {sink}",
        f"CREATE SOURCE hits FROM 'tail:{path}' WITH ({options} = 4096); {sink}",
    )
    named = _scanned(ps.scan_tail(path, "combined_log", max_line_bytes=4096).sink("console:"))
    for text in both:
        (query,) = ps.sql_script(text)
        assert _scanned(query) == named


def _scanned(query: ps.Query) -> SourceSpec:
    (scan,) = (node for node in walk(*query.roots) if isinstance(node, Scan))
    return scan.spec


def test_columns_are_taken_from_a_format_that_has_its_own(folder: Path) -> None:
    path = folder / "access.log"
    path.write_text("\n".join(LINES) + "\n")
    (query,) = ps.sql_script(
        f"""
        CREATE SOURCE hits (client TEXT, status TEXT)
            WITH (connector = 'file', path = '{path}', format = 'combined_log');
        CREATE SINK s FROM hits WITH (connector = 'sqlite', path = '{folder}/out.db', table = 't');
        """
    )
    ps.run(query)
    found = stored(folder, "SELECT client, status FROM t")
    assert len(found) == len(LINES)
    assert all(isinstance(status, str) for _, status in found)


@pytest.mark.parametrize(
    ("text", "said", "where"),
    [
        (
            "CREATE SOURCE a WITH (connector = 'tale', path = 'x')",
            "there is no source 'tale'",
            "line 1: CREATE SOURCE a",
        ),
        ("\n\nCREATE SOURCE a WITH (path = 'x')", "does not name a source", "line 3"),
        (
            "CREATE SOURCE a WITH (connector = 'rate', totl = 5)",
            "did you mean 'total'",
            "CREATE SOURCE a",
        ),
        (
            "CREATE SOURCE a WITH (connector = 'rate', total = 'many')",
            "'total' is not the int",
            "a",
        ),
        ("CREATE SOURCE a WITH (connector = 'rate', total = )", "needs a quoted text", ""),
        ("CREATE SOURCE a WITH (connector 'rate')", "name = value at line 1, column 23", ""),
        ("CREATE SOURCE a (b INT PRIMARY KEY) WITH (connector = 'rate')", "columns and types", "a"),
        ("CREATE SOURCE a (b INT) WITH (connector = 'rate')", "no column 'b'", "CREATE SOURCE a"),
        (
            "CREATE SOURCE a (WATERMARK FOR ts AS ts) WITH (connector = 'rate')",
            "no column 'ts'",
            "CREATE SOURCE a",
        ),
        ("CREATE SOURCE a FROM 'rate:' FORMAT UPSERT ENCODE JSON", "FORMAT UPSERT", ""),
        ("CREATE TABLE t (a INT)", "live in a session", "CREATE TABLE t"),
        ("SELECT 1", "CREATE SOURCE, VIEW, SINK and FUNCTION only", ""),
        ("CREATE VIEW v AS SELECT 1 AS a", "there is no CREATE SINK", ""),
        ("CREATE SINK s FROM nothing WITH (connector = 'console')", "no table 'nothing'", "SINK s"),
        ("CREATE SINK s INTO t FROM numbers", "needs a session", "CREATE SINK s"),
        ("CREATE SINK s FROM numbers", "does not name a sink", "CREATE SINK s"),
        ("CREATE VIEW numbers AS SELECT 1 AS a", "exists already", "CREATE VIEW numbers"),
    ],
)
def test_errors_name_the_statement(text: str, said: str, where: str) -> None:
    with pytest.raises(PenstockError) as error:
        ps.sql_script(text, numbers=ps.scan_rate(total=3))
    assert isinstance(error.value, (PlanError, ConfigError))
    assert said in str(error.value)
    assert where in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "CREATE SINK s FROM numbers WITH (connector = 'postgres', url = 'postgresql://u:hunter2@h/d')",
        "CREATE SINK s FROM numbers WITH (connector = 'postgres', pasword = 'hunter2')",
        "CREATE SINK s FROM numbers WITH (connector = 'sqlite', password = 'hunter2'",
        "CREATE SINK s FROM numbers WITH (password = 'hunter2, connector = 'sqlite')",
        "CREATE SOURCE s FROM 'kafka://u:hunter2@host/topic'",
        "CREATE SINK s AS SELECT FROM FROM WITH (connector = 'console', title = 'hunter2')",
    ],
)
def test_values_of_options_are_not_shown(text: str) -> None:
    with pytest.raises(PenstockError) as error:
        ps.sql_script(text, numbers=ps.scan_rate(total=3))
    assert "hunter2" not in str(error.value)


def test_functions_and_the_pipeline_of_the_docs() -> None:
    function = """CREATE FUNCTION double(n BIGINT) RETURNS BIGINT LANGUAGE python AS $$
def double(n: pl.Series) -> pl.Series:
    return n * 2
$$;"""
    sink = "WITH (connector = 'console')"
    (query,) = ps.sql_script(
        f'{function} CREATE SINK s AS SELECT double("offset") AS d FROM numbers {sink}',
        numbers=ps.scan_rate(total=3),
    )
    assert ps.Stream(query.roots[0].input).collect()["d"].to_list() == [0, 2, 4]
    text = (Path(__file__).parents[2] / "docs" / "sql.md").read_text()
    (documented,) = ps.sql_script(text.partition("```sql\n")[2].partition("```")[0])
    assert "exactly once, end to end" in documented.explain()


def test_a_file_is_named_in_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "p.sql"
    program.write_text("\nCREATE SOURCE a WITH (connector = 'nil');")
    assert main(["run", str(program)]) == 2
    assert f"{program}:2: CREATE SOURCE a" in capsys.readouterr().err
    program.write_text("CREATE SOURCE (((")
    assert main(["run", str(program)]) == 2
    assert str(program) in capsys.readouterr().err
