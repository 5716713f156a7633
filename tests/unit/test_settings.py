from __future__ import annotations

import os
from pathlib import Path

import pytest

from tallygate.errors import SettingsInvalid
from tallygate.settings import Settings, read_settings

SECRET = "a-secret-that-nobody-may-read"


@pytest.fixture(autouse=True)
def _no_variable_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("TALLYGATE_"):
            monkeypatch.delenv(name)


def settings_with(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(f"TALLYGATE_{name}", value)
    return read_settings()


def test_without_variables_everything_lies_beside_the_config(tmp_path: Path) -> None:
    settings = read_settings()

    assert settings.policies_folder(tmp_path) == tmp_path / "policies"
    assert settings.state_folder(tmp_path) == tmp_path / ".tallygate"
    assert settings.spool_folder(tmp_path) == tmp_path / ".tallygate" / "spool"
    assert settings.ledger(tmp_path) == f"sqlite:///{tmp_path}/.tallygate/ledger.db"
    assert settings.hash_key is None
    assert settings.drain == "child"


def test_every_place_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = settings_with(
        monkeypatch, POLICIES="/p", STATE="/s", SPOOL="/q", LEDGER_URL="postgresql://ledger"
    )

    assert settings.policies_folder(tmp_path) == Path("/p")
    assert settings.state_folder(tmp_path) == Path("/s")
    assert settings.spool_folder(tmp_path) == Path("/q")
    assert settings.ledger(tmp_path) == "postgresql://ledger"


def test_spool_and_ledger_follow_the_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_with(monkeypatch, STATE="/s")

    assert settings.spool_folder(Path("/base")) == Path("/s/spool")
    assert settings.ledger(Path("/base")) == "sqlite:////s/ledger.db"


@pytest.mark.parametrize(
    "name", ["POLICIES", "STATE", "SPOOL", "LEDGER_URL", "HASH_KEY", "HASH_KEY_ID", "DRAIN"]
)
def test_an_empty_variable_is_one_that_is_not_set(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert settings_with(monkeypatch, **{name: ""}) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("HASH_KEY_ID", "key-1", id="a key id that the policies would not match"),
        pytest.param("HASH_KEY_ID", "hk", id="a key id without its number"),
        pytest.param("HASH_KEY_ID", "hk1\n", id="a key id with a line end"),
        pytest.param("SETTLE_GRACE_S", "0", id="no grace"),
        pytest.param("SETTLE_GRACE_S", "3601", id="too much grace"),
        pytest.param("SETTLE_GRACE_S", "nan", id="a grace that is no number"),
        pytest.param("SPOOL_LIMIT_MB", "255", id="too small a spool"),
        pytest.param("SPOOL_LIMIT_MB", "many", id="a limit that is no number"),
        pytest.param("SYNC_INTERVAL_MS", "-1", id="a negative interval"),
        pytest.param("DRAIN", "on", id="a choice that is not one"),
        pytest.param("OPA_TIMEOUT_MS", "9", id="no time to answer"),
        pytest.param("OPA_TIMEOUT_MS", "5001", id="time that no caller has"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_name_and_what_it_holds(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        settings_with(monkeypatch, **{name: value})

    assert f"TALLYGATE_{name}" in str(caught.value)
    assert repr(value) in str(caught.value)


def test_every_fault_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid, match=r"(?s)SPOOL_LIMIT_MB.*; TALLYGATE_DRAIN"):
        settings_with(monkeypatch, SPOOL_LIMIT_MB="1", DRAIN="no")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        pytest.param("TALLYGATE_POLICY", "Did you mean TALLYGATE_POLICIES?", id="close"),
        pytest.param("tallygate_polices", "Did you mean TALLYGATE_POLICIES?", id="lower case"),
        pytest.param("TALLYGATE_QQQQ", "Known: TALLYGATE_POLICIES, ", id="far"),
        pytest.param("TALLYGATE_FAIL_OPEN", "not a variable", id="what only a policy may say"),
    ],
)
def test_a_variable_that_nobody_knows_is_an_error_not_a_silence(
    monkeypatch: pytest.MonkeyPatch, name: str, hint: str
) -> None:
    monkeypatch.setenv(name, "x")

    with pytest.raises(SettingsInvalid, match=name) as caught:
        read_settings()

    assert hint in str(caught.value)


def test_the_hash_key_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_with(monkeypatch, HASH_KEY=SECRET)
    assert SECRET not in repr(settings)
    assert settings.hash_key is not None
    assert settings.hash_key.get_secret_value() == SECRET

    with pytest.raises(SettingsInvalid) as caught:
        settings_with(monkeypatch, HASH_KEY=SECRET, DRAIN="no")
    assert SECRET not in str(caught.value)


# The OPA server.


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8181", "http://127.0.0.1:8181"),
        ("https://opa.example:443/", "https://opa.example:443"),
        ("http://[::1]:8181", "http://[::1]:8181"),
        ("http://opa", "http://opa"),
    ],
)
def test_an_opa_server_is_named_by_its_address(
    monkeypatch: pytest.MonkeyPatch, url: str, expected: str
) -> None:
    assert settings_with(monkeypatch, OPA_URL=url).opa_url == expected


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("127.0.0.1:8181", id="no scheme"),
        pytest.param("unix:///run/opa.sock", id="a socket"),
        pytest.param("http://", id="no host"),
        pytest.param("http://opa:0", id="no port"),
        pytest.param("http://opa:99999", id="a port that is none"),
        pytest.param("http://opa:8181/v1/data", id="a path"),
        pytest.param("http://opa:8181?x=1", id="a query"),
        pytest.param(f"http://user:{SECRET}@opa:8181", id="a password"),
    ],
)
def test_an_address_that_is_more_or_less_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Method: not repeated, because a password in it is the likely mistake."""
    with pytest.raises(SettingsInvalid, match=r"TALLYGATE_OPA_URL.*such as http://127") as caught:
        settings_with(monkeypatch, OPA_URL=url)

    assert "it holds" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_the_token_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_with(monkeypatch, OPA_TOKEN=SECRET)

    assert SECRET not in repr(settings)
