"""How to run a query."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from penstock.checkpoints.opening import RETAIN, Checkpoint
from penstock.errors import ConfigError
from penstock.instants import NS_PER_SECOND
from penstock.runtime.dead_letter_limit import DeadLetterLimit

MAX_EPOCH_ROWS = 1 << 20
"""Largest epoch: enough for full columnar speed, small enough to bound memory and latency."""

MAX_DRIFT_NS = 3600 * NS_PER_SECOND
"""How far a source may run ahead, in event time, of those it is read with. An hour is more than most
windows and joins span; less would cost nothing but turns, since the slowest is always read at once."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run. ``checkpoint_interval_s`` bounds the exactly-once latency, ``memory_bytes`` state.

    ``checkpoint_options`` are those of an object store, with its secrets; ``retain`` is how many
    checkpoints are kept; ``takeover`` whether a run that is alive is pushed aside; ``after`` the
    token of the run that this one restarts, which nobody else may have taken over from;
    ``max_drift_ns`` how far a source may run ahead, in event time, of those it is read with (None:
    any far); ``allow_lost_state`` what a changed pipeline may lose; ``rebuild`` what is computed
    afresh first; ``replay_overwrites`` whether replayed rows replace those of their keys.
    """

    checkpoint: Checkpoint | None = None
    checkpoint_options: Mapping[str, str | bool] = field(default_factory=dict, repr=False)
    checkpoint_interval_s: float = 1.0
    retain: int = RETAIN
    takeover: bool = False
    allow_lost_state: bool | Collection[str] = False
    rebuild: Collection[str] = ()
    after: int | None = None
    max_epoch_rows: int = MAX_EPOCH_ROWS
    memory_bytes: int | None = None
    max_drift_ns: int | None = MAX_DRIFT_NS
    dead_letter_limit: DeadLetterLimit | None = None
    replay_dead_letters: bool | str | Sequence[int] = False
    replay_overwrites: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.retain < 1:
            raise ConfigError(
                f"retain={self.retain} keeps no checkpoint",
                step="checkpoint",
                value=self.retain,
                hint="keep at least 1; more allow to fall back on an earlier one",
            )
        if self.rebuild and self.checkpoint is None:
            raise ConfigError(
                "rebuild= without a checkpoint",
                step="rebuild",
                value=", ".join(self.rebuild),
                hint="a run without checkpoint= computes everything afresh anyway",
            )
