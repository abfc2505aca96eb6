"""JSON as ``jsonb`` holds it: parsed, keys in order, each once; what is changed is a new document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import polars as pl

from penstock.plan.expressions.repeatable import row_wise

Step = str | int
Document = Any
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


def read(text: str) -> Document:
    """Return a document; numbers keep their digits."""
    return _DECODER.decode(text)


def write(document: Document) -> str:
    """Return a document as PostgreSQL writes ``jsonb``: shorter keys first, a blank behind commas."""
    if isinstance(document, dict):
        ordered = sorted(
            document.items(), key=lambda item: (len(item[0].encode()), item[0].encode())
        )
        inside = ", ".join(f"{write(key)}: {write(value)}" for key, value in ordered)
        return f"{{{inside}}}"
    if isinstance(document, list):
        return f"[{', '.join(map(write, document))}]"
    if isinstance(document, Decimal):
        return f"{document:f}"
    return msgspec.json.encode(document).decode()


def pretty(document: Document, indent: str = "") -> str:
    """Return a document over several lines."""
    inner = indent + "    "
    if isinstance(document, dict) and document:
        ordered = sorted(
            document.items(), key=lambda item: (len(item[0].encode()), item[0].encode())
        )
        lines = [f"{inner}{write(key)}: {pretty(value, inner)}" for key, value in ordered]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(document, list) and document:
        return "[\n" + ",\n".join(inner + pretty(v, inner) for v in document) + f"\n{indent}]"
    return write(document)


def canonical(text: str) -> str:
    """Return the text of ``text::jsonb``."""
    return write(read(text))


def canonical_json(expr: pl.Expr) -> pl.Expr:
    """Return texts as ``jsonb`` writes them."""
    return row_wise(expr, _canonical_series, pl.String())


def _canonical_series(texts: pl.Series) -> pl.Series:
    found = [None if text is None else canonical(text) for text in texts]
    return pl.Series(texts.name, found, dtype=pl.String)


def contains(whole: Document, part: Document) -> bool:
    """``whole @> part``: every pair and every element of the part is there, at any place of an array."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and contains(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and all(_in(whole, value) for value in part)
    if isinstance(whole, list):
        return _in([v for v in whole if not isinstance(v, (list, dict))], part)
    return same(whole, part)


def _in(items: list[Document], part: Document) -> bool:
    if isinstance(part, (dict, list)):
        return any(type(item) is type(part) and contains(item, part) for item in items)
    return any(same(item, part) for item in items)


def same(one: Document, two: Document) -> bool:
    """Compare; true is not 1."""
    return isinstance(one, bool) == isinstance(two, bool) and bool(one == two)


def joined(one: Document, two: Document) -> Document:
    """``one || two``: objects are merged, all else is put into one array."""
    if isinstance(one, dict) and isinstance(two, dict):
        return {**one, **two}
    left, right = (part if isinstance(part, list) else [part] for part in (one, two))
    return left + right


def without(document: Document, what: Step | Sequence[str]) -> Document:
    """``document - what``: without a key, keys, equal texts, or the element at a place."""
    if isinstance(what, int):
        if not isinstance(document, list):
            raise ValueError("cannot delete from an object by number")  # noqa: TRY004 - of a row
        inside = -len(document) <= what < len(document)
        at = what % len(document) if inside else -1
        return [item for number, item in enumerate(document) if number != at]
    gone = {what} if isinstance(what, str) else set(what)
    if isinstance(document, dict):
        return {key: value for key, value in document.items() if key not in gone}
    if isinstance(document, list):
        return [item for item in document if not (isinstance(item, str) and item in gone)]
    raise ValueError("cannot delete from a scalar")


def without_nulls(document: Document) -> Document:
    """Return a document without the keys whose values are null."""
    if isinstance(document, dict):
        return {k: without_nulls(v) for k, v in document.items() if v is not None}
    return list(map(without_nulls, document)) if isinstance(document, list) else document


def changed(
    document: Document, path: Sequence[str], change: Callable[[Document, Step], Document]
) -> Document:
    """Return a copy in which ``change`` has been at the end of a path, with what holds it and where."""
    if not path or not isinstance(document, (dict, list)):
        return document
    step: Step = path[0]
    if isinstance(document, list):
        step = int(path[0])
    if len(path) == 1:
        return change(document, step)
    if isinstance(document, dict):
        return {k: changed(v, path[1:], change) if k == step else v for k, v in document.items()}
    at = int(step) + len(document) if int(step) < 0 else int(step)
    return [changed(v, path[1:], change) if n == at else v for n, v in enumerate(document)]


def put(value: Document, *, create: bool) -> Callable[[Document, Step], Document]:
    """``jsonb_set``: replace what is there, or add it if asked to."""

    def change(holder: Document, step: Step) -> Document:
        if isinstance(holder, dict):
            return {**holder, str(step): value} if create or step in holder else holder
        at = int(step)
        if -len(holder) <= at < len(holder):
            place = at % len(holder)
            return [value if n == place else v for n, v in enumerate(holder)]
        if not create:
            return holder
        return [*holder, value] if at >= 0 else [value, *holder]

    return change


def inserted(value: Document, *, after: bool) -> Callable[[Document, Step], Document]:
    """``jsonb_insert``: beside an element, or under a key that is not there."""

    def change(holder: Document, step: Step) -> Document:
        if isinstance(holder, dict):
            if step in holder:
                raise ValueError("cannot replace existing key")
            return {**holder, str(step): value}
        at = int(step) + len(holder) if int(step) < 0 else int(step)
        at = max(0, min(at + after, len(holder)))
        return [*holder[:at], value, *holder[at:]]

    return change


def removed(holder: Document, step: Step) -> Document:
    """``#-``: without what is at the end of a path."""
    return without(holder, step)
