"""Tokens of those who may send: looked up when a server opens, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.errors import ConfigError
from penstock.hiding import remember
from penstock.secrets import revealed

_BEARER = b"bearer "


@dataclass(frozen=True, slots=True)
class Tokens:
    """The digests of some tokens; with none, everybody may."""

    digests: tuple[bytes, ...]

    @classmethod
    def opened(cls, texts: Sequence[str], step: str) -> Tokens:
        """Look up the tokens, each a text or a reference."""
        found = []
        for text in texts:
            token = revealed(text, step=step)
            if not token:
                raise ConfigError("a token is empty", step=step, hint="give token='${env:NAME}'")
            remember(token)
            found.append(_digest(token.encode()))
        return cls(tuple(found))

    def admit(self, presented: bytes | None) -> bool:
        """Tell whether a token is one of them, in a time that does not depend on it."""
        if not self.digests:
            return True
        digest = _digest(presented or b"")
        matches = [hmac.compare_digest(digest, known) for known in self.digests]  # all, always
        return any(matches)


def bearer(header: bytes | None) -> bytes | None:
    """Return the token of ``Authorization: Bearer token``."""
    if header is None or header[: len(_BEARER)].lower() != _BEARER:
        return None
    return header[len(_BEARER) :].strip()


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
