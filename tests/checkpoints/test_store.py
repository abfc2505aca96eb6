"""The chain of manifests: claims, fencing, damage, retention and collection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import polars as pl
import pytest

from penstock.checkpoints import store as store_module
from penstock.checkpoints.manifest import Manifest, PartFiles, decode, encode, path_of
from penstock.checkpoints.storage import LocalStorage, MemoryStorage, Storage
from penstock.checkpoints.store import CheckpointStore
from penstock.errors import CheckpointError, FencedError

from .conftest import Reopen


@pytest.fixture(autouse=True)
def _nobody_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that is taken over is in this test, too: waiting for it would be in vain."""
    monkeypatch.setattr(store_module, "LET_GO_S", 0.0)


def opened(storage: Storage, **options: int) -> CheckpointStore:
    store = CheckpointStore(storage, **options)
    store.open(created_at=0, takeover=True)
    return store


def checkpoint(store: CheckpointStore, epoch: int, rows: int = 3, staged: int = 0) -> Manifest:
    """Write a checkpoint whose state is one part of ``rows`` rows, with ``staged`` rows to apply."""
    writer = store.writer()
    frame = pl.DataFrame({"epoch": [epoch] * rows})
    part = PartFiles({"rows": writer.add("op.rows", frame)}, rows)
    output = pl.DataFrame({"n": range(staged)})
    outbox = {"sink-1": [writer.add("sink-1.outbox", output)]} if staged else {}
    writer.close()
    return store.commit(
        Manifest(
            sequence=0,
            origin=0,
            epoch=epoch,
            token=store.token,
            identity=store.identity,
            created_at=epoch,
            penstock="0",
            hash_scheme="",
            steps=[],
            positions={"source-1": epoch},
            state={"op": {"rows": [part]}},
            outbox=outbox,
            sinks={},
        )
    )


def stored_epoch(store: CheckpointStore, manifest: Manifest) -> int:
    (part,) = manifest.state["op"]["rows"]
    frame = store.reader.frame(part.frames["rows"])
    assert frame["epoch"].n_unique() == 1
    return int(frame["epoch"][0])


def resumed(storage: Storage) -> tuple[CheckpointStore, Manifest]:
    store = CheckpointStore(storage)
    manifest = store.open(created_at=0, takeover=True)
    assert manifest is not None
    return store, manifest


def spoil(storage: Storage, path: str) -> None:
    data = storage.read(path)
    storage.write(path, data[:-3] + b"xyz")


def test_the_first_run_has_nothing_to_resume_from(reopened: Reopen) -> None:
    store = CheckpointStore(reopened())
    assert store.open(created_at=0) is None
    store.close()
    again = CheckpointStore(reopened())
    assert again.open(created_at=0) is None
    assert again.identity == store.identity
    assert again.token > store.token


def test_a_run_resumes_from_the_newest(reopened: Reopen) -> None:
    store = opened(reopened())
    for epoch in (3, 7, 9):
        checkpoint(store, epoch)
    store.close()
    later, manifest = resumed(reopened())
    assert (manifest.epoch, stored_epoch(later, manifest)) == (9, 9)
    assert manifest.positions == {"source-1": 9}
    assert later.token > store.token
    assert later.identity == store.identity


def test_a_run_that_was_taken_over_is_fenced(reopened: Reopen) -> None:
    first = opened(reopened())
    checkpoint(first, 1)
    second = opened(reopened())
    with pytest.raises(FencedError, match="taken over"):
        checkpoint(first, 2)
    checkpoint(second, 2)
    with pytest.raises(FencedError):
        checkpoint(first, 3)
    assert resumed(reopened())[1].epoch == 2


