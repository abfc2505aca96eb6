"""MQTT 3.1.1 and 5 on the wire: packets to bytes and back, without I/O.

    fixed header              body
    0x32 | remaining length | topic | identifier (QoS 1, 2) | properties (5) | payload

Written from the OASIS standards "MQTT Version 3.1.1" and "MQTT Version 5.0"; section numbers are those
of version 5. Bytes that are no MQTT raise `Malformed`.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from dataclasses import dataclass

V311, V5 = 4, 5
"""Protocol levels, as CONNECT gives them."""


class Kind(enum.IntEnum):
    """Control packets (2.1.2)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


class Property(enum.IntEnum):
    """The properties that are used here (2.2.2.2)."""

    SESSION_EXPIRY = 0x11
    SERVER_KEEP_ALIVE = 0x13
    REASON = 0x1F
    RECEIVE_MAXIMUM = 0x21
    MAXIMUM_QOS = 0x24
    RETAIN_AVAILABLE = 0x25
    USER = 0x26
    MAXIMUM_PACKET_SIZE = 0x27


_WIDTHS = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), 1),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), 2),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), 4),
}
_BYTES = (0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F)
_VARIABLE = 0x0B
_LONGEST = 268_435_455  # four bytes of seven bits each (1.5.5)
_FAILURE = 0x80
"""Reason codes from here on are failures (2.4)."""

Properties = dict[int, int | bytes | list[tuple[bytes, bytes]]]
Packet = tuple[int, bytes]
"""First byte and body."""


class Malformed(ValueError):  # noqa: N818 - the standard's word
    """Bytes that are no MQTT."""


