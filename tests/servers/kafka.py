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
from datetime import timedelta
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.servers.certificates import Authority, Signed

_START_S = 120.0
_TRIES = 3
_JAVA = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_OUTSIDE = ("PLAINTEXT", "SASL", "TLS", "EXPIRED", "SCRAM")
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
    "SASL:SASL_PLAINTEXT,TLS:SSL,EXPIRED:SSL,SCRAM:SASL_SSL",
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
    "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
    "listener.name.scram.scram-sha-256.sasl.jaas.config": _SCRAM,
    "listener.name.scram.scram-sha-512.sasl.jaas.config": _SCRAM,
    "listener.name.tls.ssl.client.auth": "required",
}
USER, PASSWORD = "ann", "a secret of ann"


@dataclass
class KafkaServer:
    """Where the broker listens: ``servers`` without a password, ``sasl`` with one.

    With TLS: ``tls`` asks for the client's certificate (``client``), ``scram`` for a password, and
    ``expired`` shows a certificate that has expired. ``ca`` is whom to trust.
    """

    folder: Path
    ports: dict[str, int]
    ca: Path = field(init=False)
    client: Signed = field(init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def servers(self) -> str:
        return self._at("PLAINTEXT")

    @property
    def sasl(self) -> str:
        return self._at("SASL")

    @property
    def tls(self) -> str:
        return self._at("TLS")

    @property
    def scram(self) -> str:
        return self._at("SCRAM")

    @property
    def expired(self) -> str:
        return self._at("EXPIRED")

    def _at(self, listener: str) -> str:
        return f"127.0.0.1:{self.ports[listener]}"

    def prepare(self) -> None:
        """Write the settings and format the storage."""
        where = {name: f"{name}://{self._at(name)}" for name in self.ports}
        settings = _SETTINGS | {
            "listeners": ",".join(where.values()),
            "advertised.listeners": ",".join(where[name] for name in _OUTSIDE),
            "controller.quorum.voters": f"1@{self._at('CONTROLLER')}",
            "log.dirs": str(self.folder / "data"),
        }
        for name, signed in self._certificates().items():
            prefix = f"listener.name.{name}.ssl"
            settings |= {
                f"{prefix}.keystore.type": "PEM",
                f"{prefix}.keystore.location": str(signed),
                f"{prefix}.truststore.type": "PEM",
                f"{prefix}.truststore.location": str(self.ca),
            }
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        (self.folder / "server.properties").write_text(text)
        words = ["kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", self._settings]
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            words += ["--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]"]
        done = subprocess.run(_java(*words), capture_output=True, text=True, timeout=_START_S)
        if done.returncode:
            raise RuntimeError(f"the storage could not be formatted: {done.stdout}{done.stderr}")

    def _certificates(self) -> dict[str, Path]:
        """Return a file of key and certificate for each listener that encrypts."""
        authority = Authority(self.folder)
        self.ca, self.client = authority.ca, authority.sign("client")
        lasts = {
            "tls": timedelta(days=1),
            "scram": timedelta(days=1),
            "expired": -timedelta(days=1),
        }
        found = {}
        for name, how_long in lasts.items():
            found[name] = self.folder / f"{name}.both.pem"
            found[name].write_text(authority.sign(name, how_long).joined())
        return found

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
            with socket.create_connection(("127.0.0.1", self.ports["PLAINTEXT"]), timeout=1):
                pass
            AdminClient({"bootstrap.servers": self.servers, "log_level": 0}).list_topics(timeout=5)
        except (OSError, KafkaException):
            time.sleep(0.05)
            return False
        return True


@contextlib.contextmanager
def running_kafka() -> Iterator[KafkaServer]:
    """Start a broker, give it, and end it."""
    with contextlib.ExitStack() as closing:
        yield _started(closing)


def _started(closing: contextlib.ExitStack) -> KafkaServer:
    """Start a broker; once more if another process took a port that was free a moment ago."""
    for attempt in range(_TRIES):
        folder = Path(tempfile.mkdtemp(prefix="penstock-kafka-"))
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        listeners = (*_OUTSIDE, "CONTROLLER")
        server = KafkaServer(folder, dict(zip(listeners, _free_ports(len(listeners)), strict=True)))
        closing.callback(server.kill)
        server.prepare()
        try:
            server.start()
        except RuntimeError:
            if attempt == _TRIES - 1:
                raise
        else:
            return server
    raise AssertionError


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
