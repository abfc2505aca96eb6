"""What every storage owes: files by path, a conditional create, no secrets."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.checkpoints import storage as storage_module
from penstock.checkpoints.guarded import Guarded
from penstock.checkpoints.object_storage import ObjectStorage
from penstock.checkpoints.opening import open_storage
from penstock.checkpoints.storage import LocalStorage, MemoryStorage, Storage
from penstock.errors import CheckpointError, ConfigError
from tests.servers.objects import ObjectServer

from .conftest import Reopen


def test_what_was_written_is_read(reopened: Reopen) -> None:
    storage = reopened()
    storage.write("runs/a.pack", b"one")
    storage.write("runs/a.pack", b"two")
    storage.write("b", b"")
    assert reopened().read("runs/a.pack") == b"two"
    assert reopened().read("b") == b""


def test_only_one_creates(reopened: Reopen) -> None:
    storage = reopened()
    assert storage.create("manifest-1", b"mine")
    assert not storage.create("manifest-1", b"yours")
    assert not reopened().create("manifest-1", b"theirs")
    assert reopened().read("manifest-1") == b"mine"


def test_of_many_at_once_one_creates(reopened: Reopen) -> None:
    storages = [reopened() for _ in range(6)]
    won: list[int] = []

    def attempt(number: int) -> None:
        if storages[number].create("m", b"%d" % number):
            won.append(number)

    threads = [threading.Thread(target=attempt, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = won
    assert reopened().read("m") == b"%d" % winner


def test_listing_is_by_prefix_of_the_path(reopened: Reopen) -> None:
    storage = reopened()
    for path in ("manifest-1", "manifest-2", "runs/a", "runs/b/c", "runs-old"):
        storage.write(path, b"x")
    assert storage.list("manifest-") == ["manifest-1", "manifest-2"]
    assert storage.list("runs/") == ["runs/a", "runs/b/c"]
    assert storage.list("runs") == ["runs-old", "runs/a", "runs/b/c"]
    assert storage.list("") == ["manifest-1", "manifest-2", "runs-old", "runs/a", "runs/b/c"]
    assert storage.list("nothing/") == []


def test_what_was_deleted_is_gone(reopened: Reopen) -> None:
    storage = reopened()
    storage.write("runs/a", b"x")
    storage.delete("runs/a")
    storage.delete("runs/a")
    assert storage.list("runs/") == []
    with pytest.raises(FileNotFoundError):
        storage.read("runs/a")


def test_a_folder_without_links_creates_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(storage_module.os, "link", refuse)
    storage = LocalStorage(tmp_path)
    assert storage.create("m", b"mine")
    assert not storage.create("m", b"yours")
    assert storage.list("") == ["m"]


def test_a_partial_file_that_was_tidied_away_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does a run that takes over, while the one before it sleeps between two calls."""
    storage, link = LocalStorage(tmp_path), os.link
    assert LocalStorage(tmp_path).create("theirs", b"x")

    def late(source: Path, target: Path) -> None:
        monkeypatch.setattr(storage_module.os, "link", link)
        source.unlink()
        link(source, target)

    for path, made in (("mine", True), ("theirs", False)):
        monkeypatch.setattr(storage_module.os, "link", late)
        assert storage.create(path, b"y") is made
    assert storage.read("mine") == b"y"
    assert storage.list("") == ["mine", "theirs"]


@pytest.mark.parametrize(
    ("code", "retry", "hint"),
    [
        (errno.ENOSPC, True, "make room"),
        (errno.EROFS, False, "where one may write"),
        (errno.EIO, True, ""),
    ],
)
def test_errors_say_where_and_what_to_do(code: int, retry: bool, hint: str) -> None:
    class Failing(MemoryStorage):
        def write(self, path: str, data: bytes) -> None:
            raise OSError(code, "the reason")

    with pytest.raises(CheckpointError, match="runs/a cannot be written") as caught:
        Guarded(Failing()).write("runs/a", b"")
    assert caught.value.retry is retry
    assert hint in str(caught.value)
    assert "the reason" in str(caught.value)


def test_urls_that_name_no_storage_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ftp"):
        open_storage("ftp://host/folder", {})
    with pytest.raises(ConfigError, match="object store"):
        open_storage(tmp_path, {"region": "here"})
    own = MemoryStorage()
    assert open_storage(own, {}) is own


@pytest.mark.parametrize("kind", ["s3", "azurite"])
def test_secrets_are_not_shown(kind: str, request: pytest.FixtureRequest) -> None:
    server: ObjectServer = request.getfixturevalue(kind)
    storage = open_storage(server.new_url(), server.options)
    assert server.secret not in repr(storage) + storage.name
    assert isinstance(storage, ObjectStorage)
    assert server.secret not in storage._said(ValueError(f"signature of {server.secret}"))
    with pytest.raises(ConfigError, match="nonsense") as caught:
        open_storage(server.new_url(), {**server.options, "nonsense": "x"})
    assert server.secret not in str(caught.value)


def test_a_store_without_conditional_create_is_refused(s3: ObjectServer) -> None:
    class Careless(ObjectStorage):
        def _create(self, path: str, data: bytes) -> bool:
            self.write(path, data)
            return True

    with pytest.raises(ConfigError, match="only if missing"):
        Careless(s3.new_url(), s3.options).create("manifest-1", b"x")


def test_a_bucket_that_is_not_there_is_told(s3: ObjectServer) -> None:
    storage: Storage = Guarded(open_storage("s3://no-such-bucket/x", s3.options))
    with pytest.raises(CheckpointError, match="no-such-bucket"):
        storage.write("a", b"x")


def test_options_of_an_object_store_are_given_by_reference(
    s3: ObjectServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The secret is in no object of a run's checkpoints, in no log, and in nothing that is shown."""
    monkeypatch.setenv("STORE_SECRET", s3.secret)
    options = {**s3.options, "secret_access_key": "${env:STORE_SECRET}"}
    url = s3.new_url()
    rows = ps.scan_rate(total=5)
    query = rows.group_by(pl.col("offset") % 2).agg(n=pl.len()).sink_callback(lambda _: None)
    with caplog.at_level(logging.DEBUG):
        running = query.start(checkpoint=url, checkpoint_options=options)
        running.wait()
    storage = open_storage(url, options)
    paths = storage.list("")
    assert any(path.startswith("manifest-") for path in paths)
    assert not [path for path in paths if s3.secret.encode() in storage.read(path)]
    assert s3.secret not in f"{caplog.text} {query.explain()} {running.progress()} {storage!r}"
    with pytest.raises(
        ConfigError, match=r"\$\{env:NOT_SET\}: the environment variable is not set"
    ):
        open_storage(url, {**s3.options, "secret_access_key": "${env:NOT_SET}"})


def test_a_file_system_without_locks_is_not_taken_for_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    for takeover in (False, True):
        with pytest.raises(CheckpointError, match="No locks available") as caught:
            Guarded(LocalStorage(tmp_path)).hold(takeover=takeover)
        assert "has locks" in str(caught.value)


def test_a_file_in_the_way_is_no_reason_to_try_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "c"):
        with pytest.raises(CheckpointError, match="name a folder") as caught:
            Guarded(LocalStorage(folder)).hold(takeover=False)
        assert not caught.value.retry
