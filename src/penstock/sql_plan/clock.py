"""``NOW()``: the clock that a query reads.

In a statement that is run once the clock stands: ``now()`` is a constant, the statement's time. In a
query that is kept up to date it moves, and can stand only where rows are compared with it
(``now_filters``).
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from contextvars import ContextVar

import polars as pl
from sqlglot import exp

from penstock.sql_plan.binding import parts
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.scalars import Scalars, Translator
from penstock.sql_plan.values import Value, constant

_NS_PER_US = 1_000
_NAMES = {
    "NOW",
    "MZ_NOW",
    "TRANSACTION_TIMESTAMP",
    "STATEMENT_TIMESTAMP",
    "CLOCK_TIMESTAMP",
}
_OUTSIDE = (
    "compare rows with it in WHERE: ts > now() - INTERVAL '5 minutes'; "
    "PROCTIME() is the time at which a row came"
)

_standing: ContextVar[int | None] = ContextVar("standing", default=None)


@contextlib.contextmanager
def clock_at(instant_ns: int | None) -> Iterator[None]:
    """Let the clock of what is planned stand at an instant; None: it moves."""
    token = _standing.set(instant_ns)
    try:
        yield
    finally:
        _standing.reset(token)


def clock_moves() -> bool:
    """Tell whether what is planned is kept up to date as time passes."""
    return _standing.get() is None


def statement_time() -> int:
    """Return the instant at which the clock stands."""
    instant_ns = _standing.get()
    assert instant_ns is not None, "a statement that is run once has a time"
    return instant_ns


def is_now(node: exp.Expr) -> bool:
    """Tell whether a node is a call that reads the clock."""
    if isinstance(node, tuple(NODES)):
        return True
    return isinstance(node, exp.Anonymous) and node.name.upper() in _NAMES


def reads_clock(node: exp.Expr) -> bool:
    """Tell whether an expression reads a clock that moves, outside of queries in it."""
    return clock_moves() and any(is_now(part) for part in parts(node))


def _standing_at(node: exp.Expr) -> datetime.datetime:
    instant_ns = _standing.get()
    if instant_ns is None:
        raise refuse(node, "the time of a query that is kept up to date moves", hint=_OUTSIDE)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return epoch + datetime.timedelta(microseconds=instant_ns // _NS_PER_US)


def _now(_: Scalars, node: exp.Expr) -> Value:
    return constant(_standing_at(node), pl.Datetime("us", "UTC"))


def _local(_: Scalars, node: exp.Expr) -> Value:
    return constant(_standing_at(node).replace(tzinfo=None), pl.Datetime("us"))


def _today(_: Scalars, node: exp.Expr) -> Value:
    return constant(_standing_at(node).date(), pl.Date())


def _time(_: Scalars, node: exp.Expr) -> Value:
    return constant(_standing_at(node).time(), pl.Time())


NODES: dict[type[exp.Expr], Translator] = {
    exp.CurrentTimestamp: _now,
    exp.Localtimestamp: _local,
    exp.CurrentDate: _today,
    exp.CurrentTime: _time,
    exp.Localtime: _time,
}
FUNCTIONS: dict[str, Translator] = dict.fromkeys(_NAMES, _now)
