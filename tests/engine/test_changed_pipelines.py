"""A pipeline that was changed goes on from the checkpoint that its former version wrote."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import penstock as ps
from penstock.checkpoints.changes import Fate
from penstock.checkpoints.storage import MemoryStorage, Storage
from penstock.checkpoints.store import CheckpointStore
from penstock.cli.main import main
from penstock.errors import CheckpointError, QueryFailed

LIMIT = 60.0
Row = tuple[int, str, int]


def source(rows: list[Row], size: int = 4, name: str = "rows") -> ps.Stream:
    frames = [rows[at : at + size] for at in range(0, len(rows), size)]
    schema = {"id": pl.Int64, "key": pl.String, "amount": pl.Int64}
    made = [pl.DataFrame(frame, schema=schema, orient="row") for frame in frames]
    return ps.scan_batches(made, schema=schema, name=name)


def table(folder: Path, name: str) -> dict[str, int]:
    with closing(sqlite3.connect(folder / "out.db")) as connection:
        try:
            return dict(connection.execute(f"SELECT key, n FROM {name}").fetchall())
        except sqlite3.OperationalError:  # no such table: it never ran
            return {}


def sums(stream: ps.Stream, folder: Path, name: str) -> ps.Query:
    grouped = stream.group_by("key").agg(n=pl.col("amount").sum())
    return grouped.sink_sqlite(folder / "out.db", name, key="key")


def run(
    folder: Path,
    *queries: ps.Query,
    allow: bool | list[str] = False,
    checkpoint: Storage | None = None,
    rebuild: list[str] | None = None,
) -> None:
    kept = checkpoint or folder / "c"
    together = ps.start(*queries, checkpoint=kept, allow_lost_state=allow, rebuild=rebuild or ())
    assert together.wait(LIMIT)


def refused(folder: Path, *queries: ps.Query) -> str:
    with pytest.raises(QueryFailed) as caught:
        run(folder, *queries)
    assert isinstance(caught.value.__cause__, CheckpointError)
    return str(caught.value)


ROWS: list[Row] = [(n, f"k{n % 3}", n) for n in range(20)]


def test_a_changed_pipeline_keeps_the_state_of_what_is_still_there(tmp_path: Path) -> None:
    run(tmp_path, sums(source(ROWS[:10]), tmp_path, "sums"))
    rows = source(ROWS)
    new = rows.group_by("key").agg(n=pl.len().cast(pl.Int64))
    run(
        tmp_path,
        new.sink_sqlite(tmp_path / "out.db", "counts", key="key"),
        sums(rows.filter(pl.col("amount") > 15), tmp_path, "sums"),
    )
    kept = [r for r in ROWS if r[0] < 10 or r[2] > 15]
    assert table(tmp_path, "sums") == {
        key: sum(r[2] for r in kept if r[1] == key) for key in ("k0", "k1", "k2")
    }
    later = ROWS[12:]  # frames of four: the old run took three of the first ten rows' frames
    assert sum(table(tmp_path, "counts").values()) in (len(later), len(ROWS) - 10)


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files}


def test_a_change_that_loses_state_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    run(tmp_path, sums(source(ROWS), tmp_path, "sums"))
    before = everything(tmp_path)
    most = source(ROWS).group_by("key").agg(n=pl.col("amount").max())
    changed = most.sink_sqlite(tmp_path / "out.db", "sums", key="key")
    said = refused(tmp_path, changed)
    assert "running-aggregate-1" in said
    assert "3 rows" in said
    assert 'allow_lost_state=["running-aggregate-1"]' in said
    assert everything(tmp_path) == before
    run(tmp_path, changed, allow=["running-aggregate-1"])
    run(tmp_path, changed)


def test_only_what_is_named_may_be_lost(tmp_path: Path) -> None:
    two = [sums(source(ROWS), tmp_path, "a"), sums(source(ROWS).filter(id=1), tmp_path, "b")]
    run(tmp_path, *two)
    with pytest.raises(QueryFailed, match="running-aggregate-2"):
        run(tmp_path, source(ROWS).sink_callback(print), allow=["running-aggregate-1"])


def test_diff_in_python_and_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.ndjson"
    path.write_text("".join(json.dumps({"key": f"k{n % 3}", "amount": n}) + "\n" for n in range(9)))
    program = tmp_path / "program.py"
    text = (
        "import penstock as ps, polars as pl\n"
        f"rows = ps.scan_ndjson({str(path)!r}, schema={{'key': pl.String, 'amount': pl.Int64}})\n"
        "sums = rows.group_by('key').agg(n=pl.col('amount').AGG())"
        f".sink_sqlite({str(tmp_path / 'out.db')!r}, 'sums', key='key')\n"
    )
    checkpoint = str(tmp_path / "c")
    program.write_text(text.replace("AGG", "sum"))
    assert main(["diff", str(program), checkpoint]) == 1
    assert "there is no checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
    assert main(["run", str(program), "--checkpoint", checkpoint]) == 0
    assert main(["diff", str(program), checkpoint]) == 0
    assert "nothing is lost" in capsys.readouterr().out
    program.write_text(text.replace("AGG", "max"))
    assert main(["diff", str(program), checkpoint]) == 1
    shown = capsys.readouterr().out
    assert "lost     running-aggregate-1" in shown
    assert "3 rows" in shown
    assert main(["run", str(program), "--checkpoint", checkpoint]) == 2
    again = ["run", str(program), "--checkpoint", checkpoint, "--allow-lost-state"]
    assert main([*again, "running-aggregate-1"]) == 0
    assert main(["diff", str(program), checkpoint]) == 0


def test_a_diff_reads_well(tmp_path: Path) -> None:
    run(tmp_path, sums(source(ROWS), tmp_path, "sums"))
    found = sums(source(ROWS).unique("id"), tmp_path, "sums").diff(tmp_path / "c")
    assert found.lost == ()
    assert [c.fate for c in found.changes] == [Fate.KEPT, Fate.NEW, Fate.MOVED, Fate.KEPT]
    assert "moved    running-aggregate-1" in repr(found)
    assert "<td>moved</td><td>running-aggregate-1</td>" in found._repr_html_()
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.epoch = 3  # type: ignore[misc]


def test_names_keep_state_wherever_the_step_stands(tmp_path: Path) -> None:
    def two(names: tuple[str, str], rows: list[Row]) -> list[ps.Query]:
        base, made = source(rows), []
        for n, name in enumerate(names):
            part = base.filter(pl.col("id") % 2 == n).group_by("key").agg(n=pl.col("amount").sum())
            made.append(part.named(name).sink_sqlite(tmp_path / "out.db", f"t{n}", key="key"))
        return made

    run(tmp_path, *two(("even", "odd"), ROWS[:8]))
    run(tmp_path, *two(("odd", "even"), ROWS))
    swapped = [r for r in ROWS if r[1] == "k0" and r[0] % 2 == (1 if r[0] < 8 else 0)]
    assert table(tmp_path, "t0")["k0"] == sum(r[2] for r in swapped)


def test_a_new_source_does_not_disturb_the_watermark_of_another(tmp_path: Path) -> None:
    def timed(rows: list[Row], name: str) -> ps.Stream:
        return source(rows, name=name).with_columns(ts=pl.from_epoch("id", time_unit="s"))

    def query(*streams: ps.Stream) -> ps.Query:
        together = ps.concat(list(streams)).with_watermark("ts", idle_timeout=None)
        return sums(together, tmp_path, "sums")

    late = [(1000 + n, "k", 1) for n in range(4)]
    run(tmp_path, query(timed(late, "late")))
    early = [(n, "k", 1) for n in range(4)]
    new = query(timed(early, "early"), timed(late, "late"))
    assert not new.diff(tmp_path / "c").lost
    run(tmp_path, new)
    assert table(tmp_path, "sums") == {"k": 4}  # the new source's rows are behind the watermark
    late += [(2000 + n, "k", 1) for n in range(4)]
    run(tmp_path, query(timed(early, "early"), timed(late, "late")))
    assert table(tmp_path, "sums") == {"k": 8}


def test_a_sink_that_is_taken_out_after_a_stop_is_no_loss(tmp_path: Path) -> None:
    rows = source(ROWS)
    run(tmp_path, sums(rows, tmp_path, "a"), rows.sink_topic(tmp_path / "topic"))
    assert not sums(rows, tmp_path, "a").diff(tmp_path / "c").lost


def test_a_given_name_that_was_an_automatic_one_takes_over(tmp_path: Path) -> None:
    def query(name: str | None, rows: list[Row]) -> ps.Query:
        grouped = source(rows).group_by("key").agg(n=pl.col("amount").sum())
        named = grouped if name is None else grouped.named(name)
        return named.sink_sqlite(tmp_path / "out.db", "sums", key="key")

    run(tmp_path, query(None, ROWS[:8]))
    run(tmp_path, query("totals", ROWS[:12]))
    run(tmp_path, query("totals", ROWS))
    assert table(tmp_path, "sums")["k0"] == sum(r[2] for r in ROWS if r[1] == "k0")


def test_a_time_to_live_that_is_added_counts_for_old_keys_too(tmp_path: Path) -> None:
    def query(rows: list[Row], ttl: str | None) -> ps.Query:
        timed = source(rows, 1).with_columns(ts=pl.from_epoch("id", time_unit="s"))
        grouped = timed.with_watermark("ts").group_by("key", ttl=ttl)
        return grouped.agg(n=pl.col("amount").sum()).sink_sqlite(
            tmp_path / "out.db", "sums", key="key"
        )

    rows: list[Row] = [(0, "a", 1), (0, "b", 1)]
    run(tmp_path, query(rows, None))
    rows += [(100, "b", 1), (120, "c", 1), (121, "a", 1)]
    run(tmp_path, query(rows, "10s"))
    assert table(tmp_path, "sums") == {"a": 1, "b": 2, "c": 1}


# Random pairs of pipelines


@dataclass(frozen=True)
class Branch:
    """``rows [-> filter amount >= least] [-> doubled] [-> unique id] -> sum or max by key``."""

    least: int = 0
    doubled: bool = False
    unique: bool = False
    most: bool = False

    def build(self, rows: ps.Stream, folder: Path, name: str) -> ps.Query:
        stream = rows.with_columns(branch=pl.lit(name))  # or equal branches would share their steps
        stream = stream.filter(pl.col("amount") >= self.least) if self.least else stream
        if self.doubled:
            stream = stream.with_columns(pl.col("amount") * 2)
        if self.unique:
            stream = stream.unique("id")
        amount = pl.col("amount")
        grouped = stream.group_by("key").agg(n=amount.max() if self.most else amount.sum())
        return grouped.sink_sqlite(folder / "out.db", name, key="key")


class Oracle:
    """A branch in plain Python. The table it writes to outlives it."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.groups: dict[str, int] = {}
        self.table: dict[str, int] = {}

    def change(self, before: Branch | None, after: Branch | None) -> None:
        """Forget what the changed pipeline cannot keep."""
        if before is None or after is None or not (before.unique and after.unique):
            self.seen = set()
        if before is None or after is None or before.most != after.most:
            self.groups = {}

    def feed(self, branch: Branch, rows: list[Row]) -> None:
        for number, key, value in rows:
            if value < branch.least or (branch.unique and number in self.seen):
                continue
            self.seen.add(number)
            amount = value * 2 if branch.doubled else value
            known = self.groups.get(key)
            found = (
                amount if known is None else max(known, amount) if branch.most else known + amount
            )
            self.groups[key] = self.table[key] = found


