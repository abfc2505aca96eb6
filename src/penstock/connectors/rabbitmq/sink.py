"""Live writing to RabbitMQ: the messages of an epoch in transactions of the channel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

from penstock.connectors.contract import SinkIdentity
from penstock.connectors.messaging.outgoing import TARGET, Outgoing, keys_of
from penstock.connectors.messaging.server import Server
from penstock.connectors.rabbitmq.connection import Broker
from penstock.errors import ConnectorError, Fault

KEY = "penstock-key"
_LASTS = 2
"""The delivery mode of messages that survive the broker's restart."""


@dataclass(frozen=True, slots=True)
class Writing:
    """What a live sink is told; see ``RabbitSinkSpec``."""

    step: str
    server: Server
    vhost: str
    outgoing: Outgoing
    exchange: str
    arguments: dict[str, Any] | None


class RabbitSink:
    """Publishes with ids of sink, epoch and number; an epoch that broke off is sent again."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._step = writing.step
        self._broker: Broker | None = None
        self._identity: SinkIdentity | None = None
        self._returned: list[str] = []

    def begin(
        self,
        identity: SinkIdentity | None,
        schema: pl.Schema | None = None,  # noqa: ARG002 - queues have none
    ) -> int | None:
        """Connect, and create the queue if it is not there."""
        self._identity = identity
        self._connected()
        return None

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        """Publish the messages of ``frames``; they are there when this returns."""
        try:
            first = 0
            for messages in self._writing.outgoing.encode(frames):
                self._publish(messages, epoch, first)
                first += messages.height
            if first:
                self._commit()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave; what is not committed is forgotten."""
        broker, self._broker = self._broker, None
        if broker is not None:
            broker.close()

    def _connected(self) -> Broker:
        if self._broker is None:
            writing = self._writing
            broker = Broker(writing.server, writing.vhost, self._step)
            try:
                if writing.arguments is not None:
                    broker.declare(writing.outgoing.target.text, writing.arguments)
                with broker.translated():
                    broker.channel.tx_select()
                    broker.channel.add_on_return_callback(self._came_back)
            except BaseException:
                broker.close()
                raise
            self._broker, self._returned = broker, []
        return self._broker

    def _came_back(self, channel: object, method: Any, *_: object) -> None:  # noqa: ARG002
        self._returned.append(method.routing_key)

    def _publish(self, messages: pl.DataFrame, epoch: int, first: int) -> None:
        from pika import BasicProperties

        broker, identity = self._connected(), self._identity
        stem = None if identity is None else f"{identity.sink_id}/{epoch}/"
        columns = [messages[TARGET].to_list(), messages["value"].to_list(), keys_of(messages)]
        given = messages["headers"].to_list() if "headers" in messages.columns else None
        with broker.translated():
            for number, (target, value, key) in enumerate(zip(*columns, strict=True)):
                headers: dict[str, Any] = {} if key is None else {KEY: key}
                if given is not None:
                    headers |= {h["name"]: h["value"] for h in given[number] or ()}
                properties = BasicProperties(
                    message_id=None if stem is None else f"{stem}{first + number}",
                    delivery_mode=_LASTS,
                    headers=headers or None,
                )
                broker.channel.basic_publish(
                    self._writing.exchange, target, value or b"", properties, mandatory=True
                )

    def _commit(self) -> None:
        broker = self._connected()
        with broker.translated():
            broker.channel.tx_commit()
        broker.wait(0)
        if self._returned:
            raise ConnectorError(
                f"no queue takes messages for {self._returned[0]!r}",
                step=self._step,
                value=self._returned[0],
                fault=Fault.USER,
                hint="bind one, or give no exchange=: then the queue is created",
            )
