from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.connectors.mqtt import packets
from penstock.connectors.mqtt.packets import V5, V311, Kind, Malformed, Property

TOPICS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(str.encode)
PAIRS = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=300)), max_size=4)


@given(
    version=st.sampled_from([V311, V5]),
    topic=TOPICS,
    payload=st.binary(max_size=400),
    qos=st.integers(0, 2),
    retain=st.booleans(),
    identifier=st.integers(1, 65_535),
    pairs=PAIRS,
    split=st.integers(0, 1000),
)
def test_a_publish_is_read_as_it_was_written(
    version: int, topic: bytes, payload: bytes, qos: int, retain: bool, identifier: int,
    pairs: list[tuple[bytes, bytes]], split: int,
) -> None:  # fmt: skip
    headers = packets.user_properties(pairs) if version == V5 else b""
    packet = packets.publish(
        version, topic, payload, qos=qos, retain=retain, identifier=identifier, headers=headers
    )
    assert packets.needed(packet) == len(packet)
    stream = packet + packets.PING + packet
    first, taken = packets.cut(stream[:split])
    second, rest = packets.cut(stream[taken:])
    assert taken + rest == len(stream)
    found = [*first, *second]
    assert [kind >> 4 for kind, _ in found] == [Kind.PUBLISH, Kind.PINGREQ, Kind.PUBLISH]
    for kind, body in (found[0], found[2]):
        read = packets.read_publish(kind, body, version)
        assert (read.topic, read.payload, read.qos, read.retain) == (topic, payload, qos, retain)
        assert read.identifier == (identifier if qos else 0)
        told = packets.properties_in(read.properties).get(Property.USER, [])
        assert told == (pairs if version == V5 else [])


@given(data=st.binary(max_size=200), version=st.sampled_from([V311, V5]))
def test_any_bytes_are_read_or_refused(data: bytes, version: int) -> None:
    readers = [
        lambda: packets.cut(data),
        lambda: packets.read_publish(data[0] if data else 0, data, version),
        lambda: packets.read_connack(data, version),
        lambda: packets.read_suback(data, version),
        lambda: packets.read_disconnect(data),
        lambda: packets.read_identifier(data),
        lambda: packets.properties_in(data),
    ]
    for read in readers:
        with contextlib.suppress(Malformed):
            read()


@given(st.integers(0, 268_435_455))
def test_lengths_of_up_to_four_bytes(length: int) -> None:
    head = packets._packet(0x30)[:1] + packets._number(length)
    assert packets.needed(head) == len(head) + length
    assert packets.read_number(head, 1) == (length, len(head))


def test_a_length_that_no_packet_has() -> None:
    with pytest.raises(Malformed, match="four bytes"):
        packets.cut(b"\x30\xff\xff\xff\xff\x01")
    with pytest.raises(Malformed, match="more than a packet"):
        packets._number(1 << 28)


def test_packets_are_those_of_the_standard() -> None:
    """Figures 3-6 and 3-12 of version 3.1.1, and their counterparts of version 5."""
    hello = packets.connect(
        V311, "c", clean=True, keep_alive_s=10, user="u", password="p", properties={}
    )
    assert hello == b"\x10\x13\x00\x04MQTT\x04\xc2\x00\x0a\x00\x01c\x00\x01u\x00\x01p"
    five = packets.connect(
        V5, "", clean=False, keep_alive_s=0, user=None, password=None,
        properties={Property.SESSION_EXPIRY: 10},
    )  # fmt: skip
    assert five == b"\x10\x12\x00\x04MQTT\x05\x00\x00\x00\x05\x11\x00\x00\x00\x0a\x00\x00"
    assert packets.subscribe(V311, 10, ("a/b", "c/d"), 1) == (
        b"\x82\x0e\x00\x0a\x00\x03a/b\x01\x00\x03c/d\x01"
    )
    assert packets.unsubscribe(V5, 10, ("a",)) == b"\xa2\x06\x00\x0a\x00\x00\x01a"
    assert packets.answer(Kind.PUBREL, 258) == b"\x62\x02\x01\x02"
    assert packets.read_connack(b"\x01\x00", V311).session
    assert packets.read_suback(b"\x00\x0a\x00\x01\x80", V5).reason == 0x80
