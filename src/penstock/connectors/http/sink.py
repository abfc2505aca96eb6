"""Posting rows to an HTTP server, each batch under a key by which the server can tell a repetition."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from penstock.connectors.backoff import Pauses
from penstock.connectors.contract import SinkIdentity
from penstock.connectors.http.connection import Connection
from penstock.connectors.http.failures import (
    PASSING,
    phrase,
    retry_after_s,
    status_error,
    unreachable,
)
from penstock.connectors.http.sending import CONTENT_TYPES, Batch, Encoding
from penstock.errors import ConnectorError, Fault
from penstock.gallop import gallop
from penstock.letter_rows import letters

if TYPE_CHECKING:
    import httpx2

_LONGEST_ANSWER = 64 << 10
"""Bytes of an answer that are read: nothing in it is used."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What a live HTTP sink is told; see ``HttpSinkSpec``."""

    step: str
    connection: Connection
    encoding: Encoding
    method: str
    key_header: str | None
    requests_per_second: float | None
    poison: frozenset[int]
    attempts_s: float


class _PoisonError(ConnectorError):
    """The server refuses these rows, and will always do so."""


class HttpSink:
    """Sends batches one after another; what the server refuses for its rows is kept for dead letters.

    A batch that is refused is sent again in parts, until each row that is at fault is alone.
    """

    def __init__(self, sending: Sending) -> None:
        self._sending = sending
        self._step = sending.step
        self._sink_id: str | None = None
        self._http: httpx2.Client | None = None
        self._url = ""
        self._refused: list[pl.DataFrame] = []
        self._refused_epoch: int | None = None
        self._next_s = 0.0
        self._pauses = Pauses(sending.connection.backoff)
        self._closed = threading.Event()

    def begin(
        self,
        identity: SinkIdentity | None,
        schema: pl.Schema | None = None,  # noqa: ARG002 - nothing is created
    ) -> int | None:
        """Prepare to send. Nothing tells which epochs a server has: they come again, under their keys."""
        self._sink_id = None if identity is None else identity.sink_id
        self._url = self._sending.connection.opened_url(self._step)
        self._http = self._sending.connection.client(self._step)
        return None

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        """Send the rows of an epoch; raises when the server cannot take them within ``attempts_s``."""
        self._refused, self._refused_epoch = [], epoch
        for batch in self._sending.encoding.batches(epoch, frames):
            self._send_or_sift(batch)

    def refused(self, epoch: int) -> pl.DataFrame | None:
        """Return the rows of an epoch that the server refused."""
        if epoch != self._refused_epoch or not self._refused:
            return None
        return pl.concat(self._refused)

    def close(self) -> None:
        """Let the connections go, and end a wait."""
        self._closed.set()
        if self._http is not None:
            self._http.close()

    def _send_or_sift(self, batch: Batch) -> None:
        poison = self._attempt(batch)
        if poison is None:
            return

        def attempt(start: int, end: int) -> BaseException | None:
            return self._attempt(batch.part(start, end))

        for start, end, error in gallop(batch.rows.height, attempt, poison):
            if error is not None:
                reason = error.message if isinstance(error, _PoisonError) else str(error)
                rows = batch.rows[start:end]
                self._refused += letters(rows, self._step, [reason], replayable=True)

    def _attempt(self, batch: Batch) -> _PoisonError | None:
        """Send a batch until it is taken; return what is wrong with it, if it never will be."""
        try:
            self._send(batch)
        except _PoisonError as error:
            return error
        return None

    def _send(self, batch: Batch) -> None:
        import httpx2

        sending, step = self._sending, self._step
        body, headers = sending.encoding.body(batch), self._headers(batch)
        until = time.monotonic() + sending.attempts_s
        while True:
            self._keep_to_rate()
            asked: float | None = None
            try:
                status, asked = self._posted(body, headers)
                if 200 <= status < 300:
                    self._pauses.succeeded()
                    return
                if status in sending.poison:
                    raise _PoisonError(
                        f"the server answered {status} {phrase(status)}".rstrip(),
                        step=step,
                        value=status,
                        fault=Fault.USER,
                    )
                failure = status_error(status, step, "sending rows")
                if status not in PASSING:
                    raise failure
            except httpx2.TransportError as error:
                failure = unreachable(error, step, "sending rows")
                if not failure.retry:
                    raise failure from None
            except httpx2.InvalidURL as error:
                raise unreachable(error, step, "sending rows") from None
            pause = self._pauses.next_s(asked)
            if time.monotonic() + pause > until or self._closed.wait(pause):
                raise failure

    def _headers(self, batch: Batch) -> dict[str, str]:
        sending = self._sending
        found = {"Content-Type": CONTENT_TYPES[sending.encoding.form]}
        if sending.key_header is not None and self._sink_id is not None:
            found[sending.key_header] = batch.key(self._sink_id)
        return found

    def _posted(self, body: bytes, headers: dict[str, str]) -> tuple[int, float | None]:
        """Return status and ``Retry-After``; of the answer's body only so much as keeps the connection."""
        assert self._http is not None, "begun"
        request = self._http.build_request(
            self._sending.method, self._url, content=body, headers=headers
        )
        response = self._http.send(request, stream=True)
        try:
            size = 0
            for chunk in response.iter_raw():
                size += len(chunk)
                if size > _LONGEST_ANSWER:
                    break
            return response.status_code, retry_after_s(response.headers)
        finally:
            response.close()

    def _keep_to_rate(self) -> None:
        rate = self._sending.requests_per_second
        if rate is None:
            return
        now = time.monotonic()
        wait = self._next_s - now
        self._next_s = max(now, self._next_s) + 1 / rate
        if wait > 0 and self._closed.wait(wait):
            raise ConnectorError("closed while it waited to send", step=self._step, retry=True)
