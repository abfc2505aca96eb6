"""Rows posted to a real server, which keeps what comes under a new key."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock import testing
from penstock.columns import WEIGHT
from penstock.connectors.contract import Accepts, SinkIdentity
from penstock.connectors.http.sending import BodyFormat, Encoding
from penstock.connectors.http.sink import HttpSink
from penstock.connectors.http.sink_config import http_sink
from penstock.errors import ConfigError, ConnectorError
from tests.connectors import certificates

from .servers import Asked, Said, Server, serving

QUICK = {"backoff": "1ms", "max_backoff": "2ms"}
WHO = SinkIdentity("orders", 1)


def numbers(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"n": values}, schema={"n": pl.Int64})


def opened(url: str, **options: Any) -> HttpSink:
    sink = http_sink(url, **QUICK | options).open()
    assert isinstance(sink, HttpSink)
    sink.begin(WHO)
    return sink


class Receiver:
    """Refuses rows that are below zero; ``troubles`` come first; a key counts once."""

    def __init__(self, *troubles: Said) -> None:
        self.troubles = list(troubles)
        self.by_key: dict[str, list[int]] = {}
        self.bodies: dict[str, bytes] = {}

    def __call__(self, asked: Asked) -> Said:
        key = asked.headers.get("idempotency-key", f"none-{len(self.bodies)}")
        assert self.bodies.setdefault(key, asked.body) == asked.body  # the same key, the same body
        found = json.loads(asked.body)
        rows = [row["n"] for row in (found if isinstance(found, list) else [found])]
        if self.troubles:
            trouble = self.troubles.pop(0)
            if trouble.cut:  # taken, and the answer is lost
                self.by_key[key] = rows
            return trouble
        if any(n < 0 for n in rows):
            return Said(422, b"a negative number")
        self.by_key[key] = rows
        return Said(201)

    def rows(self) -> list[int]:
        return sorted(n for rows in self.by_key.values() for n in rows)


def test_batches_have_keys_of_their_epoch_and_rows() -> None:
    receiver = Receiver()
    with serving(receiver) as server, closing(opened(server.url, batch_rows=3)) as sink:
        sink.apply(7, [numbers(1, 2), numbers(), numbers(3, 4, 5, 6, 7)])
        assert list(receiver.by_key) == ["orders-7-0-3", "orders-7-3-3", "orders-7-6-1"]
        assert list(receiver.by_key.values()) == [[1, 2, 3], [4, 5, 6], [7]]
        assert server.asked[0].headers["content-type"] == "application/json"


@given(st.lists(st.integers(0, 9), max_size=6), st.integers(1, 5))
def test_keys_and_bodies_do_not_depend_on_the_frames(cuts: list[int], most: int) -> None:
    encoding = Encoding("test", BodyFormat.JSON, most, with_weight=False)
    whole = numbers(*range(sum(cuts)))
    frames, start = [], 0
    for size in cuts:
        frames.append(whole[start : start + size])
        start += size
    made = [
        [(b.key("s"), encoding.body(b)) for b in encoding.batches(3, f)] for f in (frames, [whole])
    ]
    assert made[0] == made[1]


def test_an_epoch_that_comes_again_comes_under_the_same_keys() -> None:
    receiver = Receiver(Said(503), Said(cut=True), Said(429, headers={"Retry-After": "0"}))
    with serving(receiver) as server:
        for _ in range(2):
            with closing(opened(server.url, batch_rows=2)) as sink:
                sink.apply(4, [numbers(1, 2, 3)])
        assert receiver.rows() == [1, 2, 3]
        assert len(server.asked) == 7


def test_rows_that_are_refused_are_dead_letters_and_the_others_arrive() -> None:
    receiver = Receiver()
    with serving(receiver) as server, closing(opened(server.url, batch_rows=50)) as sink:
        values = [-n if n in (3, 4, 70) else n for n in range(100)]
        sink.apply(1, [numbers(*values)])
        refused = sink.refused(1)
        assert refused is not None
        assert refused["bytes"].to_list() == [b'{"n":-3}', b'{"n":-4}', b'{"n":-70}']
        assert set(refused["reason"]) == {"the server answered 422 Unprocessable Entity"}
        assert receiver.rows() == [n for n in values if n >= 0]
        sink.apply(2, [numbers(1)])
        assert sink.refused(2) is None
        assert len(server.asked) < 50


@pytest.mark.parametrize("status", [302, 401, 403, 404, 409, 415])
def test_other_refusals_end_the_run(status: int) -> None:
    with serving(lambda _: Said(status, b"secret text")) as server:
        with closing(opened(server.url)) as sink, pytest.raises(ConnectorError) as caught:
            sink.apply(1, [numbers(1)])
        assert len(server.asked) == 1
    assert not caught.value.retry
    assert "secret text" not in str(caught.value)


def test_a_server_that_does_not_come_back_in_time_is_left_to_the_restart() -> None:
    with serving(lambda _: Said(503)) as server:
        with (
            closing(opened(server.url, retry_for="20ms")) as sink,
            pytest.raises(ConnectorError) as caught,
        ):
            sink.apply(1, [numbers(1)])
        assert server.asked
    assert caught.value.retry
    with (
        closing(opened(server.url, retry_for="20ms")) as sink,
        pytest.raises(ConnectorError) as caught,
    ):
        sink.apply(1, [numbers(1)])
    assert caught.value.retry


def test_formats() -> None:
    said: dict[str, list[bytes]] = {}
    with serving(lambda _: Said()) as server:
        for form in ("json", "ndjson", "row", "csv"):
            before = len(server.asked)
            with closing(opened(server.url, format=form, method="put")) as sink:
                sink.apply(1, [pl.DataFrame({"a": [1, None], "b": ["x\n", '"']})])
            said[form] = [asked.body for asked in server.asked[before:]]
        assert {asked.method for asked in server.asked} == {"PUT"}
    rows = [{"a": 1, "b": "x\n"}, {"a": None, "b": '"'}]
    assert json.loads(said["json"][0]) == rows
    assert [json.loads(line) for line in said["ndjson"][0].splitlines()] == rows
    assert [json.loads(body) for body in said["row"]] == rows
    assert said["csv"] == [b'a,b\n1,"x\n"\n,""""\n']


