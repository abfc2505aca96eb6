"""Protocol Buffers, one message each: plain, or in Confluent's wire format.

Messages are read by the descriptor that is given, whatever they were written with: fields are known
by their numbers, those that are missing have their defaults, others are passed over. So the number
of the schema in front of a message is not looked up.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from penstock.connectors.drivers import load_driver
from penstock.connectors.formats.contract import Decoded, LineByLine
from penstock.connectors.formats.schemas import checked_schema
from penstock.connectors.formats.wire import MAGIC, one_by_one, sliced, unwrapped
from penstock.errors import ConfigError

_STEP = "protobuf"
_MAIN = "schema.proto"


@dataclass(frozen=True)
class ProtoSchema:
    """The text of a ``.proto`` file, the files that it imports by name, and the message's name.

    Without a name: the first message of the file.
    """

    text: str
    message: str | None = None
    imports: tuple[tuple[str, str], ...] = ()

    @cached_property
    def descriptor(self) -> Any:
        """The descriptor of the message."""
        return _descriptor(self)


@dataclass(frozen=True)
class Protobuf(LineByLine):
    """Messages of one type, with its fields as columns.

    A field that is not there has its default (0, ``""``), or null where the language tells the two
    apart: messages, ``optional``, ``oneof``. Enums are texts, maps lists of ``key`` and ``value``,
    timestamps ``Datetime("us", "UTC")``, wrapped values plain ones that may be null.
    """

    proto: ProtoSchema
    wrapped: bool = False

    def __post_init__(self) -> None:
        assert self.schema  # refuses what no column can hold, where the user wrote it

    @property
    def name(self) -> str:
        """The format's name."""
        return _STEP

    @cached_property
    def schema(self) -> pl.Schema:
        """The fields of the message."""
        return checked_schema(_STEP, self._read([]).schema)

    @cached_property
    def _handler(self) -> Any:
        ptars = load_driver("ptars", "protobuf", _STEP)
        config = ptars.PtarsConfig(enum_repr="string", timestamp_unit="us", duration_unit="us")
        descriptor = self.proto.descriptor
        return ptars.HandlerPool([descriptor.file], config=config).get_for_message(descriptor)

    def _read(self, messages: Sequence[bytes]) -> pl.DataFrame:
        frame = pl.from_arrow(self._handler.list_to_record_batch(list(messages)))
        assert isinstance(frame, pl.DataFrame)
        return frame.cast({n: _plain(d) for n, d in frame.schema.items() if _plain(d) != d})

    def decode(self, messages: pl.Series) -> Decoded:
        """Decode one message per element."""
        found = unwrapped(messages, wrapped=self.wrapped)
        given = _without_path(found.messages) if self.wrapped else found.messages
        if given.null_count():  # the path was cut off
            decoded = one_by_one(given, self.schema, self._alone)
        else:
            decoded = sliced(given, self._together, self._alone, self.schema)
        return found.completed(decoded)

    def _together(self, messages: pl.Series) -> pl.DataFrame | None:
        try:
            return self._read(messages.to_list())
        except ValueError:
            return None

    def _alone(self, message: bytes | None) -> dict[str, Any] | str:
        if message is None:
            return "it ends within the number of its schema"
        try:
            return self._read([message]).row(0, named=True)
        except ValueError as error:
            return str(error)


def _plain(dtype: Any) -> pl.DataType:
    """Return the type without maps: lists of key and value, as all else of Penstock knows them."""
    if isinstance(dtype, pl.Map):
        pair = {"key": _plain(dtype.key), "value": _plain(dtype.value)}
        return pl.List(pl.Struct(pair))
    if isinstance(dtype, pl.List):
        return pl.List(_plain(dtype.inner))
    if isinstance(dtype, pl.Struct):
        return pl.Struct({each.name: _plain(each.dtype) for each in dtype.fields})
    found: pl.DataType = dtype
    return found


def _without_path(messages: pl.Series) -> pl.Series:
    """Take off the numbers that say which message of the file it is; null where they are cut off."""
    first = (messages.bin.slice(0, 1) == MAGIC).fill_null(value=False)
    if first.all():
        return messages.bin.slice(1)  # one zero: the first one
    found = [_behind_path(message) for message in messages.to_list()]
    return pl.Series(messages.name, found, dtype=pl.Binary)


def _behind_path(message: bytes) -> bytes | None:
    at, left = 0, 1  # the count, then as many numbers
    first = True
    while left:
        number = shift = 0
        while True:
            if at >= len(message) or shift > 28:
                return None
            byte = message[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        left = (number >> 1) if first else left - 1
        first = False
    return message[at:]


@lru_cache(maxsize=64)
def _descriptor(schema: ProtoSchema) -> Any:
    load_driver("google.protobuf", "protobuf", _STEP)
    from google.protobuf import descriptor_pb2, descriptor_pool

    files = descriptor_pb2.FileDescriptorSet.FromString(_compiled(schema))
    pool = descriptor_pool.DescriptorPool()
    for each in files.file:
        pool.AddSerializedFile(each.SerializeToString())
    main = pool.FindFileByName(_MAIN)
    names = [message.full_name for message in main.message_types_by_name.values()]
    if not names:
        raise ConfigError("the file defines no message", step=_STEP)
    wanted = schema.message or names[0]
    try:
        found = pool.FindMessageTypeByName(wanted)
    except KeyError:
        raise ConfigError(
            f"there is no message {wanted!r}", step=_STEP, value=wanted, alternatives=names
        ) from None
    _refuse_recursion(found, ())
    return found


def _refuse_recursion(descriptor: Any, above: tuple[str, ...]) -> None:
    if descriptor.full_name in above:
        raise ConfigError(
            f"the message {descriptor.full_name!r} holds itself, which no column can",
            step=_STEP,
            value=descriptor.full_name,
        )
    for field in descriptor.fields:
        if field.message_type is not None:
            _refuse_recursion(field.message_type, (*above, descriptor.full_name))


def _compiled(schema: ProtoSchema) -> bytes:
    """Return the file and all that it imports as a ``FileDescriptorSet``."""
    protoc: Any = load_driver("grpc_tools.protoc", "protobuf", _STEP)
    own = Path(protoc.__file__).parent / "_proto"  # google/protobuf/timestamp.proto and others
    with tempfile.TemporaryDirectory(prefix="penstock-proto-") as folder:
        for name, text in ((_MAIN, schema.text), *schema.imports):
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        out = Path(folder) / "out.desc"
        words = [f"-I{folder}", f"-I{own}", "--include_imports", f"--descriptor_set_out={out}"]
        if protoc.main(["protoc", *words, _MAIN]):
            raise ConfigError(
                "the .proto text cannot be compiled; the compiler's words are on the terminal",
                step=_STEP,
                value=schema.text[:80],
            )
        return out.read_bytes()
