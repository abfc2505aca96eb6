"""The Nexmark events: people, auctions and bids, any range of them, the same ones every time.

Of every 50 events the first is a person, the next three are auctions, the others bids. All that is
random about a record comes from Philox with the seed and the record's number as its counter, so a
range of events can be made without those before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

CYCLE, AUCTIONS, BIDS = 50, 3, 46
FIRST_ID = 1000
"""The first person and the first auction. The Java generator adds it twice to a bidder: we do once."""

_FIRST_CATEGORY, _CATEGORIES = 10, 5
_HOT_BATCH = 100
_ACTIVE_PEOPLE, _UNKNOWN = 1000, 10
_CHANNELS = 10_000
_POOL = 1 << 20
_STATES = ("AZ", "CA", "ID", "OR", "WA", "WY")
_CITIES = ("Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond",
           "Seattle", "Kent", "Cheyenne")  # fmt: skip
_FIRST = ("Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter",
          "Walter")  # fmt: skip
_LAST = ("Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris")
_HOT_CHANNELS = ("Google", "Facebook", "Baidu", "Apple")

PERSON = pl.Schema(
    {
        "id": pl.Int64(),
        "name": pl.String(),
        "emailAddress": pl.String(),
        "creditCard": pl.String(),
        "city": pl.String(),
        "state": pl.String(),
        "dateTime": pl.Datetime("us"),
        "extra": pl.String(),
    }
)
AUCTION = pl.Schema(
    {
        "id": pl.Int64(),
        "itemName": pl.String(),
        "description": pl.String(),
        "initialBid": pl.Int64(),
        "reserve": pl.Int64(),
        "dateTime": pl.Datetime("us"),
        "expires": pl.Datetime("us"),
        "seller": pl.Int64(),
        "category": pl.Int64(),
        "extra": pl.String(),
    }
)
BID = pl.Schema(
    {
        "auction": pl.Int64(),
        "bidder": pl.Int64(),
        "price": pl.Int64(),
        "channel": pl.String(),
        "url": pl.String(),
        "dateTime": pl.Datetime("us"),
        "extra": pl.String(),
    }
)
SCHEMAS = {"person": PERSON, "auction": AUCTION, "bid": BID}
SEQ = "seq"
"""The place of an event among all events, in ``numbered``."""


@dataclass(frozen=True, slots=True)
class Nexmark:
    """Events at ``rate`` a second of event time, out of order within groups of ``group``."""

    seed: int = 1
    rate: int = 10_000
    base: datetime = datetime(2026, 1, 1)
    group: int = 1

    def __post_init__(self) -> None:
        if self.group < 1 or self.group % 953 == 0:
            raise ValueError(f"a group of {self.group} events cannot be put out of order")

    def events(self, first: int, count: int) -> dict[str, pl.DataFrame]:
        """Return the people, auctions and bids among the events [first, first + count)."""
        return {name: frame.drop(SEQ) for name, frame in self.numbered(first, count).items()}

    def numbered(self, first: int, count: int) -> dict[str, pl.DataFrame]:
        """Return the same with a column ``seq``: the places of the events."""
        start = first // self.group * self.group
        stop = -(-(first + count) // self.group) * self.group
        makers = {"person": self._people, "auction": self._auctions, "bid": self._bids}
        frames = {name: make(start, stop) for name, make in makers.items()}
        if self.group == 1:
            return frames
        places = np.arange(start, stop)
        place_of = np.empty(stop - start, dtype=np.int64)
        place_of[places // self.group * self.group + places * 953 % self.group - start] = places
        moved = {
            name: frame.with_columns(pl.Series(SEQ, place_of[frame[SEQ].to_numpy() - start]))
            for name, frame in frames.items()
        }
        inside = pl.col(SEQ).is_between(first, first + count, closed="left")
        return {name: frame.filter(inside).sort(SEQ) for name, frame in moved.items()}

    def batches(self, count: int, size: int) -> Iterator[dict[str, pl.DataFrame]]:
        """Yield all of the first ``count`` events in ranges of ``size``, numbered."""
        for first in range(0, count, size):
            yield self.numbered(first, min(size, count - first))

    def _millis(self, number: Ints) -> Ints:
        base = (self.base - datetime(1970, 1, 1)) // (datetime(1970, 1, 2) - datetime(1970, 1, 1))
        seconds = (self.base - datetime(1970, 1, 1)).seconds
        since = (base * 86_400 + seconds) * 1000
        found: Ints = since + number * 1_000_000 // self.rate // 1000
        return found

    def _people(self, start: int, stop: int) -> pl.DataFrame:
        number = _numbers(start, stop, 0, 1)
        n = len(number)
        ids = number // CYCLE
        words = _words(self.seed, "person", ids, 8)
        pool = _pools(self.seed)
        name = _chosen(_FIRST, words[:, 0]) + " " + _chosen(_LAST, words[:, 0] >> np.uint64(32))
        mail = _text(pool.text, words[:, 1], 7) + "@" + _text(pool.text, words[:, 2], 5) + ".com"
        digits = [_below(words[:, 3 + i // 2] >> np.uint64(32 * (i % 2)), 10_000) for i in range(4)]
        card = pl.select(
            pl.concat_str(
                [pl.lit(pl.Series(d)).cast(pl.String).str.zfill(4) for d in digits], separator=" "
            )
        ).to_series()
        city = _chosen(_CITIES, words[:, 5])
        state = _chosen(_STATES, words[:, 5] >> np.uint64(32))
        used = sum((s.str.len_bytes().cast(pl.Int64) for s in (name, mail, card, city, state)),
                   pl.Series([8] * n, dtype=pl.Int64))  # fmt: skip
        return pl.DataFrame(
            {
                SEQ: number,
                "id": ids + FIRST_ID,
                "name": name,
                "emailAddress": mail,
                "creditCard": card,
                "city": city,
                "state": state,
                "dateTime": _instants(self._millis(number)),
                "extra": _padding(pool, words[:, 6], words[:, 7], 200 - used.to_numpy()),
            },
            schema={SEQ: pl.Int64(), **PERSON},
        )

    def _auctions(self, start: int, stop: int) -> pl.DataFrame:
        number = _numbers(start, stop, 1, AUCTIONS)
        cycle = number // CYCLE
        own = cycle * AUCTIONS + number % CYCLE - 1
        words = _words(self.seed, "auction", own, 8)
        pool = _pools(self.seed)
        hot = _below(words[:, 0], 4) > 0
        cold = _person(words[:, 0] >> np.uint64(32), cycle)
        millis = self._millis(number)
        # Half the time in which the active auctions are made: 100 auctions take 1,666 events.
        horizon = self._millis(number + 1666) - millis
        longest = np.maximum(2 * horizon, 1)
        initial, more = _price(words[:, 1]), _price(words[:, 2])
        item, description = _text(pool.text, words[:, 3], 20), _text(pool.text, words[:, 4], 100)
        used = item.str.len_bytes().cast(pl.Int64) + description.str.len_bytes().cast(pl.Int64) + 48
        return pl.DataFrame(
            {
                SEQ: number,
                "id": own + FIRST_ID,
                "itemName": item,
                "description": description,
                "initialBid": initial,
                "reserve": initial + more,
                "dateTime": _instants(millis),
                "expires": _instants(millis + 1 + _below(words[:, 5], longest)),
                "seller": np.where(hot, cycle // _HOT_BATCH * _HOT_BATCH, cold) + FIRST_ID,
                "category": _FIRST_CATEGORY + _below(words[:, 5] >> np.uint64(32), _CATEGORIES),
                "extra": _padding(pool, words[:, 6], words[:, 7], 500 - used.to_numpy()),
            },
            schema={SEQ: pl.Int64(), **AUCTION},
        )

    def _bids(self, start: int, stop: int) -> pl.DataFrame:
        number = _numbers(start, stop, 1 + AUCTIONS, BIDS)
        cycle = number // CYCLE
        words = _words(self.seed, "bid", cycle * BIDS + number % CYCLE - (1 + AUCTIONS), 4)
        pool = _pools(self.seed)
        last = cycle * AUCTIONS + AUCTIONS - 1
        low = np.maximum(last - _HOT_BATCH, 0)
        hot = _below(words[:, 1], 2) > 0
        cold = low + _below(words[:, 1] >> np.uint64(32), last - low + 1 + _UNKNOWN)
        hot_bidder = _below(words[:, 2], 4) > 0
        cold_bidder = _person(words[:, 2] >> np.uint64(32), cycle)
        pick = words[:, 3]
        hot_channel = (pick & np.uint64(1)).astype(bool)
        channel = np.where(
            hot_channel,
            _below(pick, len(_HOT_CHANNELS)),
            len(_HOT_CHANNELS) + _below(pick, _CHANNELS),
        )
        urls = _urls(self.seed)
        high = pick >> np.uint64(32)
        return pl.DataFrame(
            {
                SEQ: number,
                "auction": np.where(hot, last // _HOT_BATCH * _HOT_BATCH, cold) + FIRST_ID,
                "bidder": np.where(hot_bidder, cycle // _HOT_BATCH * _HOT_BATCH + 1, cold_bidder)
                + FIRST_ID,
                "price": _price(words[:, 0]),
                "channel": urls["channel"].gather(channel),
                "url": urls["url"].gather(channel),
                "dateTime": _instants(self._millis(number)),
                "extra": _padding(pool, high, words[:, 0] << np.uint64(20), np.full(len(pick), 68)),
            },
            schema={SEQ: pl.Int64(), **BID},
        )


def _numbers(start: int, stop: int, first: int, count: int) -> Ints:
    """Return the event numbers in a range that stand at ``first .. first + count`` of their cycle."""
    cycles = np.arange(start // CYCLE, -(-stop // CYCLE), dtype=np.int64)
    found = (cycles[:, None] * CYCLE + np.arange(first, first + count)).ravel()
    inside: Ints = found[np.searchsorted(found, start) : np.searchsorted(found, stop)]
    return inside


_STREAMS = {"person": 1, "auction": 2, "bid": 3, "pool": 4, "url": 5}


def _words(seed: int, stream: str, own: Ints, width: int) -> Words:
    """Return ``width`` (a multiple of 4) random words for each of records with consecutive numbers."""
    first = int(own[0]) if len(own) else 0
    return _raw(seed, stream, first * width // 4, len(own) * width).reshape(-1, width)


def _raw(seed: int, stream: str, counter: int, count: int) -> Words:
    philox = np.random.Philox(key=[seed, _STREAMS[stream]], counter=counter)
    found: Words = philox.random_raw(count)
    return found


def _below(words: Words, bound: int | Ints) -> Ints:
    """Map the low 32 bits of words to whole numbers from 0 up to a bound."""
    low = words & np.uint64(0xFFFFFFFF)
    found: Ints = ((low * np.asarray(bound, dtype=np.uint64)) >> np.uint64(32)).astype(np.int64)
    return found


def _price(words: Words) -> Ints:
    unit = (words >> np.uint64(11)).astype(np.float64) / (1 << 53)
    found: Ints = np.rint(10.0 ** (unit * 6) * 100).astype(np.int64)
    return found


def _person(words: Words, last: Ints) -> Ints:
    """One of the last 1000 people, or of the 10 to come."""
    known = last + 1
    active = np.minimum(known, _ACTIVE_PEOPLE)
    return known - active + _below(words, active + _UNKNOWN)


def _chosen(names: tuple[str, ...], words: Words) -> pl.Series:
    return pl.Series(names).gather(_below(words, len(names)))


def _instants(millis: Ints) -> pl.Series:
    return pl.Series(millis * 1000).cast(pl.Datetime("us"))


@dataclass(frozen=True, slots=True)
class _Pools:
    """Characters that texts are cut from: with blanks, with underscores, and letters alone."""

    text: bytes
    names: bytes
    letters: bytes


@lru_cache(maxsize=4)
def _pools(seed: int) -> _Pools:
    words = _raw(seed, "pool", 0, _POOL)
    letters = (97 + _below(words, 26)).astype(np.uint8)
    special = _below(words >> np.uint64(32), 13) == 0
    text, names = (np.where(special, np.uint8(ord(c)), letters) for c in " _")
    return _Pools(text.tobytes(), names.tobytes(), letters.tobytes())


def _cut(pool: bytes, starts: Ints, lengths: Ints) -> pl.Series:
    found = pl.DataFrame({"start": starts, "length": lengths}).select(
        pl.lit(pool).bin.slice(pl.col("start"), pl.col("length")).cast(pl.String)
    )
    return found.to_series()


def _text(pool: bytes, words: Words, limit: int) -> pl.Series:
    """Return texts of 3 up to ``limit`` characters."""
    lengths = 3 + _below(words, limit - 3)
    return _cut(pool, _below(words >> np.uint64(32), _POOL - limit), lengths)


def _padding(pool: _Pools, one: Words, two: Words, wanted: Ints) -> pl.Series:
    """Return letters that fill a record up to its average size, a fifth more or less."""
    spread = np.maximum(np.rint(wanted * 0.2).astype(np.int64), 0)
    lengths = np.maximum(wanted - spread + _below(one, 2 * spread), 0)
    return _cut(pool.letters, _below(two >> np.uint64(32), _POOL - 1024), lengths)


@lru_cache(maxsize=4)
def _urls(seed: int) -> pl.DataFrame:
    """Return the channels with their URLs: the four hot ones first."""
    count = len(_HOT_CHANNELS) + _CHANNELS
    words = _raw(seed, "url", 0, count * 4).reshape(-1, 4)
    parts = [_text(_pools(seed).names, words[:, i], 5) for i in range(3)]
    own = np.arange(_CHANNELS, dtype=np.int64)
    reversed_ = np.zeros(_CHANNELS, dtype=np.int64)
    for bit in range(32):
        reversed_ |= ((own >> bit) & 1) << (31 - bit)
    ids = np.abs(reversed_.astype(np.uint32).view(np.int32).astype(np.int64))
    tagged = np.concatenate([np.zeros(4, bool), _below(words[4:, 3], 10) > 0])
    frame = pl.DataFrame(
        {
            "channel": [*_HOT_CHANNELS, *(f"channel-{i}" for i in own)],
            "a": parts[0],
            "b": parts[1],
            "c": parts[2],
            "id": np.concatenate([np.zeros(4, np.int64), ids]),
            "tagged": tagged,
        }
    )
    url = pl.format("https://www.nexmark.com/{}/{}/{}/item.htm?query=1", "a", "b", "c")
    with_id = pl.format("{}&channel_id={}", url, "id")
    return frame.select("channel", pl.when("tagged").then(with_id).otherwise(url).alias("url"))
