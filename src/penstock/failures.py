"""Which failures pass: after which of them trying again can help.

An error of the operating system is told by its number, also where Polars only says ``(os error 28)``;
an error of SQLite by its code; one of ours says it itself (``ConnectorError.retry``).
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from penstock.deferred import sqlite3
from penstock.errors import ConfigError, ConnectorError, Fault, FencedError, PlanError

_PASSING = frozenset(
    {
        # the disk: space is freed, a network file system or a loose cable comes back
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.ESTALE,
        errno.ENOLCK,
        errno.EBUSY,
        # the machine: files, memory or processes of others are released
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOBUFS,
        errno.EINTR,
        errno.EAGAIN,
        # the network
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.EPIPE,
        errno.ETIMEDOUT,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENETRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    }
)
"""Not among them: EACCES, EPERM, EROFS, ENOENT, EADDRINUSE ...: somebody has to do something."""

_NUMBER = re.compile(r"\(os error (\d+)\)")


def os_error_number(error: BaseException) -> int | None:
    """Return the number of an operating system's error, also of one that Polars passes on as text."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if type(error).__module__.startswith("penstock"):
        return None  # its cause has the number, and it may know better
    found = _NUMBER.search(str(error))
    return None if found is None else int(found[1])


def os_error_passes(error: BaseException) -> bool:
    """Tell whether an error of the operating system may be gone later."""
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    return os_error_number(error) in _PASSING


def system_refused(error: OSError, step: str) -> ConnectorError:
    """Return our error for one of the operating system that a connector has not put into words."""
    passing = os_error_passes(error)
    refused = ConnectorError(
        f"the operating system refused: {error}",
        step=step,
        value=error.filename,
        fault=Fault.REMOTE if passing else Fault.USER,
        retry=passing,
    )
    refused.__cause__ = error
    return refused


def sqlite_error_passes(error: sqlite3.Error) -> bool:
    """Tell whether the same transaction may work later: busy, locked, disk full, I/O error."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
    }


def may_pass(error: BaseException) -> bool:
    """Tell whether a run that ended with this error may do better when it is started again.

    Any error in the chain of causes may say so. One that says who may run, or that the pipeline is
    wrong, decides against it whatever caused it.
    """
    chain = list(_causes(error))
    if any(isinstance(each, FencedError | PlanError | ConfigError) for each in chain):
        return False
    return any(_passes(each) for each in chain)


def _passes(error: BaseException) -> bool:
    if getattr(error, "retry", False) is True:
        return True
    if isinstance(error, BlockingIOError):
        return False  # a lock that another run holds: that is for the user to settle
    return isinstance(error, Exception) and os_error_passes(error)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
