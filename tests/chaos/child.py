"""The process that is killed. Forked from a server that has imported this module."""

from __future__ import annotations

import faulthandler
import importlib
import os
import signal
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import duckdb
import psycopg

import penstock as ps
from penstock.query import Query
from tests.chaos.pipelines import PIPELINES
from tests.chaos.points import Point, arm

LOADED = (duckdb, psycopg)
"""Drivers, loaded once in the fork server and not in every process."""

for _part in (
    "runtime.launch",
    *(f"connectors.{name}.config" for name in ("duckdb", "file_sink", "files", "postgres")),
    *(f"connectors.{name}.config" for name in ("sqlite", "topics")),
    *(f"connectors.{name}.sink" for name in ("duckdb", "file_sink", "postgres")),
    *(f"connectors.{name}.sink" for name in ("sqlite", "topics")),
    *(f"connectors.{name}" for name in ("files.tail", "topics.source", "formats.json")),
):
    importlib.import_module(f"penstock.{_part}")

INTERVAL = "20ms"
RUNNING = "running"
PATIENT = ps.Restart(initial_backoff="20ms", max_backoff="50ms")
"""Of a run that takes over: the other one holds its sinks' locks until it notices. Everywhere else a
failure is a mistake, and must be seen."""


@dataclass(frozen=True)
class Task:
    """What a process is to run, and where it is to kill itself, if anywhere."""

    pipeline: str
    folder: Path
    conninfo: str
    point: Point | None = None
    to_the_end: bool = False
    takeover: bool = False


def main(task: Task, parent: Connection) -> None:
    """Run until killed, until the parent lets go, or to the end of what there is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log = os.open(task.folder / "child.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.enable()
    try:
        _run(task, parent)
    except BaseException:  # noqa: BLE001 - told to the parent, who cannot see it
        (task.folder / "failed.txt").write_text(traceback.format_exc())
        os._exit(1)
    os._exit(0)  # threads of the fork server's libraries have nothing to say here


def _run(task: Task, parent: Connection) -> None:
    if task.point is not None:
        arm(task.point)
    queries = PIPELINES[task.pipeline](task.folder, task.conninfo)
    query: ps.Query = Query(*(root for each in queries for root in each.roots))
    query.start(
        checkpoint=task.folder / "checkpoint",
        checkpoint_interval=INTERVAL,
        restart=PATIENT if task.takeover else None,
        takeover=task.takeover,
    )
    if task.to_the_end:
        query.drain()
        return
    while query.progress().state == "created" and not query.wait(0.002):
        pass
    parent.send(RUNNING)
    while not parent.poll(0.05):
        query.wait(0)
    query.stop()
