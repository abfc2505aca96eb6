"""What the checks of a sink share: targets, rows, and a look at what is there."""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from penstock.columns import WEIGHT
from penstock.connectors.contract import Accepts, Guarantee, Sink, SinkIdentity, SinkSpec
from penstock.errors import ConfigError
from penstock.testing.contracts import Contract, is_frozen, shown

SCHEMA = pl.Schema({"k": pl.Int64(), "v": pl.String()})
"""Columns of the rows that are written."""

CHANGES = pl.Schema({"k": pl.Int64(), "v": pl.String(), WEIGHT: pl.Int64()})

Read = Callable[[str], pl.DataFrame | Iterable[Mapping[str, Any]]]
Pair = tuple[int | None, str | None]


class SinkTarget:
    """Sinks of one kind, each on a target of its own, and what they left there."""

    def __init__(
        self, make: Callable[[str], SinkSpec], read: Read | None, stored: Callable[[str, Any], Any]
    ) -> None:
        self._make = make
        self._read = read
        self._stored = stored
        self.facts = make(self._target("facts"))
        self._contract = Contract(f"sink {getattr(self.facts, 'name', self.facts)!s}")
        self._contract.require(
            isinstance(self.facts, SinkSpec),
            "a spec has name, guarantee, accepts, key, immediate, validate() and open()",
            f"{type(self.facts).__name__} lacks some of them",
        )

    def _target(self, rule: str) -> str:
        return f"{rule}_{uuid.uuid4().hex[:12]}"

    def spec(self, secrets: Sequence[str]) -> None:
        """Facts of the description that agree with each other."""
        require, target = self._contract.require, self._target("spec")
        spec, other = self._make(target), self._make(target)
        require(spec.name.strip(), "a spec has a name", "the name is empty")
        for text, secret in itertools.product((spec.name, repr(spec), str(spec)), secrets):
            require(secret not in text, "neither name nor repr shows a secret", "one is shown")
        require(is_frozen(spec), "a spec is frozen: no attribute can be set", "one could be")
        by_identity = type(spec).__eq__ is object.__eq__
        require(by_identity or spec == other, "two specs made alike are equal", f"{spec!r}")
        require(
            spec.guarantee in Guarantee and spec.accepts in Accepts,
            "guarantee and accepts are members of the enums of the contract",
            f"{spec.guarantee!r}, {spec.accepts!r}",
        )
        require(
            spec.key in ((), ("k",)),
            "check_sink makes sinks without a key, or with key ('k',)",
            f"key {spec.key}",
        )
        require(
            spec.accepts is not Accepts.UPSERT or spec.key,
            "a sink that accepts changes by a key has one",
            "key is empty",
        )
        require(
            not (spec.immediate and spec.guarantee is Guarantee.EXACTLY_ONCE),
            "output handed over before the checkpoint cannot be exactly once",
            "immediate, and guarantee EXACTLY_ONCE",
        )
        self._validated(spec, SCHEMA, must=True)

    def _validated(self, spec: SinkSpec, schema: pl.Schema, *, must: bool) -> bool:
        try:
            spec.validate(schema)
        except ConfigError as error:
            if must:
                raise self._contract.broken(
                    f"validate() accepts rows of {dict(schema)}", error
                ) from error
            return False
        except Exception as error:
            raise self._contract.broken(
                "validate() raises ConfigError, or nothing", error
            ) from error
        return True

    @contextlib.contextmanager
    def _begun(
        self, target: str, identity: SinkIdentity | None, schema: pl.Schema = SCHEMA
    ) -> Iterator[Sink]:
        sink = self._make(target).open()
        try:
            sink.begin(identity, schema)
            yield sink
        finally:
            sink.close()

    def _rows(self, target: str) -> Sequence[Mapping[str, Any]]:
        assert self._read is not None
        found = self._read(target)
        return found.rows(named=True) if isinstance(found, pl.DataFrame) else list(found)

    def _holds(self, target: str, wanted: Sequence[Pair], rule: str) -> None:
        if self._read is None:
            return
        found: Counter[Pair] = Counter()
        for row in self._rows(target):
            found[row["k"], row["v"]] += row.get(WEIGHT, 1)
        expected = Counter(wanted)
        extra, missing = found - expected, expected - found
        self._contract.require(
            found == expected,
            rule,
            f"too many: {shown(extra.elements())}; missing: {shown(missing.elements())}",
        )

    def _is_at(self, target: str, epoch: int | None, rule: str, token: int = 1) -> None:
        if self.facts.guarantee is not Guarantee.EXACTLY_ONCE:
            return
        sink = self._make(target).open()
        try:
            last = sink.begin(SinkIdentity(target, token), SCHEMA)
        finally:
            sink.close()
        self._contract.require(last == epoch, rule, f"begin() returned {last}, not {epoch}")


def rows(*pairs: Pair) -> pl.DataFrame:
    """Return append-only rows."""
    return pl.DataFrame(list(pairs), schema=SCHEMA, orient="row")


def changes(*weighted: tuple[int | None, str | None, int]) -> pl.DataFrame:
    """Return changes; deletions must come first."""
    ordered = sorted(weighted, key=lambda row: row[2] > 0)
    return pl.DataFrame(ordered, schema=CHANGES, orient="row")
