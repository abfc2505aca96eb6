"""Files by epochs: whatever happens, each row is in exactly one complete file in the end."""

from __future__ import annotations

import gzip
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import penstock
from penstock.columns import WEIGHT
from penstock.connectors.contract import Accepts, Guarantee, SinkIdentity, SinkSpec
from penstock.connectors.file_sink.config import FilesSinkSpec
from penstock.connectors.file_sink.folder import HIDDEN, HiddenFolder
from penstock.connectors.file_sink.formats import FileFormat
from penstock.connectors.file_sink.partitions import by_folder
from penstock.connectors.file_sink.sink import FilesSink
from penstock.errors import CheckpointError, ConfigError, ConnectorError, FencedError

GOLDEN = Path(__file__).parent.parent / "golden"
FIRST = SinkIdentity("pipeline/out", 1)
SECOND = SinkIdentity("pipeline/out", 2)


def numbers(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"n": values}, schema={"n": pl.Int64})


def begun(spec: FilesSinkSpec, identity: SinkIdentity | None = FIRST) -> FilesSink:
    sink = spec.open()
    sink.begin(identity)
    return sink


def parquet(folder: Path, **options: Any) -> FilesSinkSpec:
    return FilesSinkSpec(folder / "out", FileFormat.PARQUET, **options)


def names(folder: Path) -> list[str]:
    found = (folder / "out").rglob("part-*")
    return sorted(str(path.relative_to(folder / "out")) for path in found)


def filed(folder: Path) -> list[int]:
    frames = [pl.read_parquet(folder / "out" / name) for name in names(folder)]
    return sorted(n for frame in frames for n in frame["n"].to_list())


def test_the_spec_says_what_it_is(tmp_path: Path) -> None:
    spec = parquet(tmp_path)
    assert isinstance(spec, SinkSpec)
    assert (spec.accepts, spec.guarantee) == (Accepts.APPEND, Guarantee.EXACTLY_ONCE)
    assert spec.name == f"parquet {tmp_path / 'out'}"


def test_rows_wait_hidden_until_a_file_is_full(tmp_path: Path) -> None:
    sink = begun(parquet(tmp_path, roll_rows=3))
    sink.apply(0, [numbers(1, 2)])
    assert names(tmp_path) == []
    sink.apply(1, [numbers(3), numbers(4, 5, 6, 7)])
    assert names(tmp_path) == ["part-0000000001-0000.parquet", "part-0000000001-0001.parquet"]
    assert filed(tmp_path) == [1, 2, 3, 4, 5, 6]
    sink.close()
    assert names(tmp_path)[2:] == ["part-0000000001-0002.parquet"]
    assert filed(tmp_path) == [1, 2, 3, 4, 5, 6, 7]


def test_no_limits_make_a_file_each_epoch(tmp_path: Path) -> None:
    sink = begun(parquet(tmp_path, roll_bytes=None, roll_after=None))
    sink.apply(3, [numbers(1), numbers(2)])
    sink.apply(4, [])
    sink.apply(5, [numbers(3)])
    assert names(tmp_path) == ["part-0000000003-0000.parquet", "part-0000000005-0000.parquet"]
    sink.close()


def test_files_roll_by_size(tmp_path: Path) -> None:
    sink = begun(parquet(tmp_path, roll_bytes=800))
    sink.apply(0, [numbers(*range(99))])
    assert names(tmp_path) == []
    sink.apply(1, [numbers(*range(99, 250))])
    sizes = [pl.read_parquet(tmp_path / "out" / name).height for name in names(tmp_path)]
    assert sizes == [100, 100]
    sink.close()
    assert filed(tmp_path) == list(range(250))


