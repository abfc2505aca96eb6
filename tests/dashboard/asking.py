"""Asking a dashboard over HTTP, with exactly the headers that are given."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

PATIENCE_S = 60
T = TypeVar("T")


def ask(
    address: str,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> tuple[int, Mapping[str, str], bytes]:
    """Return status, headers (names in lower case) and body."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def told(address: str, path: str) -> Any:
    """Return the JSON of a path that must answer well."""
    status, _, body = ask(address, path)
    assert status == 200, body
    return json.loads(body)


def command(address: str, path: str) -> tuple[int, Any]:
    """Send a command as the page does."""
    headers = {"content-type": "application/json"}
    status, _, body = ask(address, path, "POST", headers, b"{}")
    return status, json.loads(body)


def eventually(look: Callable[[], T | None]) -> T:
    """Return the first true value; fail after a generous while."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"in vain: {found!r}"
        time.sleep(0.02)
