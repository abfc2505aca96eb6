"""Asking for pages, one after another, and again after a while."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from penstock.connectors.backoff import Pauses
from penstock.connectors.contract import Position
from penstock.connectors.http.connection import Connection
from penstock.connectors.http.failures import PASSING, retry_after_s, status_error, unreachable
from penstock.connectors.http.pages import Answer, Pages, Place, Turn, page_url, rows_of, turn
from penstock.connectors.mailbox import Entry, Mailbox
from penstock.errors import ConnectorError, Fault

if TYPE_CHECKING:
    import httpx2

_NOT_MODIFIED = 304
_GONE_BY = (204, 404)
"""Statuses of a page that is not there: of the page after the last, an end like any other."""
_LONGEST_ANSWERS = 10
"""Time-outs that a whole answer may take: a server that sends a byte now and then would hold us for good."""


@dataclass(frozen=True, slots=True)
class Polling:
    """What a live polling source is told; see ``HttpSourceSpec``."""

    step: str
    connection: Connection
    pages: Pages
    as_lines: bool
    interval_s: float
    ends: bool
    max_answer_bytes: int
    method: str = "GET"


class PollingClient:
    """Receives the rows of pages; a mark is the place behind a row."""

    def __init__(self, polling: Polling, box: Mailbox) -> None:
        self._polling = polling
        self._box = box
        self._place = Place()
        self._pauses = Pauses(polling.connection.backoff)
        self._url = polling.connection.opened_url(polling.step)
        self._http = polling.connection.client(polling.step)

    def begin(self, position: Position | None) -> None:
        """Go on at a place."""
        if position is not None:
            self._place = msgspec.convert(position, Place)

    def passed(self, entries: Sequence[Entry]) -> Position:
        """Return the place behind the last."""
        return msgspec.to_builtins(entries[-1].mark)

    def close(self) -> None:
        """The box says it: a request that waits ends by its time-out."""

    def run(self) -> None:
        """Ask for pages until the box is closed, or the pages end."""
        with self._http as http:
            while self._box.wait_for_room():
                found = self._page(http)
                if found is None:
                    return
                self._box.put(self._entries(found))
                self._place = found.place
                if found.more:
                    continue
                if self._polling.ends:
                    self._box.end()
                    return
                self._box.tell(quiet=True)
                if not self._box.pause(self._polling.interval_s):
                    return

    def _entries(self, found: Turn) -> list[Entry]:
        had = self._place.had
        entries = [
            Entry(row, (), Place(self._place.at, had + count))
            for count, row in enumerate(found.rows, start=1)
        ]
        if entries:
            entries[-1] = Entry(entries[-1].value, (), found.place)
        return entries

    def _page(self, http: httpx2.Client) -> Turn | None:
        """Ask for the page until it is there; None once the box is closed."""
        import httpx2

        polling, step = self._polling, self._polling.step
        url = page_url(polling.pages, self._url, self._place)
        while True:
            asked: float | None = None
            try:
                response = self._fetched(http, url)
                status = response.status_code
                if status == _NOT_MODIFIED or (status in _GONE_BY and self._place.at is not None):
                    self._pauses.succeeded()
                    return Turn((), self._place, more=False)
                if response.is_success:
                    self._pauses.succeeded()
                    answer = Answer(url, response.content, response.headers)
                    return turn(polling.pages, self._place, answer, self._rows(answer), step)
                if status not in PASSING:
                    raise status_error(status, step, "asking for a page")
                asked = retry_after_s(response.headers)
            except httpx2.TransportError as error:
                failure = unreachable(error, step, "asking for a page")
                if not failure.retry:
                    raise failure from None
            except (httpx2.InvalidURL, httpx2.DecodingError) as error:
                raise unreachable(error, step, "asking for a page") from None
            self._box.tell(quiet=False)
            if not self._box.pause(self._pauses.next_s(asked)):
                return None

    def _rows(self, answer: Answer) -> list[bytes]:
        if not self._polling.as_lines:
            kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            if not kind.endswith(("ndjson", "jsonl", "json-seq")):
                return rows_of(answer.body, self._polling.pages.rows_field, self._polling.step)
        lines = answer.body.replace(b"\r\n", b"\n").split(b"\n")
        return [line.lstrip(b"\x1e") for line in lines if line.strip()]

    def _fetched(self, http: httpx2.Client, url: str) -> httpx2.Response:
        """Return the answer with its body, read up to a limit of bytes and of time."""
        import httpx2

        polling = self._polling
        headers = {"Accept": "text/plain, */*" if polling.as_lines else "application/json, */*"}
        if self._place.etag is not None:
            headers["If-None-Match"] = self._place.etag
        if self._place.modified is not None:
            headers["If-Modified-Since"] = self._place.modified
        until = time.monotonic() + _LONGEST_ANSWERS * polling.connection.timeout.total_seconds()
        with http.stream(polling.method, url, headers=headers) as response:
            chunks, size = [], 0
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                size += len(chunk)
                if size > polling.max_answer_bytes:
                    raise ConnectorError(
                        f"the answer has more than {polling.max_answer_bytes} bytes",
                        step=polling.step,
                        fault=Fault.USER,
                        hint="ask for smaller pages, or raise max_answer_bytes=",
                    )
                if time.monotonic() > until:
                    raise httpx2.ReadTimeout("the answer did not end in time")
            return httpx2.Response(
                response.status_code,
                headers=[
                    (name, value)
                    for name, value in response.headers.multi_items()
                    if name not in ("content-encoding", "content-length", "transfer-encoding")
                ],
                content=b"".join(chunks),
            )
