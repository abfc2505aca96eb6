"""The OpenAPI document of the server; ``openapi.json`` beside this file is held against it by a test.

``python -m penstock.dashboard.openapi > src/penstock/dashboard/openapi.json`` writes it anew.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import msgspec

from penstock.dashboard.routes import ENDPOINTS, Endpoint

_PLAIN = {"description": "As the summary says."}


def document() -> dict[str, Any]:
    """Return the document."""
    types = [endpoint.answers for endpoint in ENDPOINTS if endpoint.answers is not None]
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    found = iter(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        schema = None if endpoint.answers is None else next(found)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schema)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Penstock dashboard", "version": "1"},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(endpoint: Endpoint, schema: dict[str, Any] | None) -> dict[str, Any]:
    answer = dict(_PLAIN)
    if schema is not None:
        answer["content"] = {"application/json": {"schema": schema}}  # type: ignore[assignment]
    return {
        "operationId": endpoint.answer,
        "summary": endpoint.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", endpoint.path)
        ],
        "responses": {"200": answer},
    }


def written() -> str:
    """Return it as it is kept."""
    return json.dumps(document(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(written())
