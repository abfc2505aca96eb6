"""How a WebSocket server is reached, and what may go wrong with it."""

from __future__ import annotations

from penstock.connectors.http.connection import Connection
from penstock.connectors.http.failures import PASSING, phrase
from penstock.errors import ConnectorError, Fault

SCHEMES = ("ws", "wss")


def origin_headers(given: Connection, step: str) -> dict[str, str]:
    """Return the headers of the handshake, the references looked up."""
    found = given.opened_headers(step)
    found.pop("User-Agent")
    return found


def handshake_error(status: int, step: str) -> ConnectorError | None:
    """Return our error for a refused handshake; None if it may succeed later."""
    if status in PASSING or status >= 500:
        return None
    return ConnectorError(
        f"connecting was answered {status} {phrase(status)}".rstrip(),
        step=step,
        value=status,
        fault=Fault.USER,
        hint="check the URL" if status not in (401, 403) else "check token=, user= and headers=",
    )
