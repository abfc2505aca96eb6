from __future__ import annotations

import gzip
import json
import os
import threading
from pathlib import Path

import pytest
from tests.connectors.files.reading import dead_of, opened, texts, wait_for, wait_until

from penstock.connectors.contract import SourceSpec
from penstock.connectors.files.config import TailSpec, tail
from penstock.errors import ConfigError


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def spec_of(path: Path, start: str = "beginning") -> TailSpec:
    return tail(path, format="text", start=start, interval="1ms")


def test_spec(log: Path) -> None:
    spec = spec_of(log)
    assert isinstance(spec, SourceSpec)
    assert not spec.bounded
    assert spec == spec_of(log)
    with pytest.raises(ConfigError, match="start"):
        spec_of(log, "middle")
    with pytest.raises(ConfigError, match="duration"):
        tail(log, format="text", interval="soon")
    with pytest.raises(ConfigError, match="no file yet"):
        tail(log, format="json")
    with pytest.raises(ConfigError, match="cannot be followed"):
        tail(log, format="parquet", schema={"a": int})


def test_a_missing_file_is_waited_for_and_then_followed(log: Path) -> None:
    source = opened(spec_of(log))
    assert wait_until(source, lambda polled: polled.caught_up).frame.height == 0
    append(log, "one\n")
    assert texts(wait_for(source, 1)) == ["one"]
    append(log, "two\nthr")
    last = wait_for(source, 1)
    assert texts(last) == ["two"]
    wait_until(source, lambda polled: polled.caught_up)
    append(log, "ee\n")
    assert texts(wait_for(source, 1)) == ["three"]
    source.close()


def test_the_end_is_the_last_whole_line(log: Path) -> None:
    append(log, "old\npart")
    source = opened(spec_of(log, "end"))
    append(log, "ial\nnew\nbad")
    assert texts(wait_for(source, 2)) == ["partial", "new"]
    source.close()


def test_rotation_reads_the_rest_of_the_old_file_first(log: Path) -> None:
    source = opened(spec_of(log))
    append(log, "a\n")
    assert texts(wait_for(source, 1)) == ["a"]
    log.rename(log.with_suffix(".log.1"))
    log.touch()
    append(log.with_suffix(".log.1"), "b\nc")  # the writer has not noticed yet
    assert texts(wait_for(source, 1)) == ["b"]
    append(log, "d\n")
    assert texts(wait_for(source, 2)) == ["c", "d"]
    source.close()


def test_truncation_begins_again(log: Path) -> None:
    source = opened(spec_of(log))
    append(log, "first\nsecond\n")
    assert texts(wait_for(source, 2)) == ["first", "second"]
    log.write_text("3\n")  # shorter: same inode
    assert texts(wait_for(source, 1)) == ["3"]
    log.write_text("longer than what was there\n")  # longer, but begins otherwise
    assert texts(wait_for(source, 1)) == ["longer than what was there"]
    source.close()


def test_deletion_and_return(log: Path) -> None:
    source = opened(spec_of(log))
    append(log, "a\n")
    wait_for(source, 1)
    log.unlink()
    wait_until(source, lambda polled: polled.caught_up)
    append(log, "b\n")
    assert texts(wait_for(source, 1)) == ["b"]
    source.close()


def test_a_position_resumes_in_the_same_file(log: Path) -> None:
    append(log, "a\nb\nc\n")
    source = opened(spec_of(log))
    position = json.loads(json.dumps(source.poll(1, 1).position))
    source.close()
    for _ in range(2):
        again = opened(spec_of(log, "end"), position)
        assert texts(wait_for(again, 2)) == ["b", "c"]
        again.close()


def test_a_position_finds_the_file_after_rotations(log: Path) -> None:
    append(log, "a\nb\n")
    source = opened(spec_of(log))
    position = source.poll(1, 1).position
    source.close()
    oldest = log.with_name("app.log.2")
    log.rename(oldest)
    middle = log.with_name("app.log.1")
    append(middle, "c\n")
    append(log, "d\n")
    for age, path in enumerate([log, middle, oldest]):
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    (log.with_name("app.log.3.gz")).write_bytes(gzip.compress(b"x\n"))
    (log.with_name("app.log.bak")).write_text("older copy\n")
    os.utime(log.with_name("app.log.bak"), (1, 1))
    again = opened(spec_of(log), position)
    assert texts(wait_for(again, 3)) == ["b", "c", "d"]
    append(log, "e\n")
    assert texts(wait_for(again, 1)) == ["e"]
    again.close()


def test_a_position_in_a_file_that_is_gone_begins_with_the_new_one(log: Path) -> None:
    append(log, "aaaa\nbbbb\n")
    source = opened(spec_of(log))
    position = wait_for(source, 2)[-1].position
    source.close()
    log.write_text("c\n")
    again = opened(spec_of(log), position)
    assert texts(wait_for(again, 1)) == ["c"]
    again.close()


def test_a_position_from_before_the_file_existed(log: Path) -> None:
    source = opened(spec_of(log, "end"))
    position = source.poll(1, 0).position
    source.close()
    append(log, "a\n")
    again = opened(spec_of(log, "end"), position)
    assert texts(wait_for(again, 1)) == ["a"]
    again.close()


def test_the_header_of_a_csv_is_waited_for(log: Path) -> None:
    spec = tail(log, format="csv", schema={"a": int}, interval="1ms")
    log.write_text("b,")
    source = opened(spec)
    wait_until(source, lambda polled: polled.caught_up)
    append(log, "a\nx,1\n")
    assert wait_for(source, 1)[0].frame.rows() == [(1,)]
    source.close()


def test_bad_lines_and_overlong_lines_are_dead_letters(log: Path) -> None:
    spec = tail(log, format="json", schema={"a": int}, interval="1ms", max_line_bytes=50)
    append(log, '{"a":1}\nnope\n' + "x" * 60)
    source = opened(spec)
    polls = wait_for(source, 2)
    wait_until(source, lambda polled: polled.caught_up)
    append(log, '\n{"a":2}\n')
    polls += wait_for(source, 2)
    assert [row[1] for row in dead_of(polls)] == [f"{log}:2", f"{log}:3"]
    assert [value for polled in polls for value in polled.frame["a"]] == [1, 2]
    source.close()
    append(log, "nope\n")
    later = opened(tail(log, format="json", schema={"a": int}, start="end", interval="1ms"))
    append(log, "nope\n")
    (row,) = dead_of(wait_for(later, 1))
    assert row[1] == f"{log}@{log.stat().st_size - 5}"
    later.close()


def test_close_ends_a_waiting_poll(log: Path) -> None:
    source = opened(spec_of(log))
    ended = threading.Event()

    def wait() -> None:
        source.poll(1, 60)
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    source.close()
    assert ended.wait(5)
    thread.join()


def test_a_waiting_poll_returns_when_a_line_comes(log: Path) -> None:
    log.touch()
    source = opened(tail(log, format="text"))
    writer = threading.Timer(0.003, append, (log, "x\n"))
    writer.start()
    assert texts([source.poll(10, 60)]) == ["x"]
    writer.join()
    source.close()
