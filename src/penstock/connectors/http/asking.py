"""One request to see whether a server answers: what ``penstock check`` asks."""

from __future__ import annotations

from penstock.connectors.http.connection import Connection
from penstock.connectors.http.failures import phrase, status_error, unreachable

_REFUSED = (401, 403)


def answered(connection: Connection, method: str, step: str) -> str:
    """Send a request without rows; an answer is good unless it refuses us, of GET unless it is an error."""
    with connection.client(step) as http:
        import httpx2

        try:
            with http.stream(method, connection.opened_url(step)) as response:
                status = response.status_code
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            raise unreachable(error, step, "asking") from None
    wrong = status >= 300 if method == "GET" else status in _REFUSED
    if wrong:
        raise status_error(status, step, "asking")
    return f"it answers {status} {phrase(status)}".rstrip()
