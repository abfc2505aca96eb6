"""A process that is killed at random instants while others post rows to it."""

from __future__ import annotations

import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import penstock as ps
from penstock.errors import ConfigError
from tests.child_processes import ENVIRONMENT, ROOT
from tests.connectors.senders import free_port

KILLS = int(os.environ.get("PENSTOCK_TEST_KILLS", "3"))
LIMIT_S = 60.0
TOKEN = "pl4nted-s3cret"


class Sender(threading.Thread):
    """Posts numbers in bulk. With keys it sends again what was not answered, else it forgets it."""

    def __init__(self, name: str, port: int, seed: int, *, keys: bool) -> None:
        super().__init__(daemon=True)
        self.sender, self._port, self._keys = name, port, keys
        self._rng = random.Random(seed)
        self._finish = threading.Event()
        self.answered: list[int] = []
        self.doubtful: set[int] = set()
        self.failed: BaseException | None = None
        self._next = 0

    def run(self) -> None:
        try:
            while not self._finish.is_set():
                count = self._rng.choice((1, 10, 200))
                numbers = range(self._next, self._next + count)
                self._next += count
                self._deliver(list(numbers), str(uuid.UUID(int=self._rng.getrandbits(128))))
        except BaseException as error:
            self.failed = error
            raise

    def _deliver(self, numbers: list[int], key: str) -> None:
        """Post until it is answered, as one who was promised that a key counts once."""
        while True:
            answered = False
            with suppress(OSError, http.client.HTTPException):
                answered = self._post(numbers, key)
            if answered:
                self.answered += numbers
                return
            if not self._keys:
                self.doubtful.update(numbers)
                self._finish.wait(0.005)
                return
            self._finish.wait(0.005)

    def _post(self, numbers: list[int], key: str) -> bool:
        lines = (json.dumps({"sender": self.sender, "number": n}) for n in numbers)
        headers = {"Content-Type": "application/x-ndjson", "Authorization": f"Bearer {TOKEN}"}
        if self._keys:
            headers["Idempotency-Key"] = key
        peer = http.client.HTTPConnection("127.0.0.1", self._port, timeout=LIMIT_S)
        try:
            peer.request("POST", "/", "\n".join(lines).encode(), headers)
            status = peer.getresponse().status
        finally:
            peer.close()
        assert status in (200, 503), status  # 503: it is being stopped
        return status == 200

    def finish(self) -> None:
        self._finish.set()
        self.join(LIMIT_S)
        assert not self.is_alive()
        assert self.failed is None


@contextmanager
def pipeline(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.connectors.http_server.crash_pipeline",
            str(folder),
            str(port),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**ENVIRONMENT, "SENDERS": TOKEN},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def height(topic: Path) -> int:
    try:
        return ps.scan_topic(topic, stop="at end").collect().height
    except ConfigError:  # not there yet
        return 0


def test_everything_answered_200_is_in_the_output_exactly_once(tmp_path: Path) -> None:
    port, rng = free_port(), random.Random(5)
    careful = [Sender(f"careful{n}", port, n, keys=True) for n in range(2)]
    careless = Sender("careless", port, 9, keys=False)
    for sender in (*careful, careless):
        sender.start()
    for _ in range(KILLS):
        with pipeline(tmp_path, port) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"
            with suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0, 0.5))
    with pipeline(tmp_path, port) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        for sender in (*careful, careless):
            sender.finish()
        deadline = time.monotonic() + LIMIT_S
        wanted = sum(len(sender.answered) for sender in (*careful, careless))
        while height(tmp_path / "out") < wanted:
            assert time.monotonic() < deadline
        process.communicate("", timeout=LIMIT_S)
        assert process.returncode == 0
    out = ps.scan_topic(tmp_path / "out", stop="at end").collect()
    for sender in (*careful, careless):
        found = Counter(out.filter(sender=sender.sender)["number"].to_list())
        assert sender.answered
        assert {number: found[number] for number in sender.answered} == dict.fromkeys(
            sender.answered, 1
        )
        assert set(found) <= {*sender.answered, *sender.doubtful}
        assert max(found.values()) == 1
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert TOKEN.encode() not in written
