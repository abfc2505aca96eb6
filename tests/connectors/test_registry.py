"""Every URL, end to end; and what unknown schemes and options say."""

from __future__ import annotations

import socket
import sqlite3
import sys
from contextlib import closing
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import duckdb
import polars as pl
import psycopg
import pytest

import penstock as ps
from penstock.connectors import registry
from penstock.connectors.contract import SourceSpec
from penstock.connectors.files.config import FilesSpec, FolderSpec, TailSpec, files
from penstock.deferred import metadata
from penstock.errors import ConfigError
from tests.connectors.senders import free_port, tcp_sender, tcp_server, udp_sender

NUMBERS: dict[str, Any] = {"format": "json", "schema": {"n": int}}
ONE_TO_THREE = b'{"n": 1}\n{"n": 2}\n{"n": 3}\n'


def preview(url: str, rows: int, **options: Any) -> pl.DataFrame:
    return ps.scan(url, **options).preview(rows, timeout=30)


def numbers() -> ps.Stream:
    return ps.scan_batches([pl.DataFrame({"n": [1, 2]}), pl.DataFrame({"n": [3]})])


def write(url: str, **options: Any) -> None:
    ps.run(numbers().sink(url, **options))


@pytest.mark.parametrize("url", ["{}/in.ndjson", "file:{}/in.ndjson", "file://{}/in.ndjson"])
def test_files(tmp_path: Path, url: str) -> None:
    (tmp_path / "in.ndjson").write_bytes(ONE_TO_THREE)
    assert ps.scan(url.format(tmp_path)).collect()["n"].to_list() == [1, 2, 3]


def test_followed_files(tmp_path: Path) -> None:
    (tmp_path / "in.log").write_bytes(ONE_TO_THREE)
    assert preview(f"tail:{tmp_path}/in.log", 3, **NUMBERS)["n"].to_list() == [1, 2, 3]
    found = preview(f"folder:{tmp_path}/*.log", 3, settle="1ms", **NUMBERS)
    assert found["n"].to_list() == [1, 2, 3]


def test_sockets() -> None:
    port = free_port()
    with tcp_sender(port, ONE_TO_THREE):
        assert preview(f"tcp://127.0.0.1:{port}", 3, **NUMBERS)["n"].to_list() == [1, 2, 3]
    with tcp_server(ONE_TO_THREE) as port:
        stream = ps.scan(f"tcp-connect://127.0.0.1:{port}", on_close="end", **NUMBERS)
        assert stream.collect()["n"].to_list() == [1, 2, 3]
    port = free_port(socket.SOCK_DGRAM)
    with udp_sender(port, b"hello"):
        assert preview(f"udp://:{port}", 1)["text"].to_list() == ["hello"]


def test_generators() -> None:
    assert ps.scan("rate:", total=3).collect()["offset"].to_list() == [0, 1, 2]
    assert ps.scan("rate:100000", total=3).collect()["offset"].to_list() == [0, 1, 2]
    assert preview("ticks:10ms", 1)["tick"].item() >= 1


def test_topics(tmp_path: Path) -> None:
    url = f"topic:{tmp_path}/numbers"
    write(url, partition_by="n", retention="1d", durability="os")
    found = ps.scan(url, stop="at end", metadata="offset").collect()
    assert sorted(found["n"]) == [1, 2, 3]
    assert found.columns == ["n", "offset"]


def test_tables_in_files(tmp_path: Path) -> None:
    write(f"sqlite:{tmp_path}/a.db", table="numbers", key="n", busy_timeout="1s")
    write(f"sqlite://{tmp_path}/a.db", table="more")
    with closing(sqlite3.connect(tmp_path / "a.db")) as lite:
        assert lite.execute("SELECT n FROM numbers ORDER BY n").fetchall() == [(1,), (2,), (3,)]
        assert lite.execute("SELECT sum(n) FROM more").fetchall() == [(6,)]
    write(f"duckdb:{tmp_path}/a.duckdb", table="numbers")
    with duckdb.connect(str(tmp_path / "a.duckdb")) as duck:
        assert duck.execute("SELECT sum(n) FROM numbers").fetchall() == [(6,)]


def test_postgres(postgres_schema: str) -> None:
    write(f"postgres:{postgres_schema}", table="numbers", key="n")
    parts = psycopg.conninfo.conninfo_to_dict(postgres_schema)
    query = urlencode(parts, quote_via=quote)
    for scheme in ("postgres", "postgresql"):
        write(f"{scheme}:///?{query}", table=scheme)
    with psycopg.connect(postgres_schema) as connection:
        for table in (b"numbers", b"postgres", b"postgresql"):
            assert connection.execute(b"SELECT sum(n) FROM " + table).fetchall() == [(6,)]


