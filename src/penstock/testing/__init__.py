"""Public kit for testing pipelines, operators and connectors."""

from penstock.testing.clock import ManualClock
from penstock.testing.driving import Epoch, drive, integrate, outputs

__all__ = ["Epoch", "ManualClock", "drive", "integrate", "outputs"]
