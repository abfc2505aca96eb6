"""Penstock: stream processing for Python, with Polars as its language.

A name is loaded when it is first asked for: ``import penstock`` then costs little beside ``import
polars``, and who reads a file does not load what speaks to brokers.
"""

import importlib
from typing import TYPE_CHECKING, Any

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
from penstock.version import version

if TYPE_CHECKING:
    from penstock.dashboard.server import Dashboard
    from penstock.dead_letters import read_dead_letters
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
    from penstock.sql_plan import sql
    from penstock.sql_session import Session, sql_script
    from penstock.stream import GroupBy, Stream
    from penstock.web_scans import (
        scan_http,
        scan_http_server,
        scan_sse,
        scan_websocket,
        scan_websocket_server,
    )
    from penstock.windows import hopping, session, sliding, tumbling

_WHERE = {
    "penstock.dashboard.server": "Dashboard",
    "penstock.dead_letters": "read_dead_letters",
    "penstock.file_scans": "scan_csv scan_folder scan_ipc scan_ndjson scan_parquet scan_tail scan_text",
    "penstock.message_scans": "scan_kafka scan_mqtt scan_nats scan_rabbitmq scan_redis",
    "penstock.processors": "BatchProcessor Processor State Timers",
    "penstock.query": "Query run start",
    "penstock.restarts": "Restart",
    "penstock.saved_state": "list_state read_state",
    "penstock.scans": "concat from_source history_then_live"
    " scan scan_batches scan_rate scan_ticks scan_topic",
    "penstock.socket_scans": "scan_tcp scan_tcp_client scan_udp",
    "penstock.sql_plan": "sql",
    "penstock.sql_session": "Session sql_script",
    "penstock.stream": "GroupBy Stream",
    "penstock.web_scans": "scan_http scan_http_server scan_sse scan_websocket scan_websocket_server",
    "penstock.windows": "hopping session sliding tumbling",
}
"""Module -> what of it is public."""

_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Look up a public name the first time it is asked for, and the version."""
    if name == "__version__":
        return version()
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'penstock' has no attribute {name!r}")
    found = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *__all__, "__version__"})


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
