"""From the body of a request to messages of a format, before anything is decoded.

application/json          {"a": 1}            one message
                          [{"a": 1}, ...]     one each
application/x-ndjson      {"a": 1}\\n...       one a line
text/csv                  a,b\\n1,2\\n...       one a record, the first line names the columns
application/x-www-form-urlencoded  a=1&b=2    one, as a record of CSV
anything else             lines of the format that the source was given
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import parse_qsl

import msgspec
import polars as pl

from penstock.connectors.files.rows import row_ends
from penstock.connectors.formats.contract import Format
from penstock.connectors.formats.csv import Csv
from penstock.connectors.formats.json import Json
from penstock.errors import ConfigError, ConnectorError

_BOM = b"\xef\xbb\xbf"
_JSON = ("application/json", "text/json")
_LINES = (
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
)
_CSV = ("text/csv", "application/csv")
_FORM = "application/x-www-form-urlencoded"
_FORM_FIELDS = 10_000
"""Of a form, at most: a body of nothing but ``&`` would be millions."""


class BodyError(Exception):
    """The body as a whole cannot be read."""


class UnknownTypeError(Exception):
    """The schema has columns that bodies of this type cannot hold."""


@dataclass(frozen=True)
class Cut:
    """The messages of one body. ``first``: the number of the first line or element, from 1."""

    decoder: Format
    block: bytes | None
    parts: tuple[bytes, ...] = ()
    first: int = 1

    @cached_property
    def lines(self) -> int:
        """How many messages there are, blank lines counted too."""
        return len(self.parts) if self.block is None else self.block.count(b"\n")

    def messages(self) -> tuple[pl.Series, pl.Series]:
        """Return the messages (Binary), and the number of each."""
        if self.block is None:
            found = pl.Series("message", self.parts, dtype=pl.Binary())
            return found, pl.int_range(1, len(found) + 1, eager=True)
        ends = row_ends(self.block, self.decoder.framing)
        starts = [0, *ends[:-1].tolist()]
        block, whole = self.block, zip(starts, ends.tolist(), strict=False)
        records = [block[start : end - 1].removesuffix(b"\r") for start, end in whole]
        if len(ends) == 0 or ends[-1] < len(block):  # a quote that was never closed
            records.append(block[int(ends[-1]) if len(ends) else 0 :].rstrip(b"\r\n"))
        found = pl.Series("message", records, dtype=pl.Binary())
        numbers = pl.int_range(self.first, self.first + len(found), eager=True)
        if self.decoder.framing.blank_is_row:
            return found, numbers
        filled = found.bin.size() > 0
        return found.filter(filled), numbers.filter(filled)


class Bodies:
    """How bodies are read: by their type, where the source has a schema, else by its format alone."""

    def __init__(self, form: Format) -> None:
        self._form = form
        self._typed = isinstance(form, Json | Csv)
        self._json = form if isinstance(form, Json) else _built(Json, form)
        self._csv = form if isinstance(form, Csv) else _built(Csv, form)

    def cut(self, content_type: str, body: bytes) -> Cut:
        """Return the messages of a body.

        Raises ``BodyError`` for a document that is none, and ``UnknownTypeError``.
        """
        body = body.removeprefix(_BOM)
        kind, _, parameters = content_type.partition(";")
        kind = kind.strip().lower()
        if self._typed and kind == _FORM:
            return self._of_form(_having(self._csv, kind), body)
        if self._typed and kind in _CSV:
            return _of_csv(_having(self._csv, kind), body, header="header=absent" not in parameters)
        if self._typed and (kind in (*_JSON, *_LINES) or kind.endswith("+json")):
            return _of_json(_having(self._json, kind), body, document=kind not in _LINES)
        if isinstance(self._form, Json):
            return _of_json(self._form, body, document=True)
        if isinstance(self._form, Csv):
            return _of_csv(self._form, body, header=self._form.header)
        return Cut(self._form, _lines(body))

    def _of_form(self, form: Csv, body: bytes) -> Cut:
        try:
            pairs = parse_qsl(
                body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FORM_FIELDS
            )
        except ValueError as error:  # UnicodeDecodeError is one
            raise BodyError("the form is not valid UTF-8, or has too many fields") from error
        values: Mapping[str, str] = dict(reversed(pairs))  # of a name given twice the first counts
        fields = (_quoted(values[name]) if name in values else "" for name in form.schema)
        return Cut(_of_records(form), None, (",".join(fields).encode(),))


def _built(kind: type[Json | Csv], form: Format) -> Format | None:
    """Return another format of the same columns, None if it cannot hold them."""
    try:
        return kind(form.schema)
    except ConfigError:
        return None


def _having(form: Format | None, kind: str) -> Csv:
    if form is None:
        raise UnknownTypeError(kind)
    return form  # type: ignore[return-value]  # of the kind that was asked for


def _of_records(form: Csv) -> Csv:
    """Return the format of records that we write ourselves."""
    return Csv(form.schema, header=False)


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def _of_json(form: Format, body: bytes, *, document: bool) -> Cut:
    if document:
        text = body.strip()
        if text.startswith(b"["):
            return Cut(form, None, _elements(text))
        if text and (b"\n" not in text or _is_one(text)):
            return Cut(form, None, (text,))
    return Cut(form, _lines(body))


def _elements(text: bytes) -> tuple[bytes, ...]:
    try:
        return tuple(map(bytes, msgspec.json.decode(text, type=list[msgspec.Raw])))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BodyError(f"the array is not valid JSON: {error}") from error


def _is_one(text: bytes) -> bool:
    """Tell whether lines are one document, as printed for people."""
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _of_csv(form: Csv, body: bytes, *, header: bool) -> Cut:
    if not header:
        return Cut(_without_header(form), _lines(body))
    line, _, rest = body.lstrip(b"\r\n").partition(b"\n")
    if not line.strip():
        return Cut(form, b"")
    try:
        return Cut(form.with_header(line), _lines(rest), first=2)
    except ConnectorError as error:
        raise BodyError(error.message) from error


def _without_header(form: Csv) -> Csv:
    return Csv(
        form.schema,
        separator=form.separator,
        quote=form.quote,
        null_values=form.null_values,
        header=False,
    )


def _lines(body: bytes) -> bytes:
    """Return the body with a newline at its end."""
    return body if not body or body.endswith(b"\n") else body + b"\n"
