"""A real Apache Kafka broker (KRaft, one node) in a temporary folder, on loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

_START_S = 120.0
_JAVA = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
    "SASL:SASL_PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
    "num.partitions": "2",
    "sasl.enabled.mechanisms": "PLAIN",
    "listener.name.sasl.plain.sasl.jaas.config": "org.apache.kafka.common.security.plain."
    'PlainLoginModule required user_ann="a secret of ann";',
}


@dataclass
class KafkaServer:
    """Where the broker listens: ``servers`` without a password, ``sasl`` with one."""

    folder: Path
    port: int
    sasl_port: int
    controller_port: int
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def sasl(self) -> str:
        return f"127.0.0.1:{self.sasl_port}"

    def prepare(self) -> None:
        """Write the settings and format the storage."""
        listeners = {
            "PLAINTEXT": self.port,
            "SASL": self.sasl_port,
            "CONTROLLER": self.controller_port,
        }
        where = {name: f"{name}://127.0.0.1:{port}" for name, port in listeners.items()}
        outside = [text for name, text in where.items() if name != "CONTROLLER"]
        settings = _SETTINGS | {
            "listeners": ",".join(where.values()),
            "advertised.listeners": ",".join(outside),
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "log.dirs": str(self.folder / "data"),
        }
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        (self.folder / "server.properties").write_text(text)
        words = ["kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", self._settings]
        done = subprocess.run(_java(*words), capture_output=True, text=True, timeout=_START_S)
        if done.returncode:
            raise RuntimeError(f"the storage could not be formatted: {done.stdout}{done.stderr}")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                _java("kafka.Kafka", self._settings), stdout=log, stderr=log
            )
        until = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"Kafka did not start: {(self.folder / 'log').read_text()}")

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop answering, with all connections kept."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Answer again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def _settings(self) -> str:
        return str(self.folder / "server.properties")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                pass
            AdminClient({"bootstrap.servers": self.servers, "log_level": 0}).list_topics(timeout=5)
        except (OSError, KafkaException):
            time.sleep(0.05)
            return False
        return True


@contextlib.contextmanager
def running_kafka() -> Iterator[KafkaServer]:
    """Start a broker, give it, and end it."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-kafka-"))
    server = KafkaServer(folder, *_free_ports(3))
    try:
        server.prepare()
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _java(*words: str) -> list[str]:
    servers = os.environ.get("PENSTOCK_SERVERS") or Path.home() / ".cache" / "penstock" / "servers"
    jars = Path(servers) / "kafka"
    if not (jars / "complete").exists():
        raise RuntimeError("Kafka is not installed: run tests/servers/install-systems.sh")
    return ["java", *_JAVA, "-cp", f"{jars}/*", *words]


def _cluster_id() -> str:
    return uuid.uuid4().hex[:22]


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
