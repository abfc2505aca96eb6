"""Sharing: steps that several queries have in common are run once.

scan -> filter -> sink a              scan -> filter -> sink a
scan -> filter -> group_by -> sink b                 -> group_by -> sink b
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any

import polars as pl

from penstock.errors import PlanError
from penstock.plan.expressions import fingerprint
from penstock.plan.node import Node, walk
from penstock.plan.sinks import SinkNode


def shared(roots: Sequence[Node]) -> list[Node]:
    """Return the same plans with equal steps over equal inputs made one node.

    Steps are equal if they are of one kind and all their options are; expressions are compared by
    fingerprint, sources by their specification, functions by identity.
    """
    kept: dict[Hashable, Node] = {}
    canonical: dict[int, Node] = {}
    for node in walk(*roots):
        rewired = _rewired(node, canonical)
        key = _key(rewired)
        canonical[id(node)] = (
            rewired if isinstance(node, SinkNode) else kept.setdefault(key, rewired)
        )
    return [canonical[id(root)] for root in roots]


def _rewired(node: Node, canonical: dict[int, Node]) -> Node:
    """Return the node over canonical inputs; itself if it is already."""
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(node):
        if not field.init:
            continue
        value = getattr(node, field.name)
        replaced = _replaced(value, canonical)
        if replaced is not value:
            changed[field.name] = replaced
    return dataclasses.replace(node, **changed) if changed else node


def _replaced(value: object, canonical: dict[int, Node]) -> object:
    if isinstance(value, Node):
        return canonical.get(id(value), value)
    if isinstance(value, tuple) and any(isinstance(item, Node) for item in value):
        items = tuple(_replaced(item, canonical) for item in value)
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else items
    return value


def _key(node: Node) -> Hashable:
    options = (f for f in dataclasses.fields(node) if f.init and f.name != "line")
    return (type(node), *(_option(getattr(node, f.name)) for f in options))


def _option(value: object) -> Hashable:
    if isinstance(value, Node):
        return id(value)
    if isinstance(value, pl.Expr):
        try:
            return fingerprint(value)
        except PlanError:  # a function that cannot be serialised: equal to itself only
            return id(value)
    if isinstance(value, tuple | list):
        return tuple(_option(item) for item in value)
    if isinstance(value, Hashable):
        try:
            hash(value)
        except TypeError:
            return id(value)
        return value
    return id(value)
