"""How a WebSocket server is reached, and what may go wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.connectors.drivers import load_driver
from penstock.connectors.http.connection import Connection
from penstock.connectors.http.failures import PASSING, phrase, status_error, unreachable
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


def connected(given: Connection, subprotocols: Sequence[str], step: str) -> str:
    """Connect and close again, as ``penstock check`` asks."""
    load_driver("websockets.sync.client", "websocket", step)
    from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
    from websockets.sync.client import connect

    url = given.opened_url(step)
    try:
        with connect(
            url,
            additional_headers=origin_headers(given, step),
            subprotocols=subprotocols or None,  # type: ignore[arg-type]  # NewType
            open_timeout=given.connect_timeout.total_seconds(),
            ssl=given.tls.client(step) if url.startswith("wss:") else None,
        ):
            return "it answers"
    except InvalidStatus as error:
        status = error.response.status_code
        raise handshake_error(status, step) or status_error(status, step, "connecting") from None
    except (InvalidHandshake, InvalidURI, OSError, TimeoutError) as error:
        raise unreachable(error, step, "connecting") from None
