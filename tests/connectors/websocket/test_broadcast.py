"""Rows sent to real WebSocket clients, slow ones among them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import polars as pl
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from penstock import testing
from penstock.columns import WEIGHT
from penstock.connectors.contract import Guarantee
from penstock.connectors.websocket.sink import BroadcastSink
from penstock.connectors.websocket.sink_config import websocket_server_sink
from penstock.errors import ConfigError, ConnectorError

LIMIT_S = 60.0


@contextmanager
def begun(**options: Any) -> Iterator[BroadcastSink]:
    sink = websocket_server_sink(0, **options).open()
    assert isinstance(sink, BroadcastSink)
    with closing(sink):
        sink.begin(None)
        yield sink


@contextmanager
def clients(
    sink: BroadcastSink, count: int = 1, **options: Any
) -> Iterator[list[ClientConnection]]:
    url = f"ws://127.0.0.1:{sink.address[1]}/"
    with ExitStack() as opened:
        found = [
            opened.enter_context(connect(url, proxy=None, open_timeout=LIMIT_S, **options))
            for _ in range(count)
        ]
        wait_for(lambda: sink.clients == count)
        yield found


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def frame(*numbers: int, padding: int = 0) -> pl.DataFrame:
    return pl.DataFrame({"n": numbers, "p": ["x" * padding] * len(numbers)})


def test_everybody_gets_each_row() -> None:
    with begun() as sink:
        sink.apply(0, [frame(7)])  # to nobody
        with clients(sink, 3) as found:
            sink.apply(1, [frame(1, 2), frame()])
            sink.apply(2, [frame(3)])
            for each in found:
                assert [json.loads(each.recv(LIMIT_S))["n"] for _ in range(3)] == [1, 2, 3]


def test_batches() -> None:
    with begun(holds="batch") as sink, clients(sink) as (one,):
        sink.apply(1, [frame(*range(600))])
        found = [json.loads(one.recv(LIMIT_S)) for _ in range(2)]
    assert [len(each) for each in found] == [500, 100]
    assert found[1][-1]["n"] == 599


def test_a_slow_client_is_dropped_and_holds_nobody_up() -> None:
    with begun(max_client_bytes=100_000) as sink, stuck(sink), clients_beside(sink) as reader:
        for n in range(400):  # far beyond what the kernel keeps for it
            sink.apply(n, [frame(n, padding=50_000)])
            assert json.loads(reader.recv(LIMIT_S))["n"] == n
        wait_for(lambda: sink.clients == 1)
        assert sink.dropped == 1


def test_a_slow_client_may_miss_messages_instead() -> None:
    options = {"slow": "skip", "max_client_bytes": 100_000}
    with begun(**options) as sink, stuck(sink) as slow, clients_beside(sink) as reader:
        for n in range(400):
            sink.apply(n, [frame(n, padding=50_000)])
            assert json.loads(reader.recv(LIMIT_S))["n"] == n
        assert sink.skipped > 0
        assert sink.dropped == 0
        assert sink.clients == 2
        slow.setblocking(True)
        assert slow.recv(100)  # it is still sent what came first


@contextmanager
def stuck(sink: BroadcastSink) -> Iterator[socket.socket]:
    """Connect by hand, and read nothing."""
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.settimeout(LIMIT_S)
        peer.connect(sink.address)
        peer.sendall(
            b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        wait_for(lambda: sink.clients == 1)
        yield peer


@contextmanager
def clients_beside(sink: BroadcastSink) -> Iterator[ClientConnection]:
    url = f"ws://127.0.0.1:{sink.address[1]}/"
    with connect(url, proxy=None, open_timeout=LIMIT_S) as one:
        wait_for(lambda: sink.clients == 2)
        yield one


def test_changes_are_refused_or_have_their_weight() -> None:
    changes = frame(1).with_columns(pl.Series(WEIGHT, [-1]))
    with begun() as sink, pytest.raises(ConnectorError, match="changes"):
        sink.apply(1, [changes])
    with begun(changes="weight") as sink, clients(sink) as (one,):
        sink.apply(1, [changes])
        assert json.loads(one.recv(LIMIT_S))[WEIGHT] == -1


def test_tokens_and_the_end() -> None:
    with begun(token="s3cret-token") as sink:
        url = f"ws://127.0.0.1:{sink.address[1]}/"
        with pytest.raises(InvalidStatus, match="401"), connect(url, proxy=None):
            pass
        with connect(f"{url}?token=s3cret-token", proxy=None) as one:
            sink.close()
            with pytest.raises(ConnectionClosed):
                one.recv(LIMIT_S)


def test_it_keeps_the_contract_of_sinks() -> None:
    for changes in ("refuse", "weight"):
        testing.check_sink(
            lambda _, changes=changes: websocket_server_sink(0, changes=changes, token="s3cret"),
            secrets=["s3cret"],
        )
    assert websocket_server_sink(0).guarantee is Guarantee.AT_MOST_ONCE


def test_wrong_options() -> None:
    for options, message in (
        ({"slow": "wait"}, "cannot be 'wait'"),
        ({"max_client_bytes": 0}, "not a size"),
        ({"holds": "all"}, "cannot be 'all'"),
    ):
        with pytest.raises(ConfigError, match=message):
            websocket_server_sink(0, **options)
    with pytest.raises(ConfigError, match="cannot hold"):
        websocket_server_sink(0).validate(pl.Schema({"a": pl.Binary}))
