"""Live writing to Redis: an epoch, its number and its rows, are one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import polars as pl

from penstock.columns import WEIGHT
from penstock.connectors.changes import keyed_changes
from penstock.connectors.contract import SinkIdentity
from penstock.connectors.epochs import Recorded, is_applied, refuse_fenced, take_over
from penstock.connectors.messaging.outgoing import TARGET, Outgoing, Target
from penstock.connectors.messaging.server import Server
from penstock.connectors.messaging.source import lost_connection
from penstock.connectors.redis.connection import Command, Connection

_TRIES = 100


@dataclass(frozen=True, slots=True)
class Appending:
    """Rows become entries of a stream, which keeps about ``max_entries``."""

    outgoing: Outgoing
    field: str
    max_entries: int | None

    def commands(self, frames: Iterable[pl.DataFrame]) -> Iterator[Command]:
        """Return an XADD for each message."""
        limit = () if self.max_entries is None else ("MAXLEN", "~", self.max_entries)
        for messages in self.outgoing.encode(frames):
            columns = [messages["value"].to_list(), messages[TARGET].to_list()]
            keys = messages["key"].to_list() if "key" in messages.columns else None
            for number, (value, target) in enumerate(zip(*columns, strict=True)):
                fields: Command = (self.field, value if value is not None else b"")
                if keys is not None:
                    fields = (*fields, "key", keys[number] if keys[number] is not None else b"")
                yield ("XADD", target, *limit, "*", *fields)


@dataclass(frozen=True, slots=True)
class Upserting:
    """Rows become hashes, named by their keys; their columns are fields, null ones are left out."""

    step: str
    target: Target
    key: tuple[str, ...]

    def commands(self, frames: Iterable[pl.DataFrame]) -> Iterator[Command]:
        """Return what deletes and sets hashes."""
        for frame in frames:
            changes = keyed_changes([frame], self.key, self.step)
            for name in changes.deletes.select(self.target.expression).to_series():
                yield ("DEL", name)
            yield from self._written(changes.upserts)

    def _written(self, rows: pl.DataFrame) -> Iterator[Command]:
        names = [name for name in rows.columns if name != WEIGHT]
        texts = rows.select(self.target.expression, *(field_text(rows, name) for name in names))
        for target, *values in texts.iter_rows():
            yield ("DEL", target)
            pairs = zip(names, values, strict=True)
            fields = tuple(chain.from_iterable(p for p in pairs if p[1] is not None))
            if fields:
                yield ("HSET", target, *fields)


def field_text(rows: pl.DataFrame, name: str) -> pl.Expr:
    """Return a column as text: strings as they are, the others as JSON has them, without quotes."""
    dtype = rows.schema[name]
    if dtype in (pl.String, pl.Binary) or dtype.is_integer():
        return pl.col(name) if dtype in (pl.String, pl.Binary) else pl.col(name).cast(pl.String)
    encoded = pl.struct(pl.col(name).alias("v")).struct.json_encode()
    inner = encoded.str.slice(5).str.head(-1)  # of {"v":...}
    if dtype.is_nested():
        return pl.when(pl.col(name).is_not_null()).then(inner).alias(name)
    plain = inner.str.strip_prefix('"').str.strip_suffix('"')
    return pl.when(inner != "null").then(plain).alias(name)


Way = Appending | Upserting


@dataclass(frozen=True, slots=True)
class Writing:
    """What a live sink is told; see ``RedisSinkSpec``."""

    step: str
    server: Server
    db: int
    way: Way
    epochs_key: str


class RedisSink:
    """Writes each epoch once; a connection that broke is made anew, and asked what is there."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._step = writing.step
        self._identity: SinkIdentity | None = None
        self._connection: Connection | None = None

    def begin(
        self,
        identity: SinkIdentity | None,
        schema: pl.Schema | None = None,  # noqa: ARG002 - keys come with the first row
    ) -> int | None:
        """Connect, and record who writes."""
        self._identity = identity
        if identity is None:
            self._live()
            return None
        for _ in range(_TRIES):
            found = self._watched()
            recorded = take_over(found, identity, self._step)
            if self._commit([], recorded):
                return recorded.last
        raise lost_connection(self._step, "somebody else writes the epochs all the time")

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        """Write ``frames`` and the epoch, all or nothing; skip an epoch that is there."""
        iterator = iter(frames)
        first = next(iterator, None)
        if first is None:
            return
        commands = list(self._writing.way.commands(chain([first], iterator)))
        try:
            self._apply(epoch, commands)
        except BaseException:
            self.close()
            raise

    def _apply(self, epoch: int, commands: list[Command]) -> None:
        identity = self._identity
        for _ in range(_TRIES):
            recorded = None
            if identity is not None:
                found = self._watched()
                refuse_fenced(found, identity, self._step)
                if is_applied(found, epoch):
                    self._live().call("UNWATCH")
                    return
                recorded = Recorded(epoch, identity.token)
            if self._commit(commands, recorded):
                return
        raise lost_connection(self._step, "somebody else writes the epochs all the time")

    def _watched(self) -> Recorded | None:
        """Return what is recorded; a transaction that begins now fails if that changes."""
        assert self._identity is not None
        connection, key = self._live(), self._writing.epochs_key
        connection.call("WATCH", self._record_key)
        found = connection.call("GET", f"{key}:{self._identity.sink_id}")
        if found is None:
            return None
        epoch, token = found.decode().split()
        return Recorded(int(epoch), int(token))

    @property
    def _record_key(self) -> str:
        assert self._identity is not None
        return f"{self._writing.epochs_key}:{self._identity.sink_id}"

    def _commit(self, commands: list[Command], recorded: Recorded | None) -> bool:
        connection = self._live()
        if recorded is not None:
            text = f"{recorded.epoch} {recorded.token}"
            commands = [*commands, ("SET", self._record_key, text)]
        connection.call("MULTI")
        connection.queue(commands)
        return connection.execute()

    def _live(self) -> Connection:
        if self._connection is None:
            writing = self._writing
            self._connection = Connection(writing.server, writing.db, self._step)
        return self._connection

    def close(self) -> None:
        """Leave; a transaction that is open is forgotten."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
