"""A channel of RabbitMQ by AMQP 0-9-1, with failures as ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from penstock.connectors.drivers import load_driver
from penstock.connectors.messaging.server import Server
from penstock.connectors.messaging.source import lost_connection
from penstock.errors import ConnectorError, Fault

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

_HEARTBEAT_S = 300
"""Long, as nobody answers heartbeats while rows wait to be taken."""
_LOGIN = ("ProbableAuthenticationError", "ProbableAccessDeniedError", "AuthenticationError")
_USERS = {
    402: "check the name of the virtual host",
    403: "grant the user access to it",
    404: "create it, or check the name",
    406: "it is there, but of another kind",
    530: "check the name of the virtual host, and the rights of the user",
    540: "it cannot do that",
}
"""Replies of the broker that waiting does not settle, and the way out."""


class Broker:
    """A connection with one channel; used by one thread."""

    def __init__(self, server: Server, vhost: str, step: str) -> None:
        load_driver("pika", "rabbitmq", step)
        import pika

        self._step = step
        user, password = server.credentials(step)
        context = server.tls_context(step)
        tls = None if context is None else pika.SSLOptions(context, server.host)
        self._connection: BlockingConnection
        with self.translated():
            self._connection = pika.BlockingConnection(
                pika.ConnectionParameters(
                    host=server.host,
                    port=server.port,
                    virtual_host=vhost,
                    credentials=pika.PlainCredentials(user or "guest", password or "guest"),
                    ssl_options=tls,
                    heartbeat=_HEARTBEAT_S,
                    socket_timeout=server.timeout_s,
                    stack_timeout=server.timeout_s,
                    blocked_connection_timeout=server.timeout_s,
                    client_properties={"connection_name": "penstock"},
                )
            )
            self.channel: BlockingChannel = self._connection.channel()

    def wait(self, wait_s: float) -> None:
        """Let what has arrived be handed to whom it is for, or wait for something."""
        with self.translated():
            self._connection.process_data_events(wait_s)

    def declare(self, queue: str, arguments: dict[str, Any]) -> None:
        """Create a queue that lasts, if it is not there."""
        with self.translated():
            self.channel.queue_declare(queue, durable=True, arguments=arguments)

    def find(self, queue: str) -> None:
        """Raise ``ConnectorError`` if there is no such queue."""
        with self.translated():
            self.channel.queue_declare(queue, passive=True)

    def close(self) -> None:
        """Leave."""
        with contextlib.suppress(Exception):
            self._connection.close()

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Raise what the driver raises as ours."""
        from pika import exceptions

        try:
            yield
        except exceptions.AMQPError as error:
            raise self._told(error) from error
        except (OSError, AssertionError) as error:
            raise lost_connection(self._step, error) from error

    def _told(self, error: Exception) -> ConnectorError:
        code = getattr(error, "reply_code", 0)
        said = str(getattr(error, "reply_text", "") or error or type(error).__name__)
        if type(error).__name__ in _LOGIN or "ACCESS_REFUSED" in said:
            return self._users(said, "check user, password and the rights of the user")
        if "certificate" in said.lower():
            return self._users(said, "check tls, ca, certificate and the port")
        if code in _USERS:
            return self._users(said, _USERS[code])
        return lost_connection(self._step, said or type(error).__name__)

    def _users(self, said: str, hint: str) -> ConnectorError:
        return ConnectorError(
            f"RabbitMQ refuses: {said}", step=self._step, fault=Fault.USER, hint=hint
        )
