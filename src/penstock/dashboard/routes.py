"""What the server answers: one table, from which the OpenAPI document is made as well."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec
import polars as pl
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from penstock.dashboard.contract import Watched
from penstock.dashboard.hub import Hub
from penstock.dashboard.metrics import CONTENT_TYPE, exposition
from penstock.dashboard.page import files
from penstock.dashboard.shapes import letter_views, rows_view
from penstock.dashboard.views import Done, Health, LetterView, RowsView, Snapshot
from penstock.errors import PenstockError
from penstock.hiding import hidden
from penstock.runtime.progress import Rows

Answer = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path, what it does in a sentence, and the structure that it answers with (None: other)."""

    method: str
    path: str
    summary: str
    answers: object
    answer: str


ENDPOINTS: Sequence[Endpoint] = (
    Endpoint("GET", "/health", "200 unless a run has failed (503).", Health, "health"),
    Endpoint("GET", "/ready", "200 when every run has started (503 before).", Health, "ready"),
    Endpoint("GET", "/metrics", "Metrics for Prometheus, penstock_*.", None, "metrics"),
    Endpoint("GET", "/openapi.json", "This document.", None, "openapi"),
    Endpoint("GET", "/api/snapshot", "All runs and their steps.", Snapshot, "snapshot"),
    Endpoint("GET", "/api/events", "Snapshots as server-sent events.", None, "events"),
    Endpoint(
        "GET",
        "/api/runs/{run}/steps/{step}/rows",
        "The latest rows of a step, sampled while somebody asks.",
        RowsView,
        "rows",
    ),
    Endpoint(
        "GET",
        "/api/runs/{run}/sinks/{step}/contents",
        "What a sink holds, or its latest rows.",
        RowsView,
        "contents",
    ),
    Endpoint(
        "GET",
        "/api/runs/{run}/sinks/{step}/{file}",
        "The same as a file: rows.csv or rows.parquet.",
        None,
        "download",
    ),
    Endpoint(
        "GET",
        "/api/runs/{run}/dead-letters",
        "The latest dead letters of this start, newest first.",
        list[LetterView],
        "dead_letters",
    ),
    Endpoint("POST", "/api/runs/{run}/pause", "Take no rows until resumed.", Done, "pause"),
    Endpoint("POST", "/api/runs/{run}/resume", "Go on.", Done, "resume"),
    Endpoint(
        "POST", "/api/runs/{run}/stop", "Finish the epoch, make a checkpoint, end.", Done, "stop"
    ),
)

_NO_ROWS = Rows(pl.DataFrame(), taken=0.0)


class Routes:
    """The answers, by the names in ``ENDPOINTS``."""

    def __init__(self, hub: Hub, document: bytes) -> None:
        self._hub = hub
        self._document = document
        self.closing = False

    async def page(self, request: Request) -> Response:
        """Send a file of the page."""
        found = files().get(request.path_params["path"])
        if found is None:
            return _refused("there is no such page", 404)
        headers = {"cache-control": found.cached}
        return Response(found.content, media_type=found.type, headers=headers)

    async def health(self, _: Request) -> Response:
        """Tell whether no run has failed."""
        found = self._hub.health()
        return _json(found, 503 if found.status == "failed" else 200)

    async def ready(self, _: Request) -> Response:
        """Tell whether all runs run."""
        found = self._hub.health()
        return _json(found, 200 if found.status == "ok" else 503)

    async def metrics(self, _: Request) -> Response:
        """Tell the figures to Prometheus."""
        return Response(exposition(self._hub.runs), media_type=CONTENT_TYPE)

    async def openapi(self, _: Request) -> Response:
        """Describe all this."""
        return Response(self._document, media_type="application/json")

    async def snapshot(self, _: Request) -> Response:
        """Send all figures once."""
        return Response(self._hub.encoded(), media_type="application/json")

    async def events(self, _: Request) -> Response:
        """Send all figures again and again, each time the newest, as fast as they are taken."""
        return StreamingResponse(
            self._stream(), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    async def _stream(self) -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n"
        while not self.closing:
            yield b"data: " + self._hub.encoded() + b"\n\n"
            await asyncio.sleep(self._hub.interval_s)

    async def rows(self, request: Request) -> Response:
        """Send the latest rows of a step."""
        return self._of_run(request, lambda run: _json(rows_view(_tail(run, request) or _NO_ROWS)))

    async def contents(self, request: Request) -> Response:
        """Send what a sink holds."""
        return self._of_run(
            request, lambda run: _json(rows_view(_contents(run, request) or _NO_ROWS))
        )

    async def download(self, request: Request) -> Response:
        """Send what a sink holds as a file."""
        return self._of_run(request, lambda run: _file(run, request))

    async def dead_letters(self, request: Request) -> Response:
        """Send the latest dead letters."""
        return self._of_run(request, lambda run: _json(letter_views(run.dead_letters())))

    async def pause(self, request: Request) -> Response:
        """Pause a run."""
        return self._commanded(request, lambda run: run.pause())

    async def resume(self, request: Request) -> Response:
        """Let a run go on."""
        return self._commanded(request, lambda run: run.resume())

    async def stop(self, request: Request) -> Response:
        """End a run in good order."""
        return self._commanded(request, lambda run: run.request_stop())

    def _commanded(self, request: Request, command: Callable[[Watched], None]) -> Response:
        if request.headers.get("content-type") != "application/json":  # no form can send this
            return _refused("send content-type: application/json", 415)

        def obey(run: Watched) -> Response:
            command(run)
            return _json(Done(run.progress().state))

        return self._of_run(request, obey)

    def _of_run(self, request: Request, answer: Callable[[Watched], Response]) -> Response:
        run = self._hub.run(request.path_params["run"])
        if run is None:
            return _refused("there is no such run", 404)
        try:
            return answer(run)
        except PenstockError as error:
            return _refused(hidden(str(error)), 409)


def _tail(run: Watched, request: Request) -> Rows | None:
    step = request.path_params["step"]
    known = any(found.name == step for found in run.progress().steps)
    return run.watch.tail(step) if known else None


def _contents(run: Watched, request: Request) -> Rows | None:
    return run.watch.contents(request.path_params["step"])


def _file(run: Watched, request: Request) -> Response:
    name = request.path_params["file"]
    found = _contents(run, request)
    if name not in ("rows.csv", "rows.parquet") or found is None:
        return _refused("there is no such file: rows.csv, rows.parquet", 404)
    out = io.BytesIO()
    if name == "rows.csv":
        nested = [n for n, dtype in found.frame.schema.items() if dtype.is_nested()]
        found.frame.drop(nested).write_csv(out)
    else:
        found.frame.write_parquet(out)
    kind = "text/csv" if name == "rows.csv" else "application/vnd.apache.parquet"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(out.getvalue(), media_type=kind, headers=headers)


def _json(found: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(found), status, media_type="application/json")


def _refused(said: str, status: int) -> Response:
    return JSONResponse({"error": said}, status)
