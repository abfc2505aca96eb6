"""The marks of parameters and table names among the tokens of a text: ``?``, ``$1``, ``{bids}``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot.tokenizer_core import Token, TokenType

_MARK = "\ufdd0"
_DOLLAR = re.compile(r"(?<![\w$])\$(?=\d)")
"""The dollar of a parameter: the tokenizer would read ``$1, $`` as the opening of a quoted text."""


def dollars_kept(text: str) -> str:
    """Return a text whose ``$1`` the tokenizer leaves alone, for ``named`` to read."""
    return _DOLLAR.sub(_MARK, text)


def word(token: Token) -> str:
    """Return a token in capitals; one in quotes is no word of the language."""
    quoted = token.token_type in (TokenType.STRING, TokenType.IDENTIFIER)
    return "" if quoted else token.text.upper()


def named(tokens: list[Token]) -> Iterator[Token]:
    """Read ``{bids}`` as ``bids``, ``$1`` as a parameter, and the first ``?`` as ``$1``.

    Behind an operand ``?`` is the operator of ``jsonb``: ``j ? 'key'``.
    """
    count = 0
    skipped = 0
    for at, token in enumerate(tokens):
        place = (token.line, token.col, token.start, token.end)
        if at < skipped:
            continue
        if token.token_type is TokenType.PLACEHOLDER and not _is_operand(tokens, at):
            count += 1
            yield from _parameter(str(count), place)
        elif _before_bars(tokens[at : at + 2]):  # ``?||'x'``: the tokenizer reads ``?|`` and ``|``
            count += 1
            skipped = at + 2
            yield from _parameter(str(count), place)
            yield Token(TokenType.DPIPE, "||", *place)
        elif token.token_type is TokenType.VAR and token.text.startswith(_MARK):
            yield from _parameter(token.text[1:], place)
        elif _in_braces(tokens[at : at + 3]):
            skipped = at + 3
            yield tokens[at + 1]
        elif _MARK in token.text:
            yield Token(token.token_type, token.text.replace(_MARK, "$"), *place)
        else:
            yield token


def _parameter(number: str, place: tuple[int, int, int, int]) -> Iterator[Token]:
    yield Token(TokenType.PARAMETER, "$", *place)
    yield Token(TokenType.NUMBER, number, *place)


_OPERANDS = {
    TokenType.VAR,
    TokenType.IDENTIFIER,
    TokenType.STRING,
    TokenType.NUMBER,
    TokenType.R_PAREN,
    TokenType.R_BRACKET,
}


_BEFORE_VALUES = {"SEPARATOR", "ZONE", "PLACING", "SYMMETRIC", "BY", "TOP", "LEADING", "TRAILING",
                  "BOTH", "DIV", "GROUPS"}  # fmt: skip
"""Words that the tokenizer takes for names, behind which a value stands."""


def _is_operand(tokens: list[Token], end: int) -> bool:
    """Tell whether what stands before is a value: ``j``, ``f(x)``, ``'{}'::jsonb``, ``?``."""
    if end == 0:
        return False
    before = tokens[end - 1]
    if before.token_type is TokenType.PLACEHOLDER:
        return not _is_operand(tokens, end - 1)
    cast = end > 1 and tokens[end - 2].token_type is TokenType.DCOLON
    return cast or (before.token_type in _OPERANDS and word(before) not in _BEFORE_VALUES)


def _before_bars(tokens: list[Token]) -> bool:
    kinds = [token.token_type for token in tokens]
    return kinds == [TokenType.QMARK_PIPE, TokenType.PIPE] and tokens[1].start == tokens[0].end + 1


def _in_braces(tokens: list[Token]) -> bool:
    kinds = [token.token_type for token in tokens]
    ends = kinds[:1] == [TokenType.L_BRACE] and kinds[2:] == [TokenType.R_BRACE]
    return ends and word(tokens[1]).isidentifier()
