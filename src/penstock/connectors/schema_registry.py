"""A client of schema registries: Confluent's REST interface, which Apicurio, Karapace ... speak too."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from penstock.connectors.drivers import load_driver
from penstock.errors import ConfigError, ConnectorError, Fault
from penstock.hiding import remember
from penstock.secrets import revealed

_STEP = "schema registry"
_TIMEOUT_S = 10.0
_ACCEPT = "application/vnd.schemaregistry.v1+json"
_NO_SUCH = (40401, 40402, 40403)
_UNAUTHORISED = (401, 403)


@dataclass(frozen=True, slots=True)
class Registered:
    """A schema: its kind (``AVRO``, ``PROTOBUF``, ``JSON``), its text, and those that it names."""

    kind: str
    text: str
    name: str = ""
    references: tuple[Registered, ...] = ()


_known: dict[tuple[str, int], Registered] = {}
"""By URL and number. A number never changes its meaning, so nothing is ever asked twice."""
_lock = threading.Lock()


@dataclass(frozen=True)
class SchemaRegistry:
    """Where the registry is, and who asks; texts may hold references (``penstock.secrets``).

    ``url``: ``https://host:8081``, with a path where the registry has one.
    """

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    ca: str | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                "not the URL of a schema registry",
                step=_STEP,
                value=self.url,
                hint="write http://host:8081",
            )

    def by_id(self, number: int, kind: str) -> Registered | str:
        """Return the schema of a number; or say why messages that name it cannot be read."""
        with _lock:
            found = _known.get((self.url, number))
        if found is None:
            answer = self._ask("GET", f"/schemas/ids/{number}")
            if answer is None:
                return f"the schema {number} is not in the registry"
            found = self._registered(answer)
            with _lock:
                _known[self.url, number] = found
        return found if found.kind == kind else f"the schema {number} is {found.kind}, not {kind}"

    def latest(self, subject: str) -> Registered:
        """Return the newest schema of a subject."""
        answer = self._ask("GET", f"/subjects/{quote(subject, safe='')}/versions/latest")
        if answer is None:
            raise ConfigError(
                f"the registry has no subject {subject!r}",
                step=_STEP,
                value=subject,
                alternatives=self.subjects(),
            )
        return self._registered(answer)

    def subjects(self) -> list[str]:
        """Return the names of all subjects."""
        return list(self._ask("GET", "/subjects") or ())

    def register(self, subject: str, kind: str, text: str) -> int:
        """Return the number of a schema, which is registered under the subject if it is new."""
        body = {"schema": text} if kind == "AVRO" else {"schema": text, "schemaType": kind}
        answer = self._ask("POST", f"/subjects/{quote(subject, safe='')}/versions", body)
        return int(answer["id"])

    def _registered(self, answer: Mapping[str, Any], name: str = "") -> Registered:
        references = tuple(
            self._referred(each["name"], each["subject"], each["version"])
            for each in answer.get("references") or ()
        )
        return Registered(answer.get("schemaType", "AVRO"), answer["schema"], name, references)

    def _referred(self, name: str, subject: str, version: int) -> Registered:
        answer = self._ask("GET", f"/subjects/{quote(subject, safe='')}/versions/{version}")
        if answer is None:
            raise ConnectorError(
                f"the registry has no version {version} of {subject!r}, which a schema refers to",
                step=_STEP,
                fault=Fault.REMOTE,
            )
        return self._registered(answer, name)

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        """Return the answer; None if there is no such thing."""
        httpx2 = load_driver("httpx2", "schemas", _STEP)
        try:
            with self._client(httpx2) as client:
                answer = client.request(method, f"{self.url.rstrip('/')}{path}", json=body)
        except httpx2.TransportError as error:
            raise ConnectorError(
                f"the registry cannot be reached: {error}", step=_STEP, retry=True
            ) from error
        if answer.is_success:
            return answer.json()
        return self._refused(answer)

    def _client(self, httpx2: Any) -> Any:
        secret = None if self.password is None else revealed(self.password, step=_STEP)
        token = None if self.token is None else revealed(self.token, step=_STEP)
        for each in (secret, token):
            if each is not None:
                remember(each)
        headers = {"Accept": _ACCEPT}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return httpx2.Client(
            timeout=_TIMEOUT_S,
            headers=headers,
            auth=None if self.user is None else (self.user, secret or ""),
            verify=True if self.ca is None else self.ca,
        )

    def _refused(self, answer: Any) -> None:
        try:
            told = answer.json()
            code, said = told.get("error_code"), told.get("message", "")
        except ValueError:
            code, said = None, answer.text[:200]
        if code in _NO_SUCH:
            return
        status = answer.status_code
        raise ConnectorError(
            f"the registry answers {status}: {said}",
            step=_STEP,
            value=status,
            fault=Fault.USER if status < 500 else Fault.REMOTE,
            retry=status >= 500 or status == 429,
            hint="check user, password and token" if status in _UNAUTHORISED else None,
        )


def registry_of(value: str | SchemaRegistry) -> SchemaRegistry:
    """Return the registry that ``http://user:password@host:8081`` names."""
    if isinstance(value, SchemaRegistry):
        return value
    parts = urlsplit(value)
    credentials, _, host = parts.netloc.rpartition("@")
    if not credentials:
        return SchemaRegistry(value)
    user, _, password = credentials.partition(":")
    url = urlunsplit(parts._replace(netloc=host))
    return SchemaRegistry(url, unquote(user), unquote(password))


@lru_cache(maxsize=1024)
def registered(registry: SchemaRegistry, subject: str, kind: str, text: str) -> int:
    """Return the number of a schema, asked for once."""
    return registry.register(subject, kind, text)
