"""Certificates for TLS on loopback, made by openssl for each server anew."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_certificates(folder: Path) -> Path:
    """Write ``ca.pem``, and ``server.pem`` and ``server.key`` for 127.0.0.1; return the first."""
    ca = folder / "ca.pem"
    new = ("-newkey", "rsa:2048", "-nodes", "-days", "30")
    _openssl("req", "-x509", *new, "-subj", "/CN=Test", "-keyout", folder / "ca.key", "-out", ca)
    request, key = folder / "server.csr", folder / "server.key"
    _openssl("req", *new[:3], "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", request)
    names = folder / "names"
    names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    signing = ("-CA", ca, "-CAkey", folder / "ca.key", "-CAcreateserial", "-extfile", names)
    _openssl("x509", "-req", "-days", "30", "-in", request, *signing, "-out", folder / "server.pem")
    key.chmod(0o644)
    return ca


def _openssl(*words: object) -> None:
    command = ["openssl", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
