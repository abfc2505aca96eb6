"""What a Kafka cluster holds: topics, partitions, and where they begin and end."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from penstock.connectors.drivers import load_driver
from penstock.connectors.kafka.connection import Connection
from penstock.connectors.kafka.failures import connector_error, is_settled_by_user
from penstock.connectors.kafka.handshake import certificate_fault
from penstock.errors import ConnectorError, Fault, closest

if TYPE_CHECKING:
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient, ClusterMetadata

_REQUEST_S = 30.0
_ANSWER_S = 1.0
_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A partition of a topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"

    def client(self, offset: int = 0) -> TopicPartition:
        """Return it as the client has it."""
        from confluent_kafka import TopicPartition

        return TopicPartition(self.topic, self.partition, offset)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a topic takes, as far as its brokers tell, and what the client does.

    The brokers look at a message as it is compressed, the client as it is.
    """

    message_bytes: int | None = None
    compacted: bool = False
    client_bytes: int | None = None


Start = str | datetime | Mapping[Place, int]
"""``"earliest"``, ``"latest"``, an instant, or offsets; places not named begin at the earliest."""


class Cluster:
    """Asks a cluster, with time-outs; what cannot be had is a ``ConnectorError``."""

    def __init__(self, connection: Connection, step: str) -> None:
        load_driver("confluent_kafka", "kafka", step)
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        self._step = step
        self._refused: Any = None
        self._client = connection.client(step)
        try:
            self._admin: AdminClient = AdminClient(self._client | {"error_cb": self._noticed})
        except KafkaException as error:
            raise connector_error(error.args[0], step, "setting up the client") from error

    def _noticed(self, error: Any) -> None:
        """Keep what says more than a time-out: that the user is refused, for example."""
        if is_settled_by_user(error):
            self._refused = error

    def answers(self) -> bool:
        """Tell whether the cluster is there, within a second."""
        from confluent_kafka import KafkaException

        try:
            self._admin.list_topics(timeout=_ANSWER_S)
        except KafkaException:
            return False
        return True

    def topic_ids(self, topics: Sequence[str]) -> dict[str, str]:
        """Return the topics that exist of the named ones, with their ids; ``^...`` is a pattern."""
        found = self._listed()
        missing = [name for name in topics if not name.startswith("^") and name not in found]
        if missing:
            known = sorted(name for name in found if not name.startswith("_"))
            near = closest(missing[0], known)
            raise ConnectorError(
                f"there is no topic {missing[0]!r}",
                step=self._step,
                value=missing[0],
                fault=Fault.USER,
                hint=f"did you mean {near!r}?" if near else "create it, or check the name",
            )
        names = [name for name in found if any(_fits(name, wanted) for wanted in topics)]
        return dict(zip(names, self._ids(names), strict=True))

    def places(self, topics: Iterable[str]) -> list[Place]:
        """Return the partitions of topics, in order."""
        found = self._listed()
        return sorted(Place(t, number) for t in topics for number in found.get(t, ()))

    def _listed(self) -> dict[str, list[int]]:
        topics = self._metadata().topics
        return {name: sorted(topic.partitions) for name, topic in topics.items()}

    def _metadata(self) -> ClusterMetadata:
        from confluent_kafka import KafkaException

        until = time.monotonic() + _REQUEST_S
        while True:
            try:
                return self._admin.list_topics(timeout=_ANSWER_S)
            except KafkaException as error:
                self._admin.poll(0)  # which brings what was noticed
                if self._refused is not None or time.monotonic() > until:
                    found = self._refused or error.args[0]
                    fault = certificate_fault(self._client)
                    what = "reaching the cluster"
                    raise connector_error(found, self._step, what, fault) from error

    def _ids(self, names: Sequence[str]) -> list[str]:
        from confluent_kafka import TopicCollection

        if not names:
            return []
        asked = self._admin.describe_topics(
            TopicCollection(list(names)), request_timeout=_REQUEST_S
        )
        return [str(self._result(asked[name], "describing topics").topic_id) for name in names]

    def starts(self, places: Sequence[Place], start: Start) -> dict[Place, int]:
        """Return where to begin to read."""
        if isinstance(start, datetime):
            return self._at(places, start)
        if start == "latest":
            return self.ends(places, "read_uncommitted")
        found = self.beginnings(places)
        return found | dict(start) if isinstance(start, Mapping) else found

    def beginnings(self, places: Sequence[Place]) -> dict[Place, int]:
        """Return the offset of the oldest message of each."""
        from confluent_kafka.admin import OffsetSpec

        return self._offsets(places, OffsetSpec.earliest())

    def ends(self, places: Sequence[Place], isolation: str) -> dict[Place, int]:
        """Return the offset after the newest message; committed ones only, if so isolated."""
        from confluent_kafka.admin import OffsetSpec

        return self._offsets(places, OffsetSpec.latest(), isolation)

    def _at(self, places: Sequence[Place], instant: datetime) -> dict[Place, int]:
        from confluent_kafka.admin import OffsetSpec

        found = self._offsets(places, OffsetSpec.for_timestamp(int(instant.timestamp() * 1000)))
        later = [place for place, offset in found.items() if offset < 0]  # nothing is so new
        return found | self.ends(later, "read_uncommitted")

    def _offsets(
        self, places: Sequence[Place], which: Any, isolation: str = "read_uncommitted"
    ) -> dict[Place, int]:
        from confluent_kafka import IsolationLevel

        if not places:
            return {}
        asked = self._admin.list_offsets(
            {place.client(): which for place in places},
            isolation_level=IsolationLevel[isolation.upper()],
            request_timeout=_REQUEST_S,
        )
        return {
            Place(where.topic, where.partition): self._result(answer, "asking for offsets").offset
            for where, answer in asked.items()
        }

    def create(self, topic: str, partitions: int, settings: Mapping[str, str] = {}) -> None:
        """Create a topic if it is not there; ``-1`` partitions: as many as the broker says."""
        from confluent_kafka import KafkaError, KafkaException
        from confluent_kafka.admin import NewTopic

        wanted = NewTopic(topic, num_partitions=partitions, config=dict(settings))
        try:
            self._admin.create_topics([wanted], request_timeout=_REQUEST_S)[topic].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise connector_error(error.args[0], self._step, "creating the topic") from error
        self._until_led(topic)

    def _until_led(self, topic: str) -> None:
        """Wait until all partitions of a new topic have a leader."""
        until = time.monotonic() + _REQUEST_S
        while time.monotonic() < until:
            found = self._metadata().topics.get(topic)
            if found and found.partitions and all(p.leader >= 0 for p in found.partitions.values()):
                return
            time.sleep(_PAUSE_S)
        raise ConnectorError(
            f"the new topic {topic!r} has no leader after {_REQUEST_S:.0f} s",
            step=self._step,
            fault=Fault.REMOTE,
            retry=True,
        )

    def limits(self, topic: str) -> Limits:
        """Return what a topic takes; nothing is known where we may not ask."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import ConfigResource

        which = ConfigResource(ConfigResource.Type.TOPIC, topic)
        try:
            found = self._admin.describe_configs([which], request_timeout=_REQUEST_S)[which]
            settings = {name: entry.value for name, entry in found.result().items()}
        except KafkaException:
            return Limits()
        size = settings.get("max.message.bytes")
        compacted = "compact" in (settings.get("cleanup.policy") or "")
        return Limits(int(size) if size else None, compacted)

    def exists(self, topic: str) -> bool:
        """Tell whether there is such a topic."""
        return topic in self._listed()

    def _result(self, future: Any, what: str) -> Any:
        from confluent_kafka import KafkaException

        try:
            return future.result()
        except KafkaException as error:
            raise connector_error(error.args[0], self._step, what) from error


def _fits(name: str, wanted: str) -> bool:
    if not wanted.startswith("^"):
        return name == wanted
    return not name.startswith("__") and re.match(wanted, name) is not None
