"""The runs as Prometheus reads them: ``penstock_*``, by run and step."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from penstock.dashboard.contract import Watched
from penstock.runtime.progress import Progress, StepProgress

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_RUN_COUNTERS: dict[str, tuple[str, Callable[[Progress], float | None]]] = {
    "rows_in": ("Rows that sources brought.", lambda p: p.rows_in),
    "rows_out": ("Rows that sinks were given.", lambda p: p.rows_out),
    "dead_letters": ("Rows that were refused.", lambda p: p.dead_letters),
    "late_rows": ("Rows behind the watermark.", lambda p: p.late_rows),
    "epochs": ("Epochs.", lambda p: p.epoch),
    "restarts": ("Restarts after a failure.", lambda p: p.restarts),
}
_RUN_GAUGES: dict[str, tuple[str, Callable[[Progress], float | None]]] = {
    "up": ("1 while the run runs.", lambda p: float(p.state in ("running", "paused"))),
    "running_seconds": ("Seconds since the start.", lambda p: p.running_seconds),
    "checkpoint_epoch": ("Epoch of the newest checkpoint.", lambda p: p.checkpoint_epoch),
    "checkpoint_seconds": (
        "Duration of the newest checkpoint.",
        lambda p: p.checkpoints[-1].seconds if p.checkpoints else None,
    ),
    "checkpoint_bytes": (
        "Size of the newest checkpoint.",
        lambda p: p.checkpoints[-1].size_bytes if p.checkpoints else None,
    ),
    "checkpoint_timestamp_seconds": (
        "When the newest checkpoint was made.",
        lambda p: p.checkpoints[-1].created_at / 1e9 if p.checkpoints else None,
    ),
}
_STEP_COUNTERS: dict[str, tuple[str, Callable[[StepProgress], float | None]]] = {
    "step_rows_in": ("Rows that a step was given.", lambda s: s.rows_in),
    "step_rows_out": ("Rows that a step handed on.", lambda s: s.rows_out),
    "step_late_rows": ("Rows behind the watermark of a step.", lambda s: s.rows_late),
    "step_dead_letters": ("Rows that a step refused.", lambda s: s.rows_dead),
    "step_lost_rows": ("Rows lost before a source could fetch them.", lambda s: s.rows_lost),
    "step_busy_seconds": ("Seconds that a step computed.", lambda s: s.seconds),
}
_STEP_GAUGES: dict[str, tuple[str, Callable[[StepProgress], float | None]]] = {
    "step_state_rows": ("Rows of state.", lambda s: s.state_rows),
    "step_state_bytes": ("Bytes of state.", lambda s: s.state_bytes),
    "step_queued_rows": ("Rows read ahead from a source.", lambda s: s.queued_rows),
    "step_lag_rows": ("Rows of a source that wait.", lambda s: s.lag_rows),
    "step_blocked": ("1 while a step waits for others or has them wait.", lambda s: s.blocked),
    "step_watermark_delay_seconds": (
        "Age of the newest complete results.",
        lambda s: s.watermark_delay_seconds,
    ),
}


class _Runs(Collector):
    def __init__(self, runs: Callable[[], dict[str, Watched]]) -> None:
        self._runs = runs

    def collect(self) -> Iterator[Metric]:
        found = {name: run.progress() for name, run in self._runs().items()}
        for table, family in (
            (_RUN_COUNTERS, CounterMetricFamily),
            (_RUN_GAUGES, GaugeMetricFamily),
        ):
            for metric, (said, value) in table.items():
                yield _filled(
                    family(f"penstock_{metric}", said, labels=["run"]),
                    {(name,): value(progress) for name, progress in found.items()},
                )
        steps = {(name, s.name, s.kind): s for name, p in found.items() for s in p.steps}
        for rows, family in (
            (_STEP_COUNTERS, CounterMetricFamily),
            (_STEP_GAUGES, GaugeMetricFamily),
        ):
            for metric, (said, of) in rows.items():
                yield _filled(
                    family(f"penstock_{metric}", said, labels=["run", "step", "kind"]),
                    {labels: of(step) for labels, step in steps.items()},
                )


def _filled(
    metric: CounterMetricFamily | GaugeMetricFamily, values: dict[tuple[str, ...], float | None]
) -> Metric:
    for labels, value in values.items():
        if value is not None:
            metric.add_metric(labels, float(value))
    return metric


def exposition(runs: Callable[[], dict[str, Watched]]) -> bytes:
    """Return the metrics of all runs as text."""
    registry = CollectorRegistry()
    registry.register(_Runs(runs))
    return generate_latest(registry)
