"""Small servers of the tests: started in a folder of their own, ended by their process."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

START_S = 120.0


class LocalServer:
    """A server on loopback; its port stays when it is started again."""

    program = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Return what starts it in the foreground."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Tell whether it is ready."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self.environment(),
                start_new_session=True,
            )
        until = time.monotonic() + START_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{self.program} did not start: {self.log()[-4000:]}")
            time.sleep(0.02)

    def environment(self) -> dict[str, str] | None:
        """Return the environment of the process; None: that of the tests."""
        return None

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            return self.answers()
        return False

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def end(self) -> None:
        """End it for good."""
        self.kill()

    def stop(self) -> None:
        """End it in order: it writes down what it has."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_S)
            self._process = None

    def pause(self) -> None:
        """Stop answering, with all connections kept."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


Kind = TypeVar("Kind", bound=LocalServer)


@contextlib.contextmanager
def running(kind: type[Kind]) -> Iterator[Kind]:
    """Start a server, give it, and end it."""
    folder = Path(tempfile.mkdtemp(prefix=f"penstock-{kind.program}-"))
    server = kind(folder)
    try:
        server.start()
        yield server
    finally:
        server.end()
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def installed(program: str) -> str:
    """Return where a program of Debian's is."""
    found = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        raise RuntimeError(f"{program} is not installed: run tests/servers/install-systems.sh")
    return found
