"""A live UDP source."""

from __future__ import annotations

import selectors
import socket
import struct
import sys
import threading
from contextlib import suppress

import polars as pl

from penstock.connectors.contract import OnePartition, Polled, Position
from penstock.connectors.decoding import Decoder, blank_is_row, decode_messages
from penstock.connectors.sockets.source import cannot_bind, show_address
from penstock.connectors.sockets.waker import Waker

_DATAGRAM_BYTES = 65_535
_SO_RXQ_OVFL = 40  # Linux: ask for the count of dropped datagrams beside each one received
_COUNT = struct.Struct("@I")

Address = tuple[object, ...]


class UdpSource(OnePartition):
    """Takes all datagrams that wait in the kernel, up to the rows asked for."""

    def __init__(
        self,
        address: tuple[str, int],
        decoder: Decoder,
        *,
        name: str,
        lines: bool,
        receive_buffer_bytes: int,
    ) -> None:
        self._decoder = decoder
        self._name = name
        self._lines = lines
        self._datagrams = 0
        self._buffer = memoryview(bytearray(_DATAGRAM_BYTES))  # one for all: 10 times as fast
        self._pending: list[tuple[bytes, tuple[Address, int]]] = []  # received, not handed over
        self.lost = 0
        """Datagrams the kernel has dropped for want of room, as far as it has told (Linux)."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
            if sys.platform == "linux":
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            self._socket.bind(address)
        except OSError as error:
            self._socket.close()
            raise cannot_bind(name, address, error) from error
        self._socket.settimeout(0.0)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._waker = Waker()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._waker.receiver, selectors.EVENT_READ)
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._closed = False
        self._polling = threading.Lock()  # held while the socket is in use

    def seek(self, position: Position | None) -> None:
        """Nothing can be brought again; go on with what arrives."""

    def acknowledge(self, position: Position) -> None:
        """Nobody to tell."""

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        """Return the messages that have arrived, as soon as there are any."""
        with self._polling:
            if not self._pending and not self._closed:
                self._selector.select(timeout_s)
            emptied = self._fetch(max_rows)
            taken, self._pending = self._pending[:max_rows], self._pending[max_rows:]
            frame, dead = self._decode(taken)
            return Polled(
                frame,
                {"received": self._datagrams},
                dead=dead,
                caught_up=emptied and not self._pending,
            )

    def _fetch(self, max_rows: int) -> bool:
        """Append what waits to the pending messages; True if nothing is left in the kernel."""
        receive, buffer = self._socket.recvfrom_into, self._buffer
        if not self._closed and len(self._pending) < max_rows:
            with suppress(BlockingIOError):
                self._fetch_counted()
                while len(self._pending) < max_rows:
                    size, address = receive(buffer)
                    self._take(bytes(buffer[:size]), address)
                return False
            return True
        return False

    def _fetch_counted(self) -> None:
        """Receive one datagram together with the kernel's count of lost ones."""
        data, beside, _, address = self._socket.recvmsg(_DATAGRAM_BYTES, 64)
        for level, kind, value in beside:
            if level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL:
                (counter,) = _COUNT.unpack_from(value)
                self.lost += (counter - self.lost) % 2**32  # the kernel's counter is 32 bits wide
        self._take(data, address)

    def _take(self, data: bytes, address: Address) -> None:
        self._datagrams += 1
        place = (address, self._datagrams)
        if not self._lines:
            self._pending.append((data, place))
            return
        blank = blank_is_row(self._decoder)
        lines = data.replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")
        self._pending += [(line, place) for line in lines if line or blank]

    def _decode(
        self, taken: list[tuple[bytes, tuple[Address, int]]]
    ) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        messages = pl.Series("message", [data for data, _ in taken], dtype=pl.Binary)
        rows = decode_messages(
            self._decoder,
            messages,
            self._name,
            lambda index: pl.Series([_place(*taken[at][1]) for at in index], dtype=pl.String),
        )
        return rows.frame, rows.dead

    def close(self) -> None:
        """End a waiting poll and release the socket."""
        self._closed = True
        self._waker.wake()
        with self._polling:
            self._selector.close()
            self._socket.close()
            self._waker.close()


def _place(address: Address, number: int) -> str:
    return f"udp {show_address(address)} datagram {number}"
