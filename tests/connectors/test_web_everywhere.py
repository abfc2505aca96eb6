"""HTTP and WebSockets by URL, by name and in SQL; probed; and a planted secret that comes out nowhere."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import penstock as ps
from penstock import hiding
from penstock.connectors import registry
from penstock.connectors.probing import probed
from penstock.errors import ConfigError, ConnectorError, PenstockError
from tests.connectors.http.servers import Said, serving
from tests.connectors.http_server.running import raw, send
from tests.connectors.senders import free_port
from tests.connectors.test_planted_secrets import PLANTED, refuse_planted, shown
from tests.connectors.websocket import servers as websockets

SCHEMA = {"n": pl.Int64}
REFERENCE = "${env:PLANTED}"


@pytest.fixture(autouse=True)
def _in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", PLANTED)
    monkeypatch.setattr(hiding, "_revealed", set[str]())


def test_urls_names_and_options_give_the_same_specification() -> None:
    for url, name, given in (
        ("http-server:127.0.0.1:8080/in", "http_server", {"at": "127.0.0.1:8080/in"}),
        ("https://h/x?a=1", "https", {"url": "https://h/x?a=1"}),
        ("sse:https://h/x", "sse", {"url": "https://h/x"}),
        ("wss://h/x", "websocket", {"url": "wss://h/x"}),
        ("websocket-server::9000", "websocket_server", {"at": ":9000"}),
    ):
        options = {"schema": SCHEMA, "token": REFERENCE}
        assert registry.source(url, **options) == registry.source_function(name)(**given, **options)
    for url, name, given in (
        ("http://h/x", "http", {"url": "http://h/x"}),
        ("websocket-server:9000", "websocket_server", {"at": "9000"}),
    ):
        assert registry.sink(url, token="t") == registry.sink_function(name)(**given, token="t")


def test_in_sql(tmp_path: Path) -> None:
    port, got = free_port(), []

    def answers(asked: Any) -> Said:
        got.extend(json.loads(asked.body))
        return Said()

    with serving(answers) as server, ps.Session() as session:
        session.sql(
            "CREATE SOURCE numbers (n BIGINT) WITH (connector = 'http_server', "
            f"address = ':{port}', token = '{REFERENCE}', max_body_bytes = '1MB')"
        )
        session.sql("CREATE MATERIALIZED VIEW doubled AS SELECT n * 2 AS n FROM numbers")
        session.sql(
            "CREATE SINK hook FROM doubled WITH (connector = 'http', "
            f"url = '{server.url}', changes = 'weight')"
        )
        headers = {"Authorization": f"Bearer {PLANTED}"}
        assert send(("127.0.0.1", port), b'[{"n": 1}, {"n": 2}]', headers=headers).status == 202
        deadline = time.monotonic() + 60
        while len(got) < 2:
            assert time.monotonic() < deadline
            session.wait()
    assert sorted(row["n"] for row in got) == [2, 4]


def test_a_session_refuses_tokens_that_it_would_write_down(tmp_path: Path) -> None:
    with ps.Session(checkpoint=tmp_path) as session:
        for connector in ("http_server", "websocket_server"):
            with pytest.raises(ConfigError, match="holds a secret"):
                session.sql(
                    f"CREATE SOURCE s (n INT) WITH (connector = '{connector}', "
                    f"address = ':1', token = '{PLANTED}')"
                )
    refuse_planted(tmp_path)


def test_planted_secrets(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    port, said = free_port(), list[str]()
    rows = ps.scan_http_server(port, "json", SCHEMA, token=REFERENCE)
    with caplog.at_level(logging.DEBUG), serving(lambda _: Said(401, PLANTED.encode())) as server:
        query = rows.sink_http(f"{server.url}/{REFERENCE}", headers={"X-Api-Key": REFERENCE})
        running = query.start(checkpoint=tmp_path / "checkpoint", restart=None)
        while True:
            try:
                raw(("127.0.0.1", port), f"GET /{PLANTED} HTTP/1.1\r\n\r\n".encode(), b"\0")
                break
            except ConnectionRefusedError:
                time.sleep(0.01)
        headers = {"Authorization": f"Bearer {PLANTED}"}
        assert send(("127.0.0.1", port), b'{"n": 1}', headers=headers).status == 200
        with pytest.raises(PenstockError, match="401") as caught:
            running.wait(60)
        assert server.asked[0].headers["x-api-key"] == PLANTED
        assert server.asked[0].path == f"/{PLANTED}"
        said += [shown(caught.value), query.explain(), repr(query), repr(running.progress())]
    ours = "".join(r.getMessage() for r in caplog.records if r.name.startswith("penstock"))
    refuse_planted(tmp_path, ours, *said)


def test_connections_are_probed_without_moving_data() -> None:
    with serving(lambda asked: Said(200 if asked.method == "GET" else 405)) as server:
        assert probed(registry.source(server.url, schema=SCHEMA)) == "it answers 200 OK"
        assert probed(registry.source(f"sse:{server.url}", schema=SCHEMA)) == "it answers 200 OK"
        assert "405" in str(probed(registry.sink(server.url)))
        assert {asked.method for asked in server.asked} == {"GET", "OPTIONS"}
    with pytest.raises(ConnectorError) as caught:
        probed(registry.sink(server.url))
    assert caught.value.retry
    with serving(lambda _: Said(401)) as server:
        for spec in (registry.source(server.url, schema=SCHEMA), registry.sink(server.url)):
            with pytest.raises(ConnectorError, match="401"):
                probed(spec)
    with websockets.serving(websockets.Jetstream(0, 1)) as followed:
        assert probed(registry.source(followed.url, schema=SCHEMA)) == "it answers"
        for scheme in ("http-server", "websocket-server"):
            taken = f"{scheme}:{followed.port}"
            with pytest.raises(ConnectorError, match="cannot listen"):
                probed(registry.source(taken, schema=SCHEMA))
            free = registry.source(f"{scheme}:127.0.0.1:0", schema=SCHEMA, token="${env:NOT_SET}")
            with pytest.raises(ConfigError, match="NOT_SET"):
                probed(free)
    with pytest.raises(ConnectorError):
        probed(registry.source(followed.url, schema=SCHEMA))
    assert probed(registry.sink("websocket-server:127.0.0.1:0")) == "the address is free"
