"""Which epochs a sink has already applied, and which run may still write: decisions without I/O."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.connectors.contract import SinkIdentity
from penstock.errors import Fault, FencedError

EPOCHS_TABLE = "penstock_epochs"
"""Bookkeeping table of every database sink: sink_id (primary key), epoch, token."""

NO_EPOCH = -1
"""Recorded where a run has begun and nothing is applied yet."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a system says was applied last, and by which run."""

    epoch: int
    token: int

    @property
    def last(self) -> int | None:
        """Return the last applied epoch, None before the first."""
        return None if self.epoch == NO_EPOCH else self.epoch


def take_over(recorded: Recorded | None, identity: SinkIdentity, step: str) -> Recorded:
    """Return what to record when a run begins; an older run than the recorded one is fenced."""
    if recorded is None:
        return Recorded(NO_EPOCH, identity.token)
    refuse_fenced(recorded, identity, step)
    return Recorded(recorded.epoch, identity.token)


def refuse_fenced(recorded: Recorded | None, identity: SinkIdentity, step: str) -> None:
    """Raise ``FencedError`` if a newer run has recorded its token."""
    if recorded is not None and recorded.token > identity.token:
        raise FencedError(
            f"run {identity.token} of {identity.sink_id!r} was replaced by run {recorded.token}; "
            "this one may not write any more",
            step=step,
            value=identity.token,
            fault=Fault.USER,
            hint="another process runs the same pipeline on the same checkpoint; stop one of them",
        )


def is_applied(recorded: Recorded | None, epoch: int) -> bool:
    """Tell whether ``epoch`` is in the system already."""
    return recorded is not None and recorded.epoch >= epoch
