"""What happens to a request before its rows are looked at: whose it is, how large, how often."""

from __future__ import annotations

import asyncio
import math
import time
import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.connectors.http_server.bodies import Bodies, BodyError, UnknownTypeError
from penstock.connectors.http_server.deliveries import Answer, Delivery, Inbox, told
from penstock.connectors.http_server.known import digest
from penstock.connectors.tls import Tls
from penstock.connectors.tokens import Tokens, bearer

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

MAX_KEY_BYTES = 255
"""Of an idempotency key: more is none that a client makes up for each request."""
_DRAIN_S = 1.0
_DRAIN_FACTOR = 4
"""How much of a body that is too large is read all the same, in bodies of the limit: a client that is
still sending would not see the answer otherwise."""
_RETRY_S = 1
_CLIENTS = 10_000
"""Clients whose rate is known at a time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a live HTTP server is told; see ``HttpServerSpec``."""

    step: str
    host: str
    port: int
    path: str
    bodies: Bodies
    tokens: tuple[str, ...]
    token_header: str
    idempotency_header: str | None
    max_body_bytes: int
    max_waiting_bytes: int
    max_connections: int
    requests_per_second: float | None
    body_timeout_s: float
    answer_timeout_s: float
    keep_alive_s: float
    tls: Tls | None


class _RefusedError(Exception):
    """The request is answered without being taken."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class _GoneError(Exception):
    """The client has closed the connection."""


def _refuse(status: int, reason: str, *headers: tuple[bytes, bytes]) -> _RefusedError:
    return _RefusedError(told(status, *headers, error=reason))


class Rates:
    """Requests of each client, as a bucket that fills with time: one second's worth at most."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._most = max(1.0, per_second)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, client: str, now: float) -> float:
        """Take one request out of a client's bucket; the seconds until there is one, if it is empty."""
        held, since = self._buckets.pop(client, (self._most, now))
        held = min(self._most, held + (now - since) * self._per_second)
        wait = 0.0 if held >= 1.0 else (1.0 - held) / self._per_second
        self._buckets[client] = (held if wait else held - 1.0, now)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return wait