def test_a_run_that_slept_until_its_next_link_was_deleted_is_fenced(
    reopened: Reopen,
) -> None:
    first = opened(reopened(), retain=1)
    checkpoint(first, 1)
    second = opened(reopened(), retain=1)
    for epoch in range(2, 6):
        checkpoint(second, epoch)
    assert path_of(first.token + 2) not in reopened().list("manifest-")
    with pytest.raises(FencedError):
        checkpoint(first, 2)
    later, manifest = resumed(reopened())
    assert (manifest.epoch, stored_epoch(later, manifest)) == (5, 5)


def test_two_that_take_over_at_once_get_different_tokens() -> None:
    """The second comes between the first one's look at the chain and its claim."""

    class Interrupted(MemoryStorage):
        interrupt: Callable[[], object] | None = None

        def create(self, path: str, data: bytes) -> bool:
            if self.interrupt is not None:
                interrupt, self.interrupt = self.interrupt, None
                interrupt()
            return super().create(path, data)

    storage = Interrupted()
    checkpoint(opened(storage), 4)
    others: list[CheckpointStore] = []
    storage.interrupt = lambda: others.append(opened(storage))
    last = opened(storage)
    assert last.token > others[0].token
    with pytest.raises(FencedError):
        checkpoint(others[0], 5)
    checkpoint(last, 5)


def test_a_commit_whose_answer_was_lost_is_found_to_be_its_own() -> None:
    class Forgetful(MemoryStorage):
        def create(self, path: str, data: bytes) -> bool:
            super().create(path, data)
            return super().create(path, data)

    storage = MemoryStorage()
    store = opened(storage)
    store.storage = forgetful = Forgetful()
    forgetful.files = storage.files
    assert checkpoint(store, 1).epoch == 1


def test_the_retained_are_kept_and_nothing_else(reopened: Reopen) -> None:
    store = opened(reopened(), retain=2)
    large = 1 << 17
    for epoch in range(1, 7):
        checkpoint(store, epoch, rows=large if epoch % 2 else 3)
    kept = [decode(reopened().read(p), p) for p in reopened().list("manifest-")]
    assert [m.epoch for m in kept if m] == [5, 6]
    needed = sorted({path for m in kept if m for path in m.files})
    assert reopened().list("runs/") == needed


def test_runs_that_come_to_nothing_push_no_checkpoint_out(
    reopened: Reopen,
) -> None:
    store = opened(reopened())
    checkpoint(store, 1)
    checkpoint(store, 2)
    for _ in range(10):
        store.close()
        store = opened(reopened())
    assert len(reopened().list("manifest-")) <= 4
    found = [decode(reopened().read(p), p) for p in reopened().list("manifest-")]
    assert {m.epoch for m in found if m} == {0, 1, 2}


def test_files_of_a_crashed_checkpoint_are_collected(reopened: Reopen) -> None:
    store = opened(reopened())
    checkpoint(store, 1)
    writer = store.writer()
    writer.add("lost", pl.DataFrame({"a": [1]}))
    writer.close()
    assert len(reopened().list("runs/")) == 2
    store.close()
    opened(reopened())
    assert len(reopened().list("runs/")) == 1