@pytest.mark.parametrize("url", ["files:{}/out", "files://{}/out", "{}/out"])
def test_folders_of_files(tmp_path: Path, url: str) -> None:
    write(url.format(tmp_path), format="csv", roll_rows=2, roll_after="1h")
    found = pl.read_csv(tmp_path / "out" / "*.csv")
    assert found["n"].to_list() == [1, 2, 3]


def test_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    write("console:numbers", max_rows=2)
    assert capsys.readouterr().out == "numbers: n\n1\n2\n3\n"


def test_schemes_and_bare_paths(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a;b\n1;2\n")
    for url in (str(path), f"file:{path}", f"file://{path}", f"FILE:{path}"):
        spec = registry.source(url, separator=";")
        assert isinstance(spec, FilesSpec)
        assert spec == files(path, separator=";")
    assert isinstance(registry.source(f"tail:{tmp_path}/x.log"), TailSpec)
    assert isinstance(registry.source(f"folder:{tmp_path}", format="text", settle="2s"), FolderSpec)


def test_unknown_schemes_name_the_alternatives() -> None:
    with pytest.raises(ConfigError) as error:
        registry.source("tial:x.log")
    assert "did you mean 'tail'" in str(error.value)
    with pytest.raises(ConfigError, match="no sink"):
        registry.sink("nowhere://x")


@pytest.mark.parametrize(
    ("kind", "url", "options", "message"),
    [
        ("source", "tail:x.log", {"from_start": True}, "no option 'from_start'"),
        ("source", "rate:1", {"totl": 3}, "did you mean 'total'"),
        ("source", "rate:fast", {}, "not a number: 'fast'"),
        ("source", "ticks:soon", {}, "interval is not a duration"),
        ("source", "ticks:1mo", {}, "fixed duration"),
        ("source", "tcp://nowhere", {}, 'write "host:port"'),
        ("source", "tcp://h:70000", {}, 'write "host:port"'),
        ("source", "tcp://:1", {"max_lines": 3}, "no option 'max_lines'"),
        ("source", "tcp-connect://:1", {"on_close": "stop"}, "available: reconnect, end"),
        ("source", "tcp://:1", {"format": "csv"}, "needs schema="),
        ("source", "udp://:1", {"holds": "line"}, "did you mean 'lines'"),
        ("source", "topic:x", {"stop": "never ever"}, "available: never, at end"),
        ("source", "topic:x", {"separator": ";"}, "separator= is for a format"),
        ("sink", "sqlite:x.db", {}, "table= is missing"),
        ("sink", "sqlite:x.db", {"table": "t", "busy_timeout": "x"}, "busy_timeout is not a dura"),
        ("sink", "sqlite:x.db", {"table": "t", "keys": "a"}, "did you mean 'key'"),
        ("sink", "files:x", {"format": "parkett"}, "did you mean 'parquet'"),
        ("sink", "files:x", {"roll_after": "-1s"}, "must be more than zero"),
        ("sink", "topic:x", {"durability": "none"}, "available: sync, os"),
        ("sink", "console:", {"rows": 3}, "did you mean 'max_rows'"),
    ],
)
def test_wrong_options_name_the_alternatives(
    kind: str, url: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        getattr(registry, kind)(url, **options)
    assert message in str(error.value)


def test_every_scheme_names_a_function() -> None:
    for kind, table in (("source", registry.SOURCES), ("sink", registry.SINKS)):
        for scheme in table:
            assert callable(registry._builder(kind, table, scheme))


def third_party(url: str, *, schema: dict[str, type]) -> SourceSpec:
    assert url == "other://host/x"
    return registry.source(__file__, format="regex", pattern="(?P<a>x)", schema=schema)


def test_entry_points_add_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(group: str) -> EntryPoints:
        value = f"{third_party.__module__}:third_party"
        entry = EntryPoint(name="other", value=value, group="penstock.sources")
        return EntryPoints([entry] if group == "penstock.sources" else [])

    monkeypatch.setitem(sys.modules, third_party.__module__, sys.modules[__name__])
    monkeypatch.setattr(metadata, "entry_points", found)
    assert registry.source("other://host/x", schema={"a": str}).schema == {"a": pl.String}
    with pytest.raises(ConfigError, match="other"):
        registry.source("nothing:x")
