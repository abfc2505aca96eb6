"""References to secrets: ``${env:NAME}`` and ``${file:/path}`` in options, URLs and connection texts.

A specification holds the reference; the value is looked up when something is opened, so that it is in
no plan, checkpoint, statement or ``repr``, and a changed one is taken at the next connection. What was
looked up is hidden in all messages. A connector calls ``revealed`` where it hands texts to its driver.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from penstock.errors import ConfigError
from penstock.hiding import is_secret_option, passwords_in, remember

WAY_OUT = "write ${env:NAME} or ${file:/path} in its place: it is looked up when it is needed"

_REFERENCE = re.compile(r"\$\{(\w+):([^${}]*)\}")
_BARE = re.compile(r"\$\{(\w+)\}")
_KINDS = ("env", "file")


def is_reference(text: str) -> bool:
    """Tell whether a text is a reference and nothing else."""
    return _REFERENCE.fullmatch(text) is not None


def revealed(text: str, *, step: str, quoted: Callable[[str], str] = str) -> str:
    """Return a text with the values of its references, ``quoted`` unless one is the whole text.

    Raises ``ConfigError`` for an environment variable that is not set, a file that cannot be read, and
    for ``${NAME}``, as a shell writes it.

    >>> import os
    >>> os.environ["EXAMPLE_PASSWORD"] = "s3cret"
    >>> revealed("${env:EXAMPLE_PASSWORD}", step="example")
    's3cret'
    """
    bare = _BARE.search(text)
    if bare is not None:
        raise ConfigError(
            f"{bare[0]} does not say where to look",
            step=step,
            value=bare[0],
            hint=f"write ${{env:{bare[1]}}} for the environment variable",
        )
    if _REFERENCE.fullmatch(text):
        quoted = str
    return _REFERENCE.sub(lambda match: quoted(_value(match[1], match[2], step)), text)


def revealed_connection(text: str, *, step: str) -> str:
    """Return a connection text for a driver: a URL, or ``host=... password=...`` as libpq takes it.

    Values are escaped as either wants it. Passwords that are in the text itself are hidden, too.
    """
    for password in passwords_in(text):
        remember(password)
    result = revealed(text, step=step, quoted=_for_url if "://" in text else _for_words)
    for password in passwords_in(result):
        remember(password)
    return result


def _for_url(value: str) -> str:
    escaped = quote(value, safe="")
    remember(escaped)
    return escaped


def _for_words(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    remember(escaped)
    return f"'{escaped}'"


def _value(kind: str, name: str, step: str) -> str:
    reference = f"${{{kind}:{name}}}"
    if kind == "env":
        value = os.environ.get(name)
        if not value:
            raise ConfigError(
                f"{reference}: the environment variable is not set",
                step=step,
                value=reference,
                hint=f"set {name} where the pipeline is started",
            )
    elif kind == "file":
        value = _read(Path(name), reference, step)
    else:
        raise ConfigError(
            f"{reference} refers to nothing that is known",
            step=step,
            value=kind,
            alternatives=_KINDS,
            hint=WAY_OUT,
        )
    remember(value)
    return value


def _read(path: Path, reference: str, step: str) -> str:
    try:
        value = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(
            f"{reference}: the file cannot be read: {reason}",
            step=step,
            value=reference,
            hint="the file holds the secret and nothing else",
        ) from None
    if not value:
        raise ConfigError(f"{reference}: the file is empty", step=step, value=reference)
    return value


def revealed_options(options: Mapping[str, str | bool], *, step: str) -> dict[str, str | bool]:
    """Return options with the values of their references; what is secret by its name is hidden."""
    found: dict[str, str | bool] = {}
    for name, value in options.items():
        found[name] = revealed(value, step=step) if isinstance(value, str) else value
        if is_secret_option(name) or name.endswith("_key_id"):
            remember(str(value))
    return found


def refuse_literals(options: Mapping[str, object], *, step: str) -> None:
    """Raise ``ConfigError`` for an option that holds a secret itself, where it would be written down."""
    for name, value in options.items():
        texts = value if isinstance(value, tuple) else (value,)
        for text in texts:
            if isinstance(text, str) and _is_literal(name, text):
                raise ConfigError(
                    f"option {name!r} holds a secret, which would be kept on disk as it is",
                    step=step,
                    value=name,
                    hint=WAY_OUT,
                )


def _is_literal(name: str, text: str) -> bool:
    if is_secret_option(name):
        return bool(text) and not is_reference(text)
    return bool(passwords_in(text))
