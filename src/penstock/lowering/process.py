"""How a processor becomes an operator."""

from __future__ import annotations

from penstock.instants import Reach
from penstock.lowering.aggregates import expiry_for
from penstock.operators.batch_process import BatchProcess
from penstock.operators.contract import Operator
from penstock.operators.process import KeyedProcess, ProcessSpec
from penstock.plan.process import Process
from penstock.processors import Processor


def lower_process(node: Process) -> list[Operator]:
    """Lower ``process``; a class becomes an object of its own for each run."""
    processor = node.processor() if isinstance(node.processor, type) else node.processor
    schema, before = node.input.schema, node.input.properties
    column = before.event_time
    bound = before.times.get(column) if column is not None else None
    spec = ProcessSpec(
        keys=node.keys,
        input=schema,
        state=node.state_schema,
        output=node.schema,
        name=node.name,
        event=schema[column] if column is not None and bound is not None else None,
        reach=bound.reach_over if bound is not None else Reach(),
    )
    expiry = expiry_for(before, schema, {name: name for name in node.keys}, node.ttl_ns)
    if isinstance(processor, Processor):
        return [KeyedProcess(processor, spec, expiry)]
    return [BatchProcess(processor, spec, expiry)]
