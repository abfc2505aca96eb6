"""Penstock: stream processing for Python, with Polars as its language."""

import importlib
from typing import TYPE_CHECKING, Any

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
from penstock.file_scans import (
    scan_csv,
    scan_folder,
    scan_ipc,
    scan_ndjson,
    scan_parquet,
    scan_tail,
    scan_text,
)
from penstock.message_scans import scan_kafka, scan_mqtt, scan_nats, scan_rabbitmq, scan_redis
from penstock.processors import BatchProcessor, Processor, State, Timers
from penstock.query import Query, run, start
from penstock.restarts import Restart
from penstock.saved_state import list_state, read_state
from penstock.scans import (
    concat,
    from_source,
    history_then_live,
    scan,
    scan_batches,
    scan_rate,
    scan_ticks,
    scan_topic,
)
from penstock.socket_scans import scan_tcp, scan_tcp_client, scan_udp
from penstock.stream import GroupBy, Stream
from penstock.version import version
from penstock.web_scans import (
    scan_http,
    scan_http_server,
    scan_sse,
    scan_websocket,
    scan_websocket_server,
)
from penstock.windows import hopping, session, sliding, tumbling

if TYPE_CHECKING:
    from penstock.dashboard.server import Dashboard
    from penstock.sql_plan import sql
    from penstock.sql_session import Session, sql_script

_WHEN_ASKED_FOR = {
    "Dashboard": "penstock.dashboard.server",
    "Session": "penstock.sql_session",
    "sql": "penstock.sql_plan",
    "sql_script": "penstock.sql_session",
}
"""SQL brings its parser with it, which takes as long to load as the rest; the dashboard a server."""


def __getattr__(name: str) -> Any:
    """Look up what takes time when it is asked for: the version reads files, SQL loads its parser."""
    if name == "__version__":
        return version()
    if name not in _WHEN_ASKED_FOR:
        raise AttributeError(f"module 'penstock' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHEN_ASKED_FOR[name]), name)


__all__ = [
    "BatchProcessor",
    "CheckpointError",
    "ConfigError",
    "ConnectorError",
    "Dashboard",
    "DeadLetterLimitError",
    "FencedError",
    "GroupBy",
    "PenstockError",
    "PlanError",
    "Processor",
    "Query",
    "QueryFailed",
    "Restart",
    "Session",
    "State",
    "StateLimitError",
    "Stream",
    "Timers",
    "concat",
    "from_source",
    "history_then_live",
    "hopping",
    "list_state",
    "read_dead_letters",
    "read_state",
    "run",
    "scan",
    "scan_batches",
    "scan_csv",
    "scan_folder",
    "scan_http",
    "scan_http_server",
    "scan_ipc",
    "scan_kafka",
    "scan_mqtt",
    "scan_nats",
    "scan_ndjson",
    "scan_parquet",
    "scan_rabbitmq",
    "scan_rate",
    "scan_redis",
    "scan_sse",
    "scan_tail",
    "scan_tcp",
    "scan_tcp_client",
    "scan_text",
    "scan_ticks",
    "scan_topic",
    "scan_udp",
    "scan_websocket",
    "scan_websocket_server",
    "session",
    "sliding",
    "sql",
    "sql_script",
    "start",
    "tumbling",
]
