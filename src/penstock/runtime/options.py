"""How to run a query."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from penstock.checkpoints.opening import RETAIN, Checkpoint
from penstock.errors import ConfigError
from penstock.runtime.dead_letter_limit import DeadLetterLimit

MAX_EPOCH_ROWS = 1 << 20
"""Largest epoch: enough for full columnar speed, small enough to bound memory and latency."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run. ``checkpoint_interval_s`` bounds the exactly-once latency, ``memory_bytes`` state.

    ``checkpoint_options`` are those of an object store, with its secrets; ``retain`` is how many
    checkpoints are kept; ``takeover`` whether a run that is alive is pushed aside; ``after`` the
    token of the run that this one restarts, which nobody else may have taken over from.
    """

    checkpoint: Checkpoint | None = None
    checkpoint_options: Mapping[str, str | bool] = field(default_factory=dict, repr=False)
    checkpoint_interval_s: float = 1.0
    retain: int = RETAIN
    takeover: bool = False
    allow_lost_state: bool | Collection[str] = False
    after: int | None = None
    max_epoch_rows: int = MAX_EPOCH_ROWS
    memory_bytes: int | None = None
    dead_letter_limit: DeadLetterLimit | None = None
    replay_dead_letters: bool | str | Sequence[int] = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.retain < 1:
            raise ConfigError(
                f"retain={self.retain} keeps no checkpoint",
                step="checkpoint",
                value=self.retain,
                hint="keep at least 1; more allow to fall back on an earlier one",
            )
