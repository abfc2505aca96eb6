"""A real Redis server that writes down each command; with a user, and TLS on a port beside."""

from __future__ import annotations

from pathlib import Path

import redis

from tests.servers.certificates import Authority
from tests.servers.local import LocalServer, free_port, installed

PASSWORD = "a secret of ann"


class Redis(LocalServer):
    """``port`` takes everybody; ``tls_port`` is encrypted, by a certificate that ``ca`` signed."""

    program = "redis-server"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.tls_port = free_port()
        authority = Authority(folder)
        authority.sign("server").key.chmod(0o644)  # the server is another user
        self.ca = authority.ca
        (folder / "redis.conf").write_text(f"""
bind 127.0.0.1
port {self.port}
dir {folder}
appendonly yes
save ""
user ann on ">{PASSWORD}" ~* &* +@all
tls-port {self.tls_port}
tls-cert-file {folder}/server.pem
tls-key-file {folder}/server.key
tls-ca-cert-file {folder}/ca.pem
tls-auth-clients no
""")

    def command(self) -> list[str]:
        return [installed("redis-server"), str(self.folder / "redis.conf")]

    def client(self) -> redis.Redis:
        return redis.Redis("127.0.0.1", self.port, protocol=2)

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
