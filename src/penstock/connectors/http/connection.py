"""How an HTTP server is reached: its URL, what identifies us, how long to wait."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from penstock.connectors.backoff import Backoff
from penstock.connectors.drivers import load_driver
from penstock.connectors.options import duration
from penstock.connectors.tls import Tls
from penstock.errors import ConfigError
from penstock.hiding import is_secret_option, remember
from penstock.secrets import revealed, revealed_connection

if TYPE_CHECKING:
    import httpx2

AGENT = "penstock"
SCHEMES = ("http", "https")
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Connection:
    """A URL and who asks.

    ``token`` is sent as ``Authorization: Bearer``, ``user`` and ``password`` as Basic; ``headers`` are
    sent as they are. Texts may hold references (``penstock.secrets``).
    """

    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    token: str | None = field(default=None, repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls = field(default_factory=Tls)
    connect_timeout: timedelta = timedelta(seconds=10)
    timeout: timedelta = timedelta(seconds=30)
    backoff: Backoff = field(default_factory=Backoff)

    def check(self, step: str, *schemes: str) -> None:
        """Raise ``ConfigError`` for what makes no sense."""
        parts = _split(self.url)
        whole_reference = self.url.startswith("${")
        if not whole_reference and (
            parts is None or parts.scheme not in schemes or not parts.netloc
        ):
            raise ConfigError(
                "this is no URL", step=step, hint=f"write {schemes[0]}://host:port/path"
            )
        if (self.user is None) != (self.password is None):
            raise ConfigError(
                "user and password belong together", step=step, hint="give both, or neither"
            )
        if self.token is not None and self.user is not None:
            raise ConfigError("a token and a password are given", step=step, hint="leave one out")
        for option in ("connect_timeout", "timeout"):
            if getattr(self, option) <= timedelta(0):
                raise ConfigError(f"{option} must be longer than nothing", step=step)
        for name, _ in self.headers:
            if not HEADER_NAME.fullmatch(name):
                raise ConfigError("this is no name of a header", step=step, value=name)
        self.tls.check(step)
        self.backoff.check(step)

    @property
    def place(self) -> str:
        """``host:port/path``: what may be shown of the URL, which can hold a token."""
        if self.url.startswith("${"):
            return self.url
        parts = _split(self.url)
        if parts is None:
            return ""
        return parts.netloc.rpartition("@")[2] + parts.path

    def opened_url(self, step: str) -> str:
        """Return the URL with the references looked up."""
        return revealed_connection(self.url, step=step)

    def opened_headers(self, step: str) -> dict[str, str]:
        """Return what identifies us, the references looked up."""
        found = {"User-Agent": AGENT}
        for name, text in self.headers:
            value = revealed(text, step=step)
            if is_secret_option(name) or name.lower() == "cookie":
                remember(value)
            found[name] = value
        if self.token is not None:
            token = revealed(self.token, step=step)
            remember(token)
            found["Authorization"] = f"Bearer {token}"
        return found

    def _context(self, step: str) -> ssl.SSLContext:
        """Return what encrypts: without https nothing does, and what the system trusts is not loaded."""
        if self.opened_url(step).startswith("https:"):
            return self.tls.client(step)
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def client(self, step: str) -> httpx2.Client:
        """Return a client; nothing connects yet. Redirects are not followed: they would get the token."""
        load_driver("httpx2", "http", step)
        import httpx2

        auth = None
        if self.user is not None and self.password is not None:
            user, password = (revealed(text, step=step) for text in (self.user, self.password))
            remember(password)
            auth = httpx2.BasicAuth(user, password)
        return httpx2.Client(
            headers=self.opened_headers(step),
            auth=auth,
            verify=self._context(step),
            timeout=httpx2.Timeout(
                self.timeout.total_seconds(), connect=self.connect_timeout.total_seconds()
            ),
            follow_redirects=False,
        )


OPTIONS = (
    "headers",
    "token",
    "user",
    "password",
    "ca",
    "certificate",
    "certificate_key",
    "key_password",
    "connect_timeout",
    "timeout",
    "backoff",
    "max_backoff",
)
"""What ``connection`` takes out of the options of a source or sink."""


def connection(
    url: str, step: str, options: Mapping[str, Any]
) -> tuple[Connection, dict[str, Any]]:
    """Return the connection that a URL and options describe, and the other options."""

    def spans(name: str, default: str) -> timedelta:
        return duration(options.get(name, default), step=step, option=name)

    texts = {name: options.get(name) for name in OPTIONS if name not in _OTHERS}
    wrong = [name for name, value in texts.items() if not isinstance(value, str | None)]
    if wrong or not isinstance(options.get("headers", {}), Mapping | None):
        name = wrong[0] if wrong else "headers"
        raise ConfigError(f"{name} is of the wrong type", step=step, value=name)
    found = Connection(
        url,
        tuple(sorted((options.get("headers") or {}).items())),
        texts["token"],
        texts["user"],
        texts["password"],
        Tls(texts["ca"], texts["certificate"], texts["certificate_key"], texts["key_password"]),
        spans("connect_timeout", "10s"),
        spans("timeout", "30s"),
        Backoff(spans("backoff", "100ms"), spans("max_backoff", "30s")),
    )
    return found, {name: value for name, value in options.items() if name not in OPTIONS}


_OTHERS = ("headers", "connect_timeout", "timeout", "backoff", "max_backoff")


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts
