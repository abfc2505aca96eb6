"""What an HTTP status or a failed request means: try again, a row's fault, or somebody has to settle it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from penstock.errors import ConnectorError, Fault

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed later."""

LONGEST_WAIT_S = 3600.0
"""What a server may ask for in ``Retry-After``, at most."""

_HINTS = {
    401: "check token=, user= and password=",
    403: "the token, or user, has no right to this",
    404: "check the URL",
    405: "check the URL, and method=",
    407: "check the proxy",
    410: "check the URL",
}


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, as a number or as a date; None if it does not."""
    said = headers.get("retry-after")
    if said is None:
        return None
    if said.strip().isascii() and said.strip().isdigit():
        return min(LONGEST_WAIT_S, float(said))
    try:
        wait = parsedate_to_datetime(said).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(LONGEST_WAIT_S, max(0.0, wait))


def status_error(status: int, step: str, what: str) -> ConnectorError:
    """Return our error for a status; the text of the answer is not in it, as it may quote rows."""
    moved = 300 <= status < 400
    passing = status in PASSING or status >= 500
    return ConnectorError(
        f"{what} was answered {status} {phrase(status)}".rstrip(),
        step=step,
        value=status,
        fault=Fault.REMOTE if passing else Fault.USER,
        retry=passing,
        hint="give the URL that it leads to" if moved else _HINTS.get(status),
    )


def phrase(status: int) -> str:
    """Return what a status is called."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def unreachable(error: Exception, step: str, what: str) -> ConnectorError:
    """Return our error for a request that got no answer."""
    certificate = "certificate" in str(error).lower()
    return ConnectorError(
        f"{what} failed: {type(error).__name__}: {error}",
        step=step,
        fault=Fault.USER if certificate else Fault.REMOTE,
        retry=not certificate,
        hint="check ca= and certificate=" if certificate else None,
    )
