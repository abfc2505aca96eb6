"""Pages of rows, asked for from a real server on the loopback interface."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock import testing
from penstock.connectors.contract import Polled, Source
from penstock.connectors.http.config import http
from penstock.connectors.http.failures import retry_after_s
from penstock.connectors.http.pages import Answer, Pages, Paging, Place, turn, with_parameters
from penstock.errors import ConfigError, ConnectorError

from .servers import Asked, Said, serving

LIMIT_S = 60.0
SCHEMA = {"n": pl.Int64}
QUICK = {"interval": "1ms", "backoff": "1ms", "max_backoff": "2ms"}


def objects(*numbers: int) -> bytes:
    return json.dumps([{"n": n} for n in numbers]).encode()


def read(source: Source, done: Callable[[list[int]], bool]) -> tuple[list[int], list[Polled]]:
    found: list[int] = []
    polls: list[Polled] = []
    deadline = time.monotonic() + LIMIT_S
    while not done(found):
        assert time.monotonic() < deadline, found
        polls.append(source.poll(1000, 0.1))
        found += polls[-1].frame["n"].to_list()
    return found, polls


def paged(numbers: list[int], size: int) -> Callable[[Asked], Said]:
    """Answer in every style at once: each sees what it looks for."""

    def answers(asked: Asked) -> Said:
        start = int(asked.query.get("offset", "0"))
        if "page" in asked.query:
            start = (int(asked.query["page"]) - 1) * size
        if "cursor" in asked.query:
            start = int(asked.query["cursor"][1:])
        rows = [{"n": n} for n in numbers[start : start + size]]
        document: dict[str, Any] = {"data": {"items": rows}}
        headers = {}
        if start + size < len(numbers):
            document |= {"next": f"/?offset={start + size}", "meta": {"after": f"c{start + size}"}}
            headers["Link"] = f'</?offset=0>; rel="first", </?offset={start + size}>; rel="next"'
        return Said(200, json.dumps(document).encode(), headers)

    return answers


STYLES: list[dict[str, Any]] = [
    {"pages": "link"},
    {"pages": "next"},
    {"pages": "cursor", "next_field": "meta.after"},
    {"pages": "number", "size": 3},
    {"pages": "offset"},
]


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style["pages"])
def test_pages_lead_to_each_other(style: dict[str, Any]) -> None:
    with serving(paged(list(range(10)), 3)) as server:
        rows = ps.scan_http(
            server.url, schema=SCHEMA, rows_field="data.items", stop="at end", **style
        ).collect()
    assert rows["n"].to_list() == list(range(10))


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style["pages"])
def test_rows_that_come_later_are_found_and_nothing_comes_twice(style: dict[str, Any]) -> None:
    numbers = list(range(7))
    with serving(paged(numbers, 3)) as server:
        spec = http(server.url, schema=SCHEMA, rows_field="data.items", **style, **QUICK)
        with closing(spec.open()) as source:
            source.seek(None)
            found, polls = read(source, lambda rows: len(rows) >= 7)
            for more in range(7, 20):
                numbers.append(more)
                found += read(source, lambda rows: bool(rows))[0]
        position = json.loads(json.dumps(polls[-1].position))
        with closing(spec.open()) as source:
            source.seek(position)
            again, _ = read(source, lambda rows: len(rows) >= 13)
    assert found == list(range(20))
    assert again == list(range(7, 20))


def test_a_position_within_a_page() -> None:
    with serving(paged(list(range(5)), 3)) as server:
        spec = http(
            server.url, schema=SCHEMA, rows_field="data.items", pages="offset", stop="at end"
        )
        for most in range(1, 5):
            with closing(spec.open()) as source:
                source.seek(None)
                first = source.poll(most, LIMIT_S)
            with closing(spec.open()) as source:
                source.seek(json.loads(json.dumps(first.position)))
                rest, _ = read(source, lambda rows, n=5 - first.frame.height: len(rows) >= n)
            assert first.frame["n"].to_list() + rest == list(range(5))


def test_etags_spare_what_has_not_changed() -> None:
    versions = iter([("v1", objects(1)), ("v2", objects(2, 3))])
    now = next(versions)

    def answers(asked: Asked) -> Said:
        nonlocal now
        if asked.headers.get("if-none-match") == now[0]:
            now = next(versions, now)
            return Said(304)
        return Said(200, now[1], {"ETag": now[0], "Last-Modified": "Fri, 20 Nov 2026 10:00:00 GMT"})

    with (
        serving(answers) as server,
        closing(http(server.url, schema=SCHEMA, **QUICK).open()) as source,
    ):
        source.seek(None)
        found, _ = read(source, lambda rows: len(rows) >= 3)
        conditional = [each.headers for each in server.asked if "if-none-match" in each.headers]
    assert found == [1, 2, 3]
    assert conditional[0]["if-modified-since"] == "Fri, 20 Nov 2026 10:00:00 GMT"


def test_failures_that_pass_are_waited_for() -> None:
    troubles = iter([Said(503), Said(cut=True), Said(429, headers={"Retry-After": "0"}), Said(500)])
    with serving(lambda _: next(troubles, Said(200, objects(7)))) as server:
        spec = http(server.url, schema=SCHEMA, stop="at end", **QUICK)
        with closing(spec.open()) as source:
            source.seek(None)
            found, _ = read(source, bool)
        assert (found, len(server.asked)) == ([7], 5)


def test_a_server_that_comes_back() -> None:
    with serving(lambda _: Said(200, objects(1))) as server:
        port = server.port
        spec = http(server.url, schema=SCHEMA, **QUICK)
        source = spec.open()
        source.seek(None)
        read(source, bool)
    with closing(source), serving(lambda _: Said(200, objects(2)), port):
        read(source, lambda rows: 2 in rows)


@pytest.mark.parametrize("status", [301, 401, 403, 404, 418])
def test_failures_that_somebody_has_to_settle(status: int) -> None:
    with serving(lambda _: Said(status, b"secret text")) as server:
        source = http(server.url, schema=SCHEMA, **QUICK).open()
        with closing(source):
            source.seek(None)
            with pytest.raises(ConnectorError, match=str(status)) as caught:
                read(source, bool)
    assert not caught.value.retry
    assert "secret text" not in str(caught.value)


def test_a_token_is_not_sent_to_another_server() -> None:
    elsewhere = {"Link": '<http://localhost:1/steal>; rel="next"'}
    with serving(lambda _: Said(200, objects(1), elsewhere)) as server:
        source = http(server.url, schema=SCHEMA, pages="link", token="s3cret-token").open()
        with closing(source):
            source.seek(None)
            with pytest.raises(ConnectorError, match="another server"):
                read(source, lambda rows: len(rows) > 1)


def test_what_identifies_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "s3cret-token")
    with serving(lambda _: Said(200, objects(1))) as server:
        options = {"headers": {"X-Tenant": "7"}, "token": "${env:API_TOKEN}"}
        ps.scan_http(server.url, schema=SCHEMA, stop="at end", **options).collect()
        ps.scan_http(server.url, schema=SCHEMA, stop="at end", user="me", password="pw12").collect()
        first, second = server.asked
    assert (first.headers["x-tenant"], first.headers["authorization"]) == (
        "7",
        "Bearer s3cret-token",
    )
    assert second.headers["authorization"] == "Basic bWU6cHcxMg=="


def test_an_answer_that_is_too_large_or_no_json() -> None:
    for body, message in ((b" " * 5000, "more than 1000 bytes"), (b'{"a":', "not the JSON")):
        with serving(lambda _, body=body: Said(200, body)) as server:
            spec = http(server.url, schema=SCHEMA, rows_field="a", max_answer_bytes=1000)
            with closing(spec.open()) as source:
                source.seek(None)
                with pytest.raises(ConnectorError, match=message):
                    read(source, bool)


def test_bad_rows_are_dead_letters_and_lines_are_rows() -> None:
    with serving(lambda _: Said(200, b'[{"n": 1}, {"n": "x"}, {"n": 3}]')) as server:
        stream = ps.scan_http(server.url, schema=SCHEMA, stop="at end")
        assert stream.collect()["n"].to_list() == [1, 3]
        letter = stream.dead_letters.collect()
        assert letter["position"].item() == f"http 127.0.0.1:{server.port} message 2"
    with serving(
        lambda _: Said(200, b'{"n": 1}\r\n\n{"n": 2}', {"Content-Type": "application/x-ndjson"})
    ) as server:
        assert ps.scan_http(server.url, schema=SCHEMA, stop="at end").collect().height == 2
    with serving(lambda _: Said(200, b"a\nb\n", {"Content-Type": "text/plain"})) as server:
        lines = ps.scan_http(server.url, "text", stop="at end").collect()
        assert lines["text"].to_list() == ["a", "b"]


def test_it_keeps_the_contract_of_sources() -> None:
    with serving(paged(list(range(20)), 7)) as server:
        testing.check_source(
            lambda: http(
                server.url,
                schema=SCHEMA,
                pages="offset",
                rows_field="data.items",
                stop="at end",
                token="s3cret-token",
            ),
            expected=pl.DataFrame({"n": range(20)}),
            secrets=["s3cret-token"],
        )


@given(st.binary(max_size=200), st.sampled_from(list(Paging)), st.text(max_size=50))
def test_any_answer_is_rows_or_an_error_of_ours(body: bytes, paging: Paging, link: str) -> None:
    pages = Pages(paging, parameter="p")
    answer = Answer("http://h/x", body, {"link": link})
    with contextlib.suppress(ConnectorError):
        assert turn(pages, Place(), answer, [b"1"], "test").rows == [b"1"]


def test_parameters_replace_those_of_their_names() -> None:
    assert with_parameters("http://h/x?a=1&b=&a=2", {"a": 3, "c": "&"}) == "http://h/x?b=&a=3&c=%26"


def test_retry_after() -> None:
    assert retry_after_s({}) is None
    assert retry_after_s({"retry-after": "7"}) == 7
    assert retry_after_s({"retry-after": "999999"}) == 3600
    assert retry_after_s({"retry-after": "Fri, 20 Nov 2020 10:00:00 GMT"}) == 0
    assert retry_after_s({"retry-after": "soon"}) is None


def test_wrong_options() -> None:
    for options, message in (
        ({"url": "ftp://h"}, "no URL"),
        ({"url": "http://[h"}, "no URL"),
        ({"pages": "all"}, "cannot be 'all'"),
        ({"interval": 0}, "longer than nothing"),
        ({"size": 0}, "must be positive"),
        ({"user": "me"}, "belong together"),
        ({"token": "x", "user": "me", "password": "y"}, "leave one out"),
        ({"headers": {"a b": "c"}}, "no name of a header"),
        ({"headers": "a: b"}, "wrong type"),
        ({"colour": 1}, "no option 'colour'"),
        ({"format": "text", "schema": None, "rows_field": "a"}, "only JSON has fields"),
        ({"backoff": "2s", "max_backoff": "1s"}, "at most max_backoff"),
    ):
        with pytest.raises(ConfigError, match=message):
            http(**{"url": "http://h/x", "schema": SCHEMA, **options})  # type: ignore[arg-type]