@dataclass(frozen=True, slots=True)
class Publish:
    """A PUBLISH that was read; ``properties`` are not decoded."""

    topic: bytes
    payload: bytes
    qos: int
    retain: bool
    again: bool
    identifier: int
    properties: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A packet that answers: its reason (0: well), and what CONNACK and SUBACK say beside."""

    reason: int
    properties: Properties
    session: bool = False
    reasons: bytes = b""

    @property
    def text(self) -> str:
        """The reason in words, if the broker gave any."""
        said = self.properties.get(Property.REASON, b"")
        return said.decode(errors="replace") if isinstance(said, bytes) else ""


# -- reading


def needed(data: bytes | bytearray, at: int = 0) -> int:
    """Return how many bytes the packet at ``at`` has; 0 while that is not known yet."""
    length, shift = 0, 0
    for place in range(at + 1, min(at + 5, len(data))):
        byte = data[place]
        length |= (byte & 0x7F) << shift
        if byte < _FAILURE:
            return place + 1 - at + length
        shift += 7
    if len(data) > at + 4:
        raise Malformed("a length of more than four bytes")
    return 0


def cut(data: bytes) -> tuple[list[Packet], int]:
    """Cut whole packets off the front; the number is how many bytes they took."""
    found: list[Packet] = []
    at, size = 0, len(data)
    while at + 1 < size:
        length = data[at + 1]
        if length < _FAILURE:
            start, end = at + 2, at + 2 + length
        else:
            whole = needed(data, at)
            if not whole:
                break
            end = at + whole
            start = at + next(n for n in range(2, 6) if data[at + n - 1] < _FAILURE)
        if end > size:
            break
        found.append((data[at], data[start:end]))
        at = end
    return found, at


def read_publish(first: int, body: bytes, version: int) -> Publish:
    """Decode a PUBLISH (3.3)."""
    try:
        at = 2 + (body[0] << 8 | body[1])
        topic = body[2:at]
        qos, identifier, properties = first >> 1 & 3, 0, b""
        if qos:
            identifier = body[at] << 8 | body[at + 1]
            at += 2
        if version == V5:
            length = body[at]
            at += 1
            if length:
                length, at = read_number(body, at - 1)
                properties = body[at : at + length]
                at += length
    except IndexError as error:
        raise Malformed("a PUBLISH that breaks off") from error
    if at > len(body) or qos == 3 or (qos and not identifier):
        raise Malformed("a PUBLISH that makes no sense")
    return Publish(topic, body[at:], qos, bool(first & 1), bool(first & 8), identifier, properties)


def read_number(data: bytes, at: int) -> tuple[int, int]:
    """Return a variable byte integer and where it ends (1.5.5)."""
    value = 0
    for place in range(4):
        if at + place >= len(data):
            raise Malformed("a number that breaks off")
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < _FAILURE:
            return value, at + place + 1
    raise Malformed("a number of more than four bytes")


def read_identifier(body: bytes) -> tuple[int, int]:
    """Return identifier and reason of PUBACK, PUBREC, PUBREL and PUBCOMP (3.4)."""
    if len(body) < 2:
        raise Malformed("an answer without identifier")
    return body[0] << 8 | body[1], body[2] if len(body) > 2 else 0


def read_connack(body: bytes, version: int) -> Answer:
    """Decode a CONNACK (3.2)."""
    if len(body) < 2:
        raise Malformed("a CONNACK that breaks off")
    properties = read_properties(body, 2)[0] if version == V5 and len(body) > 2 else {}
    return Answer(body[1], properties, session=bool(body[0] & 1))


def read_suback(body: bytes, version: int) -> Answer:
    """Decode a SUBACK (3.9): one reason per subscription, below 128 the QoS that was granted."""
    properties, at = read_properties(body, 2) if version == V5 else (Properties(), 2)
    reasons = body[at:]
    return Answer(max(reasons, default=_FAILURE), properties, reasons=reasons)


def read_disconnect(body: bytes) -> Answer:
    """Decode a DISCONNECT of a broker (3.14)."""
    properties = read_properties(body, 1)[0] if len(body) > 1 else {}
    return Answer(body[0] if body else 0, properties)


def read_properties(data: bytes, at: int) -> tuple[Properties, int]:
    """Decode properties with their length in front; return where they end too (2.2.2)."""
    length, at = read_number(data, at)
    end = at + length
    if end > len(data):
        raise Malformed("properties that break off")
    return properties_in(data[at:end]), end


def properties_in(data: bytes) -> Properties:
    """Decode properties; those with names and values of the user come as a list of pairs."""
    found: Properties = {}
    pairs: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(data):
        which = data[at]
        at += 1
        if which in _WIDTHS:
            found[which] = int.from_bytes(data[at : at + _WIDTHS[which]], "big")
            at += _WIDTHS[which]
        elif which == Property.USER:
            name, at = _counted(data, at)
            value, at = _counted(data, at)
            pairs.append((name, value))
        elif which in _BYTES:
            found[which], at = _counted(data, at)
        elif which == _VARIABLE:
            found[which], at = read_number(data, at)
        else:
            raise Malformed(f"a property {which:#x}, which there is not")
    if at != len(data):
        raise Malformed("a property that breaks off")
    if pairs:
        found[Property.USER] = pairs
    return found


def _counted(data: bytes, at: int) -> tuple[bytes, int]:
    end = at + 2 + int.from_bytes(data[at : at + 2], "big")
    if at + 2 > len(data) or end > len(data):
        raise Malformed("a text that breaks off")
    return data[at + 2 : end], end


# -- writing


def _number(value: int) -> bytes:
    if value > _LONGEST:
        raise Malformed(f"{value} bytes are more than a packet can have")
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (_FAILURE if value else 0))
        if not value:
            return bytes(out)


def _text(value: bytes) -> bytes:
    return struct.pack("!H", len(value)) + value


def _packet(first: int, *parts: bytes) -> bytes:
    return bytes((first,)) + _number(sum(map(len, parts))) + b"".join(parts)


def _properties(version: int, given: Mapping[int, int]) -> bytes:
    if version != V5:
        return b""
    block = b"".join(bytes((p,)) + v.to_bytes(_WIDTHS[p], "big") for p, v in given.items())
    return _number(len(block)) + block


def connect(
    version: int,
    client: str,
    *,
    clean: bool,
    keep_alive_s: int,
    user: str | None,
    password: str | None,
    properties: Mapping[int, int],
) -> bytes:
    """Encode CONNECT (3.1)."""
    flags = clean << 1 | (password is not None) << 6 | (user is not None) << 7
    credentials = [_text(text.encode()) for text in (user, password) if text is not None]
    return _packet(
        Kind.CONNECT << 4,
        _text(b"MQTT"),
        struct.pack("!BBH", version, flags, keep_alive_s),
        _properties(version, properties),
        _text(client.encode()),
        *credentials,
    )


def subscribe(version: int, identifier: int, topics: tuple[str, ...], qos: int) -> bytes:
    """Encode SUBSCRIBE (3.8); retained messages come for new subscriptions only, where 5 can say so."""
    only_new = 1 << 4
    options = bytes((qos | (only_new if version == V5 else 0),))
    wanted = (_text(topic.encode()) + options for topic in topics)
    return _packet(
        Kind.SUBSCRIBE << 4 | 2, struct.pack("!H", identifier), _properties(version, {}), *wanted
    )


def unsubscribe(version: int, identifier: int, topics: tuple[str, ...]) -> bytes:
    """Encode UNSUBSCRIBE (3.10)."""
    unwanted = (_text(topic.encode()) for topic in topics)
    return _packet(
        Kind.UNSUBSCRIBE << 4 | 2,
        struct.pack("!H", identifier),
        _properties(version, {}),
        *unwanted,
    )


def answer(kind: Kind, identifier: int) -> bytes:
    """Encode PUBACK, PUBREC, PUBREL or PUBCOMP that all is well (3.4.2.1)."""
    return struct.pack("!BBH", kind << 4 | (2 if kind is Kind.PUBREL else 0), 2, identifier)


def publish(
    version: int,
    topic: bytes,
    payload: bytes,
    *,
    qos: int,
    retain: bool,
    identifier: int,
    headers: bytes,
) -> bytes:
    """Encode PUBLISH (3.3); ``headers`` as `user_properties` gives them, for version 5 only."""
    first = Kind.PUBLISH << 4 | qos << 1 | retain
    length = 2 + len(topic) + (2 if qos else 0) + len(headers) + len(payload)
    name = struct.pack("!H", len(topic)) + topic
    number = struct.pack("!H", identifier) if qos else b""
    if version == V5:
        number += b"\0" if not headers else _number(len(headers))
        length += 1 if not headers else len(_number(len(headers)))
    return b"".join((bytes((first,)), _number(length), name, number, headers, payload))


def user_properties(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Encode names and values of the user's own (3.3.2.3.7)."""
    return b"".join(bytes((Property.USER,)) + _text(name) + _text(value) for name, value in pairs)


PING = bytes((Kind.PINGREQ << 4, 0))
GOODBYE = bytes((Kind.DISCONNECT << 4, 0))
