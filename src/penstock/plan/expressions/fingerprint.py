"""Stable names for expressions: equal expressions have equal fingerprints, in every process."""

from __future__ import annotations

import hashlib
import math
import pickle
from dataclasses import fields, is_dataclass
from types import CodeType, FunctionType
from typing import Any

import polars as pl

from penstock.plan.expressions.tree import Tree, kind_of, payload_of, raw_walk, to_expr, to_tree

_PICKLE_START = b"\x80\x05\x95"  # opcode PROTO 5, then FRAME: what follows Polars' own header
_PICKLED_UNDER = frozenset({"function", "callback", "Map", "MapFieldNames"})
_VERSION_BYTES = 3  # the version of Python, between Polars' header and the pickle


def fingerprint(expr: pl.Expr) -> str:
    """Return 32 hex digits that are the same for the same expression in every process.

    Hashes our own normal form, not Polars' text: sorted fields, literals by type and value,
    Python functions by module, qualified name, byte code, constants, defaults and closed-over
    values. PlanError if the expression holds a function that cannot be pickled.
    """
    return tree_fingerprint(to_tree(expr))


def tree_fingerprint(tree: Tree) -> str:
    """Return the fingerprint of a tree."""
    return hashlib.blake2b(repr(_normal(tree)).encode(), digest_size=16).hexdigest()


def _normal(value: Any) -> Any:
    """Return nested tuples of text and numbers whose ``repr`` is the same in every process."""
    if isinstance(value, dict):
        return _normal_node(value)
    if isinstance(value, (list, tuple)):
        return tuple(_normal(item) for item in value)
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else value.hex())
    return value


def _normal_node(node: dict[str, Any]) -> Any:
    if kind_of(node) == "Literal":
        return ("Literal", _normal_literal(node))
    fields = []
    for key, value in sorted(node.items()):
        if key in _PICKLED_UNDER and _is_raw(value):
            fields.append((key, _normal_callback(value)))
        else:
            fields.append((key, _normal(value)))
    return tuple(fields)


def _is_raw(value: Any) -> bool:
    """Tell pickled bytes (some nodes list them one by one) from options of the same name."""
    listed = isinstance(value, list) and all(isinstance(item, int) for item in value)
    return isinstance(value, bytes) or listed


def _normal_literal(node: Tree) -> Any:
    payload = payload_of(node)
    if any(
        isinstance(inner, bytes) and key in ("Series", "List", "Array")
        for key, inner in raw_walk(payload)
    ):
        series = pl.select(to_expr(node)).to_series()
        return (repr(series.dtype), series.name, tuple(repr(v) for v in series.to_list()))
    return _normal(payload)


def _normal_callback(value: Any) -> Any:
    """Describe a pickled Python function; the pickle was written by this process a moment ago."""
    raw = bytes(value)
    start = raw.find(_PICKLE_START)
    if start < 0:
        return raw
    header = raw[: max(0, start - _VERSION_BYTES)]
    return (header, _normal_object(pickle.loads(raw[start:]), ()))  # noqa: S301


def _normal_object(value: Any, above: tuple[int, ...]) -> Any:
    """Describe what a function closes over; ``above`` stops at objects that hold themselves."""
    if id(value) in above:
        return "cycle"
    above = (*above, id(value))
    if isinstance(value, FunctionType):
        return _normal_function(value, above)
    if isinstance(value, CodeType):
        return _normal_code(value, above)
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, *(_normal_object(v, above) for v in value))
    if isinstance(value, (set, frozenset)):
        return (type(value).__name__, *sorted(repr(_normal_object(v, above)) for v in value))
    if isinstance(value, dict):
        return ("dict", *((repr(k), _normal_object(v, above)) for k, v in value.items()))
    if isinstance(value, pl.Expr):
        return ("expr", _normal(to_tree(value)))
    return _normal_instance(value, above)


def _normal_instance(value: Any, above: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, (bool, int, float, str, bytes, complex)):
        return (type(value).__name__, repr(value))
    named = getattr(value, "__qualname__", None)
    if named is not None:  # a class, a builtin, a bound method
        owner = getattr(value, "__self__", None)
        inner = None if owner is None or hasattr(owner, "__path__") else type(owner).__qualname__
        return ("named", getattr(value, "__module__", None), named, inner)
    kind = (type(value).__module__, type(value).__qualname__)
    held = _fields(value)
    if held:
        return (*kind, _normal_object(held, above))
    text = repr(value)
    return kind if " at 0x" in text else (*kind, text)


def _fields(value: Any) -> dict[str, Any] | None:
    """Return what an object holds; a dataclass may hold it in slots."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return getattr(value, "__dict__", None)


def _normal_function(function: FunctionType, above: tuple[int, ...]) -> Any:
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return (
        "function",
        function.__module__,
        function.__qualname__,
        _normal_code(function.__code__, above),
        _normal_object(function.__defaults__, above),
        _normal_object(function.__kwdefaults__, above),
        _normal_object(cells, above),
    )


def _normal_code(code: CodeType, above: tuple[int, ...]) -> Any:
    constants = [_normal_object(constant, above) for constant in code.co_consts]
    return ("code", code.co_code, code.co_names, tuple(constants))
