"""The servers of the tests here, each started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.kafka import KafkaServer, running_kafka


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    with running_kafka() as server:
        yield server
