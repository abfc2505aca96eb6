"""A real schema registry: Apicurio, in memory, on loopback, at the REST interface of Confluent's."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_START_S = 180.0
_LISTENS = re.compile(r"Listening on: (http://127\.0\.0\.1:\d+)")
_JAVA = ("-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
_PATH = "/apis/ccompat/v7"


@contextlib.contextmanager
def running_registry() -> Iterator[str]:
    """Start a registry, give its URL, and end it."""
    servers = os.environ.get("PENSTOCK_SERVERS") or Path.home() / ".cache" / "penstock" / "servers"
    folder = Path(servers) / "apicurio"
    if not (folder / "complete").exists():
        raise RuntimeError("no schema registry is installed: run tests/servers/install-systems.sh")
    (jar,) = folder.glob("apicurio-registry-app-*-runner.jar")
    options = ("-Dquarkus.http.host=127.0.0.1", "-Dquarkus.http.port=0")
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            ["java", *_JAVA, *options, "-jar", str(jar)], cwd=folder, stdout=log, stderr=log
        )
        try:
            yield f"{_address(process, log.fileno())}{_PATH}"
        finally:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], log: int) -> str:
    until = time.monotonic() + _START_S
    while True:
        said = os.pread(log, 1 << 20, 0).decode(errors="replace")
        found = _LISTENS.search(said)
        if found:
            return found[1]
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the registry did not start: {said[-4000:]}")
        time.sleep(0.1)
