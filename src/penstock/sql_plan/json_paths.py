"""SQL/JSON paths: ``$.a[*].b ? (@ > 2 && @.c == "x")``, in their lax mode."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from penstock.sql_plan.json_documents import Document, read, same

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"""
    r"""|(?P<mark>\&\&|\|\||==|!=|<>|<=|>=|[$@.?()\[\]*,!<>]))"""
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
Items = list[Document]


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a path: its kind and its text."""

    kind: str
    text: str


def parsed(path: str) -> Callable[[Document], Items]:
    """Return what a path finds in a document; ``ValueError`` where it cannot be read."""
    reader = _Reader(list(_tokens(path)))
    find = reader.either()
    if reader.left:
        raise ValueError(f"cannot read the path at {reader.left[0].text!r}")
    return lambda document: find(document, document)


def _tokens(path: str) -> Iterator[Token]:
    at, path = 0, path.strip().removeprefix("lax ").rstrip()
    while at < len(path):
        match = _TOKEN.match(path, at)
        if match is None:
            raise ValueError(f"cannot read the path at {path[at:]!r}")
        kind = str(match.lastgroup)
        yield Token(kind, match[kind])
        at = match.end()


_Find = Callable[[Document, Document], Items]
"""Finds items, given the whole document and the item that ``@`` stands for."""


class _Reader:
    """Reads from left to right; each method reads one level of precedence."""

    def __init__(self, left: list[Token]) -> None:
        self.left = left

    def _next(self, *texts: str) -> str | None:
        if self.left and self.left[0].text in texts and self.left[0].kind != "text":
            return self.left.pop(0).text
        return None

    def _require(self, text: str) -> None:
        if self._next(text) is None:
            raise ValueError(f"{text!r} is missing in the path")

    def either(self) -> _Find:
        found = self._both()
        while self._next("||"):
            found = _logic(found, self._both(), any)
        return found

    def _both(self) -> _Find:
        found = self._compared()
        while self._next("&&"):
            found = _logic(found, self._compared(), all)
        return found

    def _compared(self) -> _Find:
        if self._next("!"):
            inner = self._compared()
            return lambda whole, item: [inner(whole, item) != [True]]
        left = self._operand()
        mark = self._next("==", "!=", "<>", *_COMPARE)
        return left if mark is None else _comparison(left, mark, self._operand())

    def _operand(self) -> _Find:
        if self._next("("):
            found = self.either()
            self._require(")")
            return found
        if not self.left:
            raise ValueError("the path ends too early")
        token = self.left.pop(0)
        if token.text in ("$", "@") and token.kind == "mark":
            return self._steps(token.text)
        if token.kind in ("text", "number") or token.text in ("true", "false", "null"):
            value = read(token.text)
            return lambda _, __: [value]
        raise ValueError(f"cannot read the path at {token.text!r}")

    def _steps(self, start: str) -> _Find:
        steps: list[Callable[[Document, Items], Items]] = []
        while self.left:
            if self._next("."):
                steps.append(self._member())
            elif self._next("["):
                steps.append(self._elements())
            elif self._next("?"):
                self._require("(")
                condition = self.either()
                self._require(")")
                steps.append(_filter(condition))
            else:
                break

        def find(whole: Document, item: Document) -> Items:
            items: Items = [whole if start == "$" else item]
            for step in steps:
                items = step(whole, items)
            return items

        return find

    def _member(self) -> Callable[[Document, Items], Items]:
        if self._next("*"):
            return lambda _, items: [
                v for i in _unwrapped(items) if isinstance(i, dict) for v in i.values()
            ]
        token = self.left.pop(0) if self.left else Token("mark", "the end")
        if token.kind not in ("text", "name"):
            raise ValueError(f"a name is missing in the path before {token.text!r}")
        if token.kind == "name" and self._next("("):
            self._require(")")
            return _method(token.text)
        name = str(read(token.text)) if token.kind == "text" else token.text
        return lambda _, items: [
            i[name] for i in _unwrapped(items) if isinstance(i, dict) and name in i
        ]

    def _elements(self) -> Callable[[Document, Items], Items]:
        if self._next("*"):
            self._require("]")
            return lambda _, items: _unwrapped(items)
        places: list[int | None] = []
        while True:
            token = self.left.pop(0) if self.left else Token("mark", "the end")
            if token.text != "last" and not token.text.lstrip("-").isdigit():
                raise ValueError(f"a place in an array is a number, not {token.text!r}")
            places.append(None if token.text == "last" else int(token.text))
            if not self._next(","):
                break
        self._require("]")
        return lambda _, items: [v for i in items for v in _at(i, places)]


def _at(item: Document, places: list[int | None]) -> Items:
    array = item if isinstance(item, list) else [item]
    found = (len(array) - 1 if place is None else place for place in places)
    return [array[place] for place in found if 0 <= place < len(array)]


def _unwrapped(items: Items) -> Items:
    return [v for item in items for v in (item if isinstance(item, list) else [item])]


def _method(name: str) -> Callable[[Document, Items], Items]:
    if name == "size":
        return lambda _, items: [len(i) if isinstance(i, list) else 1 for i in items]
    if name == "type":
        return lambda _, items: [_kind(i) for i in items]
    raise ValueError(f"the method {name}() of paths is not supported")


def _kind(item: Document) -> str:
    known = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return known.get(type(item), "number")


def _filter(condition: _Find) -> Callable[[Document, Items], Items]:
    return lambda whole, items: [i for i in _unwrapped(items) if condition(whole, i) == [True]]


def _logic(one: _Find, two: _Find, combine: Callable[[list[bool]], bool]) -> _Find:
    return lambda whole, item: [combine([one(whole, item) == [True], two(whole, item) == [True]])]


def _comparison(left: _Find, mark: str, right: _Find) -> _Find:
    def compare(whole: Document, item: Document) -> Items:
        pairs = [
            (a, b) for a in _unwrapped(left(whole, item)) for b in _unwrapped(right(whole, item))
        ]
        return [any(_holds(a, mark, b) for a, b in pairs)]

    return compare


def _holds(a: Document, mark: str, b: Document) -> bool:
    if mark in ("==", "!=", "<>"):
        comparable = _kind(a) == _kind(b) or None in (a, b)
        return comparable and same(a, b) == (mark == "==")
    numbers = all(isinstance(x, (int, Decimal)) and not isinstance(x, bool) for x in (a, b))
    if not numbers and not (isinstance(a, str) and isinstance(b, str)):
        return False
    return _COMPARE[mark](a, b)
