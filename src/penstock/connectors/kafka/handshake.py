"""Why an encrypted connection fails: Python's ssl tells more than librdkafka, such as what expired."""

from __future__ import annotations

import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

_TIMEOUT_S = 5.0


def certificate_fault(client: dict[str, Any]) -> str | None:
    """Say what is wrong with the certificate of the first broker that shows one; None if nothing.

    ``client``: the settings of a client of librdkafka.
    """
    if "SSL" not in client["security.protocol"]:
        return None
    context = ssl.create_default_context(cafile=client.get("ssl.ca.location"))
    for server in client["bootstrap.servers"].split(","):
        parts = urlsplit(f"//{server}")
        where = (parts.hostname, parts.port)
        try:
            with (
                socket.create_connection(where, timeout=_TIMEOUT_S) as plain,
                context.wrap_socket(plain, server_hostname=parts.hostname),
            ):
                return None
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
        except OSError:  # another broker may tell
            continue
    return None