branches = st.builds(
    Branch, st.sampled_from([0, 2, 4]), st.booleans(), st.booleans(), st.booleans()
)
rows_of = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from("xyz"), st.integers(0, 6)), min_size=1, max_size=24
)
NAMES = ("a", "b", "c")
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without shrinking: each example runs an engine several times."""


@st.composite
def edited(draw: st.DrawFn, before: dict[str, Branch]) -> dict[str, Branch]:
    """Draw another version: options changed, branches gone, added and in another order."""
    after = {}
    for name in draw(st.permutations(NAMES)):
        branch = before.get(name)
        match draw(st.sampled_from(["same", "same", "gone", "filter", "any"])):
            case "same" if branch is not None:
                after[name] = branch
            case "filter" if branch is not None:
                least = draw(st.sampled_from([0, 2, 4]))
                after[name] = dataclasses.replace(branch, least=least)
            case "any":
                after[name] = draw(branches)
    return after or before


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[dict[str, Branch], list[Row]]]:
    """Draw versions of a pipeline, and the rows that each of them gets to see."""
    first = draw(st.dictionaries(st.sampled_from(NAMES), branches, min_size=1))
    versions = [first]
    for _ in range(draw(st.integers(1, 3))):
        versions.append(draw(edited(versions[-1])))
    return [(version, draw(rows_of)) for version in versions]


@given(histories())
@settings(max_examples=15, phases=_PHASES)
def test_kept_state_has_seen_all_rows_new_state_the_later_ones_rebuilt_state_all(
    history: list[tuple[dict[str, Branch], list[Row]]],
) -> None:
    oracles = {name: Oracle() for name in NAMES}
    before: dict[str, Branch] = {}
    frames: list[Row] = []
    kept = MemoryStorage()
    with TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        for version, fresh in history:
            frames = frames + fresh
            rows = source(frames, 1)
            queries = [branch.build(rows, folder, name) for name, branch in version.items()]
            run(folder, *queries, allow=True, checkpoint=kept)
            for name, oracle in oracles.items():
                oracle.change(before.get(name), version.get(name))
                if name in version:
                    oracle.feed(version[name], fresh)
                assert table(folder, name) == oracle.table
            before = version
        manifest = CheckpointStore(kept).peek()
        assert manifest is not None
        holding = [step.name for step in manifest.steps if step.layout]
        rows = source(frames, 1)
        queries = [branch.build(rows, folder, name) for name, branch in before.items()]
        run(folder, *queries, checkpoint=kept, rebuild=holding)
        for name, branch in before.items():  # as if it had been this pipeline all along
            afresh = Oracle()
            afresh.feed(branch, frames)
            assert table(folder, name) == afresh.table
