"""What keeping arrivals in a topic costs: ``python -m benchmarks.arrivals``.

TCP lines of JSON (3 columns) into a callback, with a checkpoint each second, once without the topic and
once with it: processor time of the engine's process for a flood, and latency from sending to output
for single lines at 1,000 and groups of ten at 10,000 rows a second.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

import penstock as ps

ROWS = 4_000_000
SECONDS = 5
SCHEMA = {"sent": pl.Int64, "k": pl.Int64, "v": pl.Float64}


def connected(port: int) -> socket.socket:
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            return connection


def line(number: int) -> str:
    return f'{{"sent":{time.time_ns()},"k":{number * 7919 % 100_000},"v":{number % 100}.5}}\n'


def send_flood(port: int) -> None:
    block = "".join(line(n) for n in range(100_000)).encode()
    connection = connected(port)
    for _ in range(ROWS // 100_000):
        connection.sendall(block)
    connection.recv(1)  # until the other side closes


def send_steadily(port: int, rate: int) -> None:
    group = max(1, rate // 1000)
    connection, started, number = connected(port), time.perf_counter(), 0
    while number < rate * SECONDS:
        while time.perf_counter() < started + number / rate:
            time.sleep(0.0001)
        connection.sendall("".join(line(number + i) for i in range(group)).encode())
        number += group
    connection.recv(1)


def measure(durable: str, rate: int) -> dict[str, float]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder, taken, count = Path(tempfile.mkdtemp(dir=".")), [], 0
    wanted = rate * SECONDS or ROWS

    def output(frame: pl.DataFrame) -> None:
        nonlocal count
        count += frame.height
        if rate:
            taken.append(time.time_ns() - frame["sent"].to_numpy())

    stream = ps.scan_tcp(port, "json", SCHEMA, durable=None if durable == "topic" else False)
    query = stream.sink_callback(output).start(checkpoint=folder)
    command = [sys.executable, "-m", "benchmarks.arrivals", "send", str(port), str(rate)]
    with subprocess.Popen(command) as sender:
        while not count:
            time.sleep(0.001)
        used, began = time.process_time(), time.perf_counter()
        while count < wanted:
            time.sleep(0.001)
        used, took = time.process_time() - used, time.perf_counter() - began
        query.stop()
        sender.kill()
    found = {"cpu_us_per_row": used / wanted * 1e6, "rows_per_s": wanted / took}
    if rate:
        values = np.concatenate(taken[len(taken) // 5 :]) / 1e6
        quantiles = np.quantile(values, [0.5, 0.9, 0.99]).round(2).tolist()
        found |= dict(zip(("p50_ms", "p90_ms", "p99_ms"), quantiles, strict=True))
    return found


def main() -> None:
    if sys.argv[1:2] == ["send"]:
        port, rate = map(int, sys.argv[2:])
        if rate:
            send_steadily(port, rate)
        else:
            send_flood(port)
    elif len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    else:
        for rate in (0, 1000, 10_000):
            for durable in ("plain", "topic"):
                command = [sys.executable, "-m", "benchmarks.arrivals", durable, str(rate)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                print(rate or "flood", durable, done.stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
