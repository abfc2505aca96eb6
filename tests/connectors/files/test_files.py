from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.connectors.files.reading import dead_of, frame_of, opened, read_all, texts

from penstock.connectors.contract import SourceSpec
from penstock.connectors.files import lines
from penstock.connectors.files.config import FilesSpec, files
from penstock.connectors.files.content import LinesContent
from penstock.connectors.formats.contract import Format
from penstock.connectors.formats.csv import Csv
from penstock.connectors.formats.json import Json
from penstock.connectors.formats.text import Text
from penstock.errors import CheckpointError, ConfigError, ConnectorError

FIXTURE = [HealthCheck.function_scoped_fixture]


def test_spec_is_a_source_spec(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    spec = files(path)
    assert isinstance(spec, SourceSpec)
    assert spec == files(path)
    assert spec.bounded
    assert spec.replayable
    assert spec.name == f"csv {path}"
    assert spec.schema == {"id": pl.Int64}


def test_files_of_a_glob_are_read_in_byte_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a10.txt", "a2.txt", "Z.txt"):
        (tmp_path / name).write_text(f"{name}\n")
    spec = files(f"{tmp_path}/*.txt")
    assert texts(read_all(spec)) == ["Z.txt", "a10.txt", "a2.txt", "b.txt"]
    listed = files([tmp_path / "b.txt", tmp_path / "Z.txt"])
    assert texts(read_all(listed)) == ["b.txt", "Z.txt"]


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".zst"])
def test_compressed_files_are_read_and_resumed(tmp_path: Path, suffix: str) -> None:
    import zstandard

    data = b"\xef\xbb\xbf" + b"".join(b"%d,x\n" % i for i in range(1000))
    codecs: dict[str, Callable[[bytes], bytes]] = {
        "": bytes,
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
        ".zst": zstandard.compress,
    }
    squeeze = codecs[suffix]
    (tmp_path / f"a.csv{suffix}").write_bytes(squeeze(data))
    spec = files(tmp_path / f"a.csv{suffix}", schema={"n": int, "s": str}, header=False)
    polls = read_all(spec, max_rows=300)
    assert frame_of(spec, polls)["n"].to_list() == list(range(1000))
    assert frame_of(spec, read_all(spec, polls[1].position))["n"].to_list() == list(
        range(600, 1000)
    )


def test_damaged_compression_is_an_error(tmp_path: Path) -> None:
    whole = gzip.compress(b"x\n" * 100_000)
    (tmp_path / "a.txt.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConnectorError, match="damaged"):
        read_all(files(tmp_path / "a.txt.gz"), max_rows=10**6)


def test_bad_rows_are_dead_letters_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,name\r\n1,x\r\n\r\n2,"a\nb"\r\n3\r\nq,x\r\n4,\xff\r\n5,"y"')
    spec = files(path, schema={"id": int, "name": str})
    polls = read_all(spec)
    assert frame_of(spec, polls).rows() == [(1, "x"), (2, "a\nb"), (5, "y")]
    found = dead_of(polls)
    assert [(step, where, raw) for step, where, raw, _ in found] == [
        ("csv", f"{path}:6", b"3"),
        ("csv", f"{path}:7", b"q,x"),
        ("csv", f"{path}:8", b"4,\xff"),
    ]
    assert "column id: cannot read 'q'" in found[1][3]


def test_header_gives_the_order_and_extra_columns_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("b,a,c\nx,1,z\n")
    (tmp_path / "2.csv").write_text("a,b\n2,y\n")
    spec = files(f"{tmp_path}/*.csv", schema={"a": int, "b": str})
    assert frame_of(spec, read_all(spec)).rows() == [(1, "x"), (2, "y")]
    (tmp_path / "3.csv").write_text("a\n3\n")
    with pytest.raises(ConnectorError, match="no column 'b'"):
        read_all(spec)


def test_empty_files_are_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    (tmp_path / "b.csv").write_bytes(b"a\n")
    spec = files(f"{tmp_path}/*.csv", schema={"a": int})
    assert read_all(spec) == []


def test_overlong_lines_are_dead_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\n" + b"x" * 500 + b"\ntwo\n" + b"y" * 200)
    for block in (7, 64, 10_000):
        monkeypatch.setattr(lines, "BLOCK_BYTES", block)
        spec = files(path, max_line_bytes=100)
        polls = read_all(spec)
        assert texts(polls) == ["one", "two"]
        (_, where, raw, reason), (_, last, _, _) = dead_of(polls)
        assert where == f"{path}:2"
        assert last == f"{path}:4"
        assert raw == b"x" * 500
        assert "501 bytes" in reason
        assert texts(read_all(spec, polls[0].position)) == ["two"]


def test_a_quote_that_never_closes_costs_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('1,x\n2,"y\n3,z\n4,w\n')
    spec = files(path, schema={"n": int, "s": str}, header=False)
    polls = read_all(spec)
    assert frame_of(spec, polls)["n"].to_list() == [1, 3, 4]
    assert [row[1] for row in dead_of(polls)] == [f"{path}:2"]


def test_wrong_requests_are_configuration_errors(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_text("x")
    (tmp_path / "a.csv").write_text("x")
    calls: list[Callable[[], object]] = [
        lambda: files(tmp_path / "missing.csv"),
        lambda: files(f"{tmp_path}/*.parquet"),
        lambda: files(tmp_path / "a.dat"),
        lambda: files(tmp_path / "a.csv", format="cvs"),
        lambda: files(tmp_path / "a.csv", separater=";"),
        lambda: files(tmp_path / "a.csv", columns=["x"]),
    ]
    for call in calls:
        with pytest.raises(ConfigError):
            call()


def test_a_position_in_a_file_that_left_is_a_checkpoint_error(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x\ny\n")
    (tmp_path / "b.txt").write_text("z\n")
    spec = files(f"{tmp_path}/*.txt")
    position = read_all(spec, max_rows=1)[0].position
    path.unlink()
    with pytest.raises(CheckpointError, match="not there any more"):
        spec.open().seek(position)


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_tables_are_read_in_slices_and_resumed(tmp_path: Path, suffix: str) -> None:
    whole = pl.DataFrame({"a": range(5000), "s": [str(i) for i in range(5000)]})
    for i, part in enumerate([whole[:3000], whole[3000:]]):
        target = tmp_path / f"{i}.{suffix}"
        if suffix == "parquet":
            part.write_parquet(target, row_group_size=700)
        else:
            part.write_ipc(target, record_batch_size=700)
    spec = files(f"{tmp_path}/*.{suffix}")
    polls = read_all(spec, max_rows=450)
    assert frame_of(spec, polls).equals(whole)
    seen = 0
    for polled in polls:
        seen += polled.frame.height
        assert frame_of(spec, read_all(spec, polled.position)).equals(whole[seen:])
    pruned = files(f"{tmp_path}/*.{suffix}", columns=["s"])
    assert frame_of(pruned, read_all(pruned)).equals(whole.select("s"))
    with pytest.raises(ConfigError, match="no column 'x'"):
        files(f"{tmp_path}/*.{suffix}", columns=["x"])


def test_tables_of_another_schema_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"a": ["x"]}).write_parquet(tmp_path / "2.parquet")
    with pytest.raises(ConnectorError, match="column 'a' is String"):
        read_all(files(f"{tmp_path}/*.parquet"))


ROWS = st.lists(
    st.tuples(
        st.integers(-(2**63), 2**63 - 1),
        st.text(
            st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\0"), max_size=6
        ),
    ),
    min_size=1,
    max_size=12,
)


@given(ROWS, st.integers(1, 5), st.integers(1, 40), st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=80, deadline=None, suppress_health_check=FIXTURE)
def test_csv_equals_the_standard_library_for_any_cut(
    tmp_path: Path, rows: list[tuple[int, str]], max_rows: int, block: int, end: str
) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=end).writerows(rows)
    path = tmp_path / "a.csv"
    path.write_bytes(out.getvalue().encode())
    spec = files(path, schema={"n": int, "s": str}, header=False)
    found = resumed(spec, max_rows, block)
    assert found == [(n, text or None) for n, text in rows]