def test_files_roll_by_time(tmp_path: Path) -> None:
    now = [1000.0]
    sink = parquet(tmp_path, roll_after=timedelta(seconds=10), partition_by=("k",)).open()
    sink._clock = lambda: now[0]
    sink.begin(FIRST)
    sink.apply(0, [pl.DataFrame({"k": ["a"], "n": [1]})])
    now[0] += 9.9
    sink.apply(1, [pl.DataFrame({"k": ["b"], "n": [2]})])
    assert names(tmp_path) == []
    now[0] += 0.1
    sink.apply(2, [])
    assert names(tmp_path) == ["k=a/part-0000000001-0000.parquet"]
    sink.close()
    assert filed(tmp_path) == [1, 2]


def test_many_small_epochs_keep_few_pieces(tmp_path: Path) -> None:
    sink = begun(parquet(tmp_path))
    for epoch in range(150):
        sink.apply(epoch, [numbers(epoch)])
    assert len(list((tmp_path / "out" / HIDDEN).rglob("*.piece"))) <= 64
    sink.close()
    assert filed(tmp_path) == list(range(150))
    assert list((tmp_path / "out" / HIDDEN).rglob("*.piece")) == []


def test_partitions_are_folders_that_readers_understand(tmp_path: Path) -> None:
    values = ["a/b", "..", None, "", "50%", "x=y", "ü", "a b", "a%2Fb"]
    days = [date(2026, 1, 1 + i) for i in range(len(values))]
    frame = pl.DataFrame({"k": values, "day": days, "n": range(len(values))})
    spec = parquet(tmp_path, partition_by=("k", "day"))
    spec.validate(frame.schema)
    sink = begun(spec)
    sink.apply(0, [frame])
    sink.close()
    for name in names(tmp_path):
        assert (tmp_path / "out" / name).resolve().is_relative_to(tmp_path / "out")
        assert name.count("/") == 2
    pattern = str(tmp_path / "out" / "**" / "*.parquet")
    back = pl.read_parquet(pattern, hive_partitioning=True).sort("n")
    assert back.select("k", "day", "n").rows() == frame.rows()
    query = f"SELECT k, n FROM read_parquet('{pattern}', hive_partitioning = true) ORDER BY n"
    assert duckdb.execute(query).fetchall() == frame.select("k", "n").rows()


def test_a_string_that_looks_like_null_has_a_folder_of_its_own() -> None:
    frame = pl.DataFrame({"k": [None, "__HIVE_DEFAULT_PARTITION__"], "n": [1, 2]})
    folders = [folder for folder, _ in by_folder(frame, ("k",), "sink")]
    assert folders == ["k=__HIVE_DEFAULT_PARTITION__", "k=%5F_HIVE_DEFAULT_PARTITION__"]


def test_a_partition_name_that_is_too_long_is_named(tmp_path: Path) -> None:
    sink = begun(parquet(tmp_path, partition_by=("k",)))
    with pytest.raises(ConnectorError, match="longer than 255 bytes"):
        sink.apply(0, [pl.DataFrame({"k": ["x" * 300], "n": [1]})])
    sink.close()


def test_an_epoch_already_applied_is_skipped(tmp_path: Path) -> None:
    sink = begun(parquet(tmp_path, roll_rows=2))
    sink.apply(0, [numbers(1, 2, 3)])
    sink.apply(0, [numbers(1, 2, 3)])
    sink.close()
    again = parquet(tmp_path, roll_rows=2).open()
    assert again.begin(SECOND) == 0
    again.apply(0, [numbers(1, 2, 3)])
    again.apply(1, [numbers(4)])
    again.close()
    assert filed(tmp_path) == [1, 2, 3, 4]


def test_a_newer_run_fences_an_older_one(tmp_path: Path) -> None:
    old = begun(parquet(tmp_path), FIRST)
    assert old.begin(FIRST) is None
    old.apply(0, [numbers(1)])
    new = begun(parquet(tmp_path), SECOND)
    with pytest.raises(FencedError, match="replaced by run 2"):
        old.apply(1, [numbers(-1)])
    old.close()
    assert names(tmp_path) == []
    new.apply(1, [numbers(2)])
    new.close()
    assert filed(tmp_path) == [1, 2]
    with pytest.raises(FencedError):
        parquet(tmp_path).open().begin(FIRST)


