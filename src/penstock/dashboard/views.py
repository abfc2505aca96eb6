"""What the page is sent: plain structures, from which the OpenAPI document is made."""

from __future__ import annotations

from typing import Literal

import msgspec

Load = Literal["busy", "idle", "blocked"]
"""Blocked: it waits for what is below it, or has what is above it wait."""

Chart = Literal["time", "bars", "histogram"]


class PartitionView(msgspec.Struct, frozen=True):
    """Rows that wait in a partition of a source."""

    name: str
    lag: int


class StepView(msgspec.Struct, frozen=True):
    """A step. Rates are per second, ``busy`` the share of the last time it computed, 0 to 1."""

    name: str
    kind: str
    text: str
    line: str | None
    inputs: list[str]
    load: Load
    busy: float
    rows_in: int
    rows_out: int
    in_per_second: float
    out_per_second: float
    rows_late: int
    rows_dead: int
    rows_lost: int
    state_rows: int
    state_bytes: int
    epochs: int
    mean_epoch_seconds: float
    last_epoch_seconds: float
    watermark: float | None
    watermark_delay: float | None
    queued_rows: int
    lag: int | None
    partitions: list[PartitionView]
    changelog: bool
    waiting_epochs: int
    applied_epoch: int | None
    guarantee: str | None


class CheckpointView(msgspec.Struct, frozen=True):
    """A checkpoint that was made, at an instant in seconds since 1970."""

    epoch: int
    at: float
    seconds: float
    size_bytes: int


class RunView(msgspec.Struct, frozen=True):
    """A run and its steps; times in seconds."""

    name: str
    state: str
    epoch: int
    running_seconds: float
    rows_in: int
    rows_out: int
    in_per_second: float
    dead_letters: int
    late_rows: int
    lag: int | None
    watermark_delay: float | None
    latency_p50: float | None
    latency_p99: float | None
    keeps_checkpoints: bool
    checkpoint_epoch: int | None
    checkpoints: list[CheckpointView]
    restarts: int
    last_error: str | None
    warnings: list[str]
    steps: list[StepView]


class Snapshot(msgspec.Struct, frozen=True):
    """All runs of a process at an instant, in seconds since 1970."""

    at: float
    process: str
    version: str
    runs: list[RunView]


class ColumnView(msgspec.Struct, frozen=True):
    """A column: its Polars type, and what a page has to know of it."""

    name: str
    type: str
    kind: Literal["number", "instant", "text", "flag", "other"]


class RowsView(msgspec.Struct, frozen=True):
    """Rows to show. ``age``: seconds since they were taken; ``chart``: what suits their shape."""

    columns: list[ColumnView]
    rows: list[list[float | int | str | bool | None]]
    total: int
    age: float
    view: bool
    key: list[str]
    too_large: bool
    chart: Chart | None
    x: str | None
    y: list[str]


class LetterView(msgspec.Struct, frozen=True):
    """A dead letter; bytes that are no text are escaped."""

    time: str
    operator: str
    step: str
    position: str
    reason: str
    bytes: str


class Health(msgspec.Struct, frozen=True):
    """Whether every run is well; the states of the runs by name."""

    status: Literal["ok", "failed", "starting"]
    runs: dict[str, str]


class Done(msgspec.Struct, frozen=True):
    """The state of a run after a command."""

    state: str
