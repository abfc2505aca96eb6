"""How a Kafka cluster is reached: addresses and security, as settings of librdkafka."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from penstock.connectors.options import taking
from penstock.errors import ConfigError
from penstock.hiding import is_secret_option, remember
from penstock.secrets import revealed

_log = logging.getLogger(__name__)

DEFAULT_PORT = 9092
_SASL = {
    "plain": "PLAIN",
    "scram-sha-256": "SCRAM-SHA-256",
    "scram-sha-512": "SCRAM-SHA-512",
}
_OURS = (
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "auto.offset.reset",
    "isolation.level",
    "group.id",
    "transactional.id",
    "enable.idempotence",
    "acks",
    "error_cb",
    "on_commit",
)
"""Settings that decide about exactly-once and belong to the connector."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the brokers are, and who asks.

    ``servers``: ``host:port`` of some brokers. With ``user`` and ``password``: SASL by
    ``mechanism``. ``tls`` encrypts; ``ca``, ``certificate`` and ``key`` name PEM files. ``settings``:
    more settings of librdkafka, by its names. Texts may hold references (``penstock.secrets``).
    """

    servers: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    mechanism: str = "plain"
    tls: bool = False
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = field(default=None, repr=False)
    settings: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def check(self, step: str) -> None:
        """Raise ``ConfigError`` for options that make no sense."""
        if self.mechanism not in _SASL:
            raise ConfigError(
                f"mechanism cannot be {self.mechanism!r}",
                step=step,
                value=self.mechanism,
                alternatives=_SASL,
            )
        if (self.user is None) != (self.password is None):
            raise ConfigError(
                "user and password belong together", step=step, hint="give both, or neither"
            )
        if (self.certificate or self.key or self.ca) and not self.tls:
            raise ConfigError(
                "certificates are for an encrypted connection", step=step, hint="give tls=True"
            )
        for name, _ in self.settings:
            if name in _OURS:
                raise ConfigError(
                    f"the setting {name!r} is the connector's own",
                    step=step,
                    value=name,
                    hint="leave it out; the guarantee rests on it",
                )

    def client(self, step: str) -> dict[str, Any]:
        """Return the settings of a client of librdkafka; references to secrets are looked up."""
        secured = "SASL_" if self.user is not None else ""
        protocol = secured + ("SSL" if self.tls else "PLAINTEXT")
        found = {
            "bootstrap.servers": self.servers,
            "security.protocol": protocol,
            "client.id": "penstock",
            "sasl.mechanism": _SASL[self.mechanism] if self.user is not None else None,
            "sasl.username": self.user,
            "sasl.password": self.password,
            "ssl.ca.location": self.ca,
            "ssl.certificate.location": self.certificate,
            "ssl.key.location": self.key,
            "ssl.key.password": self.key_password,
            "reconnect.backoff.ms": 100,
            "reconnect.backoff.max.ms": 5_000,
            "log_level": 0,  # errors come as errors; its own lines would go to the terminal
            "logger": _log,
        }
        given = {k: v for k, v in found.items() if v is not None} | dict(self.settings)
        known = {k: revealed(v, step=step) if isinstance(v, str) else v for k, v in given.items()}
        for name, value in known.items():
            if is_secret_option(name):
                remember(str(value))
        return known


def connection(
    where: str,
    step: str,
    *,
    user: str | None = None,
    password: str | None = None,
    mechanism: str | None = None,
    tls: bool | None = None,
    ca: str | None = None,
    certificate: str | None = None,
    certificate_key: str | None = None,
    key_password: str | None = None,
    settings: Mapping[str, object] | None = None,
) -> Connection:
    """Return the connection that ``[user:password@]host[:port][,host...]`` and options describe.

    The options are those of everything that connects (``connecting``).
    """
    credentials, _, servers = where.rpartition("@")
    if credentials and user is None:
        name, _, secret = credentials.partition(":")
        user, password = unquote(name), password if password is not None else unquote(secret)
    found = Connection(
        ",".join(_address(each.strip(), step) for each in servers.split(",")),
        user,
        password,
        settings=tuple(sorted((name, _text(value)) for name, value in (settings or {}).items())),
    )
    others = {
        "mechanism": mechanism,
        "tls": tls,
        "ca": ca,
        "certificate": certificate,
        "key": certificate_key,
        "key_password": key_password,
    }
    given: dict[str, Any] = {name: value for name, value in others.items() if value is not None}
    found = replace(found, **given)
    found.check(step)
    return found


connecting = taking(connection)
"""Gives a function the options of ``connection``."""


def split_url(rest: str, step: str) -> tuple[str, str]:
    """Return servers and topic of ``host:port,host:port/topic``."""
    servers, slash, topic = rest.partition("/")
    if not servers or not slash or not topic:
        raise ConfigError(
            "a Kafka URL names brokers and a topic",
            step=step,
            hint="write kafka://host:9092/topic",
        )
    return servers, unquote(topic)


def _address(text: str, step: str) -> str:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not re.fullmatch(r"[\w.:-]+", host):
        raise ConfigError(f"not an address: {text!r}", step=step, value=text, hint="host:port")
    return f"[{host}]:{port or DEFAULT_PORT}" if ":" in host else f"{host}:{port or DEFAULT_PORT}"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
