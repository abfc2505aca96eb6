"""Every registered source and format keeps the contract; one without a check fails here."""

from __future__ import annotations

import contextlib
import inspect
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from penstock.connectors import registry
from penstock.connectors.batches.config import BatchesSpec
from penstock.connectors.contract import SourceSpec
from penstock.connectors.durable.config import DurableSpec, Sync
from penstock.connectors.formats.registry import FORMATS
from penstock.testing import Action, check_source, refused, rows, scripted_spec
from penstock.testing import end as the_end
from penstock.topics import Topic
from tests.connectors.http import test_polling, test_sse
from tests.connectors.http_server import test_http_server
from tests.connectors.senders import free_port
from tests.connectors.websocket import test_websocket

Check = Callable[[Path], None]

LINES = [b'{"n": %d, "t": "r%d"}' % (n, n) for n in range(20)]
LINES[7], LINES[13] = b"{oops", b'{"n": "x"}'
JSON = {"n": pl.Int64(), "t": pl.String()}


def lines_in(path: Path) -> Path:
    path.write_bytes(b"\n".join(LINES) + b"\n")
    return path


def check_files(folder: Path) -> None:
    path = lines_in(folder / "a.ndjson")
    check_source(lambda: registry.source(f"file:{path}", schema=JSON))
    lines_in(folder / "b.ndjson")
    check_source(lambda: registry.source(f"file:{folder}/*.ndjson", schema=JSON))
    table = pl.DataFrame({"n": range(50), "s": [None, "é"] * 25})
    table.write_parquet(folder / "t.parquet", row_group_size=7)
    check_source(lambda: registry.source(f"file:{folder}/t.parquet"), expected=table)
    table.write_ipc(folder / "t.arrow")
    check_source(lambda: registry.source(f"file:{folder}/t.arrow"), expected=table)


def check_folder(folder: Path) -> None:
    for name in "ab":
        lines_in(folder / f"{name}.ndjson")
    check_source(
        lambda: registry.source(f"folder:{folder}/*.ndjson", schema=JSON, settle=timedelta(0)),
        rows=2 * len(LINES),
    )


def check_tail(folder: Path) -> None:
    path = lines_in(folder / "log")
    check_source(
        lambda: registry.source(f"tail:{path}", format="json", schema=JSON), rows=len(LINES)
    )


def check_rate(folder: Path) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    check_source(lambda: registry.source("rate:", total=30, start=start))
    check_source(lambda: registry.source("rate:1000000", start=start), rows=30)


def check_ticks(folder: Path) -> None:
    check_source(lambda: registry.source("ticks:10ms"), rows=3)


def check_topic(folder: Path) -> None:
    topic = Topic.create(str(folder / "typed"), partitions=3, schema=pl.Schema({"n": pl.Int64}))
    for start in (0, 10):
        topic.append(pl.DataFrame({"n": range(start, start + 10)}))
    topic.close()
    expected = pl.DataFrame({"n": range(20)})
    check_source(lambda: registry.source(f"topic:{folder}/typed"), rows=20)
    check_source(lambda: registry.source(f"topic:{folder}/typed", stop="at end"), expected=expected)


@contextlib.contextmanager
def connected(port: int) -> Iterator[None]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
        peer.sendall(b"\n".join(LINES) + b"\n")
        yield


