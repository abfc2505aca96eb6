"""What the command logs on standard error: as text, or as JSON for collectors of logs."""

from __future__ import annotations

import enum
import json
import logging
import sys
import traceback
from datetime import UTC, datetime

from penstock.hiding import hidden


class LogFormat(enum.StrEnum):
    """How a line of the log is written."""

    TEXT = "text"
    JSON = "json"


class LogLevel(enum.StrEnum):
    """What is logged: this and what is worse."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class JsonFormatter(logging.Formatter):
    """One object a line: ``time`` (UTC, ISO 8601), ``level``, ``logger``, ``message``, ``error``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without secrets."""
        found = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": hidden(record.getMessage()),
        }
        if record.exc_info:
            found["error"] = hidden("".join(traceback.format_exception(*record.exc_info)))
        return json.dumps(found, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """``2026-05-17 10:05:03 warning: message``, in the local time."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without secrets."""
        return hidden(super().format(record))


def log_to_stderr(form: LogFormat, level: LogLevel) -> None:
    """Send what Penstock logs to standard error, instead of what was set up before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form is LogFormat.JSON else TextFormatter())
    logger = logging.getLogger("penstock")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(level.value.upper())
