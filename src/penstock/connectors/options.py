"""Options as users write them, in functions and URLs: durations, choices, column names, addresses."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

from penstock.errors import ConfigError
from penstock.instants import Duration, duration_ns

_Choice = TypeVar("_Choice", bound=enum.Enum)
_Spec = TypeVar("_Spec")


class Start(enum.Enum):
    """Where a run without checkpoint begins to read a topic."""

    EARLIEST = "earliest"
    LATEST = "latest"


class Stop(enum.Enum):
    """Whether the reading of a topic ends."""

    NEVER = "never"
    AT_END = "at end"
    """At what is there when it is first opened."""


def duration(value: Duration, *, step: str, option: str) -> timedelta:
    """Return a duration given as ``"1h30m"``, a timedelta or seconds, to the microsecond."""
    return timedelta(microseconds=duration_ns(value, step=step, option=option) // 1000)


def choice(kind: type[_Choice], value: _Choice | str, *, step: str, option: str) -> _Choice:
    """Return the member of an enum that is meant: ``"at end"``, ``"at_end"``, ``Stop.AT_END``."""
    if isinstance(value, kind):
        return value
    if isinstance(value, str):
        for member in kind:
            if _plain(value) in (_plain(member.value), _plain(member.name)):
                return member
    raise ConfigError(
        f"{option} cannot be {value!r}",
        step=step,
        value=value,
        alternatives=[_plain(member.name) for member in kind],
    )


def _plain(text: str) -> str:
    return text.lower().replace("_", " ").replace("-", " ")


def check_start(start: object, step: str) -> None:
    """Raise ``ConfigError`` if a start is an instant without time zone."""
    if isinstance(start, datetime) and start.tzinfo is None:
        raise ConfigError("the start instant needs a time zone", step=step, value=start)


def names(value: str | Iterable[str]) -> tuple[str, ...]:
    """Return column names given as one or several: ``"a"`` -> ``("a",)``."""
    return (value,) if isinstance(value, str) else tuple(value)


def address(value: str | int, *, step: str, default_host: str) -> tuple[str, int]:
    """Return host and port of ``"host:port"``, ``":port"``, ``"[::1]:port"`` or a port number."""
    text = f":{value}" if isinstance(value, int) else value
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number, or beyond 65535
        host = port = None
    if port is None or parts.path.strip("/") or parts.query or parts.username:
        raise ConfigError(
            f"not an address: {value!r}", step=step, value=value, hint='write "host:port"'
        )
    return host or default_host, port


def taking(
    other: Callable[..., object],
) -> Callable[[Callable[..., _Spec]], Callable[..., _Spec]]:
    """Give functions the keyword options of ``other`` beside their own.

    They get those that are given as ``access``, and hand them on: ``other(..., **access)``.
    """
    shared = {
        name: each
        for name, each in inspect.signature(other).parameters.items()
        if each.kind is inspect.Parameter.KEYWORD_ONLY
    }

    def decorate(function: Callable[..., _Spec]) -> Callable[..., _Spec]:
        own = inspect.signature(function)
        mine = [each for name, each in own.parameters.items() if name != "access"]
        last = [each for each in mine if each.kind is inspect.Parameter.VAR_KEYWORD]
        before = [each for each in mine if each not in last]

        @functools.wraps(function)
        def wrapped(*arguments: Any, **options: Any) -> _Spec:
            access = {name: options.pop(name) for name in shared if name in options}
            return function(*arguments, access=access, **options)

        whole = own.replace(parameters=[*before, *shared.values(), *last])
        wrapped.__signature__ = whole  # type: ignore[attr-defined]
        return wrapped

    return decorate


def check_options(
    step: str, builder: Callable[..., object], options: Mapping[str, Any], *, given: int
) -> None:
    """Raise ``ConfigError`` for an option that a function lacks, or one that it needs.

    ``given``: how many parameters get their value in another way, from the left.
    """
    parameters = list(inspect.signature(builder).parameters.values())[given:]
    known = [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
    open_ended = len(known) < len(parameters)
    for option in options:
        if option not in known and not open_ended:
            raise ConfigError(
                f"there is no option {option!r}", step=step, value=option, alternatives=known
            )
    for parameter in parameters:
        needed = parameter.default is parameter.empty and parameter.name in known
        if needed and parameter.name not in options:
            raise ConfigError(
                f"{parameter.name}= is missing", step=step, hint=f"give {parameter.name}=..."
            )
