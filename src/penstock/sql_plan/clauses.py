"""The clauses around CREATE SOURCE and CREATE SINK, taken out of a statement before it is parsed.

    CREATE SOURCE [IF NOT EXISTS] name [(columns, WATERMARK FOR ...)]
        [FROM 'url'] [WITH (connector = 'tail', ...)] [FORMAT PLAIN ENCODE JSON [(...)]]
    CREATE SINK [IF NOT EXISTS] name [INTO table] FROM view | AS SELECT ...
        [WITH (connector = 'sqlite', ...)] [FORMAT PLAIN ENCODE JSON]

What is left is ``CREATE TABLE name (columns)`` and ``CREATE VIEW name AS SELECT ...``, which the parser
knows. The values of options are secrets as far as this module knows: no error shows one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot.dialects.risingwave import RisingWave
from sqlglot.tokenizer_core import Token, TokenType

from penstock.errors import PlanError

OptionValue = str | int | float | bool | None | tuple[str | int | float, ...]


_CREATED = {"SOURCE": "TABLE", "SINK": "VIEW"}
_NAMED = {"TRUE": True, "FALSE": False, "NULL": None}
_CLOSING = {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}


@dataclass(frozen=True, slots=True)
class Clauses:
    """What a statement says of a connector. ``kind`` is SOURCE, SINK, or empty for other statements."""

    kind: str = ""
    options: Mapping[str, OptionValue] = field(default_factory=dict, repr=False)
    url: str | None = field(default=None, repr=False)
    into: str | None = None
    encoding: str | None = None
    encoding_options: Mapping[str, OptionValue] = field(default_factory=dict, repr=False)


def column_of(token: Token) -> int:
    """Return the column in which a token begins, from 1."""
    return int(token.col - (token.end - token.start))


def taken_out(tokens: Sequence[Token]) -> tuple[Clauses, list[Token]]:
    """Return the clauses of a CREATE SOURCE or SINK, and the tokens of what is left."""
    words = [token.text.upper() for token in tokens]
    at = 3 if words[1:3] == ["OR", "REPLACE"] else 1
    kind = words[at] if words[0] == "CREATE" and len(words) > at else ""
    if kind not in _CREATED:
        return Clauses(), list(tokens)
    taken = _Taken(tokens, kind)
    head = [*tokens[:at], *_made(_CREATED[kind], tokens[at])]
    start = at + (4 if words[at + 1 : at + 4] == ["IF", "NOT", "EXISTS"] else 1)
    rest = taken.rest(start)
    return taken.clauses(), [*head, *tokens[at + 1 : start], *rest]


def _made(text: str, like: Token) -> list[Token]:
    """Return tokens of ours that stand where another one stood, as far as errors say."""
    found = []
    for token in RisingWave().tokenize(text):
        place = (like.line, like.col, like.start, like.end)
        found.append(Token(token.token_type, token.text, *place))
    return found


def refused(token: Token, what: str, *, hint: str | None = None) -> PlanError:
    """Return an error that says where, and nothing of what stands there."""
    return PlanError(
        f"{what} at line {token.line}, column {column_of(token)}", step="sql", hint=hint
    )


class _Taken:
    """Reads the tokens behind the name of a source or sink, once from left to right."""

    def __init__(self, tokens: Sequence[Token], kind: str) -> None:
        self._tokens = tokens
        self._kind = kind
        self._options: Mapping[str, OptionValue] | None = None
        self._url: str | None = None
        self._into: str | None = None
        self._encoding: str | None = None
        self._encoding_options: Mapping[str, OptionValue] = {}

    def clauses(self) -> Clauses:
        """Return what was found."""
        return Clauses(
            self._kind,
            self._options or {},
            self._url,
            self._into,
            self._encoding,
            self._encoding_options,
        )

    def rest(self, start: int) -> list[Token]:
        """Return the tokens from ``start`` (the name) on that are not of a clause."""
        left: list[Token] = []
        at, depth = start, 0
        while at < len(self._tokens):
            token = self._tokens[at]
            depth += _CLOSING.get(token.token_type, 0)
            behind = None if depth or at == start else self._clause(at, left)
            if behind is None:
                left.append(token)
                at += 1
            else:
                at = behind
        return left

    def _clause(self, at: int, left: list[Token]) -> int | None:
        """Read the clause that begins here, and return where it ends; None if none begins."""
        word, following = self._word(at), self._word(at + 1)
        if word == "WITH" and following == "(":
            if self._options is not None:
                raise refused(self._tokens[at], "WITH (...) is given twice")
            self._options, behind = self._listed(at + 1)
            return behind
        if word == "FORMAT" and self._word(at + 2) == "ENCODE":
            return self._encoded(at)
        if word == "FROM" and self._kind == "SOURCE":
            return self._address(at)
        if word == "INTO" and self._kind == "SINK" and len(left) == 1:
            self._into = self._token(at + 1, "the name of a table").text
            return at + 2
        if word == "FROM" and self._kind == "SINK" and len(left) == 1:
            left += _made("AS SELECT * FROM", self._tokens[at])
            return at + 1
        return None

    def _address(self, at: int) -> int:
        token = self._token(at + 1, "a quoted URL or path")
        if token.token_type is not TokenType.STRING:
            raise refused(token, "a source is FROM a quoted URL or path")
        self._url = token.text
        return at + 2

    def _encoded(self, at: int) -> int:
        if self._word(at + 1) != "PLAIN":
            raise refused(
                self._tokens[at + 1],
                f"FORMAT {self._word(at + 1)} is not supported",
                hint="FORMAT PLAIN ENCODE JSON reads each message as one row",
            )
        self._encoding = self._token(at + 3, "the name of an encoding").text.lower()
        if self._word(at + 4) != "(":
            return at + 4
        self._encoding_options, behind = self._listed(at + 4)
        return behind

    def _listed(self, at: int) -> tuple[Mapping[str, OptionValue], int]:
        """Read ``(name = value, ...)`` from its opening parenthesis on."""
        found: dict[str, OptionValue] = {}
        at += 1
        while self._word(at) != ")":
            first, name = self._tokens[at] if at < len(self._tokens) else None, ""
            while self._word(at) not in ("=", ""):
                name += self._tokens[at].text
                at += 1
            if first is None or self._word(at) != "=" or not name:
                raise refused(first or self._tokens[-1], "an option is written name = value")
            if name in found:
                raise refused(first, f"option {name!r} is given twice")
            found[name], at = self._value(at + 1, name)
            if self._word(at) == ",":
                at += 1
            elif self._word(at) != ")":
                raise refused(first, f"a comma or ) is missing behind option {name!r}")
        return found, at + 1

    def _value(self, at: int, name: str) -> tuple[OptionValue, int]:
        token = self._token(at, f"the value of option {name!r}")
        if self._word(at) == "ARRAY" and self._word(at + 1) == "[":
            return self._several(at + 2, name)
        if token.text == "-":
            number = self._token(at + 1, f"the value of option {name!r}")
            return -_number(number, name), at + 2
        if token.token_type is TokenType.STRING:
            return token.text, at + 1
        if token.token_type is TokenType.NUMBER:
            return _number(token, name), at + 1
        if token.text.upper() in _NAMED:
            return _NAMED[token.text.upper()], at + 1
        raise refused(
            token, f"option {name!r} needs a quoted text, a number, true, false or ARRAY[...]"
        )

    def _several(self, at: int, name: str) -> tuple[OptionValue, int]:
        found: list[str | int | float] = []
        while self._word(at) != "]":
            value, at = self._value(at, name)
            if not isinstance(value, (str, int, float)):
                raise refused(self._tokens[at - 1], f"option {name!r} cannot hold that")
            found.append(value)
            if self._word(at) == ",":
                at += 1
            elif self._word(at) != "]":
                raise refused(self._tokens[at - 1], f"a ] is missing in option {name!r}")
        return tuple(found), at + 1

    def _word(self, at: int) -> str:
        """Return a token in capitals; empty behind the end, and for texts, which are no keywords."""
        if at >= len(self._tokens):
            return ""
        token = self._tokens[at]
        return "'" if token.token_type is TokenType.STRING else token.text.upper()

    def _token(self, at: int, what: str) -> Token:
        if at >= len(self._tokens):
            raise refused(self._tokens[-1], f"{what} is missing behind the end")
        return self._tokens[at]


def _number(token: Token, name: str) -> int | float:
    if token.token_type is not TokenType.NUMBER:
        raise refused(token, f"option {name!r} needs a number behind the minus")
    try:
        return int(token.text)
    except ValueError:
        return float(token.text)
