"""Server-sent events: a connection that is kept, and opened again where it was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.connectors.backoff import Pauses
from penstock.connectors.contract import Position
from penstock.connectors.http.connection import Connection
from penstock.connectors.http.failures import PASSING, retry_after_s, status_error, unreachable
from penstock.connectors.mailbox import Entry, Mailbox

if TYPE_CHECKING:
    import httpx2

METADATA = ("event", "id")
"""Columns that an event can have beside its data."""
_NO_CONTENT = 204
"""By the standard: do not come again."""


@dataclass(frozen=True, slots=True)
class Following:
    """What a live source of events is told; see ``SseSourceSpec``."""

    step: str
    connection: Connection
    events: tuple[str, ...]
    metadata: tuple[str, ...]
    max_event_bytes: int


class EventsClient:
    """Receives events; a mark is the id of the last event that had one."""

    def __init__(self, following: Following, box: Mailbox) -> None:
        self._following = following
        self._box = box
        self._id = ""
        self._asked_s: float | None = None
        self._pauses = Pauses(following.connection.backoff)
        self._url = following.connection.opened_url(following.step)
        self._http = following.connection.client(following.step)

    def begin(self, position: Position | None) -> None:
        """Go on behind an event."""
        self._id = position if isinstance(position, str) else ""

    def passed(self, entries: Sequence[Entry]) -> Position:
        """Return the id behind the last."""
        return entries[-1].mark

    def close(self) -> None:
        """The box says it: a connection that is quiet ends by its time-out."""

    def run(self) -> None:
        """Follow, and come again when the connection was lost, until the box is closed."""
        with self._http as http:
            while self._box.wait_for_room():
                if not self._connect(http):
                    return
                self._box.tell(quiet=False)
                if not self._box.pause(self._pauses.next_s(self._asked_s)):
                    return

    def _connect(self, http: httpx2.Client) -> bool:
        """Follow one connection to its end; False if there shall be no other."""
        import httpx2

        step = self._following.step
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self._id:
            headers["Last-Event-ID"] = self._id
        try:
            with http.stream("GET", self._url, headers=headers) as response:
                if response.status_code == _NO_CONTENT:
                    self._box.end()
                    return False
                if response.is_success:
                    return self._follow(response)
                if response.status_code not in PASSING:
                    raise status_error(response.status_code, step, "following the events")
                self._asked_s = retry_after_s(response.headers)
        except httpx2.SSEError as error:  # not events at all, or one that is too large
            raise unreachable(error, step, "following the events") from None
        except httpx2.TransportError as error:
            failure = unreachable(error, step, "following the events")
            if not failure.retry:
                raise failure from None
        return True

    def _follow(self, response: httpx2.Response) -> bool:
        import httpx2

        following = self._following
        self._box.tell(quiet=True)
        for event in httpx2.EventSource(response, following.max_event_bytes):
            self._pauses.succeeded()
            if event.retry is not None:
                self._asked_s = event.retry / 1000
            if event.id and event.id.isprintable() and event.id.isascii():  # what a header can hold
                self._id = event.id
            wanted = not following.events or event.event in following.events
            if wanted and event.data:
                beside = {"event": event.event, "id": event.id}
                columns = tuple(beside[name] for name in following.metadata)
                self._box.put([Entry(event.data.encode(), columns, self._id)])
                self._box.tell(quiet=True)
            if not self._box.wait_for_room():
                return False
        return True
