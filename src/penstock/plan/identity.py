"""What a step is, as text that is the same in every process while the step is the same."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from types import CodeType

import polars as pl

from penstock.connectors.contract import SinkSpec, SourceSpec
from penstock.errors import PlanError
from penstock.plan.expressions import fingerprint
from penstock.plan.node import Node, options

PROGRAM = "penstock_program_"
"""Beginning of the module name under which the command line loads a script."""

TUNING = frozenset(
    {
        "lateness_ns",
        "allowed_lateness_ns",
        "idle_timeout_ns",
        "max_ahead_ns",
        "ttl_ns",
        "max_group_rows",
        "epoch_rows",
    }
)
"""Options that say how a step goes on and nothing about what it holds: state survives a change."""


def identity(node: Node) -> str:
    """Return 16 hex digits of the step's kind and options; its inputs and its line do not count.

    Nor does what can be changed without making state invalid (``TUNING``). Sources and sinks count
    with their name. A function counts with its module, name and code; what cannot be told apart (an
    object of an unknown class) counts with its type.
    """
    shown = [f"{name}={_text(value)}" for name, value in options(node) if name not in TUNING]
    whole = f"{type(node).__name__}({', '.join(shown)})"
    return hashlib.blake2b(whole.encode(), digest_size=8).hexdigest()


def _text(value: object) -> str:
    if isinstance(value, Node):
        return "input"
    if isinstance(value, pl.Expr):
        return _of_expression(value)
    if isinstance(value, (SourceSpec, SinkSpec)):
        return value.name
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_text(item)}' for key, item in value.items())}}}"
    if value is None or isinstance(value, str | int | float | bytes | pl.DataType):
        return repr(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = (_text(getattr(value, f.name)) for f in dataclasses.fields(value))
        return f"{type(value).__name__}({', '.join(parts)})"
    if isinstance(value, Callable):  # type: ignore[arg-type]
        name = f"{_module(value)}.{getattr(value, '__qualname__', '')}"
        return f"{name}:{_code(getattr(value, '__code__', None))}"
    return type(value).__name__


def _module(value: object) -> str:
    """Return where a function is from; a script has no name of its own, it depends on who runs it."""
    name = str(getattr(value, "__module__", ""))
    return "" if name == "__main__" or name.startswith(PROGRAM) else name


def _code(code: CodeType | None) -> str:
    """Return what a function does. Inner functions are constants, and would print their address."""
    if code is None:
        return ""
    consts = [_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {consts}"


def _of_expression(expr: pl.Expr) -> str:
    try:
        return fingerprint(expr)
    except PlanError:  # a function that cannot be serialised
        return str(expr)