def test_changes_are_refused_or_have_their_weight() -> None:
    frame = numbers(1, 2).with_columns(pl.Series(WEIGHT, [-1, 1]))
    with serving(lambda _: Said()) as server:
        with closing(opened(server.url)) as sink, pytest.raises(ConnectorError, match="changes"):
            sink.apply(1, [frame])
        with closing(opened(server.url, changes="weight")) as sink:
            sink.apply(1, [frame])
        assert json.loads(server.asked[-1].body) == [{"n": 1, WEIGHT: -1}, {"n": 2, WEIGHT: 1}]
    assert http_sink("http://h", changes="weight").accepts is Accepts.CHANGES


def test_requests_keep_to_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    with serving(lambda _: Said()) as server:
        with closing(opened(server.url, format="row", requests_per_second=0.5)) as sink:
            monkeypatch.setattr(sink._closed, "wait", lambda seconds: waits.append(seconds))
            sink.apply(1, [numbers(1, 2, 3)])
        assert len(server.asked) == 3
    assert [round(wait) for wait in waits] == [2, 4]


def test_a_pipeline_whose_server_is_killed_and_comes_back(tmp_path: Any) -> None:
    receiver = Receiver(Said(cut=True), Said(503))
    first = Server(receiver)
    query = (
        ps.scan_rate(total=3000)
        .select(n="offset")
        .sink_http(first.url, batch_rows=100, timeout="3s", **QUICK)
    )
    running = query.start(checkpoint=tmp_path / "checkpoint")
    with first.changed:
        first.changed.wait_for(lambda: len(first.asked) >= 5, 60)
    first.close()
    with serving(receiver, first.port):
        assert running.wait(240)
    assert receiver.rows() == list(range(3000))


def test_dead_letters_of_a_pipeline() -> None:
    rows = pl.DataFrame({"n": [1, -2, 3]})
    with serving(Receiver()) as server:
        query = ps.scan_batches([rows]).sink_http(server.url, **QUICK)
        running = query.start()
        assert running.wait(60)
        assert running.progress().dead_letters == 1


def test_tls(tmp_path: Any) -> None:
    import ssl

    good, ended = certificates.made(tmp_path), certificates.made(tmp_path, days=1)
    for files, fits in ((good, True), (ended, False)):
        with serving(lambda _: Said()) as server:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(files.certificate, files.key)
            listener = server._server
            listener.socket = context.wrap_socket(listener.socket, server_side=True)
            url = server.url.replace("http:", "https:")
            if fits:
                with closing(opened(url, ca=files.certificate)) as sink:
                    sink.apply(1, [numbers(1)])
            for options in ({}, {} if fits else {"ca": files.certificate}):
                sink = opened(url, **options)
                with closing(sink), pytest.raises(ConnectorError, match="certificate") as caught:
                    sink.apply(1, [numbers(1)])
                assert not caught.value.retry


def test_it_keeps_the_contract_of_sinks() -> None:
    kept: dict[str, dict[str, list[dict[str, Any]]]] = {}

    def answers(asked: Asked) -> Said:
        rows = [json.loads(line) for line in asked.body.splitlines()]
        key = asked.headers.get("idempotency-key", str(len(kept)))
        kept.setdefault(asked.path[1:], {})[key] = rows
        return Said()

    def read(target: str) -> list[dict[str, Any]]:
        return [row for rows in kept.get(target, {}).values() for row in rows]

    with serving(answers) as server:
        for changes in ("refuse", "weight"):
            testing.check_sink(
                lambda target, changes=changes: http_sink(
                    f"{server.url}/{target}",
                    format="ndjson",
                    changes=changes,
                    token="s3cret-token",
                ),
                read if changes == "refuse" else None,
                stored=as_json,
                secrets=["s3cret-token"],
            )


def as_json(name: str, value: Any) -> Any:
    """Return a value as JSON gives it back."""
    if name == "k":
        return value
    written = pl.DataFrame({"v": pl.Series([value], dtype=testing.edge_values().schema[name])})
    return json.loads(written.write_ndjson())["v"]


def test_wrong_options() -> None:
    for options, message in (
        ({"url": "sqlite://x"}, "no URL"),
        ({"format": "xml"}, "cannot be 'xml'"),
        ({"method": "get"}, "cannot be sent by 'GET'"),
        ({"batch_rows": 0}, "must be positive"),
        ({"requests_per_second": 0}, "must be positive"),
        ({"poison": (500,)}, "rows are at fault"),
        ({"key_header": "a:b"}, "no name of a header"),
        ({"colour": 1}, "no option 'colour'"),
    ):
        with pytest.raises(ConfigError, match=message):
            http_sink(**{"url": "http://h/x", **options})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="cannot hold"):
        http_sink("http://h").validate(pl.Schema({"a": pl.Binary}))
    with pytest.raises(ConfigError, match="_weight"):
        http_sink("http://h", changes="weight").validate(pl.Schema({WEIGHT: pl.Int64}))
