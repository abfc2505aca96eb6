"""Stream: what users chain."""

from penstock.stream.grouping import GroupBy
from penstock.stream.stream import Stream

__all__ = ["GroupBy", "Stream"]
