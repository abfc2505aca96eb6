"""Checkpoints that earlier versions wrote are gone on from, with the results of an unbroken run."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from penstock.checkpoints.manifest import FORMAT
from penstock.checkpoints.storage import LocalStorage
from penstock.checkpoints.store import manifests
from penstock.state.hashing import HASH_SCHEME

from .make import EXPECTED
from .pipelines import HALF, KINDS, append, output, run

ARCHIVES = sorted(Path(__file__).parent.glob("format-*/*.zip"))


def test_every_pipeline_has_a_checkpoint_of_this_format() -> None:
    names = {path.stem for path in ARCHIVES if path.parent.name == f"format-{FORMAT}"}
    assert names == set(KINDS)


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_kept_checkpoint_is_gone_on_from(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path)
    expected = json.loads((tmp_path / EXPECTED).read_text())
    assert output(tmp_path) != expected
    append(tmp_path, HALF, 2 * HALF)
    run(tmp_path, archive.stem, checkpoint="checkpoint", until=HALF, drain=True)
    assert output(tmp_path) == expected
    chain = [m for m in manifests(LocalStorage(tmp_path / "checkpoint")) if m is not None]
    assert chain[0].hash_scheme == HASH_SCHEME
    assert chain[-1].hash_scheme.startswith("penstock-1 "), "keys were hashed otherwise then"
