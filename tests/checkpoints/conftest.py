"""Every kind of storage, with real servers behind those that need one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock.checkpoints.opening import open_storage
from penstock.checkpoints.storage import Storage
from tests.servers.objects import ObjectServer, running_azurite, running_s3

KINDS = ("local", "memory", "s3", "azurite")
Reopen = Callable[[], Storage]


@pytest.fixture(scope="session")
def s3() -> Iterator[ObjectServer]:
    with running_s3() as server:
        yield server


@pytest.fixture(scope="session")
def azurite() -> Iterator[ObjectServer]:
    with running_azurite() as server:
        yield server


@pytest.fixture(params=KINDS)
def reopened(request: pytest.FixtureRequest, tmp_path: Path) -> Reopen:
    """Return what opens the same storage again, as another process would."""
    if request.param == "local":
        return lambda: open_storage(tmp_path / "c", {})
    if request.param == "memory":
        return lambda: open_storage(f"memory://{tmp_path}", {})
    server: ObjectServer = request.getfixturevalue(request.param)
    url = server.new_url()
    return lambda: open_storage(url, server.options)
