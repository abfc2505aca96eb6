"""WebSocket sources with real servers and clients on the loopback interface."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

import penstock as ps
from penstock import testing
from penstock.connectors.contract import Source
from penstock.connectors.mailbox import MailboxSource
from penstock.connectors.websocket.config import websocket, websocket_server
from penstock.connectors.websocket.cursor import Held, Window
from penstock.errors import ConfigError, ConnectorError
from tests.connectors import certificates

from .servers import Jetstream, serving

LIMIT_S = 60.0
SCHEMA = {"n": pl.Int64}
QUICK = {"backoff": "1ms", "max_backoff": "2ms"}


def read(source: Source, count: int, most: int = 1000) -> tuple[list[int], Any]:
    found: list[int] = []
    position: Any = None
    deadline = time.monotonic() + LIMIT_S
    while len(found) < count:
        assert time.monotonic() < deadline, found
        polled = source.poll(most, 0.1)
        found += polled.frame["n"].to_list()
        position = polled.position
    return found, json.loads(json.dumps(position))


@contextmanager
def listening(**options: Any) -> Iterator[MailboxSource]:
    source = websocket_server(0, schema=SCHEMA, **options).open()
    assert isinstance(source, MailboxSource)
    with closing(source):
        source.seek(None)
        yield source


def url_of(source: MailboxSource, scheme: str = "ws", path: str = "/") -> str:
    return f"{scheme}://127.0.0.1:{source.address[1]}{path}"


def client(source: MailboxSource, path: str = "/", **options: Any) -> ClientConnection:
    return connect(url_of(source, path=path), proxy=None, open_timeout=LIMIT_S, **options)


@pytest.mark.parametrize("rewind", [0, 1, "3us"])
def test_a_cursor_goes_on_where_the_connection_was_lost(rewind: int | str) -> None:
    jetstream = Jetstream(60, burst=11)
    with serving(jetstream) as server:
        spec = websocket(
            f"{server.url}/subscribe?wantedCollections=app.bsky.feed.post",
            schema=SCHEMA,
            cursor_field="time_us",
            rewind=rewind,
            **QUICK,
        )
        with closing(spec.open()) as source:
            source.seek(None)
            first, position = read(source, 25, most=5)
        with closing(spec.open()) as source:
            source.seek(position)
            rest, _ = read(source, 60 - len(first))
        assert first + rest == list(range(60))
        assert server.targets[0].endswith("=app.bsky.feed.post")
        assert "&cursor=1700000000000" in server.targets[1]


def test_a_killed_server_that_comes_back_and_the_rows_in_a_pipeline(tmp_path: Path) -> None:
    numbers = list(range(400))
    with serving(Jetstream(200, burst=1000)) as server:
        port = server.port
        query = ps.scan_websocket(
            server.url, schema=SCHEMA, cursor_field="time_us", **QUICK
        ).sink_topic(tmp_path / "out", partitions=1)
        running = query.start(checkpoint=tmp_path / "checkpoint", checkpoint_interval="20ms")
        _wait_for(lambda: _height(tmp_path / "out") == 200)
    with serving(Jetstream(400, burst=50), port):
        _wait_for(lambda: _height(tmp_path / "out") >= 400)
        running.stop()
    found = ps.scan_topic(tmp_path / "out", stop="at end").collect()["n"].to_list()
    assert found == numbers


def _height(topic: Path) -> int:
    try:
        return ps.scan_topic(topic, stop="at end").collect().height
    except ConfigError:  # not there yet
        return 0


def test_mastodon_streaming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTODON", "s3cret-token")

    async def mastodon(connection: ServerConnection) -> None:
        asked = json.loads(await connection.recv())
        status = {"id": "1", "content": "<p>hi</p>"}
        for _ in range(2):
            message = {
                "stream": [asked["stream"]],
                "event": "update",
                "payload": json.dumps(status),
            }
            await connection.send(json.dumps(message))
        await connection.wait_closed()

    schema = {"stream": pl.List(pl.String), "event": pl.String, "payload": pl.String}
    with serving(mastodon) as server:
        spec = websocket(
            f"{server.url}/api/v1/streaming",
            schema=schema,
            greeting='{"type":"subscribe","stream":"public"}',
            token="${env:MASTODON}",
        )
        with closing(spec.open()) as source:
            source.seek(None)
            frames = []
            _wait_for(
                lambda: frames.append(source.poll(10, 0.1).frame) or len(pl.concat(frames)) == 2
            )
        assert server.headers[0]["Authorization"] == "Bearer s3cret-token"
    rows = pl.concat(frames)
    assert rows["stream"].to_list() == [["public"], ["public"]]
    assert json.loads(rows["payload"][0])["content"] == "<p>hi</p>"


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), max_size=60), st.integers(0, 5))
def test_the_window_knows_what_a_server_may_send_again(marks: list[Any], rewind: int) -> None:
    window = Window(rewind)
    for mark in marks:
        window.add([mark])
        start = window.start
        assert start is not None
        held = window.held()
        again = Window(rewind)
        again.restore(Held(held.cursor, [tuple(mark) for mark in held.seen]))  # type: ignore[union-attr, misc]
        seen = marks[: marks.index(mark) + 1]
        assert all(each in again for each in seen if each[0] >= start)
        assert again.start == start


def test_refused_handshakes() -> None:
    async def nothing(connection: ServerConnection) -> None:
        await connection.wait_closed()

    with listening(token="s3cret-token") as other:
        source = websocket(url_of(other), schema=SCHEMA).open()
        with closing(source):
            source.seek(None)
            with pytest.raises(ConnectorError, match="401") as caught:
                read(source, 1)
        assert not caught.value.retry
    with serving(nothing) as server:  # a plain HTTP answer, then gone: tried again
        port = server.port
    source = websocket(f"ws://127.0.0.1:{port}", schema=SCHEMA, **QUICK).open()
    with closing(source):
        source.seek(None)
        polled = source.poll(10, 0.1)
        assert not polled.caught_up
        with serving(Jetstream(3, burst=9), port):
            assert read(source, 3)[0] == [0, 1, 2]


def test_messages_of_all_who_connect() -> None:
    found, letters, deadline = [], [], time.monotonic() + LIMIT_S
    with (
        listening(metadata="client", path="/in") as source,
        client(source, "/in") as one,
        client(source, "/in") as two,
    ):
        for n in range(10):
            (one if n % 2 else two).send(json.dumps({"n": n}))
        one.send(b'{"n": 10}')  # binary is taken too
        two.send("x")
        while len(found) + len(letters) < 12:
            assert time.monotonic() < deadline
            polled = source.poll(5, 0.1)
            found += polled.frame.rows()
            letters += [] if polled.dead is None else polled.dead.rows(named=True)
        addresses = {f"127.0.0.1:{each.local_address[1]}" for each in (one, two)}
    assert sorted(row[0] for row in found) == list(range(11))
    assert {row[1] for row in found} == addresses
    assert letters[0]["bytes"] == b"x"
    assert " message " in letters[0]["position"]


def test_senders_are_told_what_is_durable() -> None:
    with listening(reply="count") as source, client(source) as one:
        for n in range(3):
            one.send(json.dumps({"n": n}))
        found: list[int] = []
        while len(found) < 3:
            polled = source.poll(10, LIMIT_S)
            found += polled.frame["n"].to_list()
        source.acknowledge(polled.position)
        said = json.loads(one.recv(LIMIT_S))
    assert said == {"accepted": 3}


def test_only_who_has_a_token_may_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENDER", "s3cret-token")
    with listening(token="${env:SENDER}", max_connections=1) as source:
        for path, headers in (
            ("/", {}),
            ("/", {"Authorization": "Bearer wrong"}),
            ("/?token=wrong", {}),
        ):
            with (
                pytest.raises(InvalidStatus, match="401"),
                client(source, path, additional_headers=headers),
            ):
                pass
        with (
            pytest.raises(InvalidStatus, match="404"),
            client(source, "/elsewhere?token=s3cret-token"),
        ):
            pass
        with client(source, additional_headers={"Authorization": "Bearer s3cret-token"}) as one:
            one.send('{"n": 1}')
            assert read(source, 1)[0] == [1]
            with (
                pytest.raises(InvalidStatus, match="503"),
                client(source, "/?token=s3cret-token"),
            ):
                pass


def test_messages_that_are_too_large_close_the_connection() -> None:
    with listening(max_message_bytes=100) as source:
        with client(source) as one:
            one.send("x" * 1000)
            with pytest.raises(ConnectionClosed) as caught:
                one.recv(LIMIT_S)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009
        with client(source) as one:
            one.send('{"n": 1}')
            assert read(source, 1)[0] == [1]


@pytest.fixture(scope="module")
def shared() -> Iterator[MailboxSource]:
    with listening() as source:
        yield source


@given(st.lists(st.binary(max_size=100), max_size=4))
@settings(max_examples=20, deadline=None)
def test_garbage_harms_nobody(shared: MailboxSource, pieces: list[bytes]) -> None:
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    upgrade = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + key
    for head in (b"", upgrade + b"\r\n"):
        with socket.create_connection(shared.address, LIMIT_S) as peer:
            try:
                for piece in (head, *pieces):
                    peer.sendall(piece)
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65_536):
                    pass
            except OSError:
                pass
    with client(shared) as one:
        one.send('{"n": 1}')
        assert read(shared, 1)[0][-1] == 1


def test_one_who_says_nothing_is_closed() -> None:
    with (
        listening(timeout="100ms") as source,
        socket.create_connection(source.address, LIMIT_S) as peer,
    ):
        assert peer.recv(100) == b""


def test_tls(tmp_path: Path) -> None:
    good, ended = certificates.made(tmp_path), certificates.made(tmp_path, days=1)
    with listening(certificate=good.certificate, certificate_key=good.key) as source:
        context = ssl.create_default_context(cafile=good.certificate)
        with connect(url_of(source, "wss"), ssl=context, proxy=None) as one:
            one.send('{"n": 1}')
            assert read(source, 1)[0] == [1]
    for files, trusted in ((good, None), (ended, ended.certificate)):
        with listening(certificate=files.certificate, certificate_key=files.key) as source:
            follower = websocket(url_of(source, "wss"), schema=SCHEMA, ca=trusted).open()
            with closing(follower):
                follower.seek(None)
                with pytest.raises(ConnectorError, match="certificate") as caught:
                    read(follower, 1)
            assert not caught.value.retry


def test_it_keeps_the_contract_of_sources() -> None:
    with serving(Jetstream(20, burst=7)) as server:
        testing.check_source(
            lambda: websocket(
                server.url, schema=SCHEMA, cursor_field="time_us", token="s3cret-token", **QUICK
            ),
            rows=20,
            expected=pl.DataFrame({"n": range(20)}),
            secrets=["s3cret-token"],
        )

    @contextmanager
    def feed(source: Source) -> Iterator[None]:
        assert isinstance(source, MailboxSource)
        with client(source) as one:
            for n in range(20):
                one.send(json.dumps({"n": n}))
            yield

    testing.check_source(
        lambda: websocket_server(0, schema=SCHEMA),
        rows=20,
        feed=feed,
        expected=pl.DataFrame({"n": range(20)}),
    )


def test_wrong_options() -> None:
    for options, message in (
        ({"url": "http://h"}, "no URL"),
        ({"rewind": -1, "cursor_field": "t"}, "cannot be negative"),
        ({"user": "me", "password": "x"}, "no user and password"),
        ({"colour": 1}, "no option 'colour'"),
    ):
        with pytest.raises(ConfigError, match=message):
            websocket(**{"url": "ws://h/x", "schema": SCHEMA, **options})  # type: ignore[arg-type]
    for options, message in (
        ({"path": "x"}, "begins with /"),
        ({"max_connections": 0}, "must be positive"),
        ({"metadata": "colour"}, "have no 'colour'"),
        ({"reply": "maybe"}, "cannot be 'maybe'"),
        ({"ca": "x.pem"}, "shows a certificate"),
        ({"format": "csv", "header": True}, "header line"),
    ):
        with pytest.raises(ConfigError, match=message):
            websocket_server(0, **{"schema": SCHEMA, **options})  # type: ignore[arg-type]


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