def test_a_run_fenced_while_it_stages_writes_nothing(tmp_path: Path) -> None:
    old = begun(parquet(tmp_path, roll_rows=1), FIRST)

    def frames() -> Iterator[pl.DataFrame]:
        yield numbers(-1)
        new = begun(parquet(tmp_path, roll_rows=1), SECOND)
        new.apply(0, [numbers(1)])
        new.close()

    with pytest.raises(FencedError):
        old.apply(0, frames())
    old.close()
    assert filed(tmp_path) == [1]


def test_without_a_checkpoint_only_files_are_left(tmp_path: Path) -> None:
    for _ in range(2):
        sink = begun(parquet(tmp_path), None)
        sink.apply(0, [numbers(1)])
        sink.close()
    assert names(tmp_path) == ["part-0000000000-0000.parquet", "part-0000000000-0001.parquet"]
    assert not (tmp_path / "out" / HIDDEN).exists()


def test_two_sinks_share_a_folder_without_overwriting(tmp_path: Path) -> None:
    one = begun(parquet(tmp_path, roll_rows=1), SinkIdentity("one", 1))
    two = begun(parquet(tmp_path, roll_rows=1), SinkIdentity("two", 1))
    one.apply(0, [numbers(1)])
    two.apply(0, [numbers(2)])
    one.close()
    two.close()
    assert filed(tmp_path) == [1, 2]


def test_a_changed_pipeline_files_the_old_columns_first(tmp_path: Path) -> None:
    sink = begun(parquet(tmp_path), FIRST)
    sink.apply(0, [numbers(1)])
    sink._folder = None  # a crash: never closed
    again = begun(parquet(tmp_path), SECOND)
    again.apply(1, [pl.DataFrame({"n": [2], "m": ["x"]})])
    again.close()
    frames = [pl.read_parquet(tmp_path / "out" / name) for name in names(tmp_path)]
    assert [frame.to_dicts() for frame in frames] == [[{"n": 1}], [{"n": 2, "m": "x"}]]


class Crash(BaseException):
    """Stands for the process dying at this point."""


@pytest.mark.parametrize("step", ["commit", "move", "discard", "after rename"])
def test_a_crash_at_any_step_neither_loses_nor_doubles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    spec = parquet(tmp_path, roll_rows=2, partition_by=("k",))
    frame = pl.DataFrame({"k": ["a", "b"] * 5, "n": range(10)})
    sink = begun(spec)
    sink.apply(0, [frame[:3]])

    def crash(*_: object) -> None:
        raise Crash

    def crash_after_the_first(original: Callable[..., object]) -> Callable[..., object]:
        done: list[object] = []

        def rename(*arguments: object) -> object:
            if done:
                raise Crash
            done.append(original(*arguments))
            return done[0]

        return rename

    with monkeypatch.context() as patch:
        if step == "after rename":
            patch.setattr(Path, "rename", crash_after_the_first(Path.rename))
        else:
            patch.setattr(HiddenFolder, step, crash)
        with pytest.raises(Crash):
            sink.apply(1, [frame[3:]])
    again = spec.open()
    assert again.begin(SECOND) == (0 if step == "commit" else 1)
    again.apply(1, [frame[3:]])
    again.close()
    assert filed(tmp_path) == list(range(10))


def test_an_error_in_the_epoch_leaves_the_sink_usable(tmp_path: Path) -> None:
    sink = begun(parquet(tmp_path, roll_rows=2))
    with pytest.raises(ConnectorError, match="files only take new rows"):
        sink.apply(0, [numbers(*range(5)), numbers(5).with_columns(pl.lit(1).alias(WEIGHT))])
    sink.apply(0, [numbers(1)])
    sink.close()
    assert filed(tmp_path) == [1]
    left = [path.name for path in (tmp_path / "out" / HIDDEN).rglob("*") if path.is_file()]
    assert left == ["ledger"]


