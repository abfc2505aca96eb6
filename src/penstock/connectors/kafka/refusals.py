"""Messages that a topic does not take for what they are: which they are, and what is written instead.

A broker refuses a batch of messages as one, so what it refuses has to be looked for. Messages that
the client itself would refuse, and those without a key for a compacted topic, are known without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from penstock.connectors.kafka.cluster import Limits
from penstock.connectors.kafka.encoding import KEY, VALUE, Part
from penstock.connectors.kafka.producing import Failure
from penstock.connectors.poison import Refused, ValueRefusedError, said
from penstock.gallop import gallop
from penstock.letter_rows import letters

Attempt = Callable[[pl.DataFrame], ValueRefusedError | None]
"""Tries whether the brokers take messages, and leaves nothing behind."""
Deliver = Callable[[pl.DataFrame], list[Failure]]
"""Writes messages; returns those that were refused, and the ones that came in a batch with them."""

_GROUP_ROWS = 64
"""Messages sent again together, where they cannot be taken back."""


@dataclass(frozen=True, slots=True)
class Sifted:
    """What is to be written of a part, in spans that are taken together, and letters of the rest."""

    messages: list[pl.DataFrame]
    letters: list[pl.DataFrame]


def sift(part: Part, limits: Limits, attempt: Attempt, step: str) -> Sifted:
    """Find out which messages of a part are refused alone."""
    refused = certain(part.messages, limits)
    likely = [r for r in _larger(part.messages, limits.message_bytes) if r not in refused]
    tried = [attempt(part.messages[[row]]) for row in _some(likely)]
    if all(isinstance(error, ValueRefusedError) for error in tried):
        refused |= dict.fromkeys(likely, _too_large(limits.message_bytes))
    places = [row for row in range(part.messages.height) if row not in refused]
    rest, spans = part.messages[places], list[pl.DataFrame]()
    for start, end, error in gallop(rest.height, lambda a, b: attempt(rest[a:b]), None):
        if isinstance(error, ValueRefusedError):
            refused[places[start]] = said(error)
        else:
            spans.append(rest[start:end])
    found = list(_letters(part, refused, step))
    if part.keyed and refused:
        gone = part.messages[sorted(refused)].select(KEY, pl.lit(None, pl.Binary()).alias(VALUE))
        spans.append(gone.drop_nulls(KEY))  # without a key there is nothing to delete
    return Sifted(spans, found)


def certain(messages: pl.DataFrame, limits: Limits) -> Refused:
    """Return what is known of messages without asking the brokers."""
    refused: Refused = {}
    if limits.compacted:
        for row in messages.select(_key(messages).is_null().arg_true()).to_series():
            refused[row] = "Kafka: a compacted topic takes no message without a key"
    for row in _larger(messages, limits.client_bytes):
        refused[row] = _too_large(limits.client_bytes)
    return refused


def _larger(messages: pl.DataFrame, limit: int | None) -> list[int]:
    """Return the rows whose messages have more bytes than ``limit``."""
    if limit is None:
        return []
    size = pl.col(VALUE).bin.size().fill_null(0) + _key(messages).bin.size().fill_null(0)
    return messages.select((size > limit).arg_true()).to_series().to_list()


def _key(messages: pl.DataFrame) -> pl.Expr:
    return pl.col(KEY) if KEY in messages.columns else pl.repeat(None, pl.len(), dtype=pl.Binary())


def _some(rows: list[int]) -> list[int]:
    """Return the first, the last and one between, which speak for the others."""
    return sorted({rows[0], rows[len(rows) // 2], rows[-1]}) if rows else []


def _too_large(limit: int | None) -> str:
    return f"Kafka: larger than the {limit:,} bytes of a message (raise max.message.bytes of the topic)"


def again(
    parts: Sequence[Part], failed: Sequence[Failure], deliver: Deliver, step: str
) -> Iterator[pl.DataFrame]:
    """Write again what failed without a transaction, each message once; yield letters of the refused.

    The client tells of each message that failed, also of those that only came in one batch with one
    that was refused. Of equal messages it is all one which.
    """
    counts = Counter((key, value) for key, value, _ in failed)
    for part in reversed(parts):
        some = _last_of(part, counts)
        refused: Refused = {}
        for at in range(0, len(some), _GROUP_ROWS):
            group = some[at : at + _GROUP_ROWS]
            once_more = Counter((k, v) for k, v, _ in deliver(part.messages[group]))
            for row in _last_of(part, once_more, group):
                for _, _, error in deliver(part.messages[[row]]):
                    refused[row] = said(error)
        yield from _letters(part, refused, step)


def _last_of(
    part: Part,
    counts: Counter[tuple[bytes | None, bytes | None]],
    among: Sequence[int] | None = None,
) -> list[int]:
    """Return the last rows of a part whose messages are counted, and take them from the counts."""
    keys = part.messages[KEY] if KEY in part.messages.columns else None
    found = []
    for row in reversed(range(part.messages.height) if among is None else among):
        which = (None if keys is None else keys[row], part.messages[VALUE][row])
        if counts[which] > 0:
            counts[which] -= 1
            found.append(row)
    return found[::-1]


def _letters(part: Part, refused: Refused, step: str) -> Iterator[pl.DataFrame]:
    places = sorted(refused)
    reasons = [refused[place] for place in places]
    return letters(part.rows[places], step, reasons, replayable=part.replayable)
