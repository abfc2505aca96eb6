"""Reading only the columns of a file that a query names."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from penstock.connectors.contract import SourceSpec
from penstock.plan.expressions import root_columns
from penstock.plan.node import Node
from penstock.plan.rows import Filter
from penstock.plan.sources import Scan, Watermark


def narrowed(node: Node, wanted: Collection[str]) -> Node:
    """Return a scan, with its watermark and filters, that gives the wanted columns at least.

    ``Scan`` of a, b, c; wanted a -> ``Scan`` of a. Only where the source can leave columns out
    (``narrowed`` of its specification: a columnar file); any other plan stays as it is.
    """
    if isinstance(node, Watermark):
        below = narrowed(node.input, {*wanted, node.column})
        return node if below is node.input else replace(node, input=below)
    if isinstance(node, Filter):
        below = narrowed(node.input, {*wanted, *root_columns(node.predicate)})
        return node if below is node.input else replace(node, input=below)
    narrow: Callable[[list[str]], SourceSpec] | None = None
    if isinstance(node, Scan):
        narrow = getattr(node.spec, "narrowed", None)
    columns = [name for name in node.schema if name in wanted] or list(node.schema)[:1]
    if narrow is None or len(columns) == len(node.schema):
        return node
    return replace(node, spec=narrow(columns))  # type: ignore[call-arg]
