"""Reading only what a query names: columns of a file, and fields of its structs.

    scan {"kind", "bid": {"price", "url"}} -> filter kind = 2 -> select bid -> unnest bid; wanted price
    scan {"kind", "bid": {"price"}}        -> filter kind = 2 -> select bid -> unnest bid

Streams that share a scan share it afterwards: it gives what either of them wants.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import polars as pl

from penstock.connectors.contract import SourceSpec
from penstock.plan.expressions import root_columns
from penstock.plan.node import Node, walk
from penstock.plan.properties import copied_columns
from penstock.plan.rows import Filter, Select, Unnest
from penstock.plan.sources import Scan, Watermark

Path = tuple[str, ...]
"""A column, or a column and the names of fields that lead into it."""


def narrowed(nodes: Sequence[tuple[Node, Collection[str]]]) -> list[Node]:
    """Return each node with a scan that gives the wanted columns at least.

    Only where the source can leave something out (``narrowed`` of its specification: files), and
    only through watermarks, filters, and selections and unnested structs that compute nothing; a
    scan with any other step above it stays as it is.
    """
    needs: dict[int, set[Path] | None] = {}
    for node, columns in nodes:
        wanted = _needed(node, {(name,) for name in columns})
        for scan in (below for below in walk(node) if isinstance(below, Scan)):
            known = needs.setdefault(id(scan), set())
            needs[id(scan)] = None if known is None or wanted is None else known | wanted
    scans: dict[int, Scan] = {}
    return [_rebuilt(node, {(c,) for c in columns}, needs, scans) for node, columns in nodes]


def _needed(node: Node, wanted: set[Path]) -> set[Path] | None:
    """Say what a node needs of the scan below; None if steps are between that need all."""
    while not isinstance(node, Scan):
        below = _below(node, wanted)
        if below is None:
            return None
        wanted, node = below, node.inputs[0]
    return wanted


def _below(node: Node, wanted: set[Path]) -> set[Path] | None:
    """Say what a step needs of its input so as to give what is wanted."""
    if isinstance(node, Watermark):
        return wanted | {(node.column,)}
    if isinstance(node, Filter):
        return wanted | {(name,) for name in root_columns(node.predicate)}
    if isinstance(node, Select):
        copied = copied_columns(node.exprs)
        if len(copied) != len(node.exprs):
            return None
        return {(copied[name], *rest) for name, *rest in wanted or {(next(iter(copied)),)}}
    if isinstance(node, Unnest):
        return _nested(node, wanted)
    return None


def _nested(node: Unnest, wanted: set[Path]) -> set[Path]:
    found = set(wanted)
    for column in node.columns:
        dtype = node.input.schema[column]
        assert isinstance(dtype, pl.Struct)
        names = {inner.name for inner in dtype.fields}
        mine = {path for path in wanted if path[0] in names} or {(dtype.fields[0].name,)}
        found = (found - mine) | {(column, *path) for path in mine}
    return found


def _rebuilt(
    node: Node, wanted: set[Path], needs: dict[int, set[Path] | None], scans: dict[int, Scan]
) -> Node:
    if isinstance(node, Scan):
        known = needs[id(node)]
        if known is None:
            return node
        return scans.setdefault(id(node), _narrowed_scan(node, known))
    below = _below(node, wanted)
    if below is None or _needed(node, wanted) is None:
        return node
    changed = _rebuilt(node.inputs[0], below, needs, scans)
    if changed is node.inputs[0]:
        return node
    if isinstance(node, Select):
        kept = [e for e in node.exprs if _reads(e, changed.schema)]
        return replace(node, input=changed, exprs=tuple(kept))
    return replace(node, input=changed)  # type: ignore[call-arg]


def _reads(expr: pl.Expr, schema: pl.Schema) -> bool:
    return all(name in schema for name in root_columns(expr))


def _narrowed_scan(scan: Scan, wanted: set[Path]) -> Scan:
    narrow: Callable[[Collection[Path]], SourceSpec] | None = getattr(scan.spec, "narrowed", None)
    first = next(iter(scan.schema))
    paths = {path for path in wanted if path[0] in scan.schema} or {(first,)}
    spec = scan.spec if narrow is None else narrow(paths)
    return scan if spec.schema == scan.spec.schema else replace(scan, spec=spec)
