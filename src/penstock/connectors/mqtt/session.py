"""One connection to an MQTT broker: connect, keep alive, send and receive packets."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass

from penstock.connectors.messaging.server import Server
from penstock.connectors.messaging.source import lost_connection
from penstock.connectors.mqtt import packets
from penstock.connectors.mqtt.failures import CONNECTION, UNSUPPORTED_VERSION, refusal
from penstock.connectors.mqtt.packets import V5, V311, Answer, Kind, Malformed, Packet, Property
from penstock.connectors.sockets.waker import Waker
from penstock.errors import ConnectorError, Fault

_RECEIVE_BYTES = 1 << 18
_UNLIMITED = 65_535
_NEVER = 0xFFFFFFFF
_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Set anew after each receipt: brokers that use Nagle's algorithm wait for the acknowledgement of TCP."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who connects. ``version`` None: 5, or 3.1.1 if the broker speaks only that.

    ``clean``: a session that ends with the connection; else it is kept for ``expiry_s``.
    """

    name: str
    clean: bool
    expiry_s: int
    keep_alive_s: int
    max_packet_bytes: int
    version: int | None = None


class Session:
    """A connection, from the CONNACK on. ``session_present``: the broker knew the client already."""

    def __init__(self, server: Server, client: Client, step: str) -> None:
        self._server = server
        self._client = client
        self._step = step
        self._keep_alive_s = client.keep_alive_s
        self._received = bytearray()
        self._wanted = 2
        self._waker = Waker()
        self.version = client.version or V5
        try:
            self._socket, answer = self._opened()
        except BaseException:
            self._waker.close()
            raise
        self._sent = self._heard = time.monotonic()
        self._pinged = 0.0
        self.session_present = answer.session
        self.in_flight_limit = self._told(answer, Property.RECEIVE_MAXIMUM, _UNLIMITED)
        self.qos_limit = self._told(answer, Property.MAXIMUM_QOS, 2)
        self.retains = bool(self._told(answer, Property.RETAIN_AVAILABLE, 1))
        self.packet_limit = self._told(answer, Property.MAXIMUM_PACKET_SIZE, _NEVER)
        self._keep_alive_s = self._told(answer, Property.SERVER_KEEP_ALIVE, client.keep_alive_s)

    @staticmethod
    def _told(answer: Answer, which: Property, default: int) -> int:
        value = answer.properties.get(which, default)
        return value if isinstance(value, int) else default

    # -- connecting

    def _opened(self) -> tuple[socket.socket, Answer]:
        sock, answer = self._greeted()
        if answer.reason in UNSUPPORTED_VERSION and self._client.version is None:
            sock.close()
            self.version = V311
            sock, answer = self._greeted()
        if answer.reason:
            sock.close()
            raise refusal(answer, self.version, self._step, CONNECTION)
        sock.setblocking(False)  # noqa: FBT003 - its only parameter
        return sock, answer

    def _greeted(self) -> tuple[socket.socket, Answer]:
        """Connect and say CONNECT; return what the broker answers."""
        user, password = self._server.credentials(self._step)
        client = self._client
        given: dict[int, int] = {Property.RECEIVE_MAXIMUM: _UNLIMITED}
        given[Property.MAXIMUM_PACKET_SIZE] = client.max_packet_bytes
        if not client.clean:
            given[Property.SESSION_EXPIRY] = client.expiry_s
        hello = packets.connect(
            self.version,
            client.name,
            clean=client.clean,
            keep_alive_s=client.keep_alive_s,
            user=user,
            password=password,
            properties=given,
        )
        sock = self._connected()
        try:
            with self._translated():
                sock.sendall(hello)
                return sock, self._connack(sock)
        except BaseException:
            sock.close()
            raise

    def _connected(self) -> socket.socket:
        server = self._server
        context = server.tls_context(self._step)
        try:
            sock = socket.create_connection((server.host, server.port), server.timeout_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return (
                sock if context is None else context.wrap_socket(sock, server_hostname=server.host)
            )
        except ssl.SSLError as error:
            raise ConnectorError(
                f"no encrypted connection to {server}: {error.reason or error}",
                step=self._step,
                fault=Fault.USER,
                hint="check tls, ca, certificate and the port",
            ) from error
        except OSError as error:
            raise lost_connection(self._step, f"{server}: {error.strerror or error}") from error

    def _connack(self, sock: socket.socket) -> Answer:
        """Wait for the CONNACK; what the broker sent behind it is kept."""
        until = time.monotonic() + self._server.timeout_s
        while time.monotonic() < until:
            chunk = sock.recv(4096)
            if not chunk:
                if self.version == V5 and self._client.version is None:
                    return Answer(UNSUPPORTED_VERSION[0], {})  # some just hang up at version 5
                raise lost_connection(self._step, "the broker hung up instead of an answer")
            self._received += chunk
            found, taken = packets.cut(bytes(self._received))
            if not found:
                continue
            first, body = found[0]
            if first >> 4 != Kind.CONNACK:
                raise Malformed("something else than a CONNACK")
            taken = packets.needed(self._received)
            del self._received[:taken]
            return packets.read_connack(body, self.version)
        raise lost_connection(self._step, "no CONNACK in time")

    # -- packets

    def send(self, data: bytes) -> list[Packet]:
        """Send all of ``data``; return what was received while the broker did not take it."""
        found: list[Packet] = []
        rest = memoryview(data)
        until = time.monotonic() + self._server.timeout_s
        with self._translated():
            while rest:
                sent = self._push(rest)
                rest = rest[sent:]
                if sent:
                    until = time.monotonic() + self._server.timeout_s
                elif time.monotonic() > until:
                    raise lost_connection(self._step, "the broker takes nothing")
                else:
                    select.select([self._socket], [self._socket], [], 0.1)
                    found += self._available()
        self._sent = time.monotonic()
        return found

    def _push(self, data: memoryview) -> int:
        try:
            return self._socket.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    def receive(self, wait_s: float) -> list[Packet]:
        """Return the packets that are there, waiting up to ``wait_s`` for the first."""
        with self._translated():
            self._keep_alive()
            found = self._available()
            if not found and wait_s > 0:
                self._wait(wait_s)
                found = self._available()
        return found

    def _wait(self, wait_s: float) -> None:
        if not (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
            ready, _, _ = select.select([self._socket, self._waker.receiver], [], [], wait_s)
            if self._waker.receiver in ready:
                self._waker.receiver.recv(4096)

    def _available(self) -> list[Packet]:
        try:
            chunk = self._socket.recv(_RECEIVE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return []
        if not chunk:
            raise lost_connection(self._step, "the broker closed it")
        self._heard = time.monotonic()
        if _QUICK_ACK is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        self._received += chunk
        if len(self._received) < self._wanted:
            return []
        found, taken = packets.cut(bytes(self._received))
        del self._received[:taken]
        self._wanted = packets.needed(self._received) or len(self._received) + 1
        if self._wanted > self._client.max_packet_bytes:
            raise ConnectorError(
                f"a packet of {self._wanted} bytes",
                step=self._step,
                value=self._wanted,
                fault=Fault.REMOTE,
                hint=f"max_message_bytes is {self._client.max_packet_bytes}; raise it",
            )
        return found

    def _keep_alive(self) -> None:
        """Ask for a sign of life in time; without one the connection is lost."""
        if not self._keep_alive_s:
            return
        now = time.monotonic()
        if self._pinged > self._heard and now > self._pinged + self._keep_alive_s / 2:
            raise lost_connection(self._step, "the broker does not answer")
        quiet = now - min(self._sent, self._heard)
        if quiet > self._keep_alive_s / 2 and self._pinged <= self._heard:
            self._pinged = self._sent = now
            self._socket.send(packets.PING)

    def wake(self) -> None:
        """End a wait of another thread."""
        self._waker.wake()

    def close(self) -> None:
        """Take leave, and release everything."""
        with contextlib.suppress(OSError, ValueError):
            self._socket.setblocking(True)  # noqa: FBT003
            self._socket.settimeout(1)
            self._socket.send(packets.GOODBYE)
        self._socket.close()
        self._waker.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Malformed as error:
            raise lost_connection(self._step, f"the broker sent {error}") from error
        except OSError as error:
            raise lost_connection(self._step, error.strerror or error) from error

    def disconnected(self, body: bytes) -> ConnectorError:
        """Return the error that a DISCONNECT of the broker stands for."""
        return refusal(packets.read_disconnect(body), self.version, self._step, CONNECTION)
