"""What a run and its steps have done so far, read off from vertices, counters and feeds."""

from __future__ import annotations

from penstock.instants import MAX_INSTANT, MIN_INSTANT, NS_PER_SECOND
from penstock.lowering.graph import Vertex
from penstock.runtime.executor import Executor
from penstock.runtime.feeds import Feed
from penstock.runtime.progress import Progress, StepProgress


def progress_of(
    steps: tuple[StepProgress, ...],
    state: str,
    epoch: int,
    seconds: float,
    recent: float,
    checkpoint_epoch: int | None,
) -> Progress:
    """Return a snapshot of a run: ``seconds`` since its start, ``recent`` rows a second."""
    rows_in = sum(s.rows_out for s in steps if s.kind == "source")
    return Progress(
        state=state,
        epoch=epoch,
        rows_in=rows_in,
        rows_out=sum(s.rows_in for s in steps if s.kind == "sink"),
        rows_per_second=rows_in / seconds if seconds > 0 else 0.0,
        recent_rows_per_second=recent,
        dead_letters=sum(s.rows_dead for s in steps),
        late_rows=sum(s.rows_late for s in steps),
        running_seconds=seconds,
        checkpoint_epoch=checkpoint_epoch,
        steps=steps,
    )


def step_progress(executor: Executor, vertex: Vertex, feed: Feed | None, now: int) -> StepProgress:
    """Return a snapshot of one step; safe from any thread."""
    stats, watermark = executor.stats[vertex.number], executor.watermarks[vertex.number]
    state = vertex.operator.state.values() if vertex.operator else ()
    known = watermark not in (MIN_INSTANT, MAX_INSTANT)
    return StepProgress(
        name=vertex.name,
        kind=vertex.kind,
        text=vertex.text,
        inputs=tuple(executor.graph.vertices[i].name for i in vertex.inputs),
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
        share_read=feed.share_read if feed else None,
        epochs=stats.epochs,
    )