@pytest.mark.parametrize("damage", ["manifest", "part", "outbox", "missing"])
def test_the_one_before_a_damaged_one_is_used(
    reopened: Reopen, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened(reopened())
    checkpoint(store, 1)
    manifest = checkpoint(store, 2, staged=1 << 17)
    store.close()
    large, small = sorted(manifest.files, key=lambda path: path.endswith(".pack"))
    paths = {"manifest": path_of(manifest.sequence), "outbox": large}
    path = paths.get(damage, small)
    if damage == "missing":
        reopened().delete(path)
    else:
        spoil(reopened(), path)
    later, found = resumed(reopened())
    assert (found.epoch, stored_epoch(later, found)) == (1, 1)
    assert "damaged" in caplog.text
    assert checkpoint(later, 5).epoch == 5
    later.close()
    assert resumed(reopened())[1].epoch == 5


def test_a_damaged_one_that_was_repaired_is_the_newest_again(
    reopened: Reopen,
) -> None:
    store = opened(reopened())
    checkpoint(store, 1)
    path = path_of(checkpoint(store, 2).sequence)
    store.close()
    good = reopened().read(path)
    spoil(reopened(), path)
    later, found = resumed(reopened())
    assert found.epoch == 1
    later.close()
    reopened().write(path, good)
    assert resumed(reopened())[1].epoch == 2


def test_nothing_to_fall_back_on_is_an_error(reopened: Reopen) -> None:
    store = opened(reopened(), retain=1)
    manifest = checkpoint(store, 1)
    store.close()
    (file,) = manifest.files
    spoil(reopened(), file)
    with pytest.raises(CheckpointError, match=r"runs/.* is missing or damaged"):
        CheckpointStore(reopened()).open(created_at=0)


def test_another_format_is_refused() -> None:
    storage = MemoryStorage()
    manifest = checkpoint(opened(storage), 1)
    storage.write(path_of(9), encode(msgspec.structs.replace(manifest, format=99)))
    with pytest.raises(CheckpointError, match="format 99"):
        CheckpointStore(storage).open(created_at=0)


def test_a_folder_in_use_is_refused_but_can_be_taken_over(tmp_path: Path) -> None:
    first = opened(LocalStorage(tmp_path))
    with pytest.raises(CheckpointError, match="another run holds"):
        CheckpointStore(LocalStorage(tmp_path)).open(created_at=0)
    second = opened(LocalStorage(tmp_path))
    checkpoint(second, 1)
    with pytest.raises(FencedError):
        checkpoint(first, 1)
    first.close()
    checkpoint(second, 2)  # holds the lock from now on
    with pytest.raises(CheckpointError, match="another run holds"):
        CheckpointStore(LocalStorage(tmp_path)).open(created_at=0)


def test_nobody_slips_in_between_two_runs_of_which_one_takes_over(tmp_path: Path) -> None:
    first = opened(LocalStorage(tmp_path))
    others = [
        opened(LocalStorage(tmp_path)) for _ in range(2)
    ]  # the last one is the one that writes
    for run in (first, others[0]):
        run.close()
        with pytest.raises(CheckpointError, match="another run holds"):
            CheckpointStore(LocalStorage(tmp_path)).open(created_at=0)
    checkpoint(others[1], 1)
    others[1].close()
    CheckpointStore(LocalStorage(tmp_path)).open(created_at=0)


class Busy(MemoryStorage):
    """The run that is to be taken over goes on while the files of its checkpoint are read."""

    go_on: Callable[[], object] | None = None
    times = 0
    reads = 0

    def read(self, path: str) -> bytes:
        data = super().read(path)
        if path.startswith("runs/"):
            self.reads += 1
            if self.go_on is not None and self.times:
                self.times -= 1
                self.go_on()
        return data


@pytest.mark.parametrize("commits", [1, 2, 5])
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("retain", [1, 3])
def test_a_busy_run_is_taken_over_at_its_newest_checkpoint(
    commits: int, times: int, retain: int
) -> None:
    storage = Busy()
    first = opened(storage, retain=retain)
    epochs = iter(range(1, 100))
    newest = checkpoint(first, next(epochs))

    def go_on() -> None:
        nonlocal newest
        for _ in range(commits):
            newest = checkpoint(first, next(epochs))

    storage.go_on, storage.times = go_on, times
    second, manifest = resumed(storage)
    assert manifest.epoch == newest.epoch
    assert stored_epoch(second, manifest) == newest.epoch
    with pytest.raises(FencedError):
        checkpoint(first, 100)
    checkpoint(second, 101)


def test_files_that_stay_are_read_once_however_often_a_claim_is_tried() -> None:
    storage = Busy()
    first = opened(storage)
    newest = checkpoint(first, 1)
    storage.go_on = lambda: first.commit(msgspec.structs.replace(newest, epoch=2))
    storage.times, storage.reads = 1, 0
    _, manifest = resumed(storage)
    assert manifest.epoch == 2
    assert storage.reads == 1
