"""Sockets in pipelines that keep checkpoints: ends, drops, pressure, restarts."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.connectors.durable.config import DurableSpec
from penstock.connectors.durable.source import DurableSource
from penstock.connectors.sockets.config import UdpSpec
from penstock.deferred import sqlite3
from penstock.errors import ConfigError, FencedError, QueryFailed
from penstock.query import Query
from penstock.topics import Topic
from penstock.topics.store import Store
from tests.connectors.number_format import Number
from tests.connectors.senders import free_port, tcp_server, udp_sender

from .acknowledging import AcknowledgingSpec
from .careful_senders import CarefulSender

LIMIT = 60.0


def read(folder: Path) -> list[int]:
    try:
        return ps.scan_topic(folder, stop="at end").collect()["n"].to_list()
    except ConfigError:  # it is not there, or being created just now
        return []


def until_written(query: Query, folder: Path, count: int) -> None:
    deadline = time.monotonic() + LIMIT
    while len(read(folder)) < count:
        assert time.monotonic() < deadline
        query.wait(0.02)


def test_a_client_that_ended_is_not_connected_again(tmp_path: Path) -> None:
    data = b"".join(b'{"n":%d}\n' % n for n in range(1000)) + b"nonsense\n"
    with tcp_server(data) as port:
        for _ in range(2):  # the second time nobody listens any more
            rows = ps.scan_tcp_client(port, "json", {"n": int}, on_close="end")
            query = rows.sink_topic(tmp_path / "out", partitions=1).start(
                checkpoint=tmp_path / "checkpoint", checkpoint_interval="10ms"
            )
            assert query.wait(LIMIT)
            assert read(tmp_path / "out") == list(range(1000))
    with Topic.open(tmp_path / "checkpoint" / "dead-letters") as topic:
        assert topic.read(0, 0).frame["bytes"].to_list() == [b"nonsense"]


def test_a_stopped_run_goes_on_with_what_it_had_kept(tmp_path: Path) -> None:
    """The rows arrive in two runs; a window over both is counted whole, once."""
    port = free_port()
    for part in range(2):
        rows = ps.scan_tcp(port, "json", {"n": int})
        query = rows.sink_topic(tmp_path / "out", partitions=1).start(
            checkpoint=tmp_path / "checkpoint", checkpoint_interval="10ms"
        )
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                peer = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
        with peer:
            peer.sendall(b"".join(b'{"n":%d}\n' % n for n in range(100 * part, 100 * part + 100)))
            until_written(query, tmp_path / "out", 100 * part + 100)
        query.stop()
    assert read(tmp_path / "out") == list(range(200))


def test_udp_goes_through_a_topic_of_its_own_folder(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    rows = ps.scan_udp(port, "json", {"n": int}, durable=tmp_path / "kept")
    query = rows.sink_topic(tmp_path / "out")
    query.start(checkpoint=tmp_path / "checkpoint")
    with udp_sender(port, b'{"n":7}'):
        until_written(query, tmp_path / "out", 3)
    query.stop()  # what was kept and not processed comes next time
    query.start(checkpoint=tmp_path / "checkpoint")
    assert query.drain(LIMIT)
    with Topic.open(tmp_path / "kept") as topic:
        assert topic.end_offsets()[0] == len(read(tmp_path / "out"))


def test_datagrams_that_the_kernel_drops_under_pressure_are_counted(tmp_path: Path) -> None:
    spec = DurableSpec(UdpSpec(Number(), 0, receive_buffer_bytes=4096), str(tmp_path), max_bytes=1)
    source = spec.open()
    assert isinstance(source, DurableSource)
    with closing(source), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        address = source.inner.address  # type: ignore[union-attr]
        source.seek(None)
        peer.sendto(b"0", address)
        deadline = time.monotonic() + LIMIT
        while not source.lag():
            assert time.monotonic() < deadline
        for _ in range(2000):
            peer.sendto(b"1" * 20, address)
        received = 0
        while not source.lost:
            assert time.monotonic() < deadline
            received += source.poll(1000, 0.05).frame.height
            peer.sendto(b"2", address)
        assert received > 0


def test_lost_datagrams_are_in_the_progress(tmp_path: Path) -> None:
    query = ps.scan_batches([pl.DataFrame({"n": [1]})]).sink_callback(lambda frame: None)
    assert query.start(checkpoint=tmp_path).wait(LIMIT)
    assert [step.rows_lost for step in query.progress().steps] == [0, 0]


def test_a_full_disk_passes_and_nothing_acknowledged_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run fails, is started again until there is room, and the sender repeats what it must."""
    connect, full = Store._connect, True

    def small(store: Store, *, creating: bool = False) -> sqlite3.Connection:
        connection = connect(store, creating=creating)
        if full and "arrivals" in str(store.path):
            connection.execute("PRAGMA max_page_count = 60")
        return connection

    monkeypatch.setattr(Store, "_connect", small)
    port = free_port()
    sender = CarefulSender("s", port, seed=1)
    rows = ps.from_source(AcknowledgingSpec(port))
    query = rows.sink_topic(tmp_path / "out", partitions=1).start(
        checkpoint=tmp_path / "checkpoint",
        checkpoint_interval="1h",  # so that nothing is forgotten, and the disk fills up
        restart=ps.Restart(initial_backoff="20ms", max_backoff="20ms"),
    )
    sender.start()
    deadline = time.monotonic() + LIMIT
    while query.progress().restarts < 2:
        assert time.monotonic() < deadline
        query.wait(0.02)
    assert "full" in str(query.progress().last_error)
    full = False
    sender.finish()
    query.stop()
    wanted = [n for n in range(sender.produced) if n not in sender.bad]
    query.start(checkpoint=tmp_path / "checkpoint")
    assert query.drain(LIMIT)
    found = ps.scan_topic(tmp_path / "out", stop="at end").collect()
    assert found["number"].to_list() == wanted


def test_a_run_that_takes_over_goes_on_with_the_socket_and_its_topic(tmp_path: Path) -> None:
    """The first run notices at its next checkpoint, lets go of port and folder, and ends."""
    port = free_port()
    sender = CarefulSender("s", port, seed=2)
    first, second = (
        ps.from_source(AcknowledgingSpec(port)).sink_topic(tmp_path / "out", partitions=1)
        for _ in range(2)
    )
    first.start(checkpoint=tmp_path / "checkpoint", checkpoint_interval="20ms")
    sender.start()
    deadline = time.monotonic() + LIMIT
    while sender.accepted < 100:
        assert time.monotonic() < deadline
        first.wait(0.02)
    second.start(checkpoint=tmp_path / "checkpoint", checkpoint_interval="20ms", takeover=True)
    with pytest.raises(QueryFailed) as caught:
        first.wait(LIMIT)
    assert isinstance(caught.value.__cause__, FencedError)
    sender.finish()
    second.stop()
    wanted = [n for n in range(sender.produced) if n not in sender.bad]
    second.start(checkpoint=tmp_path / "checkpoint")
    assert second.drain(LIMIT)
    found = ps.scan_topic(tmp_path / "out", stop="at end").collect()
    assert found["number"].to_list() == wanted
