from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.connectors.nats import protocol
from penstock.connectors.nats.protocol import Malformed, Message

WORDS = st.text("abcXYZ09-_", min_size=1, max_size=8).map(str.encode)
VALUES = st.text("ab: é%", max_size=12).map(lambda text: text.strip().encode())


def delivered(sent: bytes, sid: bytes = b"1") -> bytes:
    """Return what a server makes of a PUB or HPUB: the word, and the subscription's number."""
    head, _, rest = sent.partition(b"\r\n")
    words = head.split()
    word = b"HMSG" if words[0] == b"HPUB" else b"MSG"
    return b" ".join((word, words[1], sid, *words[2:])) + b"\r\n" + rest


@given(
    subject=WORDS, reply=WORDS, payload=st.binary(max_size=300),
    pairs=st.lists(st.tuples(WORDS, VALUES), max_size=3), split=st.integers(0, 900),
)  # fmt: skip
def test_a_message_is_read_as_it_was_written(
    subject: bytes, reply: bytes, payload: bytes, pairs: list[tuple[bytes, bytes]], split: int
) -> None:
    header = protocol.header_block(pairs) if pairs else b""
    message = delivered(protocol.publish(subject, reply, payload, header))
    assert protocol.needed(message) == len(message)
    stream = message + b"PING\r\n" + message
    first, taken = protocol.cut(stream[:split])
    second, rest = protocol.cut(stream[taken:])
    assert taken + rest == len(stream)
    found = [*first, *second]
    assert found[1] == (b"PING", b"")
    for each in (found[0], found[2]):
        assert isinstance(each, Message)
        assert (each.subject, each.reply, each.payload) == (subject, reply, payload)
        assert each.headers == pairs
        assert each.status == 0


PIECES = st.sampled_from([b"MSG ", b"a ", b"1 ", b"5", b"\r\n", b"HMSG "])


@given(st.binary(max_size=200) | st.lists(PIECES).map(b"".join))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    protocol.needed(data)
    with contextlib.suppress(Malformed):
        for each in protocol.cut(data)[0]:
            if isinstance(each, Message):
                assert each.status >= 0
                assert isinstance(each.headers, list)


def test_the_status_of_the_servers_own_messages() -> None:
    data = b"HMSG _INBOX.x.m1 1 28 28\r\nNATS/1.0 404 No Messages\r\n\r\n\r\n"
    (message,), taken = protocol.cut(data)
    assert taken == len(data)
    assert isinstance(message, Message)
    assert message.status == 404


def test_a_line_break_makes_no_header_of_its_own() -> None:
    block = protocol.header_block([(b"a", b"x\r\nNats-Msg-Id: forged")])
    assert Message(b"s", b"", block, b"").headers == [(b"a", b"x  Nats-Msg-Id: forged")]


def test_a_line_without_end() -> None:
    with pytest.raises(Malformed, match="without end"):
        protocol.cut(b"x" * (2 << 20))
