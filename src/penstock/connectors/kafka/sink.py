"""Live writing to Kafka: each epoch is a transaction that also records its number."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from penstock.connectors.contract import SinkIdentity
from penstock.connectors.drivers import load_driver
from penstock.connectors.epochs import Recorded, is_applied, refuse_fenced, take_over
from penstock.connectors.kafka.cluster import Cluster, Limits
from penstock.connectors.kafka.connection import Connection
from penstock.connectors.kafka.encoding import Encoding
from penstock.connectors.kafka.failures import LOST_COUNT, connector_error
from penstock.connectors.kafka.ledger import Entry, Ledger, pieces_of
from penstock.connectors.kafka.producing import CLIENT, Deliveries, Failure, sizes
from penstock.connectors.kafka.refusals import again, sift
from penstock.connectors.poison import ValueRefusedError
from penstock.errors import ConnectorError

if TYPE_CHECKING:
    from confluent_kafka import Producer

_REQUEST_S = 60.0
_TRY_S = 5.0
_LET_GO_S = 2.0
_TRIES = 3


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
    """Writes each epoch once; messages that the topic does not take are dead letters of the epoch.

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
        self._entry: Entry | None = None
        self._limits = Limits()
        self._letters: list[pl.DataFrame] = []

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
        self._limits = self._cluster.limits(writing.topic)
        if self._identity is None:
            self._connect()
            return None
        self._ledger = Ledger(writing.connection, self._cluster, writing.epochs_topic, self._step)
        self._ledger.prepare()
        self._claim()
        return self._entry.recorded.last if self._entry is not None else None

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        """Write the messages of ``frames``, all or nothing; skip an epoch that is there."""
        frames = list(frames)
        if not frames:
            return
        if self._producer is None:
            self._connect() if self._identity is None else self._claim()
        if self._identity is not None and is_applied(_recorded(self._entry), epoch):
            return
        with self._thrown_away_if_failed():
            if self._identity is None:
                self._letters = self._write_openly(frames)
            else:
                self._write_closed(Recorded(epoch, self._identity.token), frames)

    def refused(self, epoch: int) -> pl.DataFrame | None:
        """Return what of an applied epoch was refused, also if that was before a crash."""
        if self._identity is None:
            found, self._letters = self._letters, []
            return pl.concat(found) if found else None
        assert self._ledger is not None
        if self._entry is None or not self._entry.pieces:
            return None
        return self._ledger.letters(self._identity.sink_id, epoch)

    def close(self) -> None:
        """Let the producer go."""
        self._throw_away()

    # -- writing

    def _send(self, messages: Iterable[pl.DataFrame]) -> list[Failure]:
        """Write messages; return those that were refused, if that is no error."""
        writing, transactional = self._writing, self._identity is not None
        deliveries = Deliveries(
            self._live, writing.topic, writing.partition, self._step, transactional=transactional
        )
        for each in messages:
            deliveries.send(each)
        deliveries.settle()
        return deliveries.refused

    def _write_openly(self, frames: list[pl.DataFrame]) -> list[pl.DataFrame]:
        """Write without a transaction; return the letters of what is refused."""
        encode = self._writing.encoding.encode
        failed = self._send(part.messages for part in encode(frames))
        if not failed:
            return []
        once_more = lambda messages: self._send([messages])  # noqa: E731
        return list(again(list(encode(frames)), failed, once_more, self._step))

    def _write_closed(self, recorded: Recorded, frames: list[pl.DataFrame]) -> None:
        """Write an epoch in one transaction, and once more with care if a message is refused."""
        parts = partial(self._writing.encoding.encode, frames)
        try:
            self._commit(Entry(recorded), [(part.messages for part in parts())])
        except ValueRefusedError:
            self._abort()
            sifted = [sift(part, self._limits, self._attempt, self._step) for part in parts()]
            found = [letter for each in sifted for letter in each.letters]
            letters = pl.concat(found) if found else None
            pieces = len(pieces_of(letters)) if letters is not None else 0
            spans = [[span] for each in sifted for span in each.messages]
            self._patiently(partial(self._commit, Entry(recorded, pieces), spans, letters))

    def _attempt(self, messages: pl.DataFrame) -> ValueRefusedError | None:
        """Write messages in a transaction that is taken back."""

        def write() -> None:
            self._live.begin_transaction()
            self._send([messages])

        try:
            self._patiently(write)
        except ValueRefusedError as error:
            return error
        finally:
            self._abort()
        return None

    def _patiently(self, write: Callable[[], None]) -> None:
        """Do what is done in a transaction again if the client has lost count.

        It does after one that a refused message has spoiled, and finds out in the next one
        (librdkafka 2.16: "skipped sequence numbers").
        """
        for _ in range(_TRIES):
            try:
                return write()
            except ValueRefusedError:
                raise
            except ConnectorError as error:
                if error.value not in LOST_COUNT:
                    raise
                self._abort()
        return write()

    def _abort(self) -> None:
        self._until_done(self._live.abort_transaction, "taking back a transaction")

    @property
    def _live(self) -> Producer:
        assert self._producer is not None, "begun, and not thrown away"
        return self._producer

    # -- producers

    def _connect(self) -> None:
        from confluent_kafka import KafkaException, Producer

        connection = self._writing.connection.client(self._step)
        settings = CLIENT | sizes(self._limits) | connection | {"enable.idempotence": True}
        self._limits = replace(self._limits, client_bytes=int(settings["message.max.bytes"]))
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
        refuse_fenced(_recorded(ledger.read(identity.sink_id)), identity, self._step)
        self._connect()
        with self._thrown_away_if_failed():
            self._until_done(self._live.init_transactions, "taking over the transactional id")
            self._entry = found = ledger.read(identity.sink_id)
            mine = take_over(_recorded(found), identity, self._step)
            self._commit(Entry(mine, found.pieces if found else 0), ())

    def _commit(
        self,
        entry: Entry,
        spans: Iterable[Iterable[pl.DataFrame]],
        letters: pl.DataFrame | None = None,
    ) -> None:
        """Write messages and what is recorded of them in one transaction, one span after another."""
        identity, ledger = self._identity, self._ledger
        assert identity is not None
        assert ledger is not None
        self._live.begin_transaction()
        for messages in spans:
            self._send(messages)
        before = self._entry.pieces if self._entry is not None else 0
        for key, value in ledger.messages(identity.sink_id, entry, letters, before):
            self._live.produce(ledger.topic, value, key, 0)
        self._until_done(self._live.commit_transaction, "committing the transaction")
        self._entry = entry

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
            refuse_fenced(_recorded(found), self._identity, self._step)

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


def _recorded(entry: Entry | None) -> Recorded | None:
    return None if entry is None else entry.recorded
