"""Server-sent events from a real server that loses its connections."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing
from typing import Any

import polars as pl
import pytest

from penstock import testing
from penstock.connectors.contract import Source
from penstock.connectors.http.config import sse
from penstock.errors import ConnectorError

from .servers import Asked, Said, serving

LIMIT_S = 60.0
SCHEMA = {"n": pl.Int64}
EVENTS = {"Content-Type": "text/event-stream"}


def read(source: Source, count: int, most: int = 1000) -> tuple[pl.DataFrame, Any]:
    frames = []
    deadline = time.monotonic() + LIMIT_S
    position: Any = None
    while sum(frame.height for frame in frames) < count:
        assert time.monotonic() < deadline, frames
        polled = source.poll(most, 0.1)
        frames.append(polled.frame)
        position = polled.position
    return pl.concat(frames), json.loads(json.dumps(position))


class Numbers:
    """Sends events 0, 1, 2, ... behind the last id, ``burst`` a connection, then breaks off."""

    def __init__(self, total: int, burst: int) -> None:
        self.total, self.burst = total, burst
        self.last_ids: list[str | None] = []

    def __call__(self, asked: Asked) -> Said:
        last = asked.headers.get("last-event-id")
        self.last_ids.append(last)
        start = 0 if last is None else int(last) + 1

        def pieces(write: Any) -> None:
            write(b"retry: 1\n: hello\n\n")
            for n in range(start, min(self.total, start + self.burst)):
                write(b'event: add\nid: %d\ndata: {"n":\ndata: %d}\n\n' % (n, n))
            write(b"id: 999\ndata: torn")  # an event is there once its empty line is

        return Said(200, headers=EVENTS, pieces=pieces)


def test_events_go_on_behind_the_last_id() -> None:
    numbers = Numbers(25, burst=4)
    with serving(numbers) as server:
        with closing(sse(server.url, schema=SCHEMA, backoff="1ms").open()) as source:
            source.seek(None)
            first, position = read(source, 11, most=3)
        at = first.height
        with closing(sse(server.url, schema=SCHEMA, backoff="1ms").open()) as source:
            source.seek(position)
            rest, _ = read(source, 25 - at)
    assert first["n"].to_list() + rest["n"].to_list() == list(range(25))
    assert numbers.last_ids[:3] == [None, "3", "7"]
    assert at == 12
    assert "11" in numbers.last_ids


def test_only_events_that_are_wanted_with_their_names() -> None:
    body = (
        b'event: update\nid: a\ndata: {"n": 1}\n\nevent: delete\ndata: 7\n\n'
        b'event: update\nid: b\ndata: {"n": 2}\n\n: thump\n\nevent: update\ndata: x\n\n'
    )
    held = threading.Event()

    def pieces(write: Any) -> None:
        write(body)
        held.wait(LIMIT_S)

    with serving(lambda _: Said(200, headers=EVENTS, pieces=pieces)) as server:
        spec = sse(server.url, schema=SCHEMA, events="update", metadata=("id", "event"))
        with closing(spec.open()) as source:
            source.seek(None)
            rows, _ = read(source, 2)
        held.set()
    assert rows.rows() == [(1, "update", "a"), (2, "update", "b")]


def test_no_content_is_the_end_and_refusals_are_errors() -> None:
    with (
        serving(lambda _: Said(204)) as server,
        closing(sse(server.url, schema=SCHEMA).open()) as source,
    ):
        source.seek(None)
        assert source.poll(10, LIMIT_S).ended
    for said, message in (
        (Said(401), "401"),
        (Said(200, b"{}"), "text/event-stream"),
        (Said(200, b"data: " + b"x" * 5000, EVENTS), "5?[0-9]* byte limit"),
    ):
        with serving(lambda _, said=said: said) as server:
            source = sse(server.url, schema=SCHEMA, max_event_bytes=1000).open()
            with closing(source):
                source.seek(None)
                with pytest.raises(ConnectorError, match=message):
                    read(source, 1)


def test_it_keeps_the_contract_of_sources() -> None:
    with serving(Numbers(10, burst=4)) as server:
        testing.check_source(
            lambda: sse(server.url, schema=SCHEMA, backoff="1ms", token="s3cret-token"),
            rows=10,
            expected=pl.DataFrame({"n": range(10)}),
            secrets=["s3cret-token"],
        )
