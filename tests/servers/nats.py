"""A real NATS server with JetStream; with PASSWORD for ann over TLS as a second process' settings."""

from __future__ import annotations

from pathlib import Path

from tests.servers.certificates import make_certificates
from tests.servers.local import LocalServer, installed

PASSWORD = "a secret of ann"


class Nats(LocalServer):
    """Takes everybody."""

    program = "nats-server"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "nats.conf").write_text(self.settings())

    def settings(self) -> str:
        return f"""
listen: 127.0.0.1:{self.port}
max_payload: 4MB
jetstream {{ store_dir: "{self.folder}/data" }}
"""

    def command(self) -> list[str]:
        return [installed("nats-server"), "-c", str(self.folder / "nats.conf")]


class SecuredNats(Nats):
    """Takes ann with her password, over TLS that ``ca`` signed."""

    def settings(self) -> str:
        self.ca = make_certificates(self.folder)
        at = self.folder
        return f"""{super().settings()}
authorization {{ users: [ {{ user: ann, password: "{PASSWORD}" }} ] }}
tls {{ cert_file: "{at}/server.pem", key_file: "{at}/server.key" }}
"""
