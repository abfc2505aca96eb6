"""From snapshots to what is shown: rates, how busy a step is, and who waits for whom."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from penstock.dashboard.views import (
    CheckpointView,
    Load,
    PartitionView,
    RunView,
    StepView,
)
from penstock.hiding import hidden
from penstock.runtime.progress import Progress, StepProgress

_OVER_S = 2.0
"""Rates are over about this time: short enough to show a change, long enough to be read."""

_IDLE_BELOW = 0.001
"""The share of time below which a step without rows counts as idle."""

_NS = 1e9


class Meter:
    """Remembers the snapshots of one run over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Progress]] = deque()

    def view(self, name: str, progress: Progress) -> RunView:
        """Return a run as the page shows it."""
        now = time.perf_counter()
        if self._seen and self._seen[-1][1].restarts != progress.restarts:
            self._seen.clear()
        self._seen.append((now, progress))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _OVER_S:
            self._seen.popleft()
        then, before = self._seen[0]
        old = {step.name: step for step in before.steps}
        blocked = blocked_steps(progress.steps)
        steps = [
            _step(step, old.get(step.name, step), now - then, blocked=step.name in blocked)
            for step in progress.steps
        ]
        return _run(name, progress, steps)


def blocked_steps(steps: Sequence[StepProgress]) -> set[str]:
    """Return the full sinks, everything above them, and the sources that wait for the engine."""
    above = {step.name: step.inputs for step in steps}
    found = {step.name for step in steps if step.blocked}
    stack = [step.name for step in steps if step.blocked and step.kind == "sink"]
    while stack:
        for name in above[stack.pop()]:
            if name not in found:
                found.add(name)
                stack.append(name)
    return found


def _step(step: StepProgress, old: StepProgress, seconds: float, *, blocked: bool) -> StepView:
    over = max(seconds, 1e-3)
    rate_in = max(0, step.rows_in - old.rows_in) / over
    rate_out = max(0, step.rows_out - old.rows_out) / over
    busy = min(1.0, max(0.0, step.seconds - old.seconds) / over)
    working = rate_in + rate_out > 0 or busy > _IDLE_BELOW
    load: Load = "blocked" if blocked else "busy" if working else "idle"
    return StepView(
        name=step.name,
        kind=step.kind,
        text=hidden(step.text),
        line=None if step.line is None else hidden(step.line),
        inputs=list(step.inputs),
        load=load,
        busy=busy,
        rows_in=step.rows_in,
        rows_out=step.rows_out,
        in_per_second=rate_in,
        out_per_second=rate_out,
        rows_late=step.rows_late,
        rows_dead=step.rows_dead,
        rows_lost=step.rows_lost,
        state_rows=step.state_rows,
        state_bytes=step.state_bytes,
        epochs=step.epochs,
        mean_epoch_seconds=step.seconds / step.epochs if step.epochs else 0.0,
        last_epoch_seconds=step.last_epoch_seconds,
        watermark=None if step.watermark is None else step.watermark / _NS,
        watermark_delay=step.watermark_delay_seconds,
        queued_rows=step.queued_rows,
        lag=step.lag_rows,
        partitions=[PartitionView(name, lag) for name, lag in step.partition_lag],
        changelog=step.changelog,
        waiting_epochs=step.waiting_epochs,
        applied_epoch=step.applied_epoch,
        guarantee=step.guarantee,
    )


def _run(name: str, progress: Progress, steps: list[StepView]) -> RunView:
    latency = progress.latency
    lags = [step.lag for step in steps if step.lag is not None]
    delays = [step.watermark_delay for step in steps if step.watermark_delay is not None]
    return RunView(
        name=name,
        state=progress.state,
        epoch=progress.epoch,
        running_seconds=progress.running_seconds,
        rows_in=progress.rows_in,
        rows_out=progress.rows_out,
        in_per_second=sum(step.out_per_second for step in steps if step.kind == "source"),
        dead_letters=progress.dead_letters,
        late_rows=progress.late_rows,
        lag=sum(lags) if lags else None,
        watermark_delay=max(delays, default=None),
        latency_p50=None if latency is None else latency.p50,
        latency_p99=None if latency is None else latency.p99,
        keeps_checkpoints=progress.keeps_checkpoints,
        checkpoint_epoch=progress.checkpoint_epoch,
        checkpoints=[
            CheckpointView(made.epoch, made.created_at / _NS, made.seconds, made.size_bytes)
            for made in progress.checkpoints
        ],
        restarts=progress.restarts,
        last_error=progress.last_error,
        warnings=list(progress.warnings),
        steps=steps,
    )
