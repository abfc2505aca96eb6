"""Which page to ask for next, and which rows an answer holds: decisions without I/O.

    Link: <https://api/items?page=2>; rel="next"      "link"      the URL that it gives
    {"items": [...], "next": "https://api/..."}       "next"      the URL in a field
    {"items": [...], "meta": {"cursor": "abc"}}       "cursor"    the value of a field, as a parameter
    page=1, page=2, ... until one has no rows         "number"
    offset=0, offset=100, ... until one has no rows   "offset"
    one page                                          "none"

At the end the last page is asked for again, each interval, and only rows beyond those it had are new:
of "none" every answer that is not 304 is.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

import msgspec

from penstock.errors import ConnectorError, Fault

_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_NEXT = re.compile(r';\s*rel\s*=\s*"?(?:[^"]*\s)?next(?:\s[^"]*)?"?', re.IGNORECASE)


class Paging(enum.Enum):
    """How an answer leads to the next page."""

    NONE = "none"
    LINK = "link"
    NEXT = "next"
    CURSOR = "cursor"
    NUMBER = "number"
    OFFSET = "offset"


@dataclass(frozen=True, slots=True)
class Pages:
    """How pages follow each other.

    ``rows_field`` is where the rows are, ``next_field`` where the next URL or cursor is, with dots between
    the names of fields within fields. ``parameter`` names the query parameter of cursor, number or
    offset; ``size`` is sent as ``size_parameter``, if given.
    """

    paging: Paging = Paging.NONE
    rows_field: str | None = None
    next_field: str = "next"
    parameter: str = "page"
    first: int = 1
    size: int | None = None
    size_parameter: str = "limit"


class Place(msgspec.Struct, frozen=True):
    """A page: ``at`` is a URL, a cursor, a number or an offset (None: the first), ``had`` how many of
    its rows were taken already, and how the server named its contents then."""

    at: str | int | None = None
    had: int = 0
    etag: str | None = None
    modified: str | None = None


def page_url(pages: Pages, first_url: str, place: Place) -> str:
    """Return the URL of a page."""
    at = place.at
    if pages.paging in (Paging.LINK, Paging.NEXT):
        return first_url if at is None else str(at)
    given: dict[str, object] = {}
    if pages.size is not None:
        given[pages.size_parameter] = pages.size
    if pages.paging is Paging.CURSOR and at is not None:
        given[pages.parameter] = at
    if pages.paging is Paging.NUMBER:
        given[pages.parameter] = pages.first if at is None else at
    if pages.paging is Paging.OFFSET:
        given[pages.parameter] = 0 if at is None else at
    return with_parameters(first_url, given) if given else first_url


def with_parameters(url: str, given: Mapping[str, object]) -> str:
    """Return a URL with query parameters, in place of those of the same names."""
    parts = urlsplit(url)
    kept = [(n, v) for n, v in parse_qsl(parts.query, keep_blank_values=True) if n not in given]
    query = urlencode([*kept, *((name, str(value)) for name, value in given.items())])
    return urlunsplit(parts._replace(query=query))


@dataclass(frozen=True, slots=True)
class Answer:
    """One page as it came."""

    url: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Turn:
    """The new rows of a page, what comes after it, and whether that may be asked for at once."""

    rows: Sequence[bytes]
    place: Place
    more: bool


def turn(pages: Pages, place: Place, answer: Answer, rows: Sequence[bytes], step: str) -> Turn:
    """Return the rows of a page beyond those it had, and where to go on."""
    new = rows[place.had :]
    following = _following(pages, place, answer, rows, step)
    if following is not None:
        return Turn(new, following, more=True)
    had = 0 if pages.paging is Paging.NONE else max(len(rows), place.had)
    named = (answer.headers.get("etag"), answer.headers.get("last-modified"))
    return Turn(new, Place(place.at, had, *named), more=False)


def _following(
    pages: Pages, place: Place, answer: Answer, rows: Sequence[bytes], step: str
) -> Place | None:
    """Return the page after this one; None if it is the last by now."""
    paging = pages.paging
    if paging is Paging.LINK:
        return _linked(answer, _next_link(answer.headers.get("link", "")), step)
    if paging is Paging.NEXT:
        found = field(answer.body, pages.next_field, step)
        return _linked(answer, found if isinstance(found, str) else None, step)
    if paging is Paging.CURSOR:
        found = field(answer.body, pages.next_field, step)
        moved = found is not None and found != "" and found != place.at
        known = isinstance(found, str | int) and not isinstance(found, bool)
        return Place(found) if moved and known and rows else None  # type: ignore[arg-type]
    if paging is Paging.NUMBER:
        full = len(rows) >= (pages.size or 1)
        number = pages.first if place.at is None else int(place.at)
        return Place(number + 1) if full else None
    if paging is Paging.OFFSET:
        begin = 0 if place.at is None else int(place.at)
        return Place(begin + len(rows)) if rows else None
    return None


def _linked(answer: Answer, link: str | None, step: str) -> Place | None:
    if not link:
        return None
    url = urljoin(answer.url, link)
    here, there = urlsplit(answer.url), urlsplit(url)
    if (here.scheme, here.netloc.rpartition("@")[2]) != (there.scheme, there.netloc):
        raise ConnectorError(
            "the next page is on another server, which would be sent our token",
            step=step,
            value=there.netloc,
            fault=Fault.REMOTE,
            hint="give the URL of that server",
        )
    return None if url == answer.url else Place(url)


def _next_link(header: str) -> str | None:
    for url, parameters in _LINK.findall(header):
        if _NEXT.search(parameters):
            return str(url)
    return None


def field(body: bytes, path: str, step: str) -> object:
    """Return the value of a field of a JSON object; None if it is not there."""
    found = _raw(body, path, step)
    return None if found is None else msgspec.json.decode(found)


def rows_of(body: bytes, path: str | None, step: str) -> list[bytes]:
    """Return the rows of a JSON document: the elements of the array at ``path``, or an object."""
    found = body.strip() if path is None else _raw(body, path, step)
    if found is None or found in (b"", b"null"):
        return []
    if not found.startswith(b"["):
        return [found]
    try:
        return [bytes(raw) for raw in msgspec.json.decode(found, type=list[msgspec.Raw])]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _no_json(error, step) from error


def _raw(body: bytes, path: str, step: str) -> bytes | None:
    found = body
    for name in path.split("."):
        try:
            fields = msgspec.json.decode(found, type=dict[str, msgspec.Raw])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _no_json(error, step) from error
        if name not in fields:
            return None
        found = bytes(fields[name])
        if found == b"null":
            return None
    return found


def _no_json(error: Exception, step: str) -> ConnectorError:
    return ConnectorError(
        f"the page is not the JSON that was expected: {error}",
        step=step,
        fault=Fault.REMOTE,
        retry=True,
        hint="check rows_field= and next_field=, if it is always so",
    )
