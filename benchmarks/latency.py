"""Arrival-to-output latency at a fixed rate over a local socket: ``python -m benchmarks.latency``.

A process of its own sends JSON lines, ten every millisecond, each with the instant of sending; the
callback sink compares it with the instant of arrival of the output that the row caused.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time

import numpy as np
import polars as pl

import penstock as ps
from penstock.connectors.formats.json import Json
from penstock.connectors.sockets.config import TcpServerSpec

RATE = 10_000
SECONDS = 10
_WARM_UP_S = 2
SCHEMA = pl.Schema({"sent": pl.Int64, "k": pl.Int64, "v": pl.Float64})


def send(port: int, seconds: float) -> None:
    """Send ``RATE`` rows a second, in groups of ten, on a steady schedule."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    started, number = time.perf_counter(), 0
    while number < RATE * seconds:
        due = started + number / RATE
        while time.perf_counter() < due:
            time.sleep(0.0001)
        sent = time.time_ns()
        lines = [
            f'{{"sent":{sent},"k":{(number + i) * 7919 % 100_000},"v":{(number + i) % 100}.5}}\n'
            for i in range(10)
        ]
        connection.sendall("".join(lines).encode())
        number += 10
    time.sleep(0.2)
    connection.close()


def measure(name: str) -> dict[str, float | int | str]:
    """Run one task while a sender runs beside it; latencies in milliseconds."""
    spec = TcpServerSpec(Json(SCHEMA), port=0)
    source = spec.open()
    port = source.address[1]
    source.close()
    spec = TcpServerSpec(Json(SCHEMA), port=port)
    stream = ps.from_source(spec)
    if name == "filter":
        stream = stream.filter(pl.col("v") > 25).select("sent", x=pl.col("v") * 2.5)
    else:
        stream = stream.group_by("k").agg(pl.len().alias("n"), pl.col("sent").max())
    taken: list[np.ndarray] = []
    first = time.perf_counter()

    def output(frame: pl.DataFrame) -> None:
        arrived = time.time_ns()
        sent = frame["sent"].to_numpy()
        if "_weight" in frame.columns:
            sent = sent[frame["_weight"].to_numpy() > 0]
        if time.perf_counter() - first > _WARM_UP_S + 1:
            taken.append(arrived - sent)

    query = stream.sink_callback(output).start()
    time.sleep(1)
    command = [sys.executable, "-m", "benchmarks.latency", "send", str(port), str(SECONDS)]
    subprocess.run(command, check=True)
    epochs = query.progress().epoch
    query.stop()
    values = np.concatenate(taken) / 1e6
    quantiles = np.quantile(values, [0.5, 0.9, 0.99, 1.0]).round(3).tolist()
    names = ("p50_ms", "p90_ms", "p99_ms", "max_ms")
    return {
        "task": name,
        "rows": len(values),
        "epochs": epochs,
        **dict(zip(names, quantiles, strict=True)),
    }


def main() -> None:
    """Measure both tasks, or be the sender."""
    if sys.argv[1:2] == ["send"]:
        send(int(sys.argv[2]), float(sys.argv[3]))
        return
    for name in sys.argv[1:] or ["filter", "count"]:
        print(json.dumps(measure(name)))


if __name__ == "__main__":
    main()
