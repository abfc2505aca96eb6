"""The sinks that write nowhere lasting: a callback, a collection, the console."""

from __future__ import annotations

import functools
import io
from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.columns import WEIGHT
from penstock.connectors.callback.config import CallbackSinkSpec
from penstock.connectors.collect import sink as collect_sink
from penstock.connectors.collect.config import CollectSinkSpec
from penstock.connectors.collect.sink import Collected
from penstock.connectors.console.board import Board
from penstock.connectors.console.config import ConsoleSinkSpec
from penstock.connectors.contract import Accepts, Guarantee, SinkSpec
from penstock.errors import ConfigError, ConnectorError, Fault


def numbers(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"n": values}, schema={"n": pl.Int64})


def changes(*pairs: tuple[Any, int]) -> pl.DataFrame:
    return pl.DataFrame(pairs, schema={"n": pl.Int64, WEIGHT: pl.Int64}, orient="row")


@pytest.mark.parametrize(
    "spec", [CallbackSinkSpec(print), CollectSinkSpec(Collected()), ConsoleSinkSpec("counts")]
)
def test_they_say_what_they_are(spec: SinkSpec) -> None:
    assert isinstance(spec, SinkSpec)
    assert spec.immediate
    assert spec.accepts is Accepts.CHANGES
    assert spec.guarantee is Guarantee.AT_LEAST_ONCE
    spec.validate(pl.Schema({"n": pl.Int64}))
    assert spec.key == ()


def test_a_function_of_one_is_given_frames() -> None:
    got: list[pl.DataFrame] = []
    sink = CallbackSinkSpec(got.append).open()
    assert sink.begin(None) is None
    sink.apply(0, [numbers(1), numbers(), numbers(2)])
    sink.close()
    assert [frame["n"].to_list() for frame in got] == [[1], [2]]


def test_a_function_of_two_is_given_the_epoch_too() -> None:
    got: list[tuple[int, int]] = []

    def take(epoch: int, frame: pl.DataFrame) -> None:
        got.append((epoch, frame.height))

    CallbackSinkSpec(take).open().apply(7, [numbers(1, 2)])
    CallbackSinkSpec(functools.partial(take, 3)).open().apply(7, [numbers(1)])
    assert got == [(7, 2), (3, 1)]


def test_every_epoch_is_one_call_even_without_rows() -> None:
    got: list[list[int]] = []
    columns: list[list[str]] = []

    def take(frame: pl.DataFrame) -> None:
        columns.append(frame.columns)
        got.append(frame.to_series().to_list() if frame.width else [])

    sink = CallbackSinkSpec(take, every_epoch=True).open()
    sink.apply(0, [])
    sink.apply(1, [numbers(1), numbers(2)])
    sink.apply(2, [numbers()])
    sink.apply(3, [])
    assert got == [[], [1, 2], [], []]
    assert columns == [[], ["n"], ["n"], ["n"]]


def test_a_default_argument_is_not_the_frame() -> None:
    got: list[object] = []
    CallbackSinkSpec(lambda frame, to=got: to.append(frame)).open().apply(0, [numbers(1)])
    assert len(got) == 1


def test_what_a_function_raises_is_the_users() -> None:
    sink = CallbackSinkSpec(lambda frame: frame["m"]).open()
    with pytest.raises(ConnectorError, match="ColumnNotFoundError") as caught:
        sink.apply(0, [numbers(1)])
    assert caught.value.fault is Fault.USER
    assert caught.value.__cause__ is not None


async def waiting(frame: pl.DataFrame) -> None:
    raise AssertionError(frame)


@pytest.mark.parametrize("function", [lambda: None, lambda a, b, c: None, waiting, 5])
def test_a_function_that_cannot_be_called_is_refused_when_built(function: Any) -> None:
    with pytest.raises(ConfigError):
        CallbackSinkSpec(function)


def test_append_only_rows_are_collected_in_order() -> None:
    into = Collected()
    sink = CollectSinkSpec(into).open()
    sink.begin(None)
    sink.apply(0, [numbers(2), numbers(1, 1)])
    sink.apply(0, [numbers(9)])
    sink.apply(1, [numbers()])
    sink.close()
    assert into.table()["n"].to_list() == [2, 1, 1]
    assert into.table()["n"].to_list() == [2, 1, 1]


