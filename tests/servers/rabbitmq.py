"""A real RabbitMQ broker with streams, in a folder of its own, beside an epmd of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pika

from tests.servers.certificates import make_certificates
from tests.servers.local import START_S, LocalServer, free_port, installed

_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class RabbitMq(LocalServer):
    """``port`` takes guest, in the clear; ``tls_port`` is encrypted."""

    program = "rabbitmq-server"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.tls_port, self._epmd_port, self._dist_port = free_port(), free_port(), free_port()
        self.ca = make_certificates(folder)
        self._epmd: subprocess.Popen[bytes] | None = None
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "rabbitmq.conf").write_text(f"""
listeners.tcp.1 = 127.0.0.1:{self.port}
listeners.ssl.1 = 127.0.0.1:{self.tls_port}
ssl_options.cacertfile = {folder}/ca.pem
ssl_options.certfile = {folder}/server.pem
ssl_options.keyfile = {folder}/server.key
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
disk_free_limit.absolute = 50MB
""")

    def environment(self) -> dict[str, str]:
        at = self.folder
        return {
            **os.environ,
            "HOME": str(at),
            "RABBITMQ_NODENAME": f"r{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(at / "data"),
            "RABBITMQ_LOG_BASE": str(at / "logs"),
            "RABBITMQ_PID_FILE": str(at / "pid"),
            "RABBITMQ_CONFIG_FILE": str(at / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(at / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(at / "enabled_plugins"),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def command(self) -> list[str]:
        if not _PROGRAM.exists():
            installed("rabbitmq-server")
        return [str(_PROGRAM)]

    def start(self) -> None:
        epmd = shutil.which("epmd", path="/usr/bin:/usr/lib/erlang/bin")
        assert epmd is not None, "epmd comes with rabbitmq-server: tests/servers/install-systems.sh"
        if self._epmd is None:
            words = [epmd, "-port", str(self._epmd_port), "-address", "127.0.0.1"]
            self._epmd = subprocess.Popen(
                words, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
            )
            self._wait_for_epmd()
        super().start()

    def _wait_for_epmd(self) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self._epmd_port)),
            ):
                return
            time.sleep(0.02)
        raise RuntimeError("epmd did not start")

    def parameters(self) -> pika.ConnectionParameters:
        return pika.ConnectionParameters("127.0.0.1", self.port)

    def answers(self) -> bool:
        try:
            pika.BlockingConnection(self.parameters()).close()
        except pika.exceptions.AMQPError:
            return False
        return True

    def kill(self) -> None:
        """End it as ``kill -9`` does; what it started itself belongs to its process group."""
        self._end_group(signal.SIGKILL)

    def _end_group(self, number: signal.Signals) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, number)
            self._process.wait(START_S)
            self._process = None

    def end(self) -> None:
        """End it, and the epmd beside it."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None
