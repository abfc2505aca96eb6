"""Which sources go through a topic, where it is, and what explain says of it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.connectors.batches.config import BatchesSpec
from penstock.connectors.contract import SourceSpec
from penstock.connectors.durable.config import DurableSpec, Keep, Sync, durable, promise, settled
from penstock.connectors.files.config import files
from penstock.connectors.generators.config import ticks
from penstock.connectors.sockets.config import TcpServerSpec, tcp_listen, udp
from penstock.errors import ConfigError

TCP, UDP = tcp_listen(":9009"), udp(":9010")


def folder_of(spec: SourceSpec) -> str | None:
    return spec.folder if isinstance(spec, DurableSpec) else None


def test_a_run_with_a_local_checkpoint_keeps_what_cannot_be_replayed() -> None:
    found = settled([TCP, UDP, TCP], checkpoints=True, folder=Path("cp"), kept_checkpoints=5)
    assert [folder_of(spec) for spec in found] == [
        "cp/arrivals/tcp-listen-127.0.0.1-9009",
        "cp/arrivals/udp-127.0.0.1-9010",
        "cp/arrivals/tcp-listen-127.0.0.1-9009-2",
    ]
    assert all(isinstance(s, DurableSpec) and s.kept_checkpoints == 5 for s in found)
    assert all(spec.replayable for spec in found)


def test_the_others_stay_as_they_are() -> None:
    frames = iter([pl.DataFrame({"a": [1]})])
    specs = [
        files(__file__, "text"),
        ticks("1s"),
        BatchesSpec(frames, {"a": pl.Int64()}, "frames"),
        durable(files(__file__, "text"), False),
    ]
    assert settled(specs, checkpoints=True, folder=Path("cp")) == specs


def test_without_checkpoints_nothing_is_kept() -> None:
    specs = [TCP, durable(TCP, False), durable(TCP, True), durable(TCP, "there")]
    assert settled(specs, checkpoints=False) == [TCP] * 4


def test_a_checkpoint_elsewhere_keeps_only_in_a_named_folder() -> None:
    found = settled([TCP, durable(TCP, "there", "2KB", "os")], checkpoints=True)
    assert found == [TCP, DurableSpec(TCP, "there", 2000, Sync.OS)]
    with pytest.raises(ConfigError, match="no local disk"):
        settled([durable(TCP, True)], checkpoints=True)


def test_never_is_never() -> None:
    never = durable(TCP, False)
    assert isinstance(never, DurableSpec)
    assert never.keep is Keep.NEVER
    assert not never.replayable
    assert settled([never], checkpoints=True, folder=Path("cp")) == [TCP]


def test_a_limit_alone_insists_too() -> None:
    limited = durable(TCP, None, 77)
    assert settled([limited], checkpoints=True, folder=Path("cp"))[0] == DurableSpec(
        TCP, "cp/arrivals/tcp-listen-127.0.0.1-9009", 77
    )
    with pytest.raises(ConfigError, match="no local disk"):
        settled([limited], checkpoints=True)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs no topic"):
        ps.from_source(files(__file__, "text"), durable=True)
    with pytest.raises(ConfigError, match="frames are epochs"):
        ps.from_source(BatchesSpec(iter(()), {"a": pl.Int64()}, "frames"), durable="there")
    with pytest.raises(ConfigError, match="durable already"):
        durable(DurableSpec(TCP), "there")
    with pytest.raises(ConfigError, match="not a size"):
        ps.scan_tcp(":9009", durable_max_bytes="much")


def test_functions_and_urls_say_the_same() -> None:
    wanted = durable(TCP, "there", "1MB")
    by_function = ps.scan_tcp(":9009", durable="there", durable_max_bytes="1MB")
    by_url = ps.scan("tcp:127.0.0.1:9009", durable="there", durable_max_bytes="1MB")
    for stream in (by_function, by_url):
        assert stream.node.spec == wanted  # type: ignore[attr-defined]
    assert ps.scan_udp(":9010", durable=Path("there")).node.spec == durable(UDP, "there")  # type: ignore[attr-defined]
    client = ps.scan_tcp_client("host:1", durable=False).node.spec  # type: ignore[attr-defined]
    assert client.keep is Keep.NEVER


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (None, "exactly once from its arrival in a topic beside a local checkpoint"),
        ("there", "exactly once from its arrival in a topic in there"),
        (False, "at most once (durable=False)"),
    ],
)
def test_explain_tells_the_guarantee(how: bool | str | None, said: str) -> None:
    assert said in ps.scan_tcp(":9009", durable=how).explain()


def test_explain_says_nothing_of_sources_that_are_read_again() -> None:
    assert promise(files(__file__, "text")) is None
    assert promise(ticks("1s")) is None
    assert "at most once" in str(promise(BatchesSpec(iter(()), {"a": pl.Int64()}, "frames")))


def test_the_spec_opens_the_source_within_when_it_keeps_nothing() -> None:
    source = DurableSpec(TcpServerSpec(TCP.format, 0)).open()
    assert type(source).__name__ == "TcpServerSource"
    source.close()
