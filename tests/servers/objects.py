"""Real servers of objects: moto speaks S3, Azurite Azure Blob Storage; both keep them in memory."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_CONTAINER = "penstock"
_LISTENS = re.compile(r"http://127\.0\.0\.1:(\d+)")
_AZURITE = "devstoreaccount1"
_AZURITE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""The account that every Azurite has, from its documentation; no secret."""


@dataclass(frozen=True)
class ObjectServer:
    """A running server: the URL of a container there, and how to open it."""

    root: str
    options: dict[str, str]
    secret: str

    def new_url(self) -> str:
        """Return a place where nothing is yet."""
        return f"{self.root}/{uuid.uuid4().hex}"


@contextlib.contextmanager
def running_s3() -> Iterator[ObjectServer]:
    """Start moto's server with a bucket."""
    with _running(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0") as url:
        _put(f"{url}/{_CONTAINER}", {})
        options = {
            "endpoint": url,
            "region": "us-east-1",
            "access_key_id": "some-access-key",
            "secret_access_key": "some-secret-key",
            "allow_http": "true",
        }
        yield ObjectServer(f"s3://{_CONTAINER}", options, options["secret_access_key"])


@contextlib.contextmanager
def running_azurite() -> Iterator[ObjectServer]:
    """Start Azurite with a container."""
    flags = ("--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry")
    with _running(_azurite(), "--blobHost", "127.0.0.1", "--blobPort", "0", *flags) as url:
        _make_container(f"{url}/{_AZURITE}/{_CONTAINER}")
        options = {
            "account_name": _AZURITE,
            "account_key": _AZURITE_KEY,
            "endpoint": f"{url}/{_AZURITE}",
            "allow_http": "true",
        }
        yield ObjectServer(f"az://{_CONTAINER}", options, _AZURITE_KEY)


def _azurite() -> str:
    installed = os.environ.get("PENSTOCK_SERVERS") or Path.home() / ".cache/penstock/servers"
    path = Path(installed) / "node_modules/.bin/azurite-blob"
    found = str(path) if path.exists() else shutil.which("azurite-blob")
    assert found is not None, "Azurite is not installed: run tests/servers/install.sh"
    return found


@contextlib.contextmanager
def _running(*command: str) -> Iterator[str]:
    """Start a server that says where it listens, and give that."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    assert process.stdout is not None
    rest = threading.Thread(target=process.stdout.read, daemon=True)
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            found = _LISTENS.search(line)
            if found:
                # It logs every request, and would stand still with a pipe that nobody reads.
                rest.start()
                yield found[0]
                return
        raise AssertionError(f"{command[0]} does not start:\n{''.join(said)}")
    finally:
        process.kill()
        process.wait()
        if rest.is_alive():
            rest.join()
        process.stdout.close()


def _put(url: str, headers: dict[str, str]) -> None:
    request = urllib.request.Request(url, method="PUT", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status in (200, 201)


def _make_container(url: str) -> None:
    """Sign the request as Azure's reference says ("Authorize with Shared Key")."""
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    version = "2021-08-06"
    resource = f"/{_AZURITE}/{_AZURITE}/{_CONTAINER}\nrestype:container"
    text = "PUT" + "\n" * 12 + f"x-ms-date:{now}\nx-ms-version:{version}\n{resource}"
    digest = hmac.new(base64.b64decode(_AZURITE_KEY), text.encode(), hashlib.sha256).digest()
    signature = base64.b64encode(digest).decode()
    headers = {
        "x-ms-date": now,
        "x-ms-version": version,
        "Authorization": f"SharedKey {_AZURITE}:{signature}",
    }
    _put(f"{url}?restype=container", headers)
