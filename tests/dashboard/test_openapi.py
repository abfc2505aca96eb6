"""The OpenAPI document says what the server does."""

from __future__ import annotations

from pathlib import Path

from penstock.dashboard import openapi
from penstock.dashboard.page import BUILT
from penstock.dashboard.routes import ENDPOINTS, Routes

from .asking import told

PAGE_BYTES = 300_000


def test_the_document_is_the_one_that_is_kept(shown: str) -> None:
    kept = Path(openapi.__file__).with_name("openapi.json").read_text()
    assert kept == openapi.written(), "python -m penstock.dashboard.openapi writes it anew"
    assert told(shown, "/openapi.json") == openapi.document()


def test_every_path_is_answered_and_described() -> None:
    assert all(callable(getattr(Routes, endpoint.answer)) for endpoint in ENDPOINTS)
    assert set(openapi.document()["paths"]) == {endpoint.path for endpoint in ENDPOINTS}


def test_the_page_is_small() -> None:
    sizes = {path.name: path.stat().st_size for path in BUILT.rglob("*") if path.is_file()}
    assert "index.html" in sizes
    assert sum(sizes.values()) < PAGE_BYTES, sizes
