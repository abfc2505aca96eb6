"""A real Mosquitto broker: a listener for all, one with a password, one with TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.servers.certificates import Authority
from tests.servers.local import LocalServer, free_port, installed

PASSWORD = "a secret of ann"


class Mosquitto(LocalServer):
    """``port`` takes everybody; ``secured`` wants ann's password, over TLS that ``ca`` signed."""

    program = "mosquitto"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.secured = free_port()
        authority = Authority(folder)
        authority.sign("server").key.chmod(0o644)  # the server is another user
        self.ca = authority.ca
        self._make_passwords()
        (folder / "mosquitto.conf").write_text(self._settings())

    def _make_passwords(self) -> None:
        words = [installed("mosquitto_passwd"), "-b", "-c", str(self.folder / "passwords")]
        subprocess.run([*words, "ann", PASSWORD], check=True, capture_output=True, timeout=60)

    def _settings(self) -> str:
        at = self.folder
        return f"""
per_listener_settings true
persistence true
persistence_location {at}/
max_queued_messages 0
user root
listener {self.port} 127.0.0.1
allow_anonymous true
listener {self.secured} 127.0.0.1
allow_anonymous false
password_file {at}/passwords
certfile {at}/server.pem
keyfile {at}/server.key
"""

    def command(self) -> list[str]:
        return [installed("mosquitto"), "-c", str(self.folder / "mosquitto.conf")]
