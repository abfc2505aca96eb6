"""Texts without the secrets in them: what was revealed to a driver, and what looks like a password.

Errors hide by themselves whatever they say. Nothing of ours is imported here, so that they can.
"""

from __future__ import annotations

import re

HIDDEN = "***"
SHORTEST = 4
"""Characters from which a value is looked for in messages: shorter ones would be found everywhere."""

_SECRET_OPTION = re.compile(
    r"passw(or)?d|passphrase|secret|token|credential|private_?key|access_?key|account_?key|api_?key"
    r"|key\.pem|\bsas\b|sas_|signature",
    re.IGNORECASE,
)
_PUBLIC_OPTION = re.compile(
    r"(url|uri|endpoint|file|path|name|_id)$|(^|_)skip_signature$", re.IGNORECASE
)
"""Where a secret is, not what it is; or whether there is one."""
_IN_URL = re.compile(r"""(://(?:\$\{[^}]*\}|[^\s:/@'"])*:)((?:\$\{[^}]*\}|[^\s@'"/])+)(?=@)""")
_IN_WORDS = re.compile(
    r"""(\b\w*(?:passw(?:or)?d|passphrase|secret_access_key|account_key|api_key|client_secret)\b"""
    r"""['"]?\s*[=:]\s*)('(?:[^'\\]|\\.)*'|"[^"]*"|[^\s&;,'")}]+)""",
    re.IGNORECASE,
)
_REFERENCE = "${"

_revealed: set[str] = set()


def remember(value: str) -> None:
    """Hide a value from now on, also as Python and JSON show it."""
    if len(value) >= SHORTEST:
        doubled = value.replace("\\", "\\\\")
        _revealed.update((value, repr(value)[1:-1], doubled, doubled.replace('"', '\\"')))


def hidden(text: str) -> str:
    """Return a text without the values that are remembered, and without what looks like a password.

    ``connect to postgresql://me:pa55@db/shop``  ->  ``connect to postgresql://me:***@db/shop``.
    References such as ``${env:PGPASSWORD}`` are no secrets, and stay.
    """
    for value in sorted(_revealed, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    for pattern in (_IN_URL, _IN_WORDS):
        text = pattern.sub(_covered, text)
    return text


def _covered(match: re.Match[str]) -> str:
    return match[0] if match[2].strip("'\"").startswith(_REFERENCE) else f"{match[1]}{HIDDEN}"


def passwords_in(text: str) -> list[str]:
    """Return what looks like a password in a URL or ``key=value`` text, but for references."""
    found = [match[2].strip("'\"") for p in (_IN_URL, _IN_WORDS) for match in p.finditer(text)]
    return [password for password in found if password and not password.startswith(_REFERENCE)]


def url_has_password(text: str) -> bool:
    """Tell whether a URL in a text gives a password as it is."""
    return any(not match[2].startswith(_REFERENCE) for match in _IN_URL.finditer(text))


def is_secret_option(name: str) -> bool:
    """Tell by its name whether the value of an option is secret as a whole."""
    return bool(_SECRET_OPTION.search(name)) and not _PUBLIC_OPTION.search(name)
