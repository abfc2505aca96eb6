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
from penstock.plan.node import Node, options, walk
from penstock.plan.sinks import SinkNode


def shared(roots: Sequence[Node]) -> list[Node]:
    """Return the same plans with equal steps over equal inputs made one node.

    Steps are equal if they are of one kind and all their options are; expressions are compared by
    fingerprint, sources by their specification, functions by identity. Equal steps of which one has
    a name have that name; equal steps with several names stay apart.
    """
    labels = _labels(roots)
    kept: dict[Hashable, Node] = {}
    canonical: dict[int, Node] = {}
    for node in walk(*roots):
        found = rewired(node, canonical, labels.get(id(node)))
        canonical[id(node)] = (
            found if isinstance(node, SinkNode) else kept.setdefault(_key(found), found)
        )
    return [canonical[id(root)] for root in roots]


def _labels(roots: Sequence[Node]) -> dict[int, str]:
    """Return the names of steps by node: their own, else that of the first equal step with one."""
    classes: dict[Hashable, int] = {}
    numbers: dict[int, int] = {}
    named: dict[int, str] = {}
    for node in walk(*roots):
        key = (_key(node, numbers), id(node) if isinstance(node, SinkNode) else None)
        numbers[id(node)] = classes.setdefault(key, len(classes))
        if node.label is not None:
            named.setdefault(numbers[id(node)], node.label)
    found = {node: named[number] for node, number in numbers.items() if number in named}
    return found | {id(node): node.label for node in walk(*roots) if node.label is not None}


def rewired(node: Node, canonical: dict[int, Node], label: str | None) -> Node:
    """Return the node over canonical inputs and with its name; itself if it is that already."""
    changed: dict[str, Any] = {} if label == node.label else {"label": label}
    for name, value in options(node):
        replaced = _replaced(value, canonical)
        if replaced is not value:
            changed[name] = replaced
    return dataclasses.replace(node, **changed) if changed else node


def _replaced(value: object, canonical: dict[int, Node]) -> object:
    if isinstance(value, Node):  # one that is not known is a row step inside another node
        known = canonical.get(id(value))
        return rewired(value, canonical, value.label) if known is None else known
    if isinstance(value, tuple) and any(isinstance(item, Node) for item in value):
        items = tuple(_replaced(item, canonical) for item in value)
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else items
    return value


def _key(node: Node, numbers: dict[int, int] | None = None) -> Hashable:
    """Return what equal steps have in common; with ``numbers``, those of inputs stand for them."""
    found = (_option(value, numbers) for _, value in options(node))
    return (type(node), None if numbers is not None else node.label, *found)


def _option(value: object, numbers: dict[int, int] | None) -> Hashable:
    if isinstance(value, Node):
        return id(value) if numbers is None else _number(value, numbers)
    if isinstance(value, pl.Expr):
        try:
            return fingerprint(value)
        except PlanError:  # a function that cannot be serialised: equal to itself only
            return id(value)
    if isinstance(value, tuple | list):
        return tuple(_option(item, numbers) for item in value)
    if isinstance(value, Hashable):
        try:
            hash(value)
        except TypeError:
            return id(value)
        return value
    return id(value)


def _number(node: Node, numbers: dict[int, int]) -> Hashable:
    """Return an input's number; a row step inside another node is no step of the plan itself."""
    return numbers[id(node)] if id(node) in numbers else _key(node, numbers)
