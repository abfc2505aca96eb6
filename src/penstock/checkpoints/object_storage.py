"""Checkpoints on an object store: S3 and what speaks like it, Azure Blob Storage, Google Cloud.

Through obstore (extra ``objects``), which repeats requests that failed for a passing reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from penstock.errors import ConfigError
from penstock.hiding import hidden
from penstock.secrets import revealed_options

SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")

_CLIENT_OPTIONS = frozenset(
    {
        "allow_http",
        "allow_invalid_certificates",
        "connect_timeout",
        "proxy_ca_certificate",
        "proxy_excludes",
        "proxy_url",
        "timeout",
        "user_agent",
    }
)
"""Options of the HTTP client; all others are those of the store itself."""

_TRUTH: Mapping[str | bool, bool] = {"true": True, "false": False}


class ObjectStorage:
    """The objects under ``url`` (``s3://bucket/prefix``).

    ``options`` are obstore's: ``region``, ``endpoint``, ``access_key_id``, ``secret_access_key``,
    ``account_key``, ``allow_http`` ..., or references to them (``penstock/secrets.py``); without them
    the environment is asked, as usual there.
    Nobody holds an object store: whoever comes takes over, and the conditional create decides.
    """

    folder: Path | None = None

    def __init__(self, url: str, options: Mapping[str, str | bool]) -> None:
        parts = urlsplit(url)
        self.name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")
        self._store = self._opened(url, revealed_options(options, step="checkpoint"))
        self._checked = False

    def __repr__(self) -> str:
        return f"<ObjectStorage {self.name}>"

    def _opened(self, url: str, options: Mapping[str, str | bool]) -> Any:
        try:
            from obstore import exceptions, store
        except ImportError as error:
            raise ConfigError(
                "checkpoints on an object store need obstore",
                step="checkpoint",
                value=self.name,
                hint='pip install "penstock[objects]"',
            ) from error
        client = {k: _TRUTH.get(v, v) for k, v in options.items() if k in _CLIENT_OPTIONS}
        config = {k: v for k, v in options.items() if k not in _CLIENT_OPTIONS}
        try:
            opened: Any = store.from_url  # its overloads are by store
            return opened(url, config=config, client_options=client)
        except (exceptions.BaseError, ValueError, TypeError) as error:
            raise ConfigError(
                f"the object store refuses its options: {self._said(error)}",
                step="checkpoint",
                value=self.name,
                hint="give in checkpoint_options what obstore calls the configuration of the store",
            ) from None

    def hold(self, *, takeover: bool) -> bool:  # noqa: ARG002 - nobody can be refused
        """Do nothing: whoever comes takes over."""
        return True

    def release(self) -> None:
        """Do nothing."""

    def read(self, path: str) -> bytes:
        """Return an object."""
        with self._translated():
            return bytes(self._store.get(path).bytes())

    def write(self, path: str, data: bytes) -> None:
        """Make or replace an object."""
        with self._translated():
            self._store.put(path, data)

    def create(self, path: str, data: bytes) -> bool:
        """Make an object if there is none. The first one is tried twice, to see the store refuse."""
        made = self._create(path, data)
        if made and not self._checked:
            if self._create(path, data):
                raise ConfigError(
                    "this object store replaces an object that was to be created only if missing",
                    step="checkpoint",
                    value=self.name,
                    hint="use a store with conditional writes: without them two runs can both write",
                )
            self._checked = True
        return made

    def _create(self, path: str, data: bytes) -> bool:
        from obstore.exceptions import AlreadyExistsError

        with self._translated():
            try:
                self._store.put(path, data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def list(self, prefix: str) -> list[str]:
        """Return the paths that begin with ``prefix``, sorted."""
        parent, _, stem = prefix.rpartition("/")
        with self._translated():
            if not stem:
                found = [entry["path"] for entry in self._store.list(parent or None).collect()]
            else:
                level = self._store.list_with_delimiter(parent or None)
                found = [entry["path"] for entry in level["objects"]]
                for folder in level["common_prefixes"]:
                    if folder.startswith(prefix):
                        found.extend(e["path"] for e in self._store.list(folder).collect())
        return sorted(path for path in found if path.startswith(prefix))

    def delete(self, path: str) -> None:
        """Remove an object."""
        with self._translated():
            try:
                self._store.delete(path)
            except FileNotFoundError:
                return

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise as ``OSError`` what obstore raises, without the secrets that stores repeat in it."""
        from obstore import exceptions

        try:
            yield
        except FileNotFoundError as error:
            raise FileNotFoundError(self._said(error)) from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise PermissionError(self._said(error)) from None
        except exceptions.GenericError as error:  # the network, or a store that answers 5xx
            raise ConnectionError(self._said(error)) from None
        except exceptions.BaseError as error:
            raise OSError(self._said(error)) from None

    def _said(self, error: Exception) -> str:
        return hidden(str(error).partition("\n\nDebug source")[0])
