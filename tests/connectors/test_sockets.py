"""TCP and UDP sources with real clients on the loopback interface."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.connectors.contract import Polled, Source, SourceSpec
from penstock.connectors.sockets.config import (
    Datagram,
    OnClose,
    TcpClientSpec,
    TcpServerSpec,
    UdpSpec,
)
from penstock.connectors.sockets.lines import Block, LineCutter, LineQueue, LongLine
from penstock.connectors.sockets.source import TcpClientSource, TcpServerSource
from penstock.connectors.sockets.udp import UdpSource
from penstock.errors import ConfigError, ConnectorError
from tests.connectors.number_format import Framing, Number


def poll_until(
    source: Source, done: Callable[[list[Polled]], bool], max_rows: int = 1000
) -> list[Polled]:
    polls: list[Polled] = []
    deadline = time.monotonic() + 30
    while not done(polls):
        assert time.monotonic() < deadline, polls
        polls.append(source.poll(max_rows, 0.05))
        polled = polls[-1]
        assert polled.frame.height + (0 if polled.dead is None else polled.dead.height) <= max_rows
    return polls


def numbers(polls: list[Polled]) -> list[int]:
    return [number for polled in polls for number in polled.frame["n"]]


def dead(polls: list[Polled]) -> pl.DataFrame:
    found = [polled.dead for polled in polls if polled.dead is not None]
    return pl.concat(found) if found else pl.DataFrame()


def has(count: int) -> Callable[[list[Polled]], bool]:
    return lambda polls: len(numbers(polls)) + dead(polls).height >= count


@pytest.fixture
def server() -> Iterator[TcpServerSource]:
    with closing(opened(TcpServerSpec(Number(), 0, max_line_bytes=1000))) as source:
        yield source


def opened(spec: TcpServerSpec) -> TcpServerSource:
    source = spec.open()
    assert isinstance(source, TcpServerSource)
    source.seek(None)
    return source


def connect(source: TcpServerSource) -> socket.socket:
    return socket.create_connection(source.address, timeout=30)


def test_specs_fit_the_contract() -> None:
    for spec in (TcpServerSpec(Number(), 1), TcpClientSpec(Number(), "h", 1), UdpSpec(Number(), 1)):
        assert isinstance(spec, SourceSpec)
        assert not spec.replayable
    assert TcpClientSpec(Number(), "h", 1, on_close=OnClose.END).bounded


def test_lines_arrive_in_order_whatever_the_cuts(server: TcpServerSource) -> None:
    with connect(server) as client:
        for piece in (b"1\n2", b"2\n3\r", b"\n\n4", b"4\n"):
            client.sendall(piece)
        polls = poll_until(server, has(4), max_rows=2)
    assert numbers(polls) == [1, 22, 3, 44]


def test_a_line_without_newline_before_a_close_is_a_row(server: TcpServerSource) -> None:
    with connect(server) as client:
        client.sendall(b"1\n2")
    assert numbers(poll_until(server, has(2))) == [1, 2]


def test_many_clients_at_once(server: TcpServerSource) -> None:
    def send(start: int) -> None:
        with connect(server) as client:
            client.sendall(b"".join(b"%d\n" % n for n in range(start, start + 10_000)))

    threads = [threading.Thread(target=send, args=(start,)) for start in range(0, 80_000, 10_000)]
    for thread in threads:
        thread.start()
    polls = poll_until(server, has(80_000), max_rows=7000)
    for thread in threads:
        thread.join(30)
    assert sorted(numbers(polls)) == list(range(80_000))
    assert polls[-1].position == {"received": 80_000}


def test_bad_lines_are_dead_letters_with_their_place(server: TcpServerSource) -> None:
    with connect(server) as client:
        host, port = client.getsockname()
        client.sendall(b"1\nx\n" + b"y" * 5000 + b"\n4\n" + b"z" * 70_000)
        client.sendall(b"\n6\n")
        polls = poll_until(server, has(6))
    assert numbers(polls) == [1, 4, 6]
    letters = dead(polls).sort("position")
    assert letters["position"].to_list() == [f"tcp {host}:{port} line {n}" for n in (2, 3, 5)]
    assert letters["reason"].to_list() == [
        "not a number",
        "the line has 5000 bytes, more than 1000",
        "the line has 70000 bytes, more than 1000",
    ]
    assert letters["bytes"].to_list()[:2] == [b"x", b"y" * 5000]


def test_a_reset_connection_leaves_its_part_of_a_line(server: TcpServerSource) -> None:
    client = connect(server)
    client.sendall(b"1\n2")
    polls = poll_until(server, has(1))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    polls += poll_until(server, has(1))
    assert numbers(polls) == [1]
    assert dead(polls)["bytes"].to_list() == [b"2"]
    assert "broke within the line" in dead(polls)["reason"].item()


def test_too_many_connections_are_closed_at_once() -> None:
    spec = TcpServerSpec(Number(), 0, max_connections=1)
    with closing(opened(spec)) as server, connect(server) as first:
        first.sendall(b"1\n")
        assert numbers(poll_until(server, has(1))) == [1]
        with connect(server) as second:
            poll_until(server, lambda _: server.refused == 1)
            assert second.recv(1) == b""
        first.sendall(b"2\n")
        assert numbers(poll_until(server, has(1))) == [2]


def test_the_greediest_connection_is_closed_when_memory_runs_out() -> None:
    spec = TcpServerSpec(Number(), 0, max_buffer_bytes=10_000)
    with closing(opened(spec)) as server, connect(server) as greedy, connect(server) as modest:
        modest.sendall(b"1")
        greedy.sendall(b"9" * 10_001)
        polls = poll_until(server, has(1))
        assert len(dead(polls)["bytes"].item()) >= 10_000
        modest.sendall(b"\n")
        assert numbers(poll_until(server, has(1))) == [1]


def test_close_ends_a_waiting_poll(server: TcpServerSource) -> None:
    waiter = threading.Thread(target=server.poll, args=(10, 600))
    waiter.start()
    server.close()
    waiter.join(30)
    assert not waiter.is_alive()
    assert server.poll(10, 0).frame.is_empty()


def test_a_taken_port_is_explained(server: TcpServerSource) -> None:
    with pytest.raises(ConnectorError, match="cannot listen on 127"):
        TcpServerSpec(Number(), server.address[1]).open()


def client_of(listener: socket.socket, **options: object) -> TcpClientSource:
    host, port = listener.getsockname()
    spec = TcpClientSpec(Number(), host, port, backoff=timedelta(milliseconds=5), **options)  # type: ignore[arg-type]
    source = spec.open()
    assert isinstance(source, TcpClientSource)
    source.seek(None)
    return source


def test_a_client_reads_and_ends_with_the_server() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        closing(client_of(listener, on_close=OnClose.END)) as source,
    ):
        source.poll(10, 0)
        peer, _ = listener.accept()
        with peer:
            peer.sendall(b"1\n2\n3")
        polls = poll_until(source, lambda polls: bool(polls) and polls[-1].ended)
        assert numbers(polls) == [1, 2, 3]


def test_a_client_connects_again_and_is_not_caught_up_meanwhile() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        source = client_of(listener)
        source.poll(10, 0)
        peer, _ = listener.accept()
        with peer:
            peer.sendall(b"1\n")
            assert numbers(poll_until(source, has(1))) == [1]
    polls = poll_until(source, lambda _: source.attempts >= 4)
    assert not any(polled.caught_up for polled in polls[1:])
    with socket.create_server(address) as listener:
        peers: list[socket.socket] = []
        accepting = threading.Thread(target=lambda: peers.append(listener.accept()[0]))
        accepting.start()
        poll_until(source, lambda _: bool(peers))
        with peers[0] as peer:
            peer.sendall(b"2\n")
            assert numbers(poll_until(source, has(1))) == [2]
        accepting.join(30)
    source.close()


def udp(spec: UdpSpec) -> UdpSource:
    source = spec.open()
    assert isinstance(source, UdpSource)
    source.seek(None)
    return source


def test_datagrams() -> None:
    with (
        closing(udp(UdpSpec(Number(), 0))) as source,
        socket.socket(type=socket.SOCK_DGRAM) as client,
    ):
        client.connect(source.address)
        for message in (b"1", b"x", b"3"):
            client.send(message)
        polls = poll_until(source, has(3), max_rows=2)
        assert numbers(polls) == [1, 3]
        host, port = client.getsockname()
        assert dead(polls)["position"].item() == f"udp {host}:{port} datagram 2"
        assert source.poll(10, 0).caught_up


def test_lines_in_datagrams() -> None:
    spec = UdpSpec(Number(), 0, holds=Datagram.LINES)
    with closing(udp(spec)) as source, socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(source.address)
        client.send(b"1\n2\r\n\n3")
        client.send(b"4\n")
        assert numbers(poll_until(source, has(4), max_rows=2)) == [1, 2, 3, 4]


def test_lost_datagrams_are_counted() -> None:
    with (
        closing(udp(UdpSpec(Number(), 0, receive_buffer_bytes=1))) as source,
        socket.socket(type=socket.SOCK_DGRAM) as client,
    ):
        client.connect(source.address)
        sent = 500
        for _ in range(sent):
            client.send(b"7" + b" " * 500)
        polls = poll_until(source, lambda polls: bool(polls) and polls[-1].caught_up)
        client.send(b"8")  # brings the count of what was lost before it
        polls += poll_until(source, has(1))
        received = len(numbers(polls)) + dead(polls).height
        assert source.lost > 0
        assert source.lost + received == sent + 1


def test_close_ends_a_waiting_udp_poll() -> None:
    source = udp(UdpSpec(Number(), 0))
    waiter = threading.Thread(target=source.poll, args=(10, 600))
    waiter.start()
    source.close()
    waiter.join(30)
    assert not waiter.is_alive()


def test_blank_lines_are_messages_where_the_format_says_so() -> None:
    decoder = Number(framing=Framing(blank_is_row=True))
    with closing(opened(TcpServerSpec(decoder, 0))) as server, connect(server) as client:
        client.sendall(b"1\n\n3\n")
        polls = poll_until(server, has(3))
        assert numbers(polls) == [1, 3]
        assert dead(polls)["bytes"].to_list() == [b""]


def test_bad_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="a socket has none"):
        TcpServerSpec(Number(framing=Framing(header=True)), 1)
    with pytest.raises(ConfigError, match="a port is 0 to 65535"):
        TcpServerSpec(Number(), 65_536)
    with pytest.raises(ConfigError, match="a port is 1 to 65535"):
        TcpClientSpec(Number(), "host", 0)
    with pytest.raises(ConfigError, match="max_line_bytes must be positive"):
        TcpServerSpec(Number(), 1, max_line_bytes=0)
    with pytest.raises(ConfigError, match="backoff must be positive"):
        TcpClientSpec(Number(), "host", 1, backoff=timedelta(0))


@settings(deadline=None)  # the machine may be busy
@given(
    data=st.lists(st.sampled_from([b"a", b"bb", b"\n", b"cccccc"]), max_size=40).map(b"".join),
    cuts=st.lists(st.integers(0, 80), max_size=8),
    limit=st.integers(1, 8),
    take=st.integers(1, 5),
)
def test_cutting_against_split(data: bytes, cuts: list[int], limit: int, take: int) -> None:
    cutter, queue = LineCutter("p", limit), LineQueue()
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    for start, end in pairwise(edges):
        queue.put(cutter.feed(data[start:end]))
    queue.put(cutter.finish())
    found: list[tuple[int, bytes, bool]] = []
    while queue.lines:
        pieces = queue.take(take)
        assert sum(piece.lines for piece in pieces) <= take
        for piece in pieces:
            if isinstance(piece, LongLine):
                found.append((piece.line, piece.head, False))
            else:
                assert isinstance(piece, Block)
                lines = piece.data.split(b"\n")[:-1]
                assert len(lines) == piece.lines
                found += [(piece.first_line + n, line, True) for n, line in enumerate(lines)]
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    expected = [(n, line, len(line) <= limit) for n, line in enumerate(lines, 1)]
    assert [(n, good) for n, _, good in found] == [(n, good) for n, _, good in expected]
    for (_, head, good), (_, line, _) in zip(found, expected, strict=True):
        assert head == line if good else line.startswith(head)