def check_tcp(folder: Path) -> None:
    port = free_port()
    check_source(
        lambda: registry.source(f"tcp:127.0.0.1:{port}", format="json", schema=JSON),
        rows=len(LINES),
        feed=lambda source: connected(port),
    )


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """Send the lines to whoever connects, and hold the connection until the peer closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):  # the listener was shut down
                while True:
                    peer, _ = listener.accept()
                    with peer, contextlib.suppress(OSError):
                        peer.sendall(b"\n".join(LINES) + b"\n")
                        peer.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def check_tcp_connect(folder: Path) -> None:
    with serving() as port:
        check_source(
            lambda: registry.source(f"tcp-connect:127.0.0.1:{port}", format="json", schema=JSON),
            rows=len(LINES),
            feed=lambda source: contextlib.nullcontext(),
        )


@contextlib.contextmanager
def sending(port: int) -> Iterator[None]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for line in LINES:
            peer.sendto(line, ("127.0.0.1", port))
        yield


def check_udp(folder: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    check_source(
        lambda: registry.source(f"udp:127.0.0.1:{port}", format="json", schema=JSON),
        rows=len(LINES),
        feed=lambda source: sending(port),
    )


CHECKS: dict[str, Check] = {
    "file": check_files,
    "folder": check_folder,
    "rate": check_rate,
    "tail": check_tail,
    "tcp": check_tcp,
    "tcp-connect": check_tcp_connect,
    "ticks": check_ticks,
    "topic": check_topic,
    "udp": check_udp,
}


WITH_SERVERS = {"amqp", "kafka", "mqtt", "nats", "rabbitmq", "redis"}
"""Checked in tests/systems, by ``make test-connectors``."""

ELSEWHERE: dict[str, Callable[[], None]] = {
    "http": test_polling.test_it_keeps_the_contract_of_sources,
    "http-server": test_http_server.test_it_keeps_the_contract_of_sources,
    "https": test_polling.test_it_keeps_the_contract_of_sources,
    "sse": test_sse.test_it_keeps_the_contract_of_sources,
    "websocket": test_websocket.test_it_keeps_the_contract_of_sources,
    "websocket-server": test_websocket.test_it_keeps_the_contract_of_sources,
    "ws": test_websocket.test_it_keeps_the_contract_of_sources,
    "wss": test_websocket.test_it_keeps_the_contract_of_sources,
}
"""Checked beside the server of their own tests, which runs them."""


@pytest.mark.parametrize("scheme", sorted(ELSEWHERE))
def test_a_source_that_is_checked_elsewhere_is_checked(scheme: str) -> None:
    assert "check_source(" in inspect.getsource(ELSEWHERE[scheme])


@pytest.mark.parametrize("scheme", sorted(set(registry.SOURCES) - WITH_SERVERS - set(ELSEWHERE)))
def test_a_registered_source_keeps_the_contract(scheme: str, tmp_path: Path) -> None:
    assert scheme in CHECKS, f"add a check of source {scheme!r} to {Path(__file__).name}"
    CHECKS[scheme](tmp_path)


def test_frames_from_python_keep_the_contract() -> None:
    frames = [pl.DataFrame({"n": [1, 2, 3]}), pl.DataFrame({"n": [4]})]
    check_source(lambda: BatchesSpec(frames), expected=pl.concat(frames))
    check_source(lambda: BatchesSpec(iter(frames)))


SCRIPT: dict[int, list[Action]] = {
    0: [rows({"n": [1, 2, 3]}), refused((b"?", "odd"), (b"!", "loud")), rows({"n": []}), the_end()],
    3: [rows({"n": [4]}), rows({"n": [5, 6]}), the_end()],
}


@pytest.mark.parametrize("whole", [True, False])
def test_scripted_sources_keep_the_contract(whole: bool) -> None:
    schema = {"n": pl.Int64}
    check_source(
        lambda: scripted_spec("s", schema, script=SCRIPT, frame_is_epoch=whole),
        expected=pl.DataFrame({"n": range(1, 7)}),
    )
    unended = {n: actions[:-1] for n, actions in SCRIPT.items()}
    check_source(lambda: scripted_spec("s", schema, script=unended, frame_is_epoch=whole), rows=8)


@pytest.mark.parametrize("sync", list(Sync))
def test_a_durable_source_keeps_the_contract(sync: Sync, tmp_path: Path) -> None:
    """What it has put into its topic is read again from there, with nothing more to come."""
    schema = {"n": pl.Int64}
    brings: list[Action] = [rows({"n": [1, 2, 3]}), refused((b"?", "odd")), rows({"n": [4, 5]})]

    def make(script: list[Action]) -> SourceSpec:
        return scripted_spec("s", schema, script=script, replayable=False, frame_is_epoch=False)

    folder, silent = str(tmp_path / "kept"), make([])
    source, count = DurableSpec(make(brings), folder, sync=sync).open(), 0
    source.seek(None)
    while count < 6:
        polled = source.poll(2, 5)
        count += polled.frame.height + (0 if polled.dead is None else polled.dead.height)
    source.close()
    check_source(
        lambda: DurableSpec(silent, folder, sync=sync),
        rows=6,
        expected=pl.DataFrame({"n": range(1, 6)}),
        exclusive=True,
    )


ACCESS = (
    b'127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 2326',
    b' "http://ref/" "agent"',
)
FORMAT_SAMPLES: dict[str, tuple[dict[str, Any], bytes, bytes]] = {
    "json": ({"schema": JSON}, b'{"n": 1, "t": "a"}', b"{"),
    "avro": ({"schema": {"a": int}}, b"\x02\x02", b"\xff"),
    "protobuf": ({"schema": 'syntax = "proto3"; message A { int64 a = 1; }'}, b"\x08\x07", b"\xff"),
    "msgpack": ({"schema": {"a": int}}, b"\x81\xa1a\x01", b"\xc1"),
    "csv": ({"schema": JSON, "header": False}, b'1,"a"', b"x,a"),
    "combined_log": ({}, b"".join(ACCESS), b"-"),
    "common_log": ({}, ACCESS[0], b"-"),
    "logfmt": ({"schema": JSON}, b"n=1 t=a", b"n=x"),
    "syslog": (
        {"year": 2003},
        b"<34>1 2003-10-11T22:14:15.003Z host su - ID47 - failed",
        b"<34>",
    ),
    "regex": ({"pattern": r"(?P<n>\d+)"}, b"12", b"x"),
    "text": ({}, b"a text", b"\xff\xfe"),
}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_registered_format_keeps_the_contract(name: str, tmp_path: Path) -> None:
    """Read from a file: row errors stay with their row however the polls are cut."""
    assert name in FORMAT_SAMPLES, f"add a sample of format {name!r} to {Path(__file__).name}"
    options, good, bad = FORMAT_SAMPLES[name]
    path = tmp_path / "lines"
    path.write_bytes(b"\n".join([good, bad, good, good, bad, bad, good, good]) + b"\n")

    def make() -> SourceSpec:
        return registry.source(f"file:{path}", format=name, **options)

    check_source(make)
