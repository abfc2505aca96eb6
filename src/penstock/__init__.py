"""Penstock: stream processing for Python, with Polars as its language."""

from penstock.dead_letters import read_dead_letters
from penstock.errors import (
    CheckpointError,
    ConfigError,
    ConnectorError,
    DeadLetterLimitError,
    FencedError,
    PenstockError,
    PlanError,
    QueryFailed,
    StateLimitError,
)
from penstock.processors import BatchProcessor, Processor, State, Timers
from penstock.query import Query, run, start
from penstock.restarts import Restart
from penstock.saved_state import list_state, read_state
from penstock.scans import (
    concat,
    from_source,
    scan,
    scan_batches,
    scan_csv,
    scan_folder,
    scan_ipc,
    scan_ndjson,
    scan_parquet,
    scan_rate,
    scan_tail,
    scan_tcp,
    scan_tcp_client,
    scan_text,
    scan_ticks,
    scan_topic,
    scan_udp,
)
from penstock.stream import GroupBy, Stream
from penstock.version import version
from penstock.windows import hopping, session, sliding, tumbling


def __getattr__(name: str) -> str:
    """Look the version up when it is asked for: that reads files, and takes 20 ms."""
    if name != "__version__":
        raise AttributeError(f"module 'penstock' has no attribute {name!r}")
    return version()


__all__ = [
    "BatchProcessor",
    "CheckpointError",
    "ConfigError",
    "ConnectorError",
    "DeadLetterLimitError",
    "FencedError",
    "GroupBy",
    "PenstockError",
    "PlanError",
    "Processor",
    "Query",
    "QueryFailed",
    "Restart",
    "State",
    "StateLimitError",
    "Stream",
    "Timers",
    "concat",
    "from_source",
    "hopping",
    "list_state",
    "read_dead_letters",
    "read_state",
    "run",
    "scan",
    "scan_batches",
    "scan_csv",
    "scan_folder",
    "scan_ipc",
    "scan_ndjson",
    "scan_parquet",
    "scan_rate",
    "scan_tail",
    "scan_tcp",
    "scan_tcp_client",
    "scan_text",
    "scan_ticks",
    "scan_topic",
    "scan_udp",
    "session",
    "sliding",
    "start",
    "tumbling",
]
