"""Live writing to Kafka: each epoch is a transaction that also records its number."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import polars as pl

from penstock.connectors.contract import SinkIdentity
from penstock.connectors.drivers import load_driver
from penstock.connectors.epochs import Recorded, is_applied, refuse_fenced, take_over
from penstock.connectors.kafka.cluster import Cluster
from penstock.connectors.kafka.connection import Connection
from penstock.connectors.kafka.encoding import Encoding
from penstock.connectors.kafka.failures import connector_error
from penstock.connectors.kafka.ledger import Ledger
from penstock.connectors.kafka.producing import CLIENT, Deliveries
from penstock.errors import ConnectorError

if TYPE_CHECKING:
    from confluent_kafka import Producer

_REQUEST_S = 60.0
_TRY_S = 5.0
_LET_GO_S = 2.0


@dataclass(frozen=True, slots=True)
class Writing:
    """What a live Kafka sink is told; see ``KafkaSinkSpec``."""

    step: str
    connection: Connection
    topic: str
    encoding: Encoding
    partitions: int
    partition: int
    transactional: bool
    transaction_timeout_s: float
    epochs_topic: str


class KafkaSink:
    """Writes each epoch once.

    A producer whose transaction did not end well is thrown away. The next one shuts it out under
    the same transactional id, and reads from the ledger whether the epoch is there.
    """

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._step = writing.step
        self._identity: SinkIdentity | None = None
        self._cluster: Cluster | None = None
        self._ledger: Ledger | None = None
        self._producer: Producer | None = None
        self._recorded: Recorded | None = None

    def begin(
        self,
        identity: SinkIdentity | None,
        schema: pl.Schema | None = None,  # noqa: ARG002 - messages need none
    ) -> int | None:
        """Reach the cluster, create the topic if it is not there, shut out older runs."""
        load_driver("confluent_kafka", "kafka", self._step)
        writing = self._writing
        self._identity = identity if writing.transactional else None
        self._cluster = Cluster(writing.connection, self._step)
        if not self._cluster.exists(writing.topic):
            self._cluster.create(writing.topic, writing.partitions)
        if self._identity is None:
            self._connect()
            return None
        self._ledger = Ledger(writing.connection, self._cluster, writing.epochs_topic, self._step)
        self._ledger.prepare()
        self._claim()
        return self._recorded.last if self._recorded is not None else None

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        """Write the messages of ``frames``, all or nothing; skip an epoch that is there."""
        iterator = iter(frames)
        first = next(iterator, None)
        if first is None:
            return
        if self._producer is None:
            self._connect() if self._identity is None else self._claim()
        if self._identity is not None and is_applied(self._recorded, epoch):
            return
        with self._thrown_away_if_failed():
            if self._identity is None:
                self._send(chain([first], iterator)).finish()
            else:
                self._commit(Recorded(epoch, self._identity.token), chain([first], iterator))

    def close(self) -> None:
        """Let the producer go."""
        self._throw_away()

    def _send(self, frames: Iterable[pl.DataFrame]) -> Deliveries:
        writing = self._writing
        deliveries = Deliveries(self._live, writing.topic, writing.partition, self._step)
        for messages in writing.encoding.encode(frames):
            deliveries.send(messages)
        return deliveries

    @property
    def _live(self) -> Producer:
        assert self._producer is not None, "begun, and not thrown away"
        return self._producer

    # -- producers

    def _connect(self) -> None:
        from confluent_kafka import KafkaException, Producer

        settings = (
            CLIENT | self._writing.connection.client(self._step) | {"enable.idempotence": True}
        )
        if self._identity is not None:
            timeout_ms = int(self._writing.transaction_timeout_s * 1000)
            settings |= {
                "transactional.id": f"penstock-{self._identity.sink_id}",
                "transaction.timeout.ms": timeout_ms,
                "message.timeout.ms": timeout_ms,
            }
        try:
            self._producer = Producer(settings)
        except KafkaException as error:
            raise connector_error(error.args[0], self._step, "setting up the client") from error

    def _claim(self) -> None:
        """Become the one that writes; a newer run's claim is found before and after."""
        identity, ledger = self._identity, self._ledger
        assert identity is not None
        assert ledger is not None
        refuse_fenced(ledger.read(identity.sink_id), identity, self._step)
        self._connect()
        with self._thrown_away_if_failed():
            self._until_done(self._live.init_transactions, "taking over the transactional id")
            found = ledger.read(identity.sink_id)
            self._commit(take_over(found, identity, self._step), ())

    def _commit(self, recorded: Recorded, frames: Iterable[pl.DataFrame]) -> None:
        """Write frames and what is recorded of them in one transaction."""
        identity, ledger = self._identity, self._ledger
        assert identity is not None
        assert ledger is not None
        self._live.begin_transaction()
        self._send(frames)
        self._live.produce(ledger.topic, ledger.encoded(recorded), identity.sink_id, 0)
        self._until_done(self._live.commit_transaction, "committing the transaction")
        self._recorded = recorded

    def _until_done(self, call: Callable[[float], None], what: str) -> None:
        """Call what the client says may be called again, for a minute."""
        from confluent_kafka import KafkaException

        until = time.monotonic() + _REQUEST_S
        while True:
            try:
                return call(_TRY_S)
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > until:
                    raise connector_error(error.args[0], self._step, what) from error

    @contextlib.contextmanager
    def _thrown_away_if_failed(self) -> Iterator[None]:
        from confluent_kafka import KafkaException

        try:
            yield
        except KafkaException as error:
            self._throw_away()
            self._refuse_if_replaced()
            raise connector_error(error.args[0], self._step, "writing") from error
        except ConnectorError:
            self._throw_away()
            self._refuse_if_replaced()
            raise
        except BaseException:
            self._throw_away()
            raise

    def _refuse_if_replaced(self) -> None:
        """Raise ``FencedError`` if a newer run has claimed the sink; otherwise it may be tried again.

        A run that woke up late shuts out the newer one for a moment, and is refused itself.
        """
        if self._identity is not None and self._ledger is not None:
            found = self._ledger.read(self._identity.sink_id)
            refuse_fenced(found, self._identity, self._step)

    def _throw_away(self) -> None:
        """Give up the producer and what it holds; a transaction left open is aborted."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        from confluent_kafka import KafkaException

        with contextlib.suppress(KafkaException):  # no transaction is open, brokers are away ...
            producer.purge()
            if self._identity is not None:
                producer.abort_transaction(_LET_GO_S)
