from __future__ import annotations

from pathlib import Path

import pytest

from fakes.policy_folders import (
    CONTRACT,
    REGO_PATH,
    compile_folder,
    path_without_opa,
    real_opa,
    small_policies,
)
from tallygate.adapters.engines.loading import (
    LAST_GOOD_NAME,
    LoadedEngine,
    load_engine,
    read_last_good,
)
from tallygate.adapters.engines.opa import lock_of
from tallygate.adapters.files.policies import read_policies
from tallygate.errors import PoliciesInvalid, PolicyNotCompiled


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return compile_folder(small_policies(tmp_path / "policies"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def load(folder: Path, state: Path | None = None) -> LoadedEngine:
    return load_engine(lambda: read_policies(folder), state)


def break_data(folder: Path) -> None:
    (folder / "contract" / "data.yaml").write_text("fields: [\n")


def edit_rego(folder: Path, addition: str = "\nextra := 1\n") -> None:
    rego = folder / REGO_PATH
    rego.write_text(rego.read_text() + addition)


def test_a_folder_that_matches_its_lock_loads_without_a_word(folder: Path, state: Path) -> None:
    loaded = load(folder, state)

    assert loaded.warnings == ()
    assert not loaded.is_last_good
    assert loaded.data["contract"]["modes"] == {"default": "report_only"}
    assert loaded.engine.decide({})["action"] == "reject"
    assert [path.name for path in state.iterdir()] == [LAST_GOOD_NAME]


def test_changed_rego_is_compiled_at_start_where_opa_is_at_hand(folder: Path) -> None:
    edit_rego(folder)
    before = (folder / "policy.wasm").read_bytes()

    loaded = load(folder)

    (warning,) = loaded.warnings
    assert REGO_PATH in warning
    assert "tallygate policy build" in warning
    assert loaded.engine.revision == read_policies(folder).revision
    assert (folder / "policy.wasm").read_bytes() == before


def test_without_opa_changed_rego_falls_back_to_the_last_good_bundle(
    folder: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = load(folder, state)
    edit_rego(folder)
    monkeypatch.setenv("PATH", path_without_opa(state / "bin"))

    loaded = load(folder, state)

    assert loaded.is_last_good
    assert loaded.engine.revision == good.engine.revision
    assert "policy.wasm was compiled from other Rego" in loaded.warnings[0]


def test_without_opa_and_without_a_last_good_bundle_the_start_is_refused(
    folder: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_rego(folder)
    monkeypatch.setenv("PATH", path_without_opa(state.parent / "bin"))

    with pytest.raises(PolicyNotCompiled, match="tallygate policy build"):
        load(folder, state)
    with pytest.raises(PolicyNotCompiled):
        load(folder)


def test_broken_rego_beside_a_stale_wasm_is_named_with_file_and_line(folder: Path) -> None:
    edit_rego(folder, "\naction := {\n")
    lines = (folder / REGO_PATH).read_text().splitlines()

    with pytest.raises(PoliciesInvalid) as caught:
        load(folder)

    problem = caught.value.problems[0]
    assert problem.file == str(folder / REGO_PATH)
    assert problem.line in {len(lines), len(lines) + 1}


def test_broken_data_falls_back_loudly(folder: Path, state: Path) -> None:
    good = load(folder, state)
    break_data(folder)

    loaded = load(folder, state)

    assert loaded.is_last_good
    assert loaded.engine.revision == good.engine.revision
    assert loaded.data == good.data
    assert loaded.engine.decide({}) == good.engine.decide({})
    (warning,) = loaded.warnings
    assert "NOT IN FORCE" in warning
    assert f"{folder / 'contract' / 'data.yaml'}:" in warning


def test_broken_data_without_a_last_good_bundle_refuses_with_file_and_line(
    folder: Path, state: Path
) -> None:
    break_data(folder)

    with pytest.raises(PoliciesInvalid, match=r"data\.yaml:2:"):
        load(folder, state)


def test_a_wasm_that_does_not_load_falls_back(folder: Path, state: Path) -> None:
    good = load(folder, state)
    edit_rego(folder)
    wasm = b"\0asm broken"
    (folder / "policy.wasm").write_bytes(wasm)
    lock = lock_of(read_policies(folder).rego, wasm, real_opa().version)
    (folder / "policy.lock").write_bytes(lock)

    assert load(folder, state).engine.revision == good.engine.revision


def test_a_fallback_does_not_replace_the_last_good_bundle(folder: Path, state: Path) -> None:
    load(folder, state)
    kept = (state / LAST_GOOD_NAME).read_bytes()
    break_data(folder)

    load(folder, state)

    assert (state / LAST_GOOD_NAME).read_bytes() == kept


def test_the_bundle_is_written_only_when_it_changes(folder: Path, state: Path) -> None:
    load(folder, state)
    first = (state / LAST_GOOD_NAME).stat()
    load(folder, state)
    same = (state / LAST_GOOD_NAME).stat()
    changed = CONTRACT.replace("max_days: 90", "max_days: 30")
    (folder / "contract" / "data.yaml").write_text(changed)
    load(folder, state)
    bundle = read_last_good(state)

    assert same.st_ino == first.st_ino
    assert bundle is not None
    assert bundle.data["contract"]["overrides"] == {"max_days": 30}
    assert bundle.revision == read_policies(folder).revision


@pytest.mark.parametrize("cut", [0, 10, -1])
def test_a_torn_bundle_is_no_bundle(folder: Path, state: Path, cut: int) -> None:
    load(folder, state)
    kept = (state / LAST_GOOD_NAME).read_bytes()
    (state / LAST_GOOD_NAME).write_bytes(kept[:cut])
    break_data(folder)

    assert read_last_good(state) is None
    with pytest.raises(PoliciesInvalid):
        load(folder, state)


def test_a_torn_bundle_is_written_again(folder: Path, state: Path) -> None:
    load(folder, state)
    (state / LAST_GOOD_NAME).write_bytes(b"torn")
    load(folder, state)

    assert read_last_good(state) is not None


def test_a_state_folder_that_cannot_be_written_is_a_warning(folder: Path, state: Path) -> None:
    state.write_text("a file where the folder should be")

    loaded = load(folder, state)

    assert str(state) in loaded.warnings[0]
    assert loaded.engine.decide({})["action"] == "reject"
