"""How the graph of a pipeline goes on from a checkpoint that another version of it wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from penstock.checkpoints.changes import Comparison
from penstock.checkpoints.manifest import Manifest, StepRecord
from penstock.lowering.graph import Graph
from penstock.operators.contract import Operator

T = TypeVar("T")

_BASE_STEP = 1 << 16
"""Partitions that a source may have (lowering/table.py)."""


def records(graph: Graph) -> list[StepRecord]:
    """Describe the steps of a graph that nothing was loaded into yet."""
    return [
        StepRecord(
            name=vertex.name,
            kind=vertex.kind,
            text=vertex.text,
            identity=vertex.identity,
            inputs=[graph.vertices[number].name for number in vertex.inputs],
            named=vertex.named,
            changelog=vertex.changelog and vertex.sink is None,
            layout={} if vertex.operator is None else _layout(vertex.operator),
            partition_base=vertex.partition_base,
        )
        for vertex in graph.vertices
    ]


def _layout(operator: Operator) -> dict[str, str]:
    """Return a digest of the columns that each primitive of an empty operator holds."""
    found = {}
    for name, primitive in operator.state.items():
        # As a list: how a schema itself is shown depends on the version of Python.
        frames = sorted((n, [*frame.schema.items()]) for n, frame in primitive.full().items())
        found[name] = hashlib.blake2b(repr(frames).encode(), digest_size=8).hexdigest()
    return found


def adopt(graph: Graph, manifest: Manifest, comparison: Comparison) -> Manifest:
    """Give the steps of a graph the names they have in a checkpoint; return it as they left it.

    What nothing takes over is not in the manifest returned. New sources get numbers for their
    partitions that none ever had.
    """
    names = comparison.names
    numbered = _number_partitions(graph, manifest, comparison)
    carried = {old: names[new] for new, old in comparison.taken.items()}
    for vertex in graph.vertices:
        vertex.name = names[vertex.name]
    steps = {step.name for step in manifest.steps}
    beside = {name: staged for name, staged in manifest.outbox.items() if name not in steps}
    return msgspec.structs.replace(
        manifest,
        steps=records(graph),
        positions=_renamed(manifest.positions, carried),
        state=_renamed(manifest.state, carried),
        outbox=_renamed(manifest.outbox, carried) | beside,
        sinks=_renamed(manifest.sinks, carried),
        replaced=[carried[name] for name in manifest.replaced if name in carried],
        rows=_renamed(manifest.rows, carried),
        numbered=numbered,
        ended=[carried[name] for name in manifest.ended if name in carried],
    )


def _renamed(values: Mapping[str, T], carried: Mapping[str, str]) -> dict[str, T]:
    return {carried[old]: value for old, value in values.items() if old in carried}


def _number_partitions(graph: Graph, manifest: Manifest, comparison: Comparison) -> int:
    """Give each source the numbers it had; return how many sources have been given any, ever."""
    bases = {step.name: step.partition_base for step in manifest.steps}
    numbered = manifest.numbered
    for vertex in graph.sources:
        old = comparison.taken.get(vertex.name)
        if old is None:
            vertex.partition_base = numbered * _BASE_STEP
            numbered += 1
        else:
            vertex.partition_base = bases[old]
    return numbered
