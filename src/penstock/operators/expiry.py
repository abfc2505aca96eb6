"""When the state of a key may be freed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.instants import MAX_INSTANT, MIN_INSTANT, Passing
from penstock.operators.contract import Tick
from penstock.state.arrays import distinct
from penstock.state.contract import Stateful
from penstock.state.table import KeyedTable

Slots = npt.NDArray[np.int64]
_NO_SLOTS: Slots = np.empty(0, dtype=np.int64)


class Keys(Protocol):
    """What expiry needs to know of the store whose slots it watches."""

    def keys(self, slots: Slots) -> pl.DataFrame:
        """Return the keys of slots."""

    def live_slots(self) -> Slots:
        """Return the slots in use."""

    def is_live(self, slots: Slots) -> npt.NDArray[np.bool_]:
        """Tell which slots are in use."""


class Expiry(Protocol):
    """Decides which slots of a keyed store may be freed."""

    @property
    def state(self) -> Mapping[str, Stateful]:
        """What must be kept with the store for this."""

    def touch(self, slots: Slots, keys: pl.DataFrame, tick: Tick) -> None:
        """Note that these slots were used in this epoch."""

    def expired(self, tick: Tick) -> Slots:
        """Return the slots to free now, each once."""


class BoundExpiry:
    """Free keys whose time column the watermark has passed.

    Keeps the slots in buckets by the value of that column; found again from the keys on restore.
    """

    state: Mapping[str, Stateful] = {}

    def __init__(self, store: Keys, bound: Passing) -> None:
        self._store = store
        self._bound = bound
        self._buckets: dict[int, list[Slots]] = {}
        self._reached = MIN_INSTANT
        self._restored = False

    def touch(self, slots: Slots, keys: pl.DataFrame, tick: Tick) -> None:  # noqa: ARG002
        """Put slots into their buckets."""
        self._restore()
        self._add(slots, keys)

    def _add(self, slots: Slots, keys: pl.DataFrame) -> None:
        table = pl.DataFrame({"value": self._bound.values(keys), "slot": slots})
        for (value,), part in table.group_by("value"):
            if value is not None:
                self._buckets.setdefault(int(value), []).append(part["slot"].to_numpy())

    def expired(self, tick: Tick) -> Slots:
        """Return the slots of the buckets that the watermark has passed."""
        watermark = tick.watermark
        if watermark <= self._reached or watermark == MAX_INSTANT:
            return _NO_SLOTS
        self._restore()
        self._reached = watermark
        limit = self._bound.limit(watermark)
        passed = [value for value in self._buckets if value <= limit]
        found = [slots for value in passed for slots in self._buckets.pop(value)]
        if not found:
            return _NO_SLOTS
        slots = distinct(np.concatenate(found))
        slots = slots[self._store.is_live(slots)]
        # A slot may have been freed and given to a later key since it was put into the bucket.
        due = (self._bound.values(self._store.keys(slots)) <= limit).to_numpy()
        passed_slots: Slots = slots[due]
        return passed_slots

    def _restore(self) -> None:
        if self._restored:
            return
        self._restored = True
        slots = self._store.live_slots()
        if slots.size:
            self._add(slots, self._store.keys(slots))


class TtlExpiry:
    """Free keys that nothing has touched for ``ttl_ns``.

    Measured on the watermark where there is one, else on the processing-time clock. Swept eight
    times per time to live, so a key lives at most an eighth longer.
    """

    def __init__(self, store: Keys, ttl_ns: int) -> None:
        self._store = store
        self._ttl_ns = ttl_ns
        self._touched = KeyedTable(pl.Schema({"slot": pl.Int64}), pl.Schema({"at": pl.Int64}))
        self._swept = MIN_INSTANT
        self._known = False
        self.state: Mapping[str, Stateful] = {"touched": self._touched}

    def touch(self, slots: Slots, keys: pl.DataFrame, tick: Tick) -> None:  # noqa: ARG002
        """Note the time of use."""
        at = self._time(tick)
        if at is None:
            return
        rows = self._touched.assign(pl.DataFrame({"slot": slots}), unique=True)
        self._touched.set(rows, pl.DataFrame({"at": np.full(len(slots), at, dtype=np.int64)}))

    def expired(self, tick: Tick) -> Slots:
        """Return the slots whose last use is too long ago."""
        now = self._time(tick)
        if now is None or now - self._swept < self._ttl_ns // 8:
            return _NO_SLOTS
        self._swept = now
        self._note_restored(now)
        rows = self._touched.live_slots()
        old = rows[(self._touched.get(rows)["at"] <= now - self._ttl_ns).to_numpy()]
        slots: Slots = self._touched.keys(old)["slot"].to_numpy()
        self._touched.delete(old)
        unused: Slots = slots[self._store.is_live(slots)]
        return unused

    def _note_restored(self, now: int) -> None:
        """Give the keys of a state that had no time to live before theirs, from now on."""
        if self._known:
            return
        self._known = True
        slots = self._store.live_slots()
        unknown = self._touched.lookup(pl.DataFrame({"slot": slots})) < 0
        fresh = slots[unknown]
        if fresh.size:
            rows = self._touched.assign(pl.DataFrame({"slot": fresh}), unique=True)
            self._touched.set(rows, pl.DataFrame({"at": np.full(len(fresh), now, dtype=np.int64)}))

    @staticmethod
    def _time(tick: Tick) -> int | None:
        if tick.watermark == MAX_INSTANT:
            return None
        return tick.now if tick.watermark == MIN_INSTANT else tick.watermark
