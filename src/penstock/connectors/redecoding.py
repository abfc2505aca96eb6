"""Messages that a source refused, decoded again: for the replay of dead letters.

A spec may say itself how: ``decode_again(messages, positions) -> DecodedRows``. Of the others the
format is asked, if its columns are all that the source brings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from penstock.connectors.contract import SourceSpec
from penstock.connectors.decoding import DecodedRows, Decoder, wants_header
from penstock.connectors.files.lines import LineReader
from penstock.connectors.files.opening import open_bytes
from penstock.errors import PenstockError

_CUT = r"more than (max_line_bytes=)?\d+$"
"""How the reasons of files and sockets end for a line of which only the beginning was kept."""


@dataclass(frozen=True, slots=True)
class Redecoded:
    """``frame`` has the source's columns, ``kept`` the index of the message behind each row.

    ``reasons``: index of a message that is refused again -> why.
    """

    frame: pl.DataFrame
    kept: list[int]
    reasons: dict[int, str]


def decode_again(spec: SourceSpec, letters: pl.DataFrame) -> Redecoded:
    """Decode the ``bytes`` of dead letters of a source (with ``position`` and ``reason``)."""
    spec = getattr(spec, "inner", spec)
    cut = letters["reason"].str.contains(_CUT)
    reasons = dict.fromkeys(
        cut.arg_true().to_list(), "only the beginning of the line was kept, it cannot be replayed"
    )
    whole = (~cut).arg_true().to_list()
    frames, kept = [pl.DataFrame(schema=spec.schema)], list[int]()
    for decoder, indices, problem in _decoders(spec, letters, whole):
        if decoder is None:
            reasons.update(dict.fromkeys(indices, problem))
            continue
        messages = letters["bytes"].gather(indices)
        found = decoder.decode(messages)
        rows = range(len(indices)) if found.kept is None else found.kept.to_list()
        frames.append(found.frame)
        kept += [indices[row] for row in rows]
        errors = found.errors.select("index", "reason").rows()
        reasons.update({indices[index]: reason for index, reason in errors})
    return Redecoded(pl.concat(frames), kept, reasons)


def _decoders(
    spec: SourceSpec, letters: pl.DataFrame, indices: list[int]
) -> list[tuple[Decoder | None, list[int], str]]:
    """Divide letters by the decoder that can read them; None with the reason if there is none."""
    if not indices:
        return []
    own = getattr(spec, "decode_again", None)
    if own is not None:
        return [(_Own(own, letters["position"].gather(indices)), indices, "")]
    content: Any = getattr(spec, "content", spec)
    decoder: Any = getattr(content, "form", None) or getattr(content, "format", None)
    if not hasattr(decoder, "decode"):
        return [(None, indices, f"source {spec.name} cannot decode a message apart")]
    if pl.Schema(decoder.schema) != spec.schema:
        return [(None, indices, f"source {spec.name} adds columns that are not in the message")]
    if not wants_header(decoder):
        return [(decoder, indices, "")]
    by_file: dict[str, list[int]] = {}
    for index in indices:
        path = letters["position"][index].rpartition(":")[0]
        by_file.setdefault(path, []).append(index)
    found = []
    for path, some in by_file.items():
        form, problem = _under_header(path, decoder)
        found.append((form, some, problem))
    return found


def _under_header(path: str, form: Any) -> tuple[Decoder | None, str]:
    try:
        reader = LineReader(path, open_bytes(path), form, max_line_bytes=1 << 20, final=True)
        try:
            reader.begin(0, 1)
        finally:
            reader.close()
    except (OSError, PenstockError) as error:
        said = str(error).splitlines()[0]
        return None, f"the columns are named by the header of {path}, which cannot be read: {said}"
    return reader.form, ""


class _Own:
    """The way of a spec that has one."""

    name = "decode_again"
    schema = pl.Schema()

    def __init__(self, method: Callable[..., DecodedRows], positions: pl.Series) -> None:
        self._method, self._positions = method, positions

    def decode(self, messages: pl.Series) -> DecodedRows:
        """Ask the spec."""
        return self._method(messages, self._positions)
