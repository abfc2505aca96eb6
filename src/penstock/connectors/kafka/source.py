"""Live reading of Kafka: partitions assigned by us, offsets kept in the checkpoint."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from penstock.connectors.contract import Polled, Position
from penstock.connectors.drivers import load_driver
from penstock.connectors.kafka.cluster import Cluster, Place
from penstock.connectors.kafka.failures import connector_error, is_settled_by_user
from penstock.connectors.kafka.messages import Gathered, Messages
from penstock.connectors.kafka.positions import Held, encode, held_in
from penstock.connectors.kafka.reading import OnLost, Reading
from penstock.errors import ConnectorError, Fault

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message

_log = logging.getLogger(__name__)

_SLICE_S = 0.1
"""Longest wait within the client, so that ``close`` of another thread is heard."""
_BATCH = 4096
"""Messages asked for at once. Measured: 1.3 M/s of processor time with 1,000 to 10,000, 0.7 M with
65,536, whose objects leave the caches before they are read."""
_PROBE_S = 1.0
"""How often a cluster that was lost is asked whether it is there again."""
_CLIENT = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    "queued.max.messages.kbytes": 65_536,
    "fetch.error.backoff.ms": 100,
    "fetch.wait.max.ms": 100,  # an end of a partition is said after so long
}


@dataclass(slots=True)
class _Part:
    """One partition: what is handed over next, where to end, and whether all there was is read."""

    place: Place
    next: int
    stop: int | None = None
    at_end: bool = False

    @property
    def ended(self) -> bool:
        return self.stop is not None and self.next >= self.stop


class KafkaSource:
    """Hands over the messages of one partition per poll, in the order in which they arrive."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._step = reading.step
        self._lock = threading.Lock()
        self._closed = False
        self._consumer: Consumer | None = None
        self._cluster: Cluster | None = None
        self._parts: list[_Part] = []
        self._numbers: dict[Place, int] = {}
        self._topics: dict[str, str] = {}
        self._ahead: deque[tuple[int, Messages | int]] = deque()  # an int: the end, at this offset
        self._refused: KafkaError | None = None
        self._down = False
        self._looked = self._probed = 0.0
        self.lost = 0

    def seek(self, position: Position | None) -> None:
        """Begin at ``position``, or where the spec says."""
        with self._lock:
            self._connect()
            self._ahead.clear()
            held = None if position is None else held_in(position, self._step)
            self._parts, self._numbers = [], {}
            self._topics = self._existing().topic_ids(self._reading.topics)
            if held is None:
                self._add(self._existing().places(self._topics), stops=self._reading.stops)
            else:
                self._resume(held)
            self._looked = time.monotonic()
            self._assign()

    def stop_at(self, position: Position) -> None:
        """End where ``position`` stands, partition by partition."""
        ends = held_in(position, self._step).offsets()
        for part in self._parts:
            part.stop = ends.get(part.place, part.next)
        self._assign()

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        """Return the next messages of one partition."""
        until = time.monotonic() + timeout_s
        with self._lock:
            while not self._closed:
                self._look_for_partitions()
                self._pass_ends()
                if self._ahead:
                    return self._hand_over(max_rows)
                left = until - time.monotonic()
                if self._ended() or (self._caught_up() and left <= 0):
                    break
                self._fetch(max_rows, max(0.0, min(left, _SLICE_S)))
                if left <= 0 and not self._ahead:
                    break
            return self._nothing()

    def lag(self) -> int | None:
        """Return how many messages the brokers were last known to hold beyond the position."""
        consumer, places = self._consumer, self._parts
        if consumer is None or self._closed:
            return None
        return sum(self._behind(consumer, part) for part in list(places))

    def partition_lag(self) -> tuple[tuple[str, int], ...]:
        """Return the same for each partition, by topic and number."""
        consumer, parts = self._consumer, self._parts
        if consumer is None or self._closed:
            return ()
        return tuple((str(part.place), self._behind(consumer, part)) for part in list(parts))

    def _behind(self, consumer: Consumer, part: _Part) -> int:
        try:
            found = consumer.get_watermark_offsets(part.place.client(), cached=True)
        except RuntimeError:  # closed meanwhile
            return 0
        return max(0, found[1] - part.next) if found is not None else 0

    def partitions(self) -> Sequence[int]:
        """Return the partitions that may still bring messages."""
        return tuple(n for n, part in enumerate(self._parts) if not part.ended)

    def acknowledge(self, position: Position) -> None:
        """Commit the offsets to the group, for those who watch it; nothing here depends on it."""
        consumer = self._consumer
        if consumer is None or self._closed or self._reading.group is None:
            return
        offsets = held_in(position, self._step).offsets()
        from confluent_kafka import KafkaException

        with contextlib.suppress(KafkaException, RuntimeError):
            consumer.commit(
                offsets=[place.client(offset) for place, offset in offsets.items()],
                asynchronous=True,
            )

    def close(self) -> None:
        """Leave the cluster, once a waiting poll has noticed."""
        self._closed = True
        with self._lock:
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None

    # -- connecting

    def _connect(self) -> None:
        if self._closed:
            raise ConnectorError("the source is closed", step=self._step, fault=Fault.OURS)
        if self._consumer is not None:
            return
        load_driver("confluent_kafka", "kafka", self._step)
        from confluent_kafka import Consumer, KafkaException

        settings = self._reading.connection.client(self._step) | _CLIENT
        settings["isolation.level"] = self._reading.isolation
        settings["group.id"] = self._reading.group or "penstock"
        settings["error_cb"] = self._noticed
        try:
            self._consumer = Consumer(settings)
        except KafkaException as error:
            raise connector_error(error.args[0], self._step, "setting up the client") from error
        self._cluster = Cluster(self._reading.connection, self._step)

    def _existing(self) -> Cluster:
        assert self._cluster is not None
        return self._cluster

    def _noticed(self, error: KafkaError) -> None:
        """Take note of an error of the connection; the client goes on trying by itself."""
        if is_settled_by_user(error):
            self._refused = error
        elif not self._down:
            self._down = True
            _log.warning("%s: the connection is lost (%s); trying again", self._step, error.str())

    # -- partitions

    def _resume(self, held: Held) -> None:
        for topic, identity in held.topics.items():
            if self._topics.get(topic, identity) != identity:
                raise ConnectorError(
                    f"the topic {topic!r} is not the one that the checkpoint was taken with",
                    step=self._step,
                    value=topic,
                    fault=Fault.USER,
                    hint="it was removed and created anew; start with a new checkpoint folder",
                )
        at = held.places()
        open_ended = [place for place, _, stop in at if stop is None and self._reading.stops]
        ends = self._existing().ends(open_ended, self._reading.isolation)
        for place, offset, stop in at:
            self._keep(_Part(place, offset, stop if stop is not None else ends.get(place)))
        known = set(self._numbers)
        fresh = [p for p in self._existing().places(self._topics) if p not in known]
        if not self._reading.stops:
            self._add_from_beginning(fresh)

    def _add(self, places: Sequence[Place], *, stops: bool) -> None:
        starts = self._existing().starts(places, self._reading.start)
        ends = self._existing().ends(places, self._reading.isolation) if stops else {}
        for place in places:
            self._keep(_Part(place, starts[place], ends.get(place)))

    def _add_from_beginning(self, places: Sequence[Place]) -> None:
        """Take up partitions that were made after the start: everything in them is new."""
        starts = self._existing().beginnings(places)
        for place in places:
            self._keep(_Part(place, starts[place]))

    def _keep(self, part: _Part) -> None:
        self._numbers[part.place] = len(self._parts)
        self._parts.append(part)

    def _assign(self) -> None:
        assert self._consumer is not None
        self._consumer.assign([p.place.client(p.next) for p in self._parts if not p.ended])

    def _look_for_partitions(self) -> None:
        """Take up partitions and topics that were made since."""
        if self._reading.stops or time.monotonic() < self._looked + self._reading.discover_s:
            return
        self._looked = time.monotonic()
        try:
            topics = self._existing().topic_ids(self._reading.topics)
            places = [p for p in self._existing().places(topics) if p not in self._numbers]
            if not places:
                return
            self._topics |= {p.topic: topics[p.topic] for p in places}
            first = len(self._parts)
            self._add_from_beginning(places)
        except ConnectorError as error:
            if not error.retry:
                raise
            _log.warning("%s: new partitions could not be looked for: %s", self._step, error)
            return
        assert self._consumer is not None
        self._consumer.incremental_assign([p.place.client(p.next) for p in self._parts[first:]])
        _log.info("%s: reads %d more partitions", self._step, len(places))

    # -- messages

    def _fetch(self, max_rows: int, wait_s: float) -> None:
        """Move what the client has to ``_ahead``; wait for the first message only."""
        assert self._consumer is not None
        gathered = Gathered(self._reading.extra)
        events: list[Message] = []
        found = self._consumer.consume(_BATCH, 0) or self._consumer.consume(1, wait_s)
        while found:
            kind = type(found[0])
            if any(map(kind.error, found)):
                events += [m for m in found if m.error() is not None]
                found = [m for m in found if m.error() is None]
            if found:
                gathered.add(found)
            enough = events or gathered.count >= max_rows
            found = [] if enough else self._consumer.consume(_BATCH, 0)
        if self._refused is not None:
            raise connector_error(self._refused, self._step, "reading")
        if not gathered.count and not events:
            self._probe()
            return
        self._down = False
        for place, messages in gathered.by_partition():
            self._ahead.append((self._numbers[place], messages))
        for event in events:
            self._event(event)

    def _event(self, message: Message) -> None:
        """Take in what came instead of a message: the end of a partition, or an error."""
        from confluent_kafka import KafkaError

        error = message.error()
        assert error is not None
        place = Place(message.topic() or "", message.partition() or 0)
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the name of the constant
            if place in self._numbers:
                self._ahead.append((self._numbers[place], message.offset() or 0))
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            self._out_of_range(place)
        elif error.fatal() or is_settled_by_user(error):
            raise connector_error(error, self._step, "reading")
        else:
            self._noticed(error)

    def _out_of_range(self, place: Place) -> None:
        """The broker does not have the next message any more, or not yet."""
        part = self._parts[self._numbers[place]]
        first = self._existing().beginnings([place])[place]
        if first <= part.next:
            raise ConnectorError(
                f"{place} ends before offset {part.next}, where reading is to go on",
                step=self._step,
                value=part.next,
                fault=Fault.REMOTE,
                hint="the broker lost messages; start with a new checkpoint folder",
            )
        if self._reading.on_lost is OnLost.FAIL:
            raise ConnectorError(
                f"the messages {part.next} to {first - 1} of {place} were deleted before they "
                "could be read",
                step=self._step,
                value=part.next,
                fault=Fault.USER,
                hint='keep them for longer (retention.ms), or give on_lost="skip"',
            )
        self.lost += first - part.next
        part.next = first
        assert self._consumer is not None
        self._consumer.incremental_unassign([place.client()])
        self._consumer.incremental_assign([place.client(first)])

    def _probe(self) -> None:
        """Ask now and then whether a lost cluster is there again."""
        if not self._down or time.monotonic() < self._probed + _PROBE_S:
            return
        self._probed = time.monotonic()
        self._down = not self._existing().answers()

    def _pass_ends(self) -> None:
        while self._ahead:
            number, found = self._ahead[0]
            part = self._parts[number]
            if isinstance(found, Messages):
                if not part.ended:
                    return
            else:
                part.next, part.at_end = max(part.next, found), True
            self._ahead.popleft()

    def _hand_over(self, max_rows: int) -> Polled:
        number, messages = self._ahead.popleft()
        assert isinstance(messages, Messages)
        part = self._parts[number]
        part.at_end = False
        if part.stop is not None:
            messages = messages.before(part.stop)
        if messages.height > max_rows:
            self._ahead.appendleft((number, messages.after(max_rows)))
            messages = messages.head(max_rows)
        part.next = messages.next_offset or part.next
        frame, dead = self._reading.rows(messages.frame(part.place))
        self._pass_ends()
        return Polled(
            frame,
            self._position(),
            partition=number,
            dead=dead,
            caught_up=self._caught_up(),
            ended=self._ended(),
        )

    def _nothing(self) -> Polled:
        empty = pl.DataFrame(schema=self._reading.schema)
        ended = self._ended() and not self._closed
        caught_up = self._caught_up() and not self._closed
        return Polled(empty, self._position(), caught_up=caught_up, ended=ended)

    def _caught_up(self) -> bool:
        return not self._down and not self._ahead and all(p.at_end or p.ended for p in self._parts)

    def _ended(self) -> bool:
        return self._reading.stops and all(part.ended for part in self._parts)

    def _position(self) -> Position:
        return encode(self._topics, [(p.place, p.next, p.stop) for p in self._parts])
