"""Senders that know what they sent and what of it was accepted."""

from __future__ import annotations

import random
import socket
import threading
from contextlib import suppress

from .acknowledging import BAD

LIMIT = 60.0


class CarefulSender(threading.Thread):
    """Sends numbers in order, keeps what was not acknowledged and sends it again."""

    def __init__(self, name: str, port: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.sender, self._port, self._rng = name, port, random.Random(seed)
        self.accepted = -1
        self.bad: set[int] = set()
        self.produced = 0
        self.failed: BaseException | None = None
        self._finish = threading.Event()

    def run(self) -> None:
        try:
            while not (self._finish.is_set() and self.accepted == self.produced - 1):
                with suppress(OSError):
                    self._talk()
                self._finish.wait(0.005)
        except BaseException as error:
            self.failed = error
            raise

    def _talk(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=LIMIT) as peer:
            peer.settimeout(0.01)
            sent, heard = self.accepted + 1, b""
            while not (self._finish.is_set() and self.accepted == self.produced - 1):
                if not self._finish.is_set() and self.produced - self.accepted < 2000:
                    for _ in range(self._rng.randint(0, 40)):
                        if self._rng.random() < 0.05:
                            self.bad.add(self.produced)
                        self.produced += 1
                peer.sendall("".join(map(self._line, range(sent, self.produced))).encode())
                sent = self.produced
                with suppress(TimeoutError):
                    chunk = peer.recv(65_536)
                    if not chunk:
                        return
                    *said, heard = (heard + chunk).split(b"\n")
                    for line in said:
                        sender, number = line.decode().split(" ")
                        if sender == self.sender:
                            self.accepted = max(self.accepted, int(number))

    def _line(self, number: int) -> str:
        return f"{self.sender} {number} {BAD if number in self.bad else 'word'}\n"

    def finish(self) -> None:
        """Stop producing, and wait until everything was accepted."""
        self._finish.set()
        self.join(LIMIT)
        assert not self.is_alive()
        assert self.failed is None
        assert self.accepted == self.produced - 1


class CarelessSender(threading.Thread):
    """Sends lines over plain TCP, a new name for each connection, and learns nothing."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port, self._finish = port, threading.Event()
        self.sent: dict[str, int] = {}

    def run(self) -> None:
        while not self._finish.is_set():
            name = f"c{len(self.sent)}"
            with (
                suppress(OSError),
                socket.create_connection(("127.0.0.1", self._port), timeout=LIMIT) as peer,
            ):
                self.sent[name] = 0
                while not self._finish.wait(0.002):
                    number = self.sent[name]
                    self.sent[name] += 7
                    lines = (
                        f'{{"sender":"{name}","number":{n}}}\n' for n in range(number, number + 7)
                    )
                    peer.sendall("".join(lines).encode())
            self._finish.wait(0.01)

    def finish(self) -> None:
        self._finish.set()
        self.join(LIMIT)
