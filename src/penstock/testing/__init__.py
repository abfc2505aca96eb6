"""Public kit for testing pipelines, operators and connectors; see ``docs/testing.md``."""

from penstock.testing.clock import ManualClock
from penstock.testing.contracts import ContractBroken, bag_of
from penstock.testing.crashing import Crash, CrashPoints, Point
from penstock.testing.deltas import check_delta, check_every_epoch, difference, integrate
from penstock.testing.driving import Driven, DrivenSink, Epoch, drive, outputs
from penstock.testing.operators import Compare, Input, check_operator, random_frames
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
from penstock.testing.sinks import check_sink
from penstock.testing.sources import check_source
from penstock.testing.values import edge_values

__all__ = [
    "Abort",
    "Action",
    "Compare",
    "ContractBroken",
    "Crash",
    "CrashPoints",
    "Driven",
    "DrivenSink",
    "End",
    "Epoch",
    "Input",
    "ManualClock",
    "Pause",
    "Point",
    "Rows",
    "Script",
    "ScriptedSpec",
    "abort",
    "bag_of",
    "check_delta",
    "check_every_epoch",
    "check_operator",
    "check_sink",
    "check_source",
    "difference",
    "drive",
    "edge_values",
    "end",
    "integrate",
    "outputs",
    "pause",
    "random_frames",
    "refused",
    "rows",
    "scripted",
    "scripted_spec",
]
