"""Who is answered, and who is not."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

import penstock as ps
from penstock.dashboard.guard import is_loopback

from .asking import ask
from .runs import MadeUp, progress

TOKEN = "correct-horse"
JSON = {"content-type": "application/json"}


@pytest.fixture
def run() -> MadeUp:
    return MadeUp(progress())


@pytest.fixture
def local(run: MadeUp) -> Iterator[str]:
    with ps.Dashboard(port=0) as dashboard:
        dashboard.add(run, "made-up")
        yield dashboard.address


@pytest.fixture
def guarded(run: MadeUp) -> Iterator[str]:
    with ps.Dashboard(port=0, token=TOKEN) as dashboard:
        dashboard.add(run, "made-up")
        yield dashboard.address


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", ""])
def test_a_name_made_to_point_here_is_refused(local: str, host: str) -> None:
    assert ask(local, "/api/snapshot", headers={"host": host})[0] == 421


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]:4747"])
def test_names_of_the_loopback_are_served(local: str, host: str) -> None:
    assert ask(local, "/api/snapshot", headers={"host": host})[0] == 200


@pytest.mark.parametrize("path", ["/", "/api/snapshot", "/api/runs/made-up/stop"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_other_origins_are_refused(
    local: str, run: MadeUp, path: str, headers: dict[str, str]
) -> None:
    method = "POST" if path.endswith("stop") else "GET"
    assert ask(local, path, method, {**JSON, **headers})[0] == 403
    assert run.commands == []


def test_the_page_itself_may_command_and_a_form_may_not(local: str, run: MadeUp) -> None:
    own = f"http://{urlsplit(local).netloc}"
    path = "/api/runs/made-up/stop"
    form = {"content-type": "application/x-www-form-urlencoded", "origin": own}
    assert ask(local, path, "POST", form)[0] == 415
    assert run.commands == []
    assert ask(local, path, "POST", {**JSON, "origin": own})[0] == 200
    assert run.commands == ["stop"]


def test_answers_keep_the_page_to_itself(local: str) -> None:
    for path in ("/", "/api/snapshot", "/nothing"):
        _, headers, _ = ask(local, path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


def test_without_the_token_there_is_nothing_but_health(guarded: str) -> None:
    assert ask(guarded, "/health")[0] == 200
    for path in ("/", "/?token=wrong", "/api/snapshot", "/metrics", "/openapi.json"):
        assert ask(guarded, path)[0] == 401
    for given in (f"{TOKEN}x", "", "é", TOKEN[:-1]):
        headers = {"authorization": f"Bearer {given}".encode().decode("latin-1")}
        assert ask(guarded, "/api/snapshot", headers=headers)[0] == 401


def test_the_token_of_the_address_becomes_a_cookie(guarded: str) -> None:
    assert guarded.endswith(f"/?token={TOKEN}")
    status, headers, _ = ask(guarded, f"/?token={TOKEN}")
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    pair = {"cookie": cookie.split(";")[0]}
    assert ask(guarded, "/api/snapshot", headers=pair)[0] == 200
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert ask(guarded, "/metrics", headers=bearer)[0] == 200


def test_tokens_are_compared_in_constant_time(
    guarded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    real = hmac.compare_digest

    def noting(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return real(a, b)

    monkeypatch.setattr(hmac, "compare_digest", noting)
    assert ask(guarded, "/api/snapshot", headers={"authorization": "Bearer x"})[0] == 401
    assert (b"x", TOKEN.encode()) in compared


def test_beyond_the_loopback_there_is_always_a_token() -> None:
    with ps.Dashboard(host="0.0.0.0", port=0) as dashboard:
        assert len(dashboard.address.partition("?token=")[2]) >= 24
        port = urlsplit(dashboard.address).port
        assert ask(f"http://127.0.0.1:{port}", "/api/snapshot")[0] == 401


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.8.9.1", True), ("::1", True), ("0.0.0.0", False), ("a.b", False)],
)
def test_what_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
