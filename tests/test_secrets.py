"""References to secrets are looked up late, and messages never show what they stand for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock import hiding
from penstock.connectors.kafka.connection import connection
from penstock.errors import ConfigError, ConnectorError
from penstock.hiding import hidden, is_secret_option
from penstock.secrets import refuse_literals, revealed, revealed_connection

PLANTED = "pl@nted 's3cret"


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hiding, "_revealed", set())
    monkeypatch.setenv("PLANTED", PLANTED)
    (tmp_path / "planted").write_text(PLANTED + "\n")


def test_a_reference_is_replaced_by_what_it_names(tmp_path: Path) -> None:
    assert revealed("${env:PLANTED}", step="s") == PLANTED
    assert revealed(f"<${{file:{tmp_path}/planted}}>", step="s") == f"<{PLANTED}>"
    assert revealed("no reference, $HOME {x}", step="s") == "no reference, $HOME {x}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${env:NO_SUCH_VARIABLE}", "not set"),
        ("${file:/no/such/file}", "No such file"),
        ("${vault:a}", "available: env, file"),
        ("${PGPASSWORD}", r"write \$\{env:PGPASSWORD\}"),
    ],
)
def test_a_reference_to_nothing_is_an_error_that_names_it(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        revealed(text, step="s")
    assert text in str(caught.value)


def test_connection_texts_are_escaped_as_they_have_to_be() -> None:
    from psycopg.conninfo import conninfo_to_dict

    for text in ("postgresql://me:${env:PLANTED}@h/db", "host=h password=${env:PLANTED}"):
        given = revealed_connection(text, step="s")
        assert conninfo_to_dict(given)["password"] == PLANTED
        assert PLANTED not in hidden(f"cannot connect to {given}")


def test_messages_hide_what_was_revealed_and_what_looks_like_a_password() -> None:
    assert PLANTED in hidden(PLANTED)
    revealed("${env:PLANTED}", step="s")
    error = ConnectorError(f"refused: {PLANTED}", step=f"to {PLANTED}", hint=PLANTED, value=PLANTED)
    assert PLANTED not in f"{error} {error!r} {error.message} {error.value}"
    assert hidden("open postgresql://me:pa55@h:5432/db") == "open postgresql://me:***@h:5432/db"
    assert hidden("dbname=x password='a b' host=h") == "dbname=x password=*** host=h"
    assert hidden('{"secret_access_key": "abc", "n": 1}') == '{"secret_access_key": ***, "n": 1}'
    assert hidden("postgresql://${env:U}:pa55@h") == "postgresql://${env:U}:***@h"
    kept = "postgresql://${env:PGUSER}:${env:PGPASSWORD}@h/db?x=1 http://host:80/a@b"
    assert hidden(kept) == kept


@pytest.mark.parametrize("secret", ["back\\slash", 'quo"te', "li\nne", "apo'strophe"])
def test_messages_hide_what_is_shown_with_escapes(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", secret)
    revealed("${env:PLANTED}", step="s")
    for shown in (secret, repr(secret), repr({"a": secret}), json.dumps(secret)):
        assert hidden(shown).count("***") == 1
        assert secret[-4:] not in hidden(shown)


def test_kafka_hides_values_and_not_references(monkeypatch: pytest.MonkeyPatch) -> None:
    given = connection("me:${env:NO_SUCH}@h", "kafka t")
    with pytest.raises(
        ConfigError, match=r"\$\{env:NO_SUCH\}: the environment variable is not set"
    ):
        given.client("kafka t")
    settings = {"ssl.key.pem": "-----KEY 4711", "sasl.oauthbearer.client.secret": "bearer 4711"}
    monkeypatch.setenv("NO_SUCH", "word 4711")
    connection("me:${env:NO_SUCH}@h", "kafka t", settings=settings).client("kafka t")
    assert "4711" not in hidden("-----KEY 4711, bearer 4711, word 4711")


def test_the_line_of_an_error_shows_no_password() -> None:
    error = ConfigError("wrong", value="postgresql://me:pa55word@host/db")
    assert "test_secrets.py" in str(error)
    assert "pa55word" not in str(error)


def test_options_are_secret_by_name_or_by_what_they_hold() -> None:
    for name in ("password", "secret_access_key", "account_key", "auth_token", "sslpassword"):
        assert is_secret_option(name)
    public = ("token_url", "region", "access_key_id", "format", "skip_signature")
    for name in ("key", "primary_key", "aws_skip_signature", *public):
        assert not is_secret_option(name)
    refuse_literals({"password": "${env:X}", "url": "postgresql://${env:U}:${file:/p}@h"}, step="s")
    refuse_literals({"key": "id", "limit": 4, "path": "/a:b@c"}, step="s")
    for option, value in (("password", "x"), ("url", "postgresql://u:p@h"), ("c", "password=x")):
        with pytest.raises(ConfigError, match=f"option '{option}' holds a secret"):
            refuse_literals({option: value}, step="s")
