"""The snapshot of one step, put together from all that takes part in it."""

from __future__ import annotations

from penstock.instants import MAX_INSTANT, MIN_INSTANT, NS_PER_SECOND
from penstock.lowering.graph import Graph, Vertex
from penstock.runtime.executor import Executor
from penstock.runtime.feeds import Feed
from penstock.runtime.outlets import Outlet
from penstock.runtime.progress import StepProgress


def step_progress(
    graph: Graph,
    vertex: Vertex,
    executor: Executor,
    now: int,
    *,
    feed: Feed | None,
    outlet: Outlet | None,
) -> StepProgress:
    """Return how a step is doing; a source has a feed, a sink an outlet. Safe from any thread."""
    stats, watermark = executor.stats[vertex.number], executor.watermarks[vertex.number]
    state = vertex.operator.state.values() if vertex.operator else ()
    known = watermark not in (MIN_INSTANT, MAX_INSTANT)
    return StepProgress(
        name=vertex.name,
        kind=vertex.kind,
        text=vertex.text,
        inputs=tuple(graph.vertices[i].name for i in vertex.inputs),
        rows_in=stats.rows_in,
        rows_out=stats.rows_out,
        rows_late=stats.late,
        rows_dead=stats.dead,
        state_rows=sum(len(s) for s in state),
        state_bytes=sum(s.nbytes for s in state),
        seconds=stats.seconds,
        last_epoch_seconds=stats.last_seconds,
        watermark=watermark if known else None,
        queued_rows=feed.queued_rows if feed else 0,
        lag_rows=feed.lag_rows if feed else None,
        watermark_delay_seconds=(now - watermark) / NS_PER_SECOND if known else None,
        rows_lost=feed.lost_rows if feed else 0,
        epochs=stats.epochs,
        share_read=feed.share_read if feed else None,
        line=vertex.line,
        changelog=vertex.changelog,
        blocked=(feed is not None and feed.full) or (outlet is not None and outlet.full),
        partition_lag=feed.partition_lag if feed else (),
        waiting_epochs=outlet.waiting if outlet else 0,
        applied_epoch=outlet.applied if outlet else None,
        guarantee=vertex.guarantee,
    )
