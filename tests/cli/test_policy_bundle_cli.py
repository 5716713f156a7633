from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fakes.policy_folders import path_without_opa, real_opa
from fakes.signing_keys import SigningKey, a_signing_key
from tallygate.adapters.files.policies import read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.cli.policy import policy


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return a_signing_key(tmp_path_factory.mktemp("keys"))


def run(output: Path, *words: object) -> Result:
    asked = ["bundle", "--policies", str(starter_policies()), "-o", str(output)]
    return CliRunner().invoke(policy, [*asked, *(str(word) for word in words)])


def opa(*words: object) -> Any:
    command = [str(real_opa().path), *(str(word) for word in words)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_the_same_policies_give_the_same_bytes_and_need_no_opa(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", path_without_opa(tmp_path / "bin"))
    written = [tmp_path / "one.tar.gz", tmp_path / "two.tar.gz"]

    for path in written:
        result = run(path, "--format", "json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["revision"] == read_policies(starter_policies()).revision
        assert json.loads(result.stdout)["signed_with"] is None

    assert written[0].read_bytes() == written[1].read_bytes()


def test_it_carries_the_data_and_the_rego_of_the_revision_and_nothing_else(tmp_path: Path) -> None:
    assert run(tmp_path / "b.tar.gz").exit_code == 0
    policies = read_policies(starter_policies())

    with tarfile.open(tmp_path / "b.tar.gz") as archive:
        names = {name.removeprefix("/") for name in archive.getnames()}
        data = archive.extractfile("/data.json")
        assert data is not None
        assert json.loads(data.read()) == policies.data
    assert names == {".manifest", "data.json", *policies.rego}


@pytest.mark.parametrize(
    ("words", "roots"),
    [
        pytest.param((), set(), id="plain"),
        pytest.param(("--with-log-masks",), {"system/log"}, id="with masks"),
    ],
)
def test_opa_reads_its_revision_and_that_it_owns_what_it_holds(
    tmp_path: Path, words: tuple[str, ...], roots: set[str]
) -> None:
    assert run(tmp_path / "b.tar.gz", *words).exit_code == 0
    policies = read_policies(starter_policies())

    manifest = opa("inspect", "--format", "json", tmp_path / "b.tar.gz")["manifest"]

    assert manifest["revision"] == policies.revision
    assert set(manifest["roots"]) == {"tallygate", *policies.data, *roots}


def signed(output: Path, key: SigningKey, *words: object) -> Result:
    return run(output, "--signing-key", key.private, "--signing-keyid", "tallygate-1", *words)


def loads(bundle: Path, key: SigningKey) -> subprocess.CompletedProcess[bytes]:
    """Have the real opa load the bundle; it checks the signature or ends."""
    words = ("--verification-key", key.public, "--verification-key-id", "tallygate-1")
    alg = ("--signing-alg", "ES256", "--scope", "tallygate")
    return subprocess.run(
        [str(real_opa().path), "run", "--bundle", bundle, *words, *alg],
        input=b"count(data.registry.teams)\n",
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_opa_accepts_what_is_signed_with_its_key_and_nothing_else(
    tmp_path: Path, key: SigningKey
) -> None:
    real_opa()
    other = a_signing_key(tmp_path)
    result = signed(tmp_path / "b.tar.gz", key, "--with-log-masks")
    assert result.exit_code == 0, result.output
    assert "signed with tallygate-1" in result.output
    assert run(tmp_path / "unsigned.tar.gz").exit_code == 0

    teams = len(read_policies(starter_policies()).data["registry"]["teams"])
    assert str(teams).encode() in loads(tmp_path / "b.tar.gz", key).stdout
    assert b"failed to verify" in loads(tmp_path / "b.tar.gz", other).stdout
    assert b"missing .signatures.json" in loads(tmp_path / "unsigned.tar.gz", key).stdout


def test_a_key_without_a_name_is_wrong_use(tmp_path: Path, key: SigningKey) -> None:
    result = run(tmp_path / "b.tar.gz", "--signing-key", key.private)

    assert result.exit_code == 2
    assert "--signing-keyid" in result.output
    assert not (tmp_path / "b.tar.gz").exists()


@pytest.mark.parametrize("is_there", [True, False])
def test_without_a_signature_that_was_asked_for_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: SigningKey, *, is_there: bool
) -> None:
    private = key.private
    if is_there:
        real_opa()
        private = tmp_path / "no-key.pem"
        private.write_text("nothing that signs")
    else:
        monkeypatch.setenv("PATH", path_without_opa(tmp_path / "bin"))

    result = run(tmp_path / "b.tar.gz", "--signing-key", private, "--signing-keyid", "tallygate-1")

    assert result.exit_code == 3
    assert "bundle_not_signed" in result.output  # the code of BundleNotSigned
    assert not (tmp_path / "b.tar.gz").exists()


def test_policies_that_cannot_be_read_are_a_finding(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        policy, ["bundle", "--policies", str(tmp_path / "none"), "-o", str(tmp_path / "b")]
    )

    assert result.exit_code == 1
    assert not (tmp_path / "b").exists()
