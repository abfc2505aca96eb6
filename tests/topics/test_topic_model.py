"""Random operations on a topic, against lists of lists."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.errors import FencedError
from penstock.topics import Durability, Topic

PARTITIONS = 3
numbers = st.integers(0, PARTITIONS - 1)
texts = st.lists(st.one_of(st.none(), st.binary(max_size=12)), max_size=6)


def raw(values: list[bytes | None]) -> pl.DataFrame:
    return pl.DataFrame({"value": values}, schema={"value": pl.Binary})


class TopicMachine(RuleBasedStateMachine):
    """What was appended, per partition, is what is read, wherever reading begins and stops."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "topic"
        self.writer = Topic.create(self.path, partitions=PARTITIONS, compression="none")
        self.reader = Topic.open(self.path)
        self.oracle: list[list[bytes | None]] = [[] for _ in range(PARTITIONS)]
        self.last_epoch: int | None = None
        self.token = 0

    @rule(partition=numbers, values=texts, durability=st.sampled_from(Durability))
    def append(self, partition: int, values: list[bytes | None], durability: Durability) -> None:
        start = len(self.oracle[partition])
        offsets = self.writer.append(raw(values), partition=partition, durability=durability)
        assert offsets == ({partition: range(start, start + len(values))} if values else {})
        self.oracle[partition] += values

    @rule(values=texts)
    def append_by_key(self, values: list[bytes | None]) -> None:
        offsets = self.writer.append(raw(values).with_columns(key=pl.col("value")))
        self._take(offsets)
        assert sum(map(len, offsets.values())) == len(values)

    def _take(self, offsets: dict[int, range]) -> None:
        for partition, span in offsets.items():
            assert span.start == len(self.oracle[partition])
            frame = self.reader.read(partition, span.start).frame
            keys = frame["key"].to_list()
            assert keys == frame["value"].to_list()
            self.oracle[partition] += frame["value"].to_list()

    @rule(
        partition=numbers,
        frames=st.lists(texts, max_size=3),
        epoch=st.integers(0, 6),
        token=st.integers(0, 3),
    )
    def append_once(
        self, partition: int, frames: list[list[bytes | None]], epoch: int, token: int
    ) -> None:
        given = [raw(values) for values in frames]
        if token < self.token:
            with pytest.raises(FencedError):
                self.writer.append_once("p", epoch, token, given, partition=partition)
            return
        done = self.writer.append_once("p", epoch, token, given, partition=partition)
        self.token = token
        if self.last_epoch is not None and epoch <= self.last_epoch:
            assert done is None
            return
        self.last_epoch = epoch
        self.oracle[partition] += [value for values in frames for value in values]

    @rule()
    def reopen(self) -> None:
        self.writer.close()
        self.writer = Topic.open(self.path)

    @rule(partition=numbers, share=st.floats(0, 1), max_rows=st.integers(1, 8))
    def read(self, partition: int, share: float, max_rows: int) -> None:
        offset = int(share * len(self.oracle[partition]))
        records = self.reader.read(partition, offset, max_rows)
        expected = self.oracle[partition][offset : offset + max_rows]
        assert records.frame["value"].to_list() == expected
        assert records.next_offset == offset + len(expected)

    @invariant()
    def ends_agree(self) -> None:
        ends = {number: len(rows) for number, rows in enumerate(self.oracle)}
        assert self.reader.end_offsets() == ends
        assert not self.reader.wait(ends, 0)

    def teardown(self) -> None:
        for partition, rows in enumerate(self.oracle):
            assert self.reader.read(partition, 0).frame["value"].to_list() == rows
        self.writer.close()
        self.reader.close()
        self.folder.cleanup()


TestTopicMachine = TopicMachine.TestCase
TestTopicMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
