"""Public kit for testing pipelines, operators and connectors; see ``docs/testing.md``."""

from penstock.testing.clock import ManualClock
from penstock.testing.contracts import ContractBroken
from penstock.testing.driving import DrivenSink, Epoch, drive, integrate, outputs
from penstock.testing.scripts import (
    Abort,
    Action,
    End,
    Pause,
    Rows,
    Script,
    ScriptedSpec,
    abort,
    end,
    pause,
    refused,
    rows,
    scripted,
    scripted_spec,
)
from penstock.testing.sources import check_source

__all__ = [
    "Abort",
    "Action",
    "ContractBroken",
    "DrivenSink",
    "End",
    "Epoch",
    "ManualClock",
    "Pause",
    "Rows",
    "Script",
    "ScriptedSpec",
    "abort",
    "check_source",
    "drive",
    "end",
    "integrate",
    "outputs",
    "pause",
    "refused",
    "rows",
    "scripted",
    "scripted_spec",
]
