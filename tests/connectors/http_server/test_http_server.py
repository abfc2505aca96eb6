"""The HTTP server source with real clients on the loopback interface."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import testing
from penstock.connectors import registry
from penstock.connectors.contract import Source, promise_acknowledgement
from penstock.connectors.http_server.app import Rates
from penstock.connectors.http_server.config import HttpServerSpec, http_server
from penstock.connectors.http_server.source import HttpServerSource
from penstock.errors import ConfigError, ConnectorError
from tests.connectors import certificates

from .running import LIMIT_S, SCHEMA, Running, raw, received, running, send

NDJSON = "application/x-ndjson"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.mark.parametrize(
    ("content_type", "body", "rows"),
    [
        ("application/json", b'{"a": 1, "b": "x"}', [(1, "x")]),
        ("application/json", b'{\n  "a": 1,\n  "b": "x"\n}\n', [(1, "x")]),
        ("application/json", b'[{"a": 1}, {"a": 2, "b": "]"}]', [(1, None), (2, "]")]),
        ("application/json", b"[]", []),
        ("application/json; charset=utf-8", b'{"a": 1}\n{"a": 2}\n', [(1, None), (2, None)]),
        ("application/vnd.api+json", b'{"a": 3}', [(3, None)]),
        (NDJSON, b'{"a": 1}\n{"a": 2}', [(1, None), (2, None)]),
        (NDJSON, b'\r\n{"a": 1}\r\n\r\n{"a": 2}\r\n', [(1, None), (2, None)]),
        (NDJSON, b"", []),
        ("text/csv", b'b,a,c\nx,1,\n"y ""q""\nz",2,\n', [(1, "x"), (2, 'y "q"\nz')]),
        ("text/csv; header=absent", b"1,x\n,y", [(1, "x"), (None, "y")]),
        ("application/x-www-form-urlencoded", b"b=a+b%26%22&a=7", [(7, 'a b&"')]),
        ("application/x-www-form-urlencoded", b"a=&b=", [(None, "")]),
        ("application/octet-stream", b'{"a": 1}\n', [(1, None)]),
        ("", b'\xef\xbb\xbf{"a": 1}\n', [(1, None)]),
    ],
)
def test_bodies_are_read_as_their_type_says(
    server: Running, content_type: str, body: bytes, rows: list[tuple[Any, ...]]
) -> None:
    before = len(server.rows())
    reply = send(server.address, body, content_type)
    assert (reply.status, reply.json()) == (200, {"accepted": len(rows), "rejected": 0})
    assert server.rows()[before:] == rows


def test_the_format_reads_what_has_no_type_of_its_own() -> None:
    spec = registry.source("http-server:127.0.0.1:0/logs", format="text")
    assert isinstance(spec, HttpServerSpec)
    with running(spec) as found:
        reply = send(found.address, b"one\ntwo", "application/json", path="/logs")
        assert (reply.status, found.rows()) == (200, [("one",), ("two",)])


def test_a_schema_that_only_json_can_hold() -> None:
    spec = http_server(0, schema={"a": pl.List(pl.Int64)})
    with running(spec) as found:
        assert send(found.address, b'{"a": [1]}').status == 200
        assert send(found.address, b"a\n1\n", "text/csv").status == 415


def test_a_request_with_bad_rows_is_refused_whole_with_their_places(server: Running) -> None:
    before = len(server.rows())
    body = b'{"a": 1}\n{"a": "x"}\n\n{"a": 2}\n{"a": \n'
    reply = send(server.address, body, NDJSON)
    assert reply.status == 400
    assert [error["row"] for error in reply.json()["errors"]] == [2, 5]
    assert "x" in reply.json()["errors"][0]["reason"]
    assert (reply.json()["accepted"], reply.json()["rejected"]) == (0, 2)
    csv = send(server.address, b"a,b\n1,x\nz,y\n", "text/csv")
    assert [error["row"] for error in csv.json()["errors"]] == [3]
    array = send(server.address, b'[{"a": 1}, 7]')
    assert [error["row"] for error in array.json()["errors"]] == [2]
    assert server.rows()[before:] == []


def test_a_refused_request_takes_no_other_with_it() -> None:
    source = _opened()
    with closing(source):
        bodies = (b'{"a": 1}\n', b'{"a": "x"}\n', b'{"a": 3}\n')
        futures = [_posting(source, body, NDJSON) for body in bodies]
        _wait_for(lambda: source.lag() == 3)
        polled = source.poll(100, LIMIT_S)
        assert sorted(polled.frame["a"]) == [1, 3]
        source.acknowledge(polled.position)
        assert sorted(thread.status() for thread in futures) == [200, 200, 400]


def test_bad_rows_become_dead_letters() -> None:
    with running(bad_rows="dead letter") as found:
        reply = send(found.address, b'{"a": 1}\n{"a": "x"}\n{"a": 3}\n', NDJSON)
        assert reply.status == 200
        assert (reply.json()["accepted"], reply.json()["rejected"]) == (2, 1)
        assert found.rows() == [(1, None), (3, None)]
        letters = pl.concat(found.dead)
    assert letters["bytes"].to_list() == [b'{"a": "x"}']
    assert letters["position"].item().endswith(" row 2")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'[{"a": 1},'),
        ("application/json", b"[" * 100_000),
        ("text/csv", b"z\n1\n"),
        ("application/x-www-form-urlencoded", b"b=\xff"),
        ("application/x-www-form-urlencoded", b"&a=1" * 20_000),
    ],
)
def test_a_body_that_is_none_is_refused(server: Running, content_type: str, body: bytes) -> None:
    assert send(server.address, body, content_type).status == 400


def test_answers_wait_for_the_acknowledgement() -> None:
    source = _opened()
    with closing(source):
        sender = _posting(source, b'{"a": 1}')
        polled = source.poll(100, LIMIT_S)
        assert polled.frame.height == 1
        assert sender.reply is None
        source.acknowledge({"received": 0, "keys": []})  # of what was before
        assert sender.reply is None
        source.acknowledge(polled.position)
        assert sender.status() == 200


def test_without_a_promise_the_answer_is_202() -> None:
    source = _opened(promised=False)
    with closing(source):
        sender = _posting(source, b'{"a": 1}')
        assert source.poll(100, LIMIT_S).frame.height == 1
        assert sender.status() == 202


def test_metadata_become_columns() -> None:
    with running(metadata=("received", "client", "path"), path="/in") as found:
        send(found.address, b'[{"a": 1}, {"a": 2}]', path="/in")
        send(found.address, b'{"a": 3}', path="/in")
        rows = found.rows()
    assert [row[0] for row in rows] == [1, 2, 3]
    assert all(row[3].startswith("127.0.0.1:") and row[4] == "/in" for row in rows)
    assert abs((datetime.now(UTC) - rows[0][2]).total_seconds()) < 600


def test_only_who_has_a_token_may_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENDER", "s3cret-token")
    with running(token=("other-token", "${env:SENDER}")) as found:
        for headers in (
            {},
            {"Authorization": "Bearer s3cret-toke"},
            {"Authorization": "s3cret-token"},
            {"Authorization": "Bearer \xff"},
        ):
            reply = send(found.address, b'{"a": 1}', headers=headers)
            assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
        for token in ("s3cret-token", "other-token"):
            headers = {"Authorization": f"bearer {token}"}
            assert send(found.address, b'{"a": 1}', headers=headers).status == 200
        assert len(found.rows()) == 2
    with running(token="k", token_header="X-Api-Key") as found:
        assert send(found.address, b"{}", headers={"X-Api-Key": "k"}).status == 200
        assert send(found.address, b"{}", headers={"Authorization": "Bearer k"}).status == 401


def test_requests_to_elsewhere_or_of_another_kind(server: Running) -> None:
    assert send(server.address, b"{}", path="/elsewhere").status == 404
    reply = send(server.address, None, method="GET")
    assert (reply.status, reply.headers["allow"]) == (405, "POST, PUT")
    assert send(server.address, b"{}", method="PUT").status == 200


def test_large_bodies_are_refused() -> None:
    large = b'{"b": "' + b"x" * 3000 + b'"}'
    with running(max_body_bytes=1000) as found:
        assert send(found.address, large).status == 413
        chunked = b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
        chunk = b"%x\r\n%b\r\n" % (len(large), large)
        assert b"413" in raw(found.address, chunked, chunk, chunk, b"0\r\n\r\n")
        bomb = gzip.compress(b"\n" * 10_000_000)
        reply = send(found.address, bomb[:900], headers={"Content-Encoding": "gzip"})
        assert reply.status == 413
        endless = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 99999999999999\r\n\r\n"
        assert b" 413 " in raw(found.address, endless, large * 5)
        expecting = endless[:-2] + b"expect: 100-continue\r\n\r\n"
        assert raw(found.address, expecting).startswith(b"HTTP/1.1 413 ")
        assert send(found.address, b'{"a": 1}').status == 200


def test_packed_bodies(server: Running) -> None:
    before = len(server.rows())
    for coding, data in (
        ("gzip", gzip.compress(b'{"a": 1}')),
        ("deflate", zlib.compress(b'{"a": 2}')),
    ):
        assert send(server.address, data, headers={"Content-Encoding": coding}).status == 200
    assert [row[0] for row in server.rows()[before:]] == [1, 2]
    torn = gzip.compress(b'{"a": 1}')[:-3]
    assert send(server.address, torn, headers={"Content-Encoding": "gzip"}).status == 400
    assert send(server.address, b"x", headers={"Content-Encoding": "br"}).status == 415


def test_more_requests_than_the_rate_have_to_wait() -> None:
    with running(requests_per_second=0.001) as found:
        assert send(found.address, b'{"a": 1}').status == 200
        reply = send(found.address, b'{"a": 2}')
        assert (reply.status, int(reply.headers["retry-after"])) == (429, 1000)


def test_a_rate_allows_what_time_has_brought() -> None:
    rates = Rates(2)
    assert [rates.wait_s("one", 0.0) for _ in range(3)] == [0.0, 0.0, 0.5]
    assert rates.wait_s("two", 0.0) == 0.0
    assert rates.wait_s("one", 0.5) == 0.0
    assert rates.wait_s("one", 0.75) == pytest.approx(0.25)


def test_what_nobody_takes_is_given_back() -> None:
    source = _opened(answer_timeout="50ms")
    with closing(source):
        sender = _posting(source, b'{"a": 1}')
        assert sender.status() == 503
        assert sender.reply is not None
        assert sender.reply.headers["retry-after"] == "1"
        assert source.poll(100, 0.0).frame.is_empty()


def test_too_much_at_once_is_refused() -> None:
    source = _opened(max_body_bytes=1000, max_waiting_bytes=1000)
    with closing(source):
        first = _posting(source, b'{"b": "' + b"x" * 600 + b'"}')
        _wait_for(lambda: source.lag() == 1)
        second = send(source.address, b'{"b": "' + b"y" * 600 + b'"}')
        assert (second.status, second.headers["retry-after"]) == (503, "1")
        polled = source.poll(100, LIMIT_S)
        source.acknowledge(polled.position)
        assert first.status() == 200


def test_too_many_connections_are_refused() -> None:
    with (
        running(max_connections=1) as found,
        socket.create_connection(found.address, LIMIT_S) as one,
    ):
        one.sendall(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}")
        assert one.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert raw(found.address).startswith(b"HTTP/1.1 503 ")


def test_slow_clients_are_closed() -> None:
    with running(body_timeout="100ms", keep_alive="1s") as found:
        assert raw(found.address).startswith(b"HTTP/1.1 408 ")  # says nothing
        assert raw(found.address, b"POST / HT").startswith(b"HTTP/1.1 408 ")
        head = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\n"
        assert raw(found.address, head, b'{"a"').startswith(b"HTTP/1.1 408 ")
        with socket.create_connection(found.address, LIMIT_S) as idle:
            idle.sendall(head.replace(b"100", b"2") + b"{}")
            assert received(idle).startswith(b"HTTP/1.1 200 ")  # and is closed, unused
        assert len(found.rows()) == 1


def test_a_head_that_never_ends_is_cut(server: Running) -> None:
    lines = b"x-%d: " + b"y" * 1000 + b"\r\n"
    many = (lines % n for n in range(100))
    assert b" 431 " in raw(server.address, b"POST / HTTP/1.1\r\nhost: h\r\n", *many)
    long = raw(server.address, b"POST / HTTP/1.1\r\nx: ", b"y" * 200_000)
    assert b" 431 " in long or b" 400 " in long


def test_a_client_that_has_said_everything_may_wait_for_its_answer(server: Running) -> None:
    request = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 8\r\n\r\n" + b'{"a": 4}'
    assert raw(server.address, request, shut=True).startswith(b"HTTP/1.1 200 ")
    before = len(server.rows())
    assert raw(server.address, request[:-3], shut=True) == b""
    assert send(server.address, b"[]").status == 200
    assert len(server.rows()) == before


def test_requests_behind_each_other_on_one_connection(server: Running) -> None:
    before = len(server.rows())
    one = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 8\r\n\r\n" + b'{"a": %d}'
    last = one.replace(b"host: h", b"host: h\r\nconnection: close")
    replies = raw(server.address, one % 1 + one % 2 + last % 3)
    assert replies.count(b"HTTP/1.1 200 OK") == 3
    assert [row[0] for row in server.rows()[before:]] == [1, 2, 3]


def test_a_repeated_key_adds_nothing() -> None:
    key = {"Idempotency-Key": "order 17"}
    with running() as found:
        first = send(found.address, b'[{"a": 1}, {"a": 2}]', headers=key)
        again = send(found.address, b'[{"a": 1}, {"a": 2}]', headers=key)
        other = send(found.address, b'{"a": 3}', headers=key)
        position = found.positions[-1]
        assert len(found.rows()) == 2
    assert (first.status, again.status, other.status) == (200, 200, 422)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert "order 17" not in json.dumps(position)
    with running(position=position) as found:
        once_more = send(found.address, b'[{"a": 1}, {"a": 2}]', headers=key)
        assert (once_more.status, once_more.json(), found.rows()) == (200, first.json(), [])
        assert send(found.address, b"{}", headers={"Idempotency-Key": "k" * 300}).status == 400


def test_keys_beyond_the_newest_are_forgotten() -> None:
    with running(idempotency_keys=2) as found:
        for key in ("1", "2", "3", "1", "3"):
            assert send(found.address, b"{}", headers={"Idempotency-Key": key}).status == 200
        assert len(found.rows()) == 4
    with running(idempotency_keys=0) as found:
        for _ in range(2):
            send(found.address, b"{}", headers={"Idempotency-Key": "1"})
        assert len(found.rows()) == 2


def test_two_requests_with_one_key_at_once() -> None:
    source = _opened()
    with closing(source):
        both = [_posting(source, b'{"a": 1}', headers={"Idempotency-Key": "k"}) for _ in range(2)]
        _wait_for(lambda: source.lag() == 2)
        first, second = source.poll(100, LIMIT_S), source.poll(100, LIMIT_S)
        assert (first.frame.height, second.frame.height) == (1, 0)
        assert [sender.reply for sender in both] == [None, None]
        source.acknowledge(second.position)
        assert [sender.status() for sender in both] == [200, 200]


def test_a_large_request_is_stored_in_pieces_and_goes_on_after_a_crash() -> None:
    body = b"".join(b'{"a": %d}\n' % n for n in range(10)) + b'{"a": "x"}\n'
    key = {"Idempotency-Key": "large"}
    source = _opened(bad_rows="dead letter")
    with closing(source):
        _posting(source, body, NDJSON, headers=key)
        _wait_for(lambda: source.lag() == 1)
        polls = [source.poll(4, LIMIT_S) for _ in range(2)]
        position = json.loads(json.dumps(polls[-1].position))
    assert [p.frame.height + (0 if p.dead is None else p.dead.height) for p in polls] == [4, 4]
    with running(position=position, bad_rows="dead letter") as found:
        reply = send(found.address, body, NDJSON, headers=key)
        assert (reply.status, reply.json()["accepted"], reply.json()["rejected"]) == (200, 10, 1)
        rest = [row[0] for row in found.rows()]
    assert [n for p in polls for n in p.frame["a"]] + rest == list(range(10))


def test_after_the_close_what_was_taken_is_still_answered() -> None:
    source = _opened()
    sender = _posting(source, b'{"a": 1}')
    _wait_for(lambda: source.lag() == 1)
    source.close()
    with pytest.raises(OSError):
        socket.create_connection(source.address, 1).close()
    polled = source.poll(100, 0.0)
    source.acknowledge(polled.position)
    assert (polled.frame.height, sender.status()) == (1, 200)


def test_it_keeps_the_contract_of_sources() -> None:
    lines = b"".join(b'{"a": %d, "b": "%d"}\n' % (n, n) for n in range(50))

    @contextmanager
    def feed(source: Source) -> Iterator[None]:
        assert isinstance(source, HttpServerSource)
        sender = _posting(source, lines, NDJSON)
        yield
        sender.join(LIMIT_S)

    testing.check_source(
        lambda: http_server(0, schema=SCHEMA, token="s3cret"),
        rows=0,
        secrets=["s3cret"],
    )
    testing.check_source(
        lambda: http_server(0, schema=SCHEMA),
        rows=50,
        feed=feed,
        expected=pl.DataFrame({"a": range(50), "b": [str(n) for n in range(50)]}),
    )


@given(st.lists(st.binary(max_size=200), max_size=5))
@settings(max_examples=25, deadline=None)
def test_garbage_harms_nobody(server: Running, pieces: list[bytes]) -> None:
    raw(server.address, *pieces, shut=True)
    assert send(server.address, b'{"a": 1}').status == 200


@given(
    st.binary(max_size=300),
    st.sampled_from(
        [
            "application/json",
            NDJSON,
            "text/csv",
            "application/x-www-form-urlencoded",
            "x/y",
            "\x7f;",
        ]
    ),
)
@settings(max_examples=40, deadline=None)
def test_any_body_is_taken_or_refused(server: Running, body: bytes, content_type: str) -> None:
    before = len(server.rows())
    reply = send(server.address, body, content_type)
    assert reply.status in (200, 400)
    assert len(server.rows()) - before == reply.json().get("accepted", 0)


def test_tls(tmp_path: Path) -> None:
    files = certificates.made(tmp_path)
    with running(certificate=files.certificate, certificate_key=files.key) as found:
        context = ssl.create_default_context(cafile=files.certificate)
        assert send(found.address, b'{"a": 1}', context=context).status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            send(found.address, b"{}", context=ssl.create_default_context())
        assert raw(found.address, b"POST / HTTP/1.1\r\n\r\n")[:4] != b"HTTP"
    with pytest.raises(ConfigError, match="certificates cannot be read"):
        http_server(0, schema=SCHEMA, certificate=str(tmp_path / "none.pem")).open()


def test_wrong_options() -> None:
    for options, message in (
        ({"path": "x"}, "begins with /"),
        ({"max_body_bytes": 0}, "not a size"),
        ({"requests_per_second": 0}, "must be positive"),
        ({"idempotency_keys": -1}, "cannot be negative"),
        ({"metadata": "colour"}, "have no 'colour'"),
        ({"bad_rows": "maybe"}, "cannot be 'maybe'"),
        ({"ca": "x.pem"}, "shows a certificate"),
        ({"token_heeder": "x"}, "no option"),
    ):
        with pytest.raises(ConfigError, match=message):
            http_server(0, schema=SCHEMA, **options)
    with running() as found:
        taken = http_server(found.address[1], schema=SCHEMA)
        with pytest.raises(ConnectorError, match="cannot listen"):
            taken.open()


class _Posting(threading.Thread):
    """A request on its way; ``reply`` when it is answered."""

    def __init__(self, address: tuple[str, int], body: bytes, kind: str, headers: Any) -> None:
        super().__init__(daemon=True)
        self._request = (address, body, kind, headers)
        self.reply: Any = None

    def run(self) -> None:
        address, body, kind, headers = self._request
        try:
            self.reply = send(address, body, kind, headers=headers)
        except OSError as error:  # the server was closed
            self.reply = error

    def status(self) -> int:
        self.join(LIMIT_S)
        return int(self.reply.status)


def _posting(
    source: HttpServerSource, body: bytes, kind: str = "application/json", headers: Any = None
) -> _Posting:
    thread = _Posting(source.address, body, kind, headers)
    thread.start()
    return thread


def _opened(*, promised: bool = True, **options: Any) -> HttpServerSource:
    source = http_server(0, schema=SCHEMA, **options).open()
    assert isinstance(source, HttpServerSource)
    if promised:
        promise_acknowledgement(source)
    source.seek(None)
    return source


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
