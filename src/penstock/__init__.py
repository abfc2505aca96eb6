"""Penstock: stream processing for Python, with Polars as its language."""

from importlib.metadata import PackageNotFoundError, version

from penstock.errors import (
    CheckpointError,
    ConfigError,
    ConnectorError,
    FencedError,
    PenstockError,
    PlanError,
    QueryFailed,
    StateLimitError,
)
from penstock.query import Query, run
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
from penstock.windows import hopping, session, sliding, tumbling

try:
    __version__ = version("penstock")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0.0.0"

__all__ = [
    "CheckpointError",
    "ConfigError",
    "ConnectorError",
    "FencedError",
    "GroupBy",
    "PenstockError",
    "PlanError",
    "Query",
    "QueryFailed",
    "StateLimitError",
    "Stream",
    "concat",
    "from_source",
    "hopping",
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
    "tumbling",
]