def test_nothing_collected_is_an_empty_table() -> None:
    assert Collected().table(numbers().schema).equals(numbers())
    into = Collected()
    into.add(changes())
    assert into.table().equals(numbers())


def test_changes_are_collected_as_a_table() -> None:
    into = Collected()
    into.add(changes((1, 2), (None, 1), (2, 1)))
    assert into.table()["n"].to_list() == [1, 1, None, 2]
    into.add(changes((1, -1), (2, -1), (2, 1)))
    assert into.table()["n"].to_list() == [1, None, 2]


def test_a_list_survives_being_there_twice() -> None:
    into = Collected()
    into.add(pl.DataFrame({"l": [[1, 2], None, []], WEIGHT: [2, 1, 2]}))
    assert into.table()["l"].to_list() == [[1, 2], [1, 2], None, [], []]


def test_a_delete_of_a_missing_row_is_our_fault() -> None:
    into = Collected()
    into.add(changes((1, -1)))
    with pytest.raises(ConnectorError, match="not there") as caught:
        into.table()
    assert caught.value.fault is Fault.OURS


def test_memory_follows_the_living_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect_sink, "_SMALLEST_BUFFER", 10)
    into, most = Collected(), 0
    for n in range(300):
        into.add(changes((n, -1), (n + 1, 1)) if n else changes((1, 1)))
        most = max(most, into.held_rows)
    assert into.table()["n"].to_list() == [300]
    assert most < 130


@given(st.lists(st.lists(st.integers(0, 3), max_size=5), max_size=8))
def test_collected_changes_equal_a_counter(batches: list[list[int]]) -> None:
    into, oracle = Collected(), Counter[int]()
    for batch in batches:
        log = []
        for n in batch:
            weight = -1 if oracle[n] and n % 2 else 1
            oracle[n] += weight
            log.append((n, weight))
        into.add(changes(*log))
    if batches:
        assert sorted(into.table()["n"]) == sorted(oracle.elements())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_plain_lines() -> None:
    out = io.StringIO()
    sink = ConsoleSinkSpec("counts", max_rows=2, file=out).open()
    sink.begin(None)
    sink.apply(0, [changes((1, 1), (2, -1), (3, 1))])
    sink.apply(1, [changes((4, 3))])
    sink.close()
    assert out.getvalue().splitlines() == ["counts: n", "+ 1", "- 2", "... 1 more rows", "+3 4"]


def test_append_only_rows_have_no_sign_and_nothing_unprintable() -> None:
    out = io.StringIO()
    frame = pl.DataFrame({"s": ["[red]x\x1b[2J\n", None], "f": [0.1 + 0.2, 1e300]})
    sink = ConsoleSinkSpec(file=out).open()
    sink.begin(None)
    sink.apply(0, [frame])
    assert out.getvalue() == "s  f\n[red]x\\x1b[2J\\n  0.3\nnull  1e+300\n"


def test_a_terminal_gets_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    sink = ConsoleSinkSpec("paths", key=("n",), file=out).open()
    sink.begin(None)
    sink.apply(0, [changes((1, 1), (2, 1))])
    sink.apply(1, [changes((1, -1))])
    sink.close()
    assert "paths" in out.getvalue()
    assert "3 rows" in out.getvalue()


def test_a_board_keeps_places_and_the_newest() -> None:
    def keyed(*triples: tuple[str, int, int]) -> pl.DataFrame:
        return pl.DataFrame(triples, schema=["k", "v", WEIGHT], orient="row")

    board = Board("console", ("k",), 2)
    board.add(keyed(("a", 1, 1), ("b", 1, 1), ("c", 1, 1)))
    board.add(keyed(("a", 1, -1), ("a", 2, 1)))
    assert (board.shown().rows(), board.hidden) == ([("a", 2), ("b", 1)], 1)
    board.add(keyed(("b", 1, -1), ("d", 1, 1)))
    assert (board.shown().rows(), board.hidden) == ([("a", 2), ("c", 1)], 1)
    tail = Board("console", (), 2)
    tail.add(numbers(1, 2))
    tail.add(numbers(3))
    assert tail.shown().rows() == [(2,), (3,)]


def test_a_console_refuses_a_key_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="did you mean 'name'"):
        ConsoleSinkSpec(key=("nam",)).validate(pl.Schema({"name": pl.String()}))
    with pytest.raises(ConfigError, match="at least 1"):
        ConsoleSinkSpec(max_rows=0)
