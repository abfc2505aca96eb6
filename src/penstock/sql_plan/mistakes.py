"""What is said of a text that cannot be read: in plain words, with what is likely meant."""

from __future__ import annotations

import itertools
import re

from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from penstock.errors import PlanError, closest
from penstock.sql_plan.clauses import column_of
from penstock.sql_plan.parameter_marks import word

_STATEMENTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "WITH", "VALUES", "EXPLAIN",
               "SHOW", "DESCRIBE", "TRUNCATE")  # fmt: skip
_MISSING = re.compile(r"Required keyword: '\w+' missing for <class '[\w.]*\.(\w+)'>")


def refuse_joined_numbers(tokens: list[Token]) -> None:
    """Refuse ``1_000``, which would be 1 under the name ``_000``."""
    for number, name in itertools.pairwise(tokens):
        joined = number.token_type is TokenType.NUMBER and name.token_type is TokenType.VAR
        if joined and name.start == number.end + 1:
            text = number.text + name.text
            raise PlanError(
                f"{text!r} at line {number.line}, column {column_of(number)} is no number",
                step="sql",
                value=text,
                hint="a name after a number is set off by a blank",
            )


def unclosed(error: TokenError) -> str:
    """Say what the tokenizer missed, without the text around it, which may hold a password."""
    said = str(error)
    return said if said.startswith("Missing") else "a quote or a comment is not closed"


def plainly(said: str) -> str:
    """Say what the parser says without the names of its classes."""
    missing = _MISSING.search(said)
    if missing:
        return f"something is missing in {missing[1].upper()}"
    if "SENTINEL" in said:
        return f"{said.partition(' but got')[0]}, but the text ends"
    if said.startswith("Invalid expression"):
        return "this does not fit here"
    return said.partition(" <Token")[0]


def advice(tokens: list[Token], near: str) -> str | None:
    """Return what is likely meant, for mistakes that many make."""
    words = list(map(word, tokens))
    close = closest(words[0], _STATEMENTS)
    if words[0] not in _STATEMENTS and close:
        return f"did you mean {close}?"
    if near == "`":
        return 'names are quoted with ": "id"'
    if "TOP" in words[:3]:
        return "LIMIT 5 stands at the end"
    if "FORM" in words and "FROM" not in words:
        return "did you mean FROM?"
    return None
