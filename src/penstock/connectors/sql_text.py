"""Quote names for SQL statements that cannot take them as parameters."""

from __future__ import annotations

from collections.abc import Iterable


def quoted(name: str) -> str:
    """Return ``name`` as an SQL identifier: ``a"b`` -> ``"a""b"``."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: Iterable[str]) -> str:
    """Return the names quoted, with commas between."""
    return ", ".join(map(quoted, names))
