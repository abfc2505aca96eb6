"""TLS and passwords against a real broker: what is right gets in, what is wrong is told."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import penstock as ps
from tests.servers.kafka import PASSWORD, USER, KafkaServer
from tests.systems.test_kafka import new_topic, produce


def read(servers: str, topic: str, **options: Any) -> list[bytes]:
    return ps.scan_kafka(servers, topic, stop="at end", **options).collect()["value"].to_list()


@pytest.fixture
def topic(kafka: KafkaServer) -> str:
    name = new_topic(kafka, 1)
    produce(kafka, name, {"value": b"1"})
    return name


def certified(kafka: KafkaServer) -> dict[str, Any]:
    return {
        "tls": True,
        "ca": str(kafka.ca),
        "certificate": str(kafka.client.certificate),
        "certificate_key": str(kafka.client.key),
    }


def test_a_certificate_opens_the_door(kafka: KafkaServer, topic: str) -> None:
    rows = pl.DataFrame({"value": [b"2"]})
    access = certified(kafka)
    ps.run(ps.scan_batches([rows]).sink_kafka(kafka.tls, topic, format="raw", **access))
    assert read(kafka.tls, topic, **access) == [b"1", b"2"]


@pytest.mark.parametrize("mechanism", ["scram-sha-256", "scram-sha-512"])
def test_scram_over_tls(kafka: KafkaServer, topic: str, mechanism: str) -> None:
    access: dict[str, Any] = {"tls": True, "ca": str(kafka.ca), "mechanism": mechanism}
    assert read(kafka.scram, topic, **access, user=USER, password=PASSWORD) == [b"1"]
    with pytest.raises(ps.QueryFailed, match="check user, password") as caught:
        read(kafka.scram, topic, **access, user=USER, password="not the one")
    assert "not the one" not in str(caught.value)


@pytest.mark.parametrize(
    ("listener", "without", "told"),
    [
        ("expired", (), "certificate has expired"),
        ("tls", ("certificate", "certificate_key"), "certificate"),
        ("tls", ("ca",), "unable to get local issuer certificate"),
    ],
)
def test_certificates_that_are_wrong_are_told(
    kafka: KafkaServer, topic: str, listener: str, without: tuple[str, ...], told: str
) -> None:
    access = {name: value for name, value in certified(kafka).items() if name not in without}
    with pytest.raises(ps.QueryFailed, match=rf"(?is){told}.*check tls, ca, certificate"):
        read(getattr(kafka, listener), topic, **access)
    rows = ps.scan_batches([pl.DataFrame({"a": [1]})])
    with pytest.raises(ps.QueryFailed, match=rf"(?is){told}.*check tls, ca, certificate"):
        ps.run(rows.sink_kafka(getattr(kafka, listener), topic, **access))