def test_a_damaged_ledger_is_refused(tmp_path: Path) -> None:
    begun(parquet(tmp_path)).close()
    (ledger,) = (tmp_path / "out" / HIDDEN).rglob("ledger")
    ledger.write_text("{}")
    with pytest.raises(CheckpointError, match="cannot be read"):
        begun(parquet(tmp_path))


def test_without_frames_only_what_is_old_is_filed(tmp_path: Path) -> None:
    now = [1000.0]
    sink = parquet(tmp_path, roll_after=timedelta(seconds=10)).open()
    sink._clock = lambda: now[0]
    sink.begin(FIRST)
    sink.apply(4, [numbers(1)])
    (ledger,) = (tmp_path / "out" / HIDDEN).rglob("ledger")
    before = ledger.read_bytes()
    sink.apply(9, [])
    assert ledger.read_bytes() == before
    now[0] += 10
    sink.apply(9, [])
    assert names(tmp_path) == ["part-0000000004-0000.parquet"]
    sink.apply(9, [numbers(2)])  # the epoch of an empty call may still bring rows
    sink.close()
    assert filed(tmp_path) == [1, 2]


def test_a_ledger_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    begun(parquet(tmp_path)).close()
    (ledger,) = (tmp_path / "out" / HIDDEN).rglob("ledger")
    ledger.write_text(ledger.read_text().replace('"format":1', '"format":2'))
    with pytest.raises(CheckpointError, match="format is 2"):
        begun(parquet(tmp_path))


def test_a_folder_of_an_older_version_is_resumed(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "files_sink_1", tmp_path / "out")
    spec = parquet(tmp_path, partition_by=("k",), roll_rows=3)
    sink = spec.open()
    assert sink.begin(SinkIdentity("golden", 5)) == 6
    sink.apply(7, [pl.DataFrame({"k": ["a", "b"], "n": [6, 7]})])
    sink.close()
    assert filed(tmp_path) == [1, 2, 3, 4, 5, 6, 7]
    assert names(tmp_path)[0] == "k=a/part-0000000006-0000.parquet"


ROWS = pl.DataFrame(
    {
        "i": pl.Series([1, None, 2**63 - 1], dtype=pl.Int64),
        "f": [1.5, None, -0.25],
        "s": ["", None, 'a,"b"\nc'],
        "b": [True, None, False],
        "d": [date(2026, 1, 1), None, date(1, 1, 1)],
        "t": [
            datetime(2026, 1, 1, 1, 2, 3, 456, tzinfo=UTC),
            None,
            datetime(1970, 1, 1, tzinfo=UTC),
        ],
    }
)
NESTED = pl.DataFrame(
    {
        "l": [[1, None], None, []],
        "st": [{"a": "x"}, None, {"a": None}],
        "bin": [b"\x00", None, b""],
        "dec": [Decimal("1.20"), None, Decimal(0)],
        "du": [timedelta(1), None, timedelta(microseconds=-1)],
        "big": pl.Series([2**100, None, 0], dtype=pl.Int128),
        "cat": pl.Series(["a", None, "b"], dtype=pl.Categorical),
        "nan": [math.nan, None, math.inf],
        "none": [None, None, None],
    }
)


