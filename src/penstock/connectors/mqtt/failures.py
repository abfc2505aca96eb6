"""What brokers say when they refuse, and who has to do something about it."""

from __future__ import annotations

from penstock.connectors.mqtt.packets import V5, Answer
from penstock.errors import ConnectorError, Fault

UNSUPPORTED_VERSION = (0x01, 0x84)
CONNECTION = "the connection"
_NOT_AUTHORIZED = 0x87
_LOGIN = "check user and password"
_V311 = {
    0x01: ("the broker does not speak this version of MQTT", 'give version="3.1.1"'),
    0x02: ("the client's name is refused", "give another client="),
    0x03: ("the broker is not available", None),
    0x04: ("user or password is wrong", _LOGIN),
    0x05: ("the user may not connect", _LOGIN),
}
_V5 = {
    0x80: ("unspecified error", None),
    0x81: ("malformed packet", None),
    0x82: ("protocol error", None),
    0x83: ("refused by the implementation", None),
    0x84: ("the broker does not speak this version of MQTT", 'give version="3.1.1"'),
    0x85: ("the client's name is refused", "give another client="),
    0x86: ("user or password is wrong", _LOGIN),
    0x87: ("not authorized", "grant the user access to the topic"),
    0x88: ("the broker is not available", None),
    0x89: ("the broker is busy", None),
    0x8A: ("the client is banned", "ask who runs the broker"),
    0x8B: ("the broker shuts down", None),
    0x8C: ("the way of authentication is refused", _LOGIN),
    0x8D: ("nothing was heard for too long", None),
    0x8E: (
        "another client of the same name has taken over the session",
        "give each pipeline a client= of its own",
    ),
    0x8F: ("the topic filter is refused", "check topic="),
    0x90: ("the topic is refused", "check topic="),
    0x93: ("too many messages without answer", None),
    0x95: ("the packet is too large", "raise the broker's limit"),
    0x97: ("a quota is exceeded", None),
    0x99: ("the payload has not the format that was said", None),
    0x9A: ("the broker keeps no retained messages", "leave retain= out"),
    0x9B: ("the broker does not offer this QoS", "give a lower qos="),
    0x9C: ("use another server", "give the address of the other server"),
    0x9D: ("the server has moved", "give the new address"),
    0x9E: ("the broker has no shared subscriptions", "leave $share/... out"),
    0x9F: ("too many connections", None),
    0xA2: ("the broker has no wildcard subscriptions", "name the topics"),
}
"""Reason codes (2.4): what they mean, and the way out for those that waiting does not settle."""


def refusal(answer: Answer, version: int, step: str, what: str) -> ConnectorError:
    """Build our error: ``what`` was refused."""
    known = _V5 if version == V5 else _V311
    meaning, way_out = known.get(answer.reason, (f"reason {answer.reason:#x}", None))
    if what == CONNECTION and way_out is not None and answer.reason == _NOT_AUTHORIZED:
        way_out = _LOGIN
    said = f" ({answer.text})" if answer.text else ""
    return ConnectorError(
        f"{what} was refused: {meaning}{said}",
        step=step,
        value=hex(answer.reason),
        fault=Fault.REMOTE if way_out is None else Fault.USER,
        retry=way_out is None,
        hint=way_out,
    )