@given(ROWS, st.integers(1, 5), st.integers(1, 40))
@settings(max_examples=50, deadline=None, suppress_health_check=FIXTURE)
def test_json_equals_the_standard_library_for_any_cut(
    tmp_path: Path, rows: list[tuple[int, str]], max_rows: int, block: int
) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text("\n".join(json.dumps({"n": n, "s": s}) for n, s in rows))
    assert resumed(files(path, schema={"n": int, "s": str}), max_rows, block) == rows


def resumed(spec: FilesSpec, max_rows: int, block: int) -> list[Any]:
    """Read with a block size, opening and seeking anew before each poll."""
    rows: list[Any] = []
    position = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK_BYTES", block)
        while True:
            source = opened(spec, position)
            polled = source.poll(max_rows, 0)
            source.close()
            if polled.ended:
                return rows
            assert polled.dead is None
            rows += polled.frame.rows()
            position = json.loads(json.dumps(polled.position))


HOSTILE = st.lists(
    st.sampled_from(
        [b'"', b",", b"\n", b"\r\n", b"{", b"}", b'{"n":1}', b"1,x", b"\xff", b"\0", b"y" * 30]
    ),
    max_size=25,
).map(b"".join)


@given(HOSTILE, st.integers(1, 4), st.sampled_from(["text", "json", "csv"]))
@settings(max_examples=150, deadline=None, suppress_health_check=FIXTURE)
def test_hostile_bytes_never_raise_and_cuts_do_not_matter(
    tmp_path: Path, data: bytes, max_rows: int, kind: str
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    schema = {"n": pl.Int64(), "s": pl.String()}
    forms: dict[str, Format] = {
        "text": Text(),
        "json": Json(schema),
        "csv": Csv(schema, header=False),
    }
    form = forms[kind]
    spec = FilesSpec((str(path),), LinesContent(form, max_line_bytes=50))
    seen = []
    for block, rows in ((10_000, 1000), (1 + len(data) % 7, max_rows), (3, 2)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lines, "BLOCK_BYTES", block)
            polls = read_all(spec, max_rows=rows)
        seen.append((frame_of(spec, polls).rows(), dead_of(polls)))
    assert seen[0] == seen[1] == seen[2]


def test_the_access_log_is_read(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    line = b'::1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "-" "x"\n'
    path.write_bytes(line * 3 + b"nonsense\n" + line)
    spec = files(path, format="combined_log")
    polls = read_all(spec)
    assert frame_of(spec, polls).height == 4
    assert dead_of(polls)[0][:3] == ("combined_log", f"{path}:4", b"nonsense")