@pytest.mark.parametrize(
    ("file_format", "compression", "end", "read"),
    [
        (FileFormat.CSV, None, "csv", pl.read_csv),
        (FileFormat.CSV, "gzip", "csv.gz", pl.read_csv),
        (FileFormat.NDJSON, None, "ndjson", pl.read_ndjson),
        (FileFormat.NDJSON, "zstd", "ndjson.zst", pl.read_ndjson),
        (FileFormat.PARQUET, None, "parquet", pl.read_parquet),
        (FileFormat.PARQUET, "snappy", "parquet", pl.read_parquet),
        (FileFormat.IPC, "lz4", "arrow", pl.read_ipc),
    ],
)
def test_every_format_comes_back(
    tmp_path: Path,
    file_format: FileFormat,
    compression: str | None,
    end: str,
    read: Callable[..., pl.DataFrame],
) -> None:
    binary = file_format in (FileFormat.PARQUET, FileFormat.IPC)
    frame = pl.concat([ROWS, NESTED], how="horizontal") if binary else ROWS
    spec = FilesSinkSpec(tmp_path / "out", file_format, compression=compression)
    spec.validate(frame.schema)
    sink = begun(spec)
    sink.apply(0, [frame[:1]])
    sink.apply(1, [frame[1:]])
    sink.close()
    assert names(tmp_path) == [f"part-0000000001-0000.{end}"]
    options = {} if binary else {"schema": frame.schema}
    back = read(tmp_path / "out" / f"part-0000000001-0000.{end}", **options)
    assert back.equals(frame)
    assert back.schema == frame.schema


