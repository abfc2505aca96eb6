"""``penstock check``: what can be reached, and what cannot, without moving data."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.main import main
from penstock.connectors import registry
from penstock.connectors.probing import probed

PIPELINE = """
import penstock as ps
rows = ps.scan_ndjson({source!r}, {{"n": int}})
query = rows.sink_sqlite({database!r}, "t")
other = rows.sink_console()
"""


def checked(
    folder: Path, capsys: pytest.CaptureFixture[str], source: Path, database: Path
) -> tuple[int, list[dict[str, Any]]]:
    file = folder / "pipeline.py"
    file.write_text(PIPELINE.format(source=str(source), database=str(database)))
    code = main(["check", str(file), "--json"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.ndjson").write_text('{"n": 1}\n')
    code, found = checked(tmp_path, capsys, tmp_path / "in.ndjson", tmp_path / "out.db")
    assert code == 0
    assert [(each["kind"], each["good"], each["found"]) for each in found] == [
        ("source", True, "1 file, 9 bytes"),
        ("sink", True, "the file will be made"),
        ("sink", True, "reaches nothing outside"),
    ]
    assert not (tmp_path / "out.db").exists()


def test_what_is_wrong_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out.db").write_text("this is no database")
    (tmp_path / "in.ndjson").touch()
    code, found = checked(tmp_path, capsys, tmp_path / "in.ndjson", tmp_path / "out.db")
    assert code == 1
    assert [each["good"] for each in found] == [True, False, True]
    assert "not a database" in found[1]["found"]
    assert main(["check", str(tmp_path / "pipeline.py")]) == 1
    assert "BAD  sink    sqlite" in capsys.readouterr().out


def test_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n")
    assert main(["check", str(tmp_path / "empty.py")]) == 2
    assert main(["check", str(tmp_path / "none.py")]) == 2


def test_sockets(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        listening = registry.source(f"tcp://127.0.0.1:{port}")
        with pytest.raises(Exception, match="cannot listen"):
            probed(listening)
        assert probed(registry.source(f"tcp-connect://127.0.0.1:{port}")) == "it answers"
    assert probed(listening) == "the address is free"
    with pytest.raises(Exception, match="cannot connect"):
        probed(registry.source(f"tcp-connect://127.0.0.1:{port}"))
    assert probed(registry.source("udp://127.0.0.1:0")) == "the address is free"


def test_folders_topics_and_databases(tmp_path: Path) -> None:
    assert probed(registry.sink(f"files:{tmp_path}/new")) == "the folder will be made"
    assert (
        probed(registry.sink(f"duckdb:{tmp_path}/a.duckdb", table="t")) == "the file will be made"
    )
    assert probed(registry.sink(f"topic:{tmp_path}/topic")) == "the folder will be made"
    assert (
        probed(registry.source(f"tail:{tmp_path}/log", format="text"))
        == "the file is not there yet"
    )
    assert probed(registry.source("rate:", total=1)) is None
    (tmp_path / "file").touch()
    with pytest.raises(Exception, match="is no folder"):
        probed(registry.sink(f"files:{tmp_path}/file"))
    assert not (tmp_path / "new").exists()


REACH_NOTHING = {"console", "rate", "ticks"}


@pytest.mark.parametrize("table", [registry.SOURCES, registry.SINKS], ids=["sources", "sinks"])
def test_every_connector_can_be_probed(table: dict[str, str]) -> None:
    """The class that a registered function describes has a method ``probe``."""
    for scheme, path in table.items():
        module, function = path.split(":")
        found = getattr(__import__(module, fromlist=[function]), function)
        described = found.__annotations__["return"]
        kind = getattr(__import__(module, fromlist=[described]), described)
        assert hasattr(kind, "probe") != (scheme in REACH_NOTHING), scheme
