"""Whose fault a PostgreSQL error is, and whether trying again can help, by its SQLSTATE."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from penstock.connectors.poison import ValueRefusedError
from penstock.errors import ConnectorError, Fault

if TYPE_CHECKING:
    import psycopg

_PASSING_CLASSES = ("08", "40", "53", "57", "58")
"""Connection lost; rolled back (serialisation failure, deadlock); out of resources; stopped by an
operator; failure outside PostgreSQL."""

_PASSING_STATES = ("25006", "55006", "55P03")
"""Read-only (a standby, until it is promoted); in use; lock not available."""

_OF_VALUES = ("22", "23", "44000", "54000", "P0001")
"""A value that does not fit its type; a constraint; a view's check; too large for an index; what a
trigger raises."""

_OUR_FORMAT = "22P04"
"""COPY cannot read the rows: no value is to blame."""

KEYS_TABLE = "penstock_keys"
"""Temporary table of keys to delete, which are some of the rows that are being written."""

_LINE = re.compile(r"^((?:CONTEXT:\s*)?COPY .*?), line (\d+)", re.MULTILINE)
_NO_LINE = r"\1"
"""Where COPY has stopped: a row in several lines makes the number too high."""

_CONFIGURATION = ("authentication failed", "does not exist", "no pg_hba.conf entry", "invalid ")
"""What libpq says, without a SQLSTATE, when connecting can never succeed as configured."""

_HINTS = {
    "42P10": "the table exists without a UNIQUE constraint on the key columns; add one",
    "42501": "grant the role INSERT, UPDATE, DELETE and SELECT on the table, and CREATE if absent",
    "22021": "PostgreSQL cannot hold NUL in text; remove it, or cast the column to Binary",
}


def connector_error(error: psycopg.Error, step: str, *, lost: bool) -> ConnectorError:
    """Build our error from the driver's; ``lost``: the connection is gone."""
    state = error.sqlstate
    if state is None:
        user = any(words in str(error) for words in _CONFIGURATION)
        passing = lost and not user
    else:
        passing = state.startswith(_PASSING_CLASSES) or state in _PASSING_STATES
        user = not passing
    refused = state is not None and state.startswith(_OF_VALUES) and state != _OUR_FORMAT
    kind = ValueRefusedError if refused else ConnectorError
    text = str(error).strip()
    found = kind(
        f"PostgreSQL refused: {_LINE.sub(_NO_LINE, text) if refused else text}",
        step=step,
        value=state,
        fault=Fault.USER if user else Fault.REMOTE,
        retry=passing,
        hint=_HINTS.get(state or ""),
    )
    line = _LINE.search(error.diag.context or "")
    known = line is not None and not line[1].endswith(KEYS_TABLE)
    if isinstance(found, ValueRefusedError) and line is not None and known:
        found.row = int(line[2]) - 1
    return found
