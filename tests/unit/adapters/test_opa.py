from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from fakes.policy_folders import (
    ADMISSION,
    REGO_PATH,
    compile_folder,
    path_without_opa,
    real_opa,
    small_policies,
)
from tallygate.adapters.engines.opa import (
    COMMAND,
    compile_policy,
    find_opa,
    lock_of,
    verify_compiled,
    write_compiled,
)
from tallygate.errors import PoliciesInvalid, PolicyNotCompiled

REGO = {REGO_PATH: ADMISSION}


def fake_opa(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = folder / "opa"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin")


def test_the_same_sources_compile_to_the_same_bytes() -> None:
    opa = real_opa()

    assert compile_policy(REGO, opa) == compile_policy(dict(REGO), opa)


def test_rego_that_does_not_parse_is_named_with_file_and_line() -> None:
    broken = {REGO_PATH: ADMISSION.replace("default action", "defualt action")}

    with pytest.raises(PoliciesInvalid) as caught:
        compile_policy(broken, real_opa(), Path("policies"))

    problem = caught.value.problems[0]
    line = broken[REGO_PATH].splitlines().index('defualt action := "reject"') + 1
    assert (problem.file, problem.line) == (f"policies/{REGO_PATH}", line)
    assert str(problem).startswith(f"policies/{REGO_PATH}:{line}: rego_parse_error")


def test_a_policy_without_the_entrypoint_is_refused() -> None:
    with pytest.raises(PoliciesInvalid, match="tallygate/admission/decision"):
        compile_policy({"x.rego": "package x\n\na := 1\n"}, real_opa())


def test_no_opa_on_the_path_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path_without_opa(tmp_path / "bin"))

    assert find_opa() is None


@pytest.mark.parametrize("version", ["1.21.2", "0.70.0", "1.9.9"])
def test_an_opa_that_is_too_old_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    fake_opa(tmp_path, f"echo 'Version: {version}'", monkeypatch)

    with pytest.raises(PolicyNotCompiled, match=rf"is OPA {version}; expected 1\.21\.3 or newer"):
        find_opa()


@pytest.mark.parametrize("version", ["1.21.3", "v1.22.0", "2.0.0-dev"])
def test_an_opa_that_is_new_enough_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    fake_opa(tmp_path, f"echo 'Version: {version}'", monkeypatch)

    found = find_opa()

    assert found is not None
    assert found.version == version.removeprefix("v")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        pytest.param("echo hello", "did not tell its version", id="not opa"),
        pytest.param("exit 3", "did not tell its version", id="fails"),
    ],
)
def test_what_is_not_opa_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    fake_opa(tmp_path, script, monkeypatch)

    with pytest.raises(PolicyNotCompiled, match=message):
        find_opa()


def test_an_opa_that_cannot_be_started_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_opa(tmp_path, "", monkeypatch)
    (tmp_path / "opa").write_bytes(b"\x7fELF nothing")

    with pytest.raises(PolicyNotCompiled, match="could not be run"):
        find_opa()


def test_a_build_that_fails_without_a_word_is_still_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'test "$1" = version && echo "Version: 1.22.0" && exit 0; exit 1'
    fake_opa(tmp_path, script, monkeypatch)
    opa = find_opa()
    assert opa is not None

    with pytest.raises(PoliciesInvalid, match="said nothing"):
        compile_policy(REGO, opa)


def test_a_compiled_folder_matches_its_lock(tmp_path: Path) -> None:
    folder = compile_folder(small_policies(tmp_path))
    wasm, lock = ((folder / name).read_bytes() for name in ("policy.wasm", "policy.lock"))

    assert verify_compiled(REGO, wasm, lock) == wasm
    assert orjson.loads(lock)["command"] == COMMAND
    assert b"\n" in lock.strip()
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []


def test_building_again_changes_nothing(tmp_path: Path) -> None:
    folder = compile_folder(small_policies(tmp_path))
    before = (folder / "policy.lock").read_bytes()

    write_compiled(folder, REGO, real_opa())

    assert (folder / "policy.lock").read_bytes() == before


WASM = b"\0asm"
LOCK = lock_of(REGO, WASM, "1.22.0")


@pytest.mark.parametrize(
    ("rego", "wasm", "lock", "message"),
    [
        pytest.param(REGO, None, LOCK, "policy.wasm is missing", id="no wasm"),
        pytest.param(REGO, WASM, None, "policy.lock is missing", id="no lock"),
        pytest.param(REGO, WASM, b"{", "policy.lock is not a JSON object", id="broken lock"),
        pytest.param(REGO, WASM, b"[]", "policy.lock is not a JSON object", id="another lock"),
        pytest.param(REGO, WASM, b"{}", f"changed since: {REGO_PATH}", id="empty lock"),
        pytest.param({REGO_PATH: "x"}, WASM, LOCK, f"changed since: {REGO_PATH}", id="edited"),
        pytest.param({**REGO, "new.rego": ""}, WASM, LOCK, "changed since: new.rego", id="added"),
        pytest.param({}, WASM, LOCK, f"changed since: {REGO_PATH}", id="removed"),
        pytest.param(REGO, b"other", LOCK, "is not the file that policy.lock", id="other wasm"),
        pytest.param(
            REGO, WASM, LOCK.replace(b"opa build", b"opa build -O=2"), "another build command",
            id="optimised",
        ),
    ],
)  # fmt: skip
def test_a_compiled_policy_that_does_not_belong_says_how_to_mend_it(
    rego: dict[str, str], wasm: bytes | None, lock: bytes | None, message: str
) -> None:
    with pytest.raises(PolicyNotCompiled, match=message) as caught:
        verify_compiled(rego, wasm, lock)

    assert "tallygate policy build" in str(caught.value)
