"""The example programs that need no server: as functions over rows, and as programs."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
from examples import numbers_csv, people

import penstock as ps
from tests.child_processes import ENVIRONMENT, ROOT, interruptible

WAIT_S = 60


def test_numbers_are_counted_summed_and_kept(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("number\n1\n5\nno number\n7.5\n-3\n")
    command = [sys.executable, str(ROOT / "examples" / "numbers_csv.py"), "n.csv", "3", "out"]
    done = subprocess.run(
        command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=WAIT_S
    )
    assert done.returncode == 0, done.stderr
    kept = [file.read_text() for file in (tmp_path / "out").rglob("*.txt")]
    assert "".join(kept).split() == ["5.0", "7.5"]
    assert "1 rows were no numbers" in done.stdout
    numbers = numbers_csv.read(tmp_path / "n.csv")
    assert numbers_csv.summary(numbers, 3).collect().rows() == [(4, 2, 10.5, 12.5)]


def some(count: int, slope: float) -> pl.DataFrame:
    ages = pl.int_range(20, 20 + count, eager=True)
    return pl.DataFrame(
        {
            "name": [f"p{age}" for age in ages],
            "gender": ["f", "M"] * (count // 2),
            "age": ages.cast(pl.String),
            "income": 1_000.0 + ages * slope,
        }
    )


def test_people_without_gaps_are_kept_with_an_age_as_a_number() -> None:
    frame = pl.DataFrame(
        {
            "name": ["A", "B", "C", "D", "E"],
            "gender": ["f", " M", "m", None, ""],
            "age": ["36", "x", "41.0", "3", "9"],
            "income": [1.0, 2.0, 3.0, 4.0, 5.0],
        }
    )
    kept = people.clean(ps.scan_batches([frame])).collect().sort("name")
    assert kept.select("name", "gender", "age").rows() == [("A", "f", 36), ("C", "m", 41)]


@pytest.mark.parametrize(
    ("count", "slope", "decision"),
    [
        (4, 100.0, "wait"),
        (20, 100.0, "raise the young"),
        (20, -100.0, "raise the old"),
        (20, 1.0, "leave as it is"),
    ],
)
def test_what_is_decided_about_people(count: int, slope: float, decision: str) -> None:
    found = people.described(people.clean(ps.scan_batches([some(count, slope)]))).collect()
    assert found["people"].item() == count
    assert found["slope"].item() == pytest.approx(slope)
    assert found["decision"].item() == decision


def test_people_come_by_a_socket_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    some(10, 100.0).write_csv(tmp_path / "in" / "first.csv")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = [sys.executable, str(ROOT / "examples" / "people.py"), f"127.0.0.1:{port}"]
    command += ["in/*.csv", "people.db"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=ENVIRONMENT, preexec_fn=interruptible
    ) as process:
        try:
            connection = connected(port)
            connection.sendall(b"Ada,f,30,4000\nno age,f,,1\nBob,m,31,4100\n")
            connection.close()
            until = time.monotonic() + WAIT_S
            while described(tmp_path) != 12:
                assert time.monotonic() < until
                time.sleep(0.05)
            process.send_signal(2)
            assert process.wait(timeout=WAIT_S) == 0
        finally:
            process.kill()


def connected(port: int) -> socket.socket:
    until = time.monotonic() + WAIT_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        except ConnectionRefusedError:
            assert time.monotonic() < until
            time.sleep(0.05)


def described(folder: Path) -> int | None:
    try:
        with closing(sqlite3.connect(folder / "people.db")) as database:
            found = database.execute("SELECT people FROM described").fetchone()
    except sqlite3.OperationalError:  # the table is not there yet
        return None
    return found[0] if found else None
