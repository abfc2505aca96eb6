"""Where a broker is and who asks: ``[user:password@]host[:port]``, and TLS."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

from penstock.connectors.options import address, duration, taking
from penstock.connectors.tls import Tls
from penstock.errors import ConfigError
from penstock.hiding import remember
from penstock.instants import Duration
from penstock.secrets import revealed

TIMEOUT = timedelta(seconds=30)
"""How long an answer may take, and a first connection."""


@dataclass(frozen=True, slots=True)
class Server:
    """A broker. ``tls`` encrypts; ``ca``, ``certificate`` and ``key`` name PEM files.

    Texts may hold references to secrets (``penstock.secrets``), which are looked up at a connection.
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca: str | None = None
    certificate: str | None = None
    certificate_key: str | None = None
    key_password: str | None = field(default=None, repr=False)
    timeout: timedelta = TIMEOUT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def timeout_s(self) -> float:
        """The time-out in seconds."""
        return self.timeout.total_seconds()

    def credentials(self, step: str) -> tuple[str | None, str | None]:
        """Return user and password themselves; both are hidden in messages from then on."""
        password = None if self.password is None else revealed(self.password, step=step)
        if password is not None:
            remember(password)
        return (None if self.user is None else revealed(self.user, step=step)), password

    def revealed_key_password(self, step: str) -> str | None:
        """Return the password of the certificate's key itself."""
        if self.key_password is None:
            return None
        secret = revealed(self.key_password, step=step)
        remember(secret)
        return secret

    def tls_context(self, step: str) -> ssl.SSLContext | None:
        """Return what encrypts the connection, None where it is not to be encrypted."""
        files = Tls(self.ca, self.certificate, self.certificate_key, self.key_password)
        return files.client(step) if self.tls else None


def server(
    where: str,
    step: str,
    ports: tuple[int, int],
    *,
    user: str | None = None,
    password: str | None = None,
    tls: bool | None = None,
    ca: str | None = None,
    certificate: str | None = None,
    certificate_key: str | None = None,
    key_password: str | None = None,
    timeout: Duration = TIMEOUT,
) -> Server:
    """Return the server that ``[user:password@]host[:port]`` and options describe.

    ``ports``: where it is if no port is named, plain and encrypted. The options are those of everything
    that connects (``connecting``).
    """
    credentials, _, place = where.rpartition("@")
    if credentials and user is None:
        name, _, secret = credentials.partition(":")
        user = unquote(name)
        password = password if password is not None or not secret else unquote(secret)
    text = place if _has_port(place) else f"{place}:{ports[bool(tls)]}"
    host, port = address(text, step=step, default_host="localhost")
    files = {
        "ca": ca,
        "certificate": certificate,
        "certificate_key": certificate_key,
        "key_password": key_password,
    }
    given: dict[str, Any] = {name: value for name, value in files.items() if value is not None}
    if given and not tls:
        raise ConfigError(
            f"{next(iter(given))}= is for an encrypted connection", step=step, hint="give tls=True"
        )
    if password is not None and user is None:
        raise ConfigError("a password needs a user", step=step, hint="give user=")
    found = Server(host, port, user, password, bool(tls))
    waits = duration(timeout, step=step, option="timeout")
    if waits <= timedelta(0):
        raise ConfigError("timeout must be positive", step=step, value=timeout)
    return replace(found, timeout=waits, **given)


connecting = taking(server)
"""Gives a function the options of ``server``."""


def split_path(rest: str, step: str, form: str) -> tuple[str, str]:
    """Return server and what follows the first slash: ``host:1883/a/b`` -> ``host:1883``, ``a/b``."""
    head, slash, path = _without_slashes_of_secrets(rest)
    if not head or not slash or not path:
        raise ConfigError("the URL names a server and what to use there", step=step, hint=form)
    return head, unquote(path)


def _without_slashes_of_secrets(rest: str) -> tuple[str, str, str]:
    """Split at the first slash that is in no reference: ``${file:/run/secret}`` has some."""
    depth = 0
    for at, letter in enumerate(rest):
        depth += (letter == "{") - (letter == "}")
        if letter == "/" and depth == 0:
            return rest[:at], "/", rest[at + 1 :]
    return rest, "", ""


def _has_port(place: str) -> bool:
    return ":" in place.rpartition("]")[2]
