"""``check_sink``: hold a sink against its contract (``penstock/connectors/contract.py``).

Each rule is checked on a target of its own. The rows are ``k`` (Int64) and ``v`` (String):

1. the spec is frozen, comparable, shows no secret, and its facts agree with each other
2. rows arrive; empty frames and calls without frames do no harm; ``close`` may be repeated
3. a sink that promises exactly once says the last epoch when it begins again, skips what it has,
   keeps nothing of an epoch that fails part-way, and lets a newer run shut out an older one
4. changes: deletions come before insertions, keys are replaced, two living rows of a key are refused
5. values at the edges of their types come back, or are refused by ``validate`` beforehand
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import polars as pl

from penstock.connectors.contract import (
    Accepts,
    Guarantee,
    KeyedSink,
    ReplacingSink,
    Sink,
    SinkIdentity,
    SinkSpec,
    is_replaceable,
)
from penstock.errors import ConnectorError, FencedError
from penstock.testing.contracts import exactly
from penstock.testing.sink_targets import (
    CHANGES,
    SCHEMA,
    Pair,
    Read,
    SinkTarget,
    changes,
    rows,
)
from penstock.testing.values import edge_values


class _Crash(BaseException):
    """Ends an epoch part-way; no sink may swallow it."""


def check_sink(
    make: Callable[[str], SinkSpec],
    read: Read | None = None,
    *,
    stored: Callable[[str, Any], Any] = lambda _, value: value,
    secrets: Sequence[str] = (),
) -> None:
    """Check that a sink keeps the contract; raise ``ContractBroken``, which names the rule.

    ``make(target)`` describes the sink on a target (a table, a folder) of that name, which is new
    each time; a keyed sink has the key ``k``. ``read(target)`` returns the rows that are there after
    the sink was closed, with or without ``_weight``; without it only the calls are checked.
    ``stored(column, value)`` says as what a value of ``edge_values()`` comes back, where the sink
    documents that it keeps it differently. ``secrets`` are texts that no ``repr`` may show.

    >>> from penstock.connectors.collect.config import CollectSinkSpec
    >>> from penstock.connectors.collect.sink import Collected
    >>> tables = {}
    >>> def make(target):
    ...     return CollectSinkSpec(tables.setdefault(target, Collected()))
    >>> check_sink(make, lambda target: tables[target].table())
    """
    check = _SinkCheck(make, read, stored)
    check.spec(secrets)
    check.arriving()
    check.nothing()
    if check.facts.guarantee is Guarantee.EXACTLY_ONCE:
        check.again()
        check.crashing()
        check.fencing()
        check.apart()
    if check.facts.accepts is Accepts.APPEND:
        check.refusing_changes()
    else:
        check.changing()
    if check.facts.accepts is Accepts.UPSERT:
        check.conflicting()
        check.looking()
    if is_replaceable(check.facts):
        check.replacing()
    check.values()


class _SinkCheck(SinkTarget):
    """The rules, one method each."""

    def arriving(self) -> None:
        """Rows of several frames and epochs, without an identity and with one."""
        for known in (False, True):
            target = self._target("arriving")
            identity = SinkIdentity(target, 1) if known else None
            with self._begun(target, identity) as sink:
                sink.apply(1, [rows((1, "a"), (2, "b")), rows((3, None))])
                sink.apply(2, [rows((4, ""))])
            wanted = [(1, "a"), (2, "b"), (3, None), (4, "")]
            self._holds(target, wanted, "rows that were applied are there after close()")
        try:
            sink.close()
            self._make(self._target("unopened")).open().close()
        except Exception as error:
            raise self._contract.broken(
                "close() may be repeated, or come before begin()", error
            ) from error

    def nothing(self) -> None:
        """Epochs without rows; a frame without rows in the midst of others."""
        target, rule = self._target("nothing"), "empty frames and no frames do no harm"
        with self._begun(target, SinkIdentity(target, 1)) as sink:
            sink.apply(0, [])
            sink.apply(1, [rows()])
            sink.apply(2, [rows(), rows((1, "a")), rows()])
            sink.apply(2, [])
        self._holds(target, [(1, "a")], rule)
        self._is_at(target, 2, "an epoch of empty frames is recorded")
        with self._begun(target, SinkIdentity(target, 1)) as sink:
            sink.apply(5, [])
        self._is_at(target, 2, "apply(epoch, []) is a call for what time demands; records nothing")

    def again(self) -> None:
        """Begin anew after some epochs; what is there already is skipped."""
        target, rule = self._target("again"), "an epoch that was applied is skipped"
        with self._begun(target, SinkIdentity(target, 1)) as sink:
            sink.apply(3, [rows((1, "a"))])
            sink.apply(3, [rows((9, "again"))])
            sink.apply(2, [rows((9, "older"))])
        for token in (1, 2):
            self._is_at(target, 3, "begin() returns the last epoch applied under the identity")
            with self._begun(target, SinkIdentity(target, token)) as sink:
                sink.apply(3, [rows((9, "after begin"))])
        with self._begun(target, SinkIdentity(target, 3)) as sink:
            sink.apply(7, [rows((2, "b"))])
        self._holds(target, [(1, "a"), (2, "b")], rule)

    def replacing(self) -> None:
        """Replace what is there, by rows and by nothing; what is there already is skipped."""
        target = self._target("replacing")
        with self._begun(target, SinkIdentity(target, 1)) as sink:
            if not isinstance(sink, ReplacingSink):
                raise self._contract.broken(
                    "a sink whose spec is replaceable has replace()", TypeError("it has none")
                )
            sink.apply(1, [rows((1, "a"), (2, "b"))])
            sink.replace(2, [rows((2, "c")), rows((3, "d"))])
            sink.replace(2, [rows((9, "again"))])
        whole = [(2, "c"), (3, "d")]
        self._holds(target, whole, "after replace() a sink holds exactly its rows, once")
        self._is_at(target, 2, "replace() records its epoch")
        with self._begun(target, SinkIdentity(target, 1)) as sink:
            assert isinstance(sink, ReplacingSink)
            sink.replace(3, [rows()])
        self._holds(target, [], "after replace() by no rows a sink is empty")

    def crashing(self) -> None:
        """Fail before, between and after the frames of an epoch, in a new sink and a used one."""
        frames = [rows((1, "a"), (2, "b")), rows((3, "c")), rows((4, "d"))]
        whole = [(1, "a"), (2, "b"), (3, "c"), (4, "d")]
        rule = "apply() is all or nothing: an epoch that failed part-way leaves no trace"
        for used, good in itertools.product((False, True), range(len(frames) + 1)):
            target = self._target("crashing")
            identity = SinkIdentity(target, 1)
            before: list[Pair] = [(0, "before")] if used else []
            with self._begun(target, identity) as sink:
                if used:
                    sink.apply(1, [rows(*before)])
                self._fails(sink, frames[:good])
            self._holds(target, before, rule)
            self._is_at(target, 1 if used else None, rule)
            with self._begun(target, identity) as sink:
                self._fails(sink, frames[:good])
                sink.apply(2, frames)
            self._holds(target, [*before, *whole], "an epoch that failed can be applied again")

    def _fails(self, sink: Sink, frames: list[pl.DataFrame]) -> None:
        def breaking() -> Iterator[pl.DataFrame]:
            yield from frames
            raise _Crash

        try:
            sink.apply(2, breaking())
        except _Crash:
            return
        except Exception as error:
            raise self._contract.broken(
                "apply() lets through what its frames raise", error
            ) from error
        self._contract.require(
            held=False, rule="apply() lets through what its frames raise", found="nothing raised"
        )

    def fencing(self) -> None:
        """A run with a higher token takes over; the older one can write nothing more."""
        target = self._target("fencing")
        old, new = (self._make(target).open() for _ in range(2))
        old.begin(SinkIdentity(target, 4), SCHEMA)
        old.apply(1, [rows((1, "a"))])
        last = new.begin(SinkIdentity(target, 7), SCHEMA)
        self._contract.require(
            last == 1, "a run that takes over is told the last epoch", f"begin() returned {last}"
        )
        self._fenced(lambda: old.apply(2, [rows((9, "zombie"))]), "apply")
        new.apply(2, [rows((2, "b"))])
        self._fenced(lambda: old.apply(3, [rows((9, "zombie"))]), "apply")
        with contextlib.suppress(FencedError):
            old.close()
        new.close()
        late = self._make(target).open()
        self._fenced(lambda: late.begin(SinkIdentity(target, 6), SCHEMA), "begin")
        late.close()
        self._holds(target, [(1, "a"), (2, "b")], "a run that was replaced writes nothing more")

    def _fenced(self, call: Callable[[], object], where: str) -> None:
        rule = f"a token lower than the recorded one raises FencedError in {where}()"
        try:
            call()
        except FencedError:
            return
        except Exception as error:
            raise self._contract.broken(rule, error) from error
        self._contract.require(held=False, rule=rule, found="nothing was raised")

    def apart(self) -> None:
        """Two sinks of one system keep their epochs and tokens apart."""
        one, two = self._target("apart"), self._target("apart")
        with (
            self._begun(one, SinkIdentity(one, 9)) as first,
            self._begun(two, SinkIdentity(two, 1)) as second,
        ):
            first.apply(5, [rows((1, "a"))])
            second.apply(1, [rows((2, "b"))])
        self._holds(two, [(2, "b")], "sinks with other ids have epochs and tokens of their own")
        self._is_at(one, 5, "sinks with other ids have epochs and tokens of their own", 9)

    def refusing_changes(self) -> None:
        """An append-only sink never writes a deletion as if it were a row."""
        target, rule = self._target("refusing"), "a sink of append-only rows refuses changes"
        with self._begun(target, SinkIdentity(target, 1)) as sink:
            try:
                sink.apply(1, [changes((1, "a", -1))])
            except ConnectorError:
                pass
            except Exception as error:
                raise self._contract.broken(rule, error) from error
            else:
                self._contract.require(held=False, rule=rule, found="it took them")
        self._holds(target, [], rule)

    def changing(self) -> None:
        """Insert, replace, delete, insert again; deletions are given first, as the contract says."""
        target, rule = self._target("changing"), "changes leave the rows whose weights sum to one"
        epochs = [
            changes((1, "a", 1), (2, "b", 1), (None, "n", 1)),
            changes((1, "a", -1), (1, "A", 1), (3, "c", 1)),
            changes((2, "b", -1), (None, "n", -1), (None, "N", 1)),
            changes((3, "c", -1), (2, "B", 1), (4, None, 1)),
            changes((4, None, -1), (4, None, 1)),
        ]
        after: Counter[Pair] = Counter()
        with self._begun(target, SinkIdentity(target, 1), CHANGES) as sink:
            for number, frame in enumerate(epochs):
                split = [frame[:1], frame[1:]] if number % 2 else [frame]
                sink.apply(number, split)
                for k, v, weight in frame.rows():
                    after[k, v] += weight
        self._holds(target, list(after.elements()), rule)

    def conflicting(self) -> None:
        """Two living rows of a key; append-only rows of a key, of which the last one wins."""
        target, rule = self._target("conflict"), "a key with two living rows is a ConnectorError"
        with self._begun(target, SinkIdentity(target, 1), CHANGES) as sink:
            sink.apply(1, [changes((1, "a", 1))])
            try:
                sink.apply(2, [changes((5, "ok", 1), (7, "x", 1), (7, "y", 1))])
            except ConnectorError as error:
                named = "7" in str(error)
                self._contract.require(named, "the error names the key", f"it says {error}")
            except Exception as error:
                raise self._contract.broken(rule, error) from error
            else:
                self._contract.require(held=False, rule=rule, found="it took both")
        self._holds(target, [(1, "a")], "nothing is written of an epoch with such a key")
        target = self._target("last")
        with self._begun(target, SinkIdentity(target, 1)) as sink:
            sink.apply(1, [rows((1, "a"), (2, "b"), (1, "c"))])
            sink.apply(2, [rows((2, "d"))])
        self._holds(target, [(1, "c"), (2, "d")], "of append-only rows of a key the last one wins")

    def looking(self) -> None:
        """Tell which keys are there, if the sink can; a replay relies on it."""
        target, rule = self._target("looking"), "present() says of each key whether it is there"
        asked = pl.DataFrame({"k": [2, 1, None, 1, 7]}, schema={"k": pl.Int64()})
        with self._begun(target, SinkIdentity(target, 1), CHANGES) as sink:
            if not isinstance(sink, KeyedSink):
                return
            sink.apply(1, [changes((1, "a", 1), (2, "b", 1), (None, "n", 1))])
            sink.apply(2, [changes((2, "b", -1))])
            found = sink.present(asked)
        if found is not None:
            told = found.to_list()
            self._contract.require(
                told == [False, True, True, True, False], rule, f"of {asked['k'].to_list()}: {told}"
            )

    def values(self) -> None:
        """Write edge values, each column that ``validate`` accepts, and read them back."""
        frame, target = edge_values().rename({"row": "k"}), self._target("values")
        spec = self._make(target)
        kept = [n for n in frame.columns if n == "k" or self._fits(spec, n, frame.schema[n])]
        written = frame.select(kept)
        with self._begun(target, SinkIdentity(target, 1), written.schema) as sink:
            sink.apply(1, [written])
        if self._read is None:
            return
        found = {row["k"]: row for row in self._rows(target)}
        for row in written.rows(named=True):
            back = found.get(row["k"], {})
            for name, value in row.items():
                wanted = self._stored(name, value)
                self._contract.require(
                    exactly(back.get(name)) == exactly(wanted),
                    "a value comes back as it was, or as stored= says; or validate() refuses it",
                    f"{name} ({frame.schema[name]}): {value!r} came back as {back.get(name)!r}"
                    f", not {wanted!r}",
                )

    def _fits(self, spec: SinkSpec, name: str, dtype: pl.DataType) -> bool:
        schema = pl.Schema({"k": pl.Int64(), name: dtype})
        return self._validated(spec, schema, must=False)
