"""Encryption by Python's own ``ssl``: certificates and keys by the names of their files."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from penstock.errors import ConfigError
from penstock.hiding import remember
from penstock.secrets import revealed


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: ``ca`` of those to trust, ``certificate`` and ``key`` to show. Texts may be references.

    A client without ``ca`` trusts what the system trusts. A server with ``ca`` asks its clients for a
    certificate that is signed by one of them.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = field(default=None, repr=False)

    def check(self, step: str) -> None:
        """Raise ``ConfigError`` for a key without its certificate."""
        if self.key is not None and self.certificate is None:
            raise ConfigError("a key needs its certificate", step=step, hint="give certificate=")

    def client(self, step: str) -> ssl.SSLContext:
        """Return what a client connects with: names and certificates are always checked."""
        with_files = self._opened(step)
        try:
            context = ssl.create_default_context(cafile=with_files.ca)
            with_files.load(context)
        except OSError as error:  # ssl.SSLError is one
            raise _unreadable(error, step) from None
        return context

    def server(self, step: str) -> ssl.SSLContext:
        """Return what a server listens with, from TLS 1.2 on."""
        with_files = self._opened(step)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            with_files.load(context)
            if with_files.ca is not None:
                context.load_verify_locations(with_files.ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except OSError as error:
            raise _unreadable(error, step) from None
        return context

    def load(self, context: ssl.SSLContext) -> None:
        """Give a context the certificate, if there is one."""
        if self.certificate is not None:
            # a function: without a password, OpenSSL would ask for it on the terminal
            context.load_cert_chain(self.certificate, self.key, lambda: self.key_password or "")

    def _opened(self, step: str) -> Tls:
        """Return it with the references looked up."""
        texts = (self.ca, self.certificate, self.key, self.key_password)
        found = Tls(*(None if text is None else revealed(text, step=step) for text in texts))
        if found.key_password is not None:
            remember(found.key_password)
        return found


def _unreadable(error: OSError, step: str) -> ConfigError:
    reason = getattr(error, "reason", None) or error.strerror or "it is not PEM"
    return ConfigError(
        f"the certificates cannot be read: {reason}",
        step=step,
        hint="check ca=, certificate=, certificate_key= and key_password=",
    )
