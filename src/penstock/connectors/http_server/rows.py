"""Deliveries to rows: those with the same format are decoded in one go."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import polars as pl

from penstock.columns import dead_letters
from penstock.connectors.decoding import join_dead
from penstock.connectors.formats.contract import Format
from penstock.connectors.http_server.deliveries import Bad, Delivery
from penstock.deferred import numpy as np

METADATA = pl.Schema(
    {"received": pl.Datetime("us", "UTC"), "client": pl.String(), "path": pl.String()}
)
"""Columns that a request can give to its rows."""


class BadRows(enum.Enum):
    """What becomes of a request some of whose rows cannot be decoded."""

    REJECT = "reject"
    """Nothing of it is taken: 400, with the place and fault of each bad row."""
    DEAD_LETTER = "dead letter"
    """The good rows are taken, the others are dead letters; the answer counts both."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows and dead letters of some deliveries, in their order; each says how many are its own."""

    frame: pl.DataFrame
    dead: pl.DataFrame | None
    deliveries: tuple[Delivery, ...]
    rejected: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class Decoding:
    """How deliveries become rows."""

    step: str
    schema: pl.Schema
    metadata: tuple[str, ...]
    bad_rows: BadRows

    def batch(self, deliveries: Sequence[Delivery]) -> Batch:
        """Decode deliveries; of those rejected nothing is in the batch."""
        parts = [self._alike(list(same)) for _, same in groupby(deliveries, _decoder)]
        if len(parts) == 1:
            return parts[0]
        frames = [part.frame for part in parts]
        return Batch(
            pl.concat(frames) if frames else pl.DataFrame(schema=self.schema),
            join_dead(*(part.dead for part in parts)),
            tuple(each for part in parts for each in part.deliveries),
            tuple(each for part in parts for each in part.rejected),
        )

    def _alike(self, deliveries: list[Delivery]) -> Batch:
        frame = _at_once(deliveries)
        if frame is not None:
            for delivery in deliveries:
                delivery.rows = delivery.cut.lines
            return Batch(self._with_metadata(frame, deliveries), None, tuple(deliveries), ())
        return self._one_by_one(deliveries)

    def _one_by_one(self, deliveries: list[Delivery]) -> Batch:
        cuts = [delivery.cut.messages() for delivery in deliveries]
        messages = pl.concat([cut[0] for cut in cuts])
        sizes = [len(cut[0]) for cut in cuts]
        owner = pl.Series(np.repeat(np.arange(len(sizes)), sizes))
        decoded = _decoder(deliveries[0]).decode(messages)
        errors = decoded.errors
        of_rows = owner if decoded.kept is None else owner[decoded.kept]
        of_errors = owner[errors["index"]]
        numbers = pl.concat([cut[1] for cut in cuts])[errors["index"]]
        for each, number, reason in zip(of_errors, numbers, errors["reason"], strict=True):
            deliveries[each].bad.append(Bad(number, reason))
        counts = np.bincount(of_rows.to_numpy(), minlength=len(sizes)).tolist()
        rejecting = self.bad_rows is BadRows.REJECT
        rejected = {d: None for d in deliveries if d.bad and rejecting}
        kept = [d for d in deliveries if d not in rejected]
        for delivery, rows in zip(deliveries, counts, strict=True):
            delivery.rows = 0 if delivery in rejected else rows
            delivery.dead = 0 if delivery in rejected else len(delivery.bad)
        frame = decoded.frame
        if rejected:
            gone = [at for at, delivery in enumerate(deliveries) if delivery in rejected]
            frame = frame.filter(~of_rows.is_in(gone))
        dead = None
        if errors.height and self.bad_rows is BadRows.DEAD_LETTER:
            places = list(_places(kept))
            dead = dead_letters(
                self.step, places, messages.gather(errors["index"]), errors["reason"].to_list()
            )
        return Batch(self._with_metadata(frame, kept), dead, tuple(kept), tuple(rejected))

    def _with_metadata(self, frame: pl.DataFrame, deliveries: list[Delivery]) -> pl.DataFrame:
        if not self.metadata:
            return frame
        rows = [delivery.rows for delivery in deliveries]
        of_requests = pl.DataFrame(
            {
                "received": [delivery.received_us for delivery in deliveries],
                "client": [delivery.client for delivery in deliveries],
                "path": [delivery.path for delivery in deliveries],
            },
            schema_overrides={"received": pl.Int64()},
        ).cast(METADATA)
        which = pl.Series(np.repeat(np.arange(len(rows)), rows), dtype=pl.UInt32())
        return frame.hstack(of_requests.select(self.metadata)[which]).select(self.schema.names())


def _decoder(delivery: Delivery) -> Format:
    return delivery.cut.decoder


def _at_once(deliveries: list[Delivery]) -> pl.DataFrame | None:
    """Decode all lines as one block, if that can be done and all are good."""
    blocks = [delivery.cut.block for delivery in deliveries]
    if any(block is None for block in blocks):
        return None
    data = b"".join(block for block in blocks if block is not None)
    if not data:
        return _decoder(deliveries[0]).schema.to_frame()
    if b"\r" in data:  # one byte is found ten times as fast as two
        data = data.replace(b"\r\n", b"\n")
    frame = _decoder(deliveries[0]).decode_block(data)
    if frame is None or frame.height != sum(delivery.cut.lines for delivery in deliveries):
        return None
    return frame


def _places(deliveries: list[Delivery]) -> Iterator[str]:
    for delivery in deliveries:
        for bad in delivery.bad:
            yield f"http {delivery.client} row {bad.row}"
