"""Every error Penstock raises, in one tree.

    PenstockError
    ├── PlanError            a step, column, type or option is wrong; raised on the user's own line
    │   └── NoSuchVerbError  a stream cannot do that, or not under that name; an AttributeError too
    ├── ConfigError          a connector or run option is wrong; raised before anything starts
    ├── ConnectorError       a source or sink failed; says whose fault it is and whether to retry
    │   └── FencedError      another run has taken over this checkpoint; nothing more may be written
    ├── CheckpointError      a checkpoint cannot be read, written, or does not fit this pipeline
    ├── StateLimitError      a group or a state grew beyond the limit it was given
    ├── DeadLetterLimitError more rows were refused than ``dead_letter_limit`` allows
    └── QueryFailed          a running query stopped; the cause is chained

Each carries the step, the offending value, the alternatives, and the user's own line where these
are known; ``str(error)`` prints all of them, without secrets (``hiding.py``).
"""

from __future__ import annotations

import difflib
import enum
import linecache
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

from penstock.hiding import hidden

_PATHS = sysconfig.get_paths()
_NOT_THE_USERS = (
    str(Path(__file__).parent),
    *(_PATHS[part] for part in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")),
    "<frozen ",
)
"""Beginnings of file names whose code no user wrote: ours, the standard library, packages."""

_INSTALLED = ("/site-packages/", "/dist-packages/")


class Fault(enum.Enum):
    """Whose doing a connector error is."""

    USER = "the configuration"
    REMOTE = "the remote system"
    OURS = "Penstock"


class PenstockError(Exception):
    """Base of all errors; formats the step, the value, the way out and the user's line."""

    def __init__(
        self,
        message: str,
        *,
        step: str | None = None,
        value: object = None,
        alternatives: Iterable[str] = (),
        hint: str | None = None,
        line: str | None = None,
    ) -> None:
        self.message = hidden(message)
        self.step = step if step is None else hidden(step)
        self.value = hidden(value) if isinstance(value, str) else value
        self.alternatives = tuple(alternatives)
        self.hint = hint if hint is None else hidden(hint)
        self.line = _without_secrets(user_line() if line is None else line)
        super().__init__(self.message)

    def __str__(self) -> str:
        parts = [f"{self.step}: {self.message}" if self.step else self.message]
        close = closest(self.value, self.alternatives)
        if close:
            parts.append(f"  did you mean {close!r}?")
        if self.alternatives:
            parts.append(f"  available: {', '.join(map(str, self.alternatives))}")
        if self.hint:
            parts.append(f"  hint: {self.hint}")
        if self.line:
            parts.append(f"  at {self.line}")
        return "\n".join(parts)


class PlanError(PenstockError):
    """A step, column, type or option is wrong. Raised on the user's own line."""


class NoSuchVerbError(PlanError, AttributeError):
    """A stream has no such verb. An ``AttributeError`` too, so that ``hasattr`` says no."""


class ConfigError(PenstockError):
    """A connector or run option is wrong. Raised before anything starts."""


class ConnectorError(PenstockError):
    """A source or sink failed.

    ``fault`` says whether the user, the remote side or Penstock is to blame; ``retry`` says whether
    trying again can help.
    """

    def __init__(
        self,
        message: str,
        *,
        step: str | None = None,
        value: object = None,
        fault: Fault = Fault.REMOTE,
        retry: bool = False,
        hint: str | None = None,
        line: str | None = None,
    ) -> None:
        super().__init__(message, step=step, value=value, hint=hint, line=line)
        self.fault = fault
        self.retry = retry


class FencedError(ConnectorError):
    """Another run has taken over this checkpoint; this one may not write any more."""


class CheckpointError(PenstockError):
    """A checkpoint cannot be read or written, or does not fit this pipeline.

    ``retry`` says whether trying again can help.
    """

    def __init__(
        self,
        message: str,
        *,
        step: str | None = None,
        value: object = None,
        alternatives: Iterable[str] = (),
        hint: str | None = None,
        line: str | None = None,
        retry: bool = False,
    ) -> None:
        super().__init__(
            message, step=step, value=value, alternatives=alternatives, hint=hint, line=line
        )
        self.retry = retry


class StateLimitError(PenstockError):
    """A group or a state grew beyond the limit it was given."""


class DeadLetterLimitError(PenstockError):
    """More rows were refused than the run allows; all that was taken in is in the checkpoint."""


class QueryFailed(PenstockError):  # noqa: N818 - reads as an event, like asyncio.IncompleteReadError
    """A running query stopped because of an error, which is chained as the cause."""


def _without_secrets(line: str | None) -> str | None:
    return line and hidden(line)


def closest(value: object, alternatives: Iterable[str]) -> str | None:
    """Return the alternative nearest in spelling to ``value``, if any is near."""
    if not isinstance(value, str):
        return None
    found = difflib.get_close_matches(value, list(alternatives), n=1)
    return found[0] if found else None


def user_line() -> str | None:
    """Return ``file:line: source`` of the innermost frame that is the user's own.

    None where there is none, as on a thread that reads a source.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the cheap way to the caller
    while frame is not None and not _is_users(frame):
        frame = frame.f_back
    if frame is None:
        return None
    path, number = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(path, number).strip()
    return f"{path}:{number}: {text}" if text else f"{path}:{number}"


def _is_users(frame: FrameType) -> bool:
    """Tell by file, and by module for constructors that dataclasses write (file ``<string>``)."""
    path = frame.f_code.co_filename
    if str(frame.f_globals.get("__name__", "")).partition(".")[0] == "penstock":
        return False
    return not path.startswith(_NOT_THE_USERS) and not any(part in path for part in _INSTALLED)