def test_text_is_written_line_by_line(tmp_path: Path) -> None:
    spec = FilesSinkSpec(tmp_path / "out", FileFormat.TEXT, compression="gzip")
    spec.validate(pl.Schema({"line": pl.String}))
    sink = begun(spec)
    sink.apply(0, [pl.DataFrame({"line": ['say "hi", you', None, "ü"]})])
    sink.close()
    text = gzip.decompress((tmp_path / "out" / "part-0000000000-0000.txt.gz").read_bytes())
    assert text.decode() == 'say "hi", you\n\nü\n'


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compression": "zip"}, "cannot be compressed"),
        ({"roll_rows": 0}, "roll_rows must be more than zero"),
        ({"roll_bytes": -1}, "roll_bytes must be more than zero"),
        ({"roll_after": timedelta(0)}, "roll_after must be more than zero"),
        ({"partition_by": ("a", "a")}, "named twice"),
        ({"partition_by": "day"}, r"tuple of column names\n.*\('day',\)"),
    ],
)
def test_wrong_options_are_refused_when_built(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FilesSinkSpec("out", FileFormat.CSV, **options)


@pytest.mark.parametrize(
    ("file_format", "partition_by", "columns", "message"),
    [
        (FileFormat.CSV, (), {"l": pl.List(pl.Int64)}, r"'l' is List\(Int64\), which CSV"),
        (FileFormat.CSV, (), {"b": pl.Binary()}, "base64"),
        (FileFormat.CSV, (), {"d": pl.Duration()}, "total_microseconds"),
        (FileFormat.CSV, (), {"d": pl.Struct({"a": pl.Int8})}, "json_encode"),
        (FileFormat.NDJSON, (), {"b": pl.List(pl.Binary)}, "NDJSON files cannot hold"),
        (FileFormat.PARQUET, (), {"o": pl.Object()}, "PARQUET files cannot hold"),
        (FileFormat.TEXT, (), {"a": pl.String(), "b": pl.String()}, "exactly one String column"),
        (FileFormat.PARQUET, ("kk",), {"k": pl.Int8(), "n": pl.Int8()}, "did you mean 'k'"),
        (FileFormat.PARQUET, ("k",), {"k": pl.Int8()}, "no column is left"),
        (FileFormat.PARQUET, ("k",), {"k": pl.Float64(), "n": pl.Int8()}, "makes no folder names"),
        (FileFormat.PARQUET, (), {"_weight": pl.Int64()}, "cannot be used"),
    ],
)
def test_wrong_columns_are_refused_before_anything_starts(
    file_format: FileFormat,
    partition_by: tuple[str, ...],
    columns: dict[str, pl.DataType],
    message: str,
) -> None:
    with pytest.raises(ConfigError, match=message):
        FilesSinkSpec("out", file_format, partition_by).validate(pl.Schema(columns))


def test_200k_rows_in_many_partitions(tmp_path: Path) -> None:
    frame = pl.select(n=pl.int_range(200_000)).with_columns(k=pl.col("n") % 50)
    sink = begun(parquet(tmp_path, partition_by=("k",), roll_rows=1_500))
    sink.apply(0, [frame[:100_000]])
    sink.apply(1, [frame[100_000:]])
    sink.close()
    assert filed(tmp_path) == list(range(200_000))
    assert len(names(tmp_path)) == 50 * 3


ACTIONS = st.lists(
    st.one_of(
        st.lists(st.sampled_from(["a", "b", "c"]), max_size=7),
        st.sampled_from(["crash", "close", "tick"]),
    ),
    max_size=12,
)


@given(ACTIONS, st.integers(1, 5), st.booleans())
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_sequence_of_epochs_crashes_and_stops_keeps_every_row_once(
    tmp_path_factory: pytest.TempPathFactory,
    actions: list[list[str] | str],
    roll_rows: int,
    partitioned: bool,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    by = ("k",) if partitioned else ()
    spec = parquet(folder, roll_rows=roll_rows, roll_after=timedelta(seconds=1), partition_by=by)
    now, token, written = [0.0], 1, 0

    def opened() -> FilesSink:
        sink = spec.open()
        sink._clock = lambda: now[0]
        sink.begin(SinkIdentity("any", token))
        return sink

    sink = opened()
    for epoch, action in enumerate(actions):
        if isinstance(action, list):
            frame = pl.DataFrame(
                {"k": action, "n": range(written, written + len(action))},
                schema={"k": pl.String, "n": pl.Int64},
            )
            sink.apply(epoch, [frame])
            sink.apply(epoch, [frame])
            written += len(action)
            continue
        if action == "tick":
            now[0] += 2
            sink.apply(epoch, [])
            assert filed(folder) == list(range(written))
            continue
        token += 1
        if action == "close":
            sink.close()
            assert filed(folder) == list(range(written))
        sink = opened()
    sink.close()
    assert filed(folder) == list(range(written))
    assert all(pl.read_parquet(folder / "out" / name).height <= roll_rows for name in names(folder))


KILLED = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    import polars as pl
    from penstock.connectors.contract import SinkIdentity
    from penstock.connectors.file_sink.config import FilesSinkSpec
    from penstock.connectors.file_sink.formats import FileFormat

    folder, token, epochs = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    spec = FilesSinkSpec(folder / "out", FileFormat.PARQUET, ("k",), roll_rows=70)
    sink = spec.open()
    last = sink.begin(SinkIdentity("killed", token))
    print("begun", flush=True)
    for epoch in range(0 if last is None else last + 1, epochs):
        rows = pl.select(n=pl.int_range(epoch * 100, epoch * 100 + 100))
        sink.apply(epoch, [rows.with_columns(k=pl.col("n") % 3)])
    sink.close()
    print("done", flush=True)
    """
)


def test_killed_at_any_instant_the_rows_are_there_exactly_once(tmp_path: Path) -> None:
    epochs, kills, seed = 150, 8, random.Random(7)
    source = str(Path(penstock.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": source, "POLARS_MAX_THREADS": "1"}
    deadline = time.monotonic() + 4  # on a slow machine, fewer kills
    token, done = 0, False
    while not done:
        token += 1
        command = [sys.executable, "-c", KILLED, str(tmp_path), str(token), str(epochs)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            if token == 1 or (token <= kills and time.monotonic() < deadline):
                try:
                    process.wait(seed.uniform(0.0, 0.2))
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
            done = process.stdout.readline() == b"done\n"
        for name in names(tmp_path):
            pl.read_parquet(tmp_path / "out" / name)  # whatever is visible is complete
    assert token > 1, "it was never killed"
    assert filed(tmp_path) == list(range(epochs * 100))
