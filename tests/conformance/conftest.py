"""The real servers that the connectors' own tests use."""

from __future__ import annotations

from tests.connectors.conftest import postgres_schema, postgres_server

__all__ = ["postgres_schema", "postgres_server"]
