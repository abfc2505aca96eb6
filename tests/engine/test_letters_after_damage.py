"""Dead letters when the newest checkpoint is damaged and the one before it is gone on from."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.checkpoints.manifest import path_of
from penstock.checkpoints.opening import open_storage
from penstock.checkpoints.store import CheckpointStore, links, read_manifest
from penstock.errors import QueryFailed


def run(checkpoint: str, *texts: str) -> None:
    frames = [pl.DataFrame({"v": [text]}) for text in texts]
    numbers = ps.scan_batches(frames, name="texts").select(n=pl.col("v").cast(pl.Int64))
    ps.run(numbers.sink_callback(lambda _: None), checkpoint=checkpoint)


def letters(checkpoint: str) -> list[bytes]:
    found: list[bytes] = ps.read_dead_letters(checkpoint)["bytes"].to_list()
    return found


def damaged(checkpoint: str) -> None:
    """Two runs, and the manifests of the second are damaged."""
    storage = open_storage(checkpoint, {})
    run(checkpoint, "bad1")
    known = links(storage)
    first = read_manifest(storage, known[0])
    run(checkpoint, "bad1", "bad2")
    assert first is not None
    for link in links(storage):
        manifest = read_manifest(storage, link)
        if manifest is not None and manifest.epoch > first.epoch:
            storage.write(path_of(link), b"damaged")
    assert letters(checkpoint) == [b'{"v":"bad1"}', b'{"v":"bad2"}']


@pytest.mark.parametrize("place", ["{}/c", "memory://{}"])
def test_letters_that_are_ahead_are_refused_as_a_sink_is(tmp_path: Path, place: str) -> None:
    """Those of the epochs to come would be skipped, or be there twice."""
    checkpoint = place.format(tmp_path)
    damaged(checkpoint)
    with pytest.raises(QueryFailed, match="the checkpoint is behind its dead letters"):
        run(checkpoint, "bad1", "bad2", "bad3")
    assert letters(checkpoint) == [b'{"v":"bad1"}', b'{"v":"bad2"}']


def test_a_run_that_is_late_replaces_no_letters(tmp_path: Path) -> None:
    """It sleeps before it writes those of its last epoch, which the next run writes meanwhile."""
    store = CheckpointStore(open_storage(f"memory://{tmp_path}", {}))
    store.keep_frame("dead-letters/1.arrow", pl.DataFrame({"n": [1, 2]}))
    written = store.storage.read("dead-letters/1.arrow")
    store.keep_frame("dead-letters/1.arrow", pl.DataFrame({"n": [1]}))
    assert store.storage.read("dead-letters/1.arrow") == written
