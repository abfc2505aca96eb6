"""One connection to a NATS server: log in, send, receive, ask JetStream."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.connectors.messaging.server import Server
from penstock.connectors.messaging.source import lost_connection
from penstock.connectors.nats import protocol
from penstock.connectors.nats.protocol import Malformed, Message, Operation
from penstock.connectors.sockets.waker import Waker
from penstock.errors import ConnectorError, Fault
from penstock.secrets import revealed

_RECEIVE_BYTES = 1 << 18
_PING_S = 30.0
_NO_STREAM = 404
NO_ANSWERER = 503


class RefusedError(ConnectorError):
    """JetStream has said no; ``code`` as HTTP has it."""

    code = 0


class Session:
    """A connection; messages to ``inbox`` and below come back from ``receive``."""

    def __init__(self, server: Server, token: str | None, step: str) -> None:
        self._server = server
        self._token = token
        self._step = step
        self._received = bytearray()
        self._wanted = 1
        self._operations: list[Message | Operation] = []
        self._waker = Waker()
        self.inbox = f"_INBOX.{uuid.uuid4().hex}".encode()
        self._asked = 0
        self._heard = self._pinged = time.monotonic()
        self.max_payload = 1 << 20
        self._socket = self._connected()
        try:
            with self._translated():
                self._greet()
        except BaseException:
            self._socket.close()
            self._waker.close()
            raise

    # -- connecting

    def _connected(self) -> socket.socket:
        server = self._server
        try:
            sock = socket.create_connection((server.host, server.port), server.timeout_s)
        except OSError as error:
            self._waker.close()
            raise lost_connection(self._step, f"{server}: {error.strerror or error}") from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _greet(self) -> None:
        """Take the server's INFO, encrypt if asked, say who we are, and hear that it is well."""
        told = msgspec.json.decode(self._line(b"INFO"))
        self.max_payload = int(told.get("max_payload", self.max_payload))
        context = self._server.tls_context(self._step)
        if context is not None:
            self._socket = self._encrypted(context)
        elif told.get("tls_required"):
            raise ConnectorError(
                "the server wants an encrypted connection",
                step=self._step,
                fault=Fault.USER,
                hint="give tls=True",
            )
        user, password = self._server.credentials(self._step)
        options = {
            "verbose": False, "pedantic": False, "lang": "python", "version": "1",
            "name": "penstock", "protocol": 1, "headers": True, "no_responders": True,
            "tls_required": context is not None, "user": user, "pass": password,
            "auth_token": None if self._token is None else revealed(self._token, step=self._step),
        }  # fmt: skip
        given = {name: value for name, value in options.items() if value is not None}
        hello = b"CONNECT %b\r\nSUB %b.* 1\r\nPING\r\n"
        self._socket.sendall(hello % (msgspec.json.encode(given), self.inbox))
        self._line(b"PONG")
        self._socket.setblocking(False)  # noqa: FBT003 - its only parameter

    def _encrypted(self, context: ssl.SSLContext) -> socket.socket:
        try:
            return context.wrap_socket(self._socket, server_hostname=self._server.host)
        except ssl.SSLError as error:
            raise ConnectorError(
                f"no encrypted connection to {self._server}: {error.reason or error}",
                step=self._step,
                fault=Fault.USER,
                hint="check tls, ca, certificate and the port",
            ) from error

    def _line(self, word: bytes) -> bytes:
        """Wait for one operation while connecting."""
        while True:
            for number, found in enumerate(self._operations):
                if isinstance(found, tuple) and found[0] == word:
                    del self._operations[: number + 1]
                    return found[1]
                self._serve(found)
            self._operations = []
            chunk = self._socket.recv(_RECEIVE_BYTES)
            if not chunk:
                raise lost_connection(self._step, "the server hung up instead of an answer")
            self._operations = self._cut(chunk)

    # -- messages

    def send(self, data: bytes) -> list[Message]:
        """Send all of ``data``; return what was received while the server did not take it."""
        found: list[Message] = []
        rest = memoryview(data)
        until = time.monotonic() + self._server.timeout_s
        with self._translated():
            while rest:
                sent = self._push(rest)
                rest = rest[sent:]
                if sent:
                    until = time.monotonic() + self._server.timeout_s
                elif time.monotonic() > until:
                    raise lost_connection(self._step, "the server takes nothing")
                else:
                    select.select([self._socket], [self._socket], [], 0.1)
                    found += self._available()
        return found

    def _push(self, data: memoryview) -> int:
        try:
            return self._socket.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    def receive(self, wait_s: float) -> list[Message]:
        """Return the messages that are there, waiting up to ``wait_s`` for the first."""
        with self._translated():
            found = self._available()
            if not found and wait_s > 0:
                self._keep_alive()
                self._wait(wait_s)
                found = self._available()
        return found

    def _wait(self, wait_s: float) -> None:
        if not (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
            ready, _, _ = select.select([self._socket, self._waker.receiver], [], [], wait_s)
            if self._waker.receiver in ready:
                self._waker.receiver.recv(4096)

    def _available(self) -> list[Message]:
        try:
            chunk = self._socket.recv(_RECEIVE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return []
        if not chunk:
            raise lost_connection(self._step, "the server closed it")
        self._heard = time.monotonic()
        return [m for each in self._cut(chunk) if (m := self._serve(each)) is not None]

    def _cut(self, chunk: bytes) -> list[Message | Operation]:
        self._received += chunk
        if len(self._received) < self._wanted:
            return []
        found, taken = protocol.cut(bytes(self._received))
        del self._received[:taken]
        self._wanted = protocol.needed(self._received) or len(self._received) + 1
        return found

    def _serve(self, found: Message | Operation) -> Message | None:
        """Return a message; answer or raise what the server itself has to say."""
        if isinstance(found, Message):
            return found
        word, rest = found
        if word == b"PING":
            self._push(memoryview(b"PONG\r\n"))
        elif word == b"-ERR":
            raise self._error(rest.decode(errors="replace").strip(" '"))
        return None

    def _error(self, said: str) -> ConnectorError:
        login = "uthoriz" in said or "Permissions" in said or "Authentication" in said
        return ConnectorError(
            f"the server refuses: {said}",
            step=self._step,
            fault=Fault.USER if login else Fault.REMOTE,
            retry=not login,
            hint="check user, password and token, and what the user may do" if login else None,
        )

    def _keep_alive(self) -> None:
        """Ask for a sign of life now and then; without one the connection is lost."""
        now, patience_s = time.monotonic(), min(_PING_S, self._server.timeout_s)
        if self._pinged > self._heard and now > self._pinged + patience_s:
            raise lost_connection(self._step, "the server does not answer")
        if now > max(self._heard, self._pinged) + patience_s:
            self._pinged = now
            self._push(memoryview(b"PING\r\n"))

    # -- JetStream

    def ask(self, what: str, **given: Any) -> dict[str, Any]:
        """Call JetStream's API: ``ask("STREAM.INFO.orders")``; what it refuses raises `RefusedError`."""
        self._asked += 1
        reply = b"%b.a%d" % (self.inbox, self._asked)
        body = msgspec.json.encode(given) if given else b""
        found = self.send(protocol.publish(f"$JS.API.{what}".encode(), reply, body))
        until = time.monotonic() + self._server.timeout_s
        while time.monotonic() < until:
            for message in found:
                if message.subject == reply:
                    return self._answer(message, what)
            found = self.receive(1.0)
        raise lost_connection(self._step, "JetStream does not answer")

    def _answer(self, message: Message, what: str) -> dict[str, Any]:
        if message.status == NO_ANSWERER:
            raise lost_connection(self._step, "JetStream is not there (not enabled, or not yet)")
        told: dict[str, Any] = msgspec.json.decode(message.payload)
        error = told.get("error")
        if error is not None:
            raise self.refused(error, what)
        return told

    def refused(self, error: dict[str, Any], what: str) -> RefusedError:
        """Return the error that JetStream's ``error`` stands for."""
        code = int(error.get("code", 0))
        passing = code >= 500
        found = RefusedError(
            f"JetStream refuses {what}: {error.get('description', code)}",
            step=self._step,
            value=code,
            fault=Fault.REMOTE if passing else Fault.USER,
            retry=passing,
        )
        found.code = code
        return found

    def stream(self, name: str) -> dict[str, Any] | None:
        """Return what is known of a stream; None if it is not there."""
        try:
            return self.ask(f"STREAM.INFO.{name}")
        except RefusedError as error:
            if error.code == _NO_STREAM:
                return None
            raise

    def wake(self) -> None:
        """End a wait of another thread."""
        self._waker.wake()

    def close(self) -> None:
        """Release everything."""
        self._socket.close()
        self._waker.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (Malformed, msgspec.DecodeError) as error:
            raise lost_connection(self._step, f"the server sent {error}") from error
        except OSError as error:
            raise lost_connection(self._step, error.strerror or error) from error
