"""What the server answers about a real run."""

from __future__ import annotations

import io
import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl
import pytest

import penstock as ps
from penstock.errors import ConfigError

from .asking import PATIENCE_S, ask, command, eventually, told
from .runs import MadeUp, counting, progress

KEYS = {f"key {number}" for number in range(5)}


def test_a_snapshot_has_the_run_and_its_steps(shown: str) -> None:
    (run,) = told(shown, "/api/snapshot")["runs"]
    assert (run["name"], run["state"], run["keeps_checkpoints"]) == ("pipeline", "running", True)
    kinds = [step["kind"] for step in run["steps"]]
    assert (kinds[0], kinds[-1]) == ("source", "sink")
    source, sink = run["steps"][0], run["steps"][-1]
    assert "runs.py" in source["line"]
    assert "scan_rate" in source["line"]
    assert "exactly once" in sink["guarantee"]
    assert 0 < run["latency_p50"] <= run["latency_p99"]
    assert run["checkpoints"][-1]["size_bytes"] > 0


def test_figures_move_and_rates_follow(shown: str) -> None:
    first = told(shown, "/api/snapshot")["runs"][0]
    later = eventually(
        lambda: (
            (run := told(shown, "/api/snapshot")["runs"][0])["rows_in"] > first["rows_in"] and run
        )
    )
    assert eventually(lambda: told(shown, "/api/snapshot")["runs"][0]["in_per_second"]) > 0
    assert later["epoch"] > first["epoch"]


def test_events_bring_snapshots_one_after_another(shown: str) -> None:
    parts = urlsplit(shown)
    with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S) as stream:
        stream.sendall(f"GET /api/events HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        lines = stream.makefile("rb")
        assert b"200" in lines.readline()
        found = [
            line for line in (lines.readline() for _ in range(40)) if line.startswith(b"data: ")
        ]
    snapshots = [json.loads(line.removeprefix(b"data: ")) for line in found[:2]]
    assert snapshots[0]["at"] < snapshots[1]["at"]


def test_latest_rows_of_a_step(shown: str) -> None:
    path = "/api/runs/pipeline/steps/source-1/rows"
    found = eventually(lambda: (rows := told(shown, path))["rows"] and rows)
    assert [column["kind"] for column in found["columns"]] == ["number", "instant"]
    assert len(found["rows"]) == found["total"] <= 50
    assert told(shown, "/api/runs/pipeline/steps/no-such/rows")["rows"] == []


def test_contents_of_a_view_are_its_rows_and_can_be_saved(shown: str) -> None:
    path = "/api/runs/pipeline/sinks/sink-1"
    found = eventually(lambda: (c := told(shown, f"{path}/contents"))["total"] == 5 and c)
    assert found["view"]
    assert {row[0] for row in found["rows"]} == KEYS
    assert (found["chart"], found["x"], found["y"]) == ("bars", "key", ["rows"])
    _, headers, csv = ask(shown, f"{path}/rows.csv")
    assert "attachment" in headers["content-disposition"]
    assert set(pl.read_csv(io.BytesIO(csv))["key"]) == KEYS
    _, _, parquet = ask(shown, f"{path}/rows.parquet")
    assert set(pl.read_parquet(io.BytesIO(parquet))["key"]) == KEYS
    assert ask(shown, f"{path}/rows.exe")[0] == 404


def test_dead_letters_say_why(shown: str) -> None:
    letters = told(shown, "/api/runs/pipeline/dead-letters")
    assert "offset" in letters[0]["bytes"]
    assert "conversion" in letters[0]["reason"]
    times = [letter["time"] for letter in letters]
    assert times == sorted(times, reverse=True)


def test_metrics_are_named_after_penstock(shown: str) -> None:
    status, headers, body = ask(shown, "/metrics")
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/plain")
    lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
    assert all(line.startswith("penstock_") for line in lines)
    figures = dict(line.rsplit(" ", 1) for line in lines)
    assert float(figures['penstock_rows_in_total{run="pipeline"}']) > 0
    refused = 'penstock_step_dead_letters_total{kind="map",run="pipeline",step="map-1"}'
    assert float(figures[refused]) > 0


def test_what_is_not_there(shown: str) -> None:
    assert ask(shown, "/api/runs/other/dead-letters")[0] == 404
    assert ask(shown, "/nothing")[0] == 404
    assert ask(shown, "/../../../etc/passwd")[0] == 404
    assert ask(shown, "/assets/%2e%2e/%2e%2e/server.py")[0] == 404
    assert ask(shown, "/health", "POST")[0] == 405


def test_pause_resume_and_stop(tmp_path: Path) -> None:
    with ps.Dashboard(port=0) as dashboard:
        query = counting(tmp_path).start(ui=dashboard)
        eventually(lambda: query.progress().rows_in)
        assert command(dashboard.address, "/api/runs/pipeline/pause") == (200, {"state": "paused"})
        assert told(dashboard.address, "/health")["runs"] == {"pipeline": "paused"}
        assert command(dashboard.address, "/api/runs/pipeline/resume") == (
            200,
            {"state": "running"},
        )
        before = query.progress().rows_in
        eventually(lambda: query.progress().rows_in > before)
        assert command(dashboard.address, "/api/runs/pipeline/stop")[0] == 200
        assert query.wait(PATIENCE_S)
        assert told(dashboard.address, "/api/snapshot")["runs"][0]["state"] == "stopped"


@pytest.mark.parametrize(
    ("state", "health", "ready"),
    [("running", 200, 200), ("restarting", 200, 503), ("failed", 503, 503), ("paused", 200, 200)],
)
def test_health_and_readiness(state: str, health: int, ready: int) -> None:
    with ps.Dashboard(port=0) as dashboard:
        assert dashboard.add(MadeUp(progress()), "one") == "one"
        assert dashboard.add(MadeUp(progress(state=state)), "one") == "one-2"
        assert ask(dashboard.address, "/health")[0] == health
        assert ask(dashboard.address, "/ready")[0] == ready


def test_a_port_that_is_taken_is_an_error_and_without_one_the_next_is_used() -> None:
    with ps.Dashboard() as first, ps.Dashboard() as second:
        ports = [urlsplit(dashboard.address).port for dashboard in (first, second)]
        assert ports[0] != ports[1]
        with pytest.raises(ConfigError, match="give another port"):
            ps.Dashboard(port=ports[0])
