"""A connection to Redis: commands and answers, with failures as ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from penstock.connectors.drivers import load_driver
from penstock.connectors.messaging.server import Server
from penstock.connectors.messaging.source import lost_connection
from penstock.errors import ConnectorError, Fault

Command = tuple[str | bytes | int, ...]

_LOGIN = ("NOAUTH", "WRONGPASS", "invalid username", "NOPERM", "invalid password")
_PASSING = ("LOADING", "BUSY ", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "OOM", "READONLY")
_AT_ONCE = 10_000
"""Commands that are sent before their answers are read."""


class Connection:
    """Answers come as the protocol has them: lists, bytes and numbers."""

    def __init__(self, server: Server, db: int, step: str) -> None:
        load_driver("redis", "redis", step)
        import redis

        self._step = step
        self._timeout_s = server.timeout_s
        user, password = server.credentials(step)
        kind: Any = redis.Connection
        options: dict[str, Any] = {}
        if server.tls:
            kind = redis.SSLConnection
            secret = server.revealed_key_password(step)
            options = {
                "ssl_ca_certs": server.ca,
                "ssl_certfile": server.certificate,
                "ssl_keyfile": server.certificate_key,
                "ssl_password": secret,
            }
        self._driver: Any = kind(
            host=server.host,
            port=server.port,
            db=db,
            username=user,
            password=password,
            socket_timeout=server.timeout_s,
            socket_connect_timeout=server.timeout_s,
            socket_keepalive=True,
            protocol=2,
            retry=None,
            maint_notifications_config=None,
            **options,
        )
        try:
            with self._translated():
                self._driver.connect()
        except BaseException:
            self._driver.disconnect()
            raise

    def call(self, *command: str | bytes | int, wait_s: float = 0.0) -> Any:
        """Send a command and return its answer, ``wait_s`` later than usual if it blocks."""
        with self._translated():
            self._driver.send_command(*command, check_health=False)
            return self._driver.read_response(timeout=self._timeout_s + wait_s)

    def queue(self, commands: Sequence[Command]) -> None:
        """Send commands within a transaction."""
        with self._translated():
            for first in range(0, len(commands), _AT_ONCE):
                some = commands[first : first + _AT_ONCE]
                self._driver.send_packed_command(
                    self._driver.pack_commands(some), check_health=False
                )
                for _ in some:
                    self._driver.read_response()

    def execute(self) -> bool:
        """End a transaction; False if what was watched has changed."""
        answers = self.call("EXEC")
        if answers is None:
            return False
        failed = next((each for each in answers if isinstance(each, Exception)), None)
        if failed is not None:
            raise self._refused(failed)
        return True

    def close(self) -> None:
        """Release it."""
        with contextlib.suppress(Exception):
            self._driver.disconnect()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        import redis

        try:
            yield
        except (redis.AuthenticationError, redis.ResponseError) as error:
            raise self._refused(error) from error
        except (redis.RedisError, OSError) as error:
            reason = str(error)
            if "certificate" in reason.lower() or "SSL" in reason:
                raise ConnectorError(
                    f"no encrypted connection: {reason}",
                    step=self._step,
                    fault=Fault.USER,
                    hint="check tls, ca, certificate and the port",
                ) from error
            raise lost_connection(self._step, reason) from error

    def _refused(self, error: Exception) -> ConnectorError:
        said = str(error)
        kind = type(error).__name__
        login = any(word in said for word in _LOGIN) or kind.startswith("Auth") or "NoPerm" in kind
        passing = said.startswith(_PASSING) or kind in ("BusyLoadingError", "OutOfMemoryError")
        return ConnectorError(
            f"Redis refuses: {said}",
            step=self._step,
            fault=Fault.REMOTE if passing else Fault.USER,
            retry=passing,
            hint="check user, password and the rights of the user" if login else None,
        )


def ping(server: Server, db: int, step: str) -> str:
    """Log in, and leave."""
    connection = Connection(server, db, step)
    try:
        connection.call("PING")
    finally:
        connection.close()
    return "it answers"
