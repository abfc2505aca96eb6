"""Every kind of plan node can become operators."""

from collections.abc import Iterator

from penstock.lowering.table import LEAVES, TABLE
from penstock.plan.node import Node
from penstock.plan.rows import RowStep


def _kinds(kind: type[Node]) -> Iterator[type[Node]]:
    for below in kind.__subclasses__():
        yield below
        yield from _kinds(below)


def test_every_node_is_lowered() -> None:
    bases = {base for kind in _kinds(Node) for base in kind.__mro__[1:]}
    whole = [k for k in _kinds(Node) if k not in bases and k.__module__.startswith("penstock.")]
    assert len(whole) > len(TABLE)
    left = [k for k in whole if k not in TABLE and k not in LEAVES and not issubclass(k, RowStep)]
    assert not left
