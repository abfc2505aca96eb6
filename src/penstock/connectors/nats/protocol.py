"""The protocol of NATS on the wire: operations to bytes and back, without I/O.

    MSG subject sid [reply] bytes CRLF payload CRLF
    HMSG subject sid [reply] header-bytes bytes CRLF headers payload CRLF

Written from docs.nats.io, "Client Protocol". Bytes that are no NATS raise `Malformed`.
"""

from __future__ import annotations

from dataclasses import dataclass

_END = b"\r\n"
_HEAD = b"NATS/1.0"
_LONGEST_LINE = 1 << 20


class Malformed(ValueError):  # noqa: N818 - the word of protocols
    """Bytes that are no NATS."""


@dataclass(frozen=True, slots=True)
class Message:
    """A MSG or HMSG. ``header``: its header block as it came."""

    subject: bytes
    reply: bytes
    header: bytes
    payload: bytes

    @property
    def status(self) -> int:
        """The status that a server's own message has in its first line; 0 of others."""
        if not self.header.startswith(_HEAD + b" "):
            return 0
        words = self.header[: self.header.find(_END)].split()
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Names and values."""
        lines = self.header.split(_END)[1:]
        pairs = (line.partition(b":") for line in lines if line)
        return [(name, value.strip()) for name, _, value in pairs]


Operation = tuple[bytes, bytes]
"""INFO, PING, PONG, +OK or -ERR, and what follows."""


def cut(data: bytes) -> tuple[list[Message | Operation], int]:
    """Cut whole operations off the front; the number is how many bytes they took."""
    found: list[Message | Operation] = []
    at, size = 0, len(data)
    while at < size:
        end = data.find(_END, at)
        if end < 0:
            if size - at > _LONGEST_LINE:
                raise Malformed("a line without end")
            break
        first = data[at : at + 1]
        if first in (b"M", b"H"):
            message, after = _message(data, at, end)
            if message is None:
                break
            found.append(message)
            at = after
        else:
            word, _, rest = data[at:end].partition(b" ")
            found.append((word.upper(), rest))
            at = end + 2
    return found, at


def _message(data: bytes, at: int, end: int) -> tuple[Message | None, int]:
    words = data[at:end].split()
    with_header = words[0] == b"HMSG"
    numbers = 2 if with_header else 1
    if words[0] not in (b"MSG", b"HMSG") or len(words) - numbers not in (3, 4):
        raise Malformed(f"the operation {words[0][:20]!r}")
    try:
        length = int(words[-1])
        head = int(words[-2]) if with_header else 0
    except ValueError as error:
        raise Malformed("a message without length") from error
    start = end + 2
    if not 0 <= head <= length:
        raise Malformed("a message with a header longer than itself")
    if start + length + 2 > len(data):
        return None, at
    if data[start + length : start + length + 2] != _END:
        raise Malformed("a message longer than it says")
    reply = words[3] if len(words) - numbers == 4 else b""
    payload = data[start + head : start + length]
    return Message(words[1], reply, data[start : start + head], payload), start + length + 2


def needed(data: bytes | bytearray) -> int:
    """Return how many bytes the message at the front has; 0 while that is not known."""
    end = data.find(_END)
    if end < 0 or data[:1] not in (b"M", b"H"):
        return 0
    last = bytes(data[:end]).split()[-1]
    return end + 2 + int(last) + 2 if last.isdigit() else 0


def publish(subject: bytes, reply: bytes, payload: bytes, header: bytes = b"") -> bytes:
    """Encode PUB, or HPUB if there is a header."""
    if header:
        sizes = b"%d %d" % (len(header), len(header) + len(payload))
        return b"HPUB %b %b %b\r\n%b%b\r\n" % (subject, reply, sizes, header, payload)
    return b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(payload), payload)


def header_block(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Encode headers; line ends in them become blanks."""
    lines = [b"%b: %b" % (_flat(name), _flat(value)) for name, value in pairs]
    return _END.join((_HEAD, *lines, b"", b""))


def _flat(text: bytes) -> bytes:
    return text.replace(b"\r", b" ").replace(b"\n", b" ")