class App:
    """The ASGI application; all of it runs on the listener's event loop."""

    def __init__(self, limits: Limits, tokens: Tokens, inbox: Inbox) -> None:
        self._limits = limits
        self._tokens = tokens
        self._inbox = inbox
        rate = limits.requests_per_second
        self._rates = None if rate is None else Rates(rate)
        self._token_header = limits.token_header.lower().encode()
        key_header = limits.idempotency_header
        self._key_header = None if key_header is None else key_header.lower().encode()
        self._held_bytes = 0

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            answer = await self._answered(scope, receive)
        except _RefusedError as refused:
            answer = refused.answer
        except _GoneError:
            return
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(answer.body)),
            *answer.headers,
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answered(self, scope: Mapping[str, Any], receive: Receive) -> Answer:
        headers = dict(reversed(scope["headers"]))  # of one given twice the first counts
        client = scope["client"] or ("unknown", 0)
        self._check(scope, headers, str(client[0]))
        expected = self._expected_bytes(headers)
        if expected > self._limits.max_body_bytes:
            raise await self._too_large(headers, receive)
        held = [0]
        try:
            self._hold(held, expected)
            body = await self._body(headers, receive, held)
            delivery = self._delivery(scope, headers, f"{client[0]}:{client[1]}", body)
            del body
            return await self._taken(delivery)
        finally:
            self._held_bytes -= held[0]

    def _check(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], client: str) -> None:
        if scope["path"] != self._limits.path:
            raise _refuse(404, "nothing is taken at this path")
        if scope["method"] not in ("POST", "PUT"):
            raise _refuse(405, "rows are sent by POST", (b"allow", b"POST, PUT"))
        given = headers.get(self._token_header)
        if self._token_header == b"authorization":
            given = bearer(given)
        if not self._tokens.admit(given):
            raise _refuse(401, "no token, or a wrong one", (b"www-authenticate", b"Bearer"))
        wait = 0.0 if self._rates is None else self._rates.wait_s(client, time.monotonic())
        if wait:
            raise _refuse(429, "too many requests", (b"retry-after", b"%d" % math.ceil(wait)))
        if self._inbox.closed:
            raise _busy("the server is being stopped")

    def _expected_bytes(self, headers: Mapping[bytes, bytes]) -> int:
        length = headers.get(b"content-length", b"0")
        return int(length) if length.isdigit() else 0  # the parser refuses what is no number

    async def _too_large(self, headers: Mapping[bytes, bytes], receive: Receive) -> _RefusedError:
        most = self._limits.max_body_bytes
        if headers.get(b"expect", b"").lower() != b"100-continue":
            left = _DRAIN_FACTOR * most
            try:
                async with asyncio.timeout(_DRAIN_S):
                    while left > 0:
                        message = await receive()
                        if message["type"] == "http.disconnect":
                            raise _GoneError
                        left -= len(message["body"])
                        if not message["more_body"]:
                            break
            except TimeoutError:
                pass
        return _refuse(
            413, f"a body has {most} bytes at most; send several", (b"connection", b"close")
        )

    def _hold(self, held: list[int], size: int) -> None:
        """Count bytes of a request that are in memory, ``held`` those of this one before."""
        more = max(0, size - held[0])
        if more and self._held_bytes + more > max(
            self._limits.max_waiting_bytes, self._limits.max_body_bytes
        ):
            raise _busy("too much waits to be stored")
        self._held_bytes += more
        held[0] += more

    async def _body(
        self, headers: Mapping[bytes, bytes], receive: Receive, held: list[int]
    ) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _GoneError
                    chunks.append(message["body"])
                    size += len(message["body"])
                    if size > self._limits.max_body_bytes:
                        raise await self._too_large(headers, receive)
                    self._hold(held, size)
                    if not message["more_body"]:
                        break
        except TimeoutError:
            raise _refuse(
                408, "the body did not arrive in time", (b"connection", b"close")
            ) from None
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return self._unpacked(headers, body, held)

    def _unpacked(self, headers: Mapping[bytes, bytes], body: bytes, held: list[int]) -> bytes:
        coding = headers.get(b"content-encoding", b"identity").strip().lower()
        if coding == b"identity":
            return body
        if coding not in (b"gzip", b"x-gzip", b"deflate"):
            raise _refuse(
                415, "the body may be packed by gzip or deflate", (b"accept-encoding", b"gzip")
            )
        most = self._limits.max_body_bytes
        unpacking = zlib.decompressobj(zlib.MAX_WBITS | (0 if coding == b"deflate" else 16))
        try:
            found = unpacking.decompress(body, most + 1)
        except zlib.error:
            raise _refuse(400, "the body is not packed as its Content-Encoding says") from None
        if len(found) > most:
            raise _refuse(413, f"a body has {most} bytes at most, unpacked; send several")
        if not unpacking.eof or unpacking.unused_data:
            raise _refuse(400, "the body is not packed as its Content-Encoding says")
        self._hold(held, len(found))
        return found

    def _delivery(
        self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], client: str, body: bytes
    ) -> Delivery:
        kind = headers.get(b"content-type", b"").decode("latin-1")
        key = None if self._key_header is None else headers.get(self._key_header)
        if key is not None and not 0 < len(key) <= MAX_KEY_BYTES:
            raise _refuse(400, f"an idempotency key has 1 to {MAX_KEY_BYTES} bytes")
        try:
            cut = self._limits.bodies.cut(kind, body)
        except UnknownTypeError:
            raise _refuse(
                415, "the columns that are wanted cannot be in a body of this type"
            ) from None
        except BodyError as error:
            raise _refuse(400, str(error)) from None
        return Delivery(
            cut,
            asyncio.get_running_loop().create_future(),
            client,
            scope["path"],
            time.time_ns() // 1000,
            None if key is None else digest(key),
            "" if key is None else digest(kind.encode(), body),
        )

    async def _taken(self, delivery: Delivery) -> Answer:
        """Offer a delivery and wait until it is answered; one that nobody takes is taken back."""
        if not self._inbox.offer(delivery):
            raise _busy("the server is being stopped")
        done, _ = await asyncio.wait([delivery.future], timeout=self._limits.answer_timeout_s)
        if not done and self._inbox.withdraw(delivery):
            raise _busy("too much waits to be stored")
        return await delivery.future


def _busy(reason: str) -> _RefusedError:
    return _refuse(503, reason, (b"retry-after", b"%d" % _RETRY_S))
