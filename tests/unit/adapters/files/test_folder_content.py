"""What lies in a policies folder at one moment, on real files and links."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.policy_folders import DOCUMENTS, REGO_PATH, small_policies
from tallygate.adapters.files.folder_content import files_below, read_content
from tallygate.adapters.files.policies import read_policies
from tallygate.errors import PoliciesUnsettled

CONTRACT = "contract/data.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_policies(tmp_path / "policies")


def mounted(folder: Path, name: str = "..2026_11_21_10_00_00.1") -> Path:
    """Lay the folder out as Kubernetes mounts a ConfigMap: links to `..data`, a link to a date."""
    mount = folder.parent / "mount"
    mount.mkdir(exist_ok=True)
    folder.rename(mount / name)
    (mount / "..data").symlink_to(name)
    for entry in (mount / name).iterdir():
        (mount / entry.name).symlink_to(Path("..data") / entry.name)
    return mount


def test_the_same_files_have_the_same_digest_wherever_they_lie(tmp_path: Path) -> None:
    one, other = small_policies(tmp_path / "one"), small_policies(tmp_path / "other")

    assert read_content(one).digest == read_content(other).digest
    assert {*read_content(one).files} == {REGO_PATH, *(f"{name}/data.yaml" for name in DOCUMENTS)}


def test_a_touch_changes_nothing(folder: Path) -> None:
    before = read_content(folder)
    os.utime(folder / CONTRACT, (1, 1))

    after = read_content(folder)

    assert after.digest == before.digest
    assert after.changed_at_ns >= before.changed_at_ns


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda f: (f / CONTRACT).write_text("x: 1\n"), id="data"),
        pytest.param(lambda f: (f / "policy.lock").write_text("{}"), id="the lock"),
        pytest.param(lambda f: (f / REGO_PATH).rename(f / "tallygate" / "b.rego"), id="a new name"),
        pytest.param(lambda f: (f / "roles" / "data.yaml").unlink(), id="a file less"),
    ],
)
def test_what_has_a_part_in_decisions_changes_the_digest(
    folder: Path, change: Callable[[Path], object]
) -> None:
    before = read_content(folder).digest

    change(folder)

    assert read_content(folder).digest != before


@pytest.mark.parametrize(
    "name", ["README.md", "rates/a.yaml", f"{REGO_PATH[:-5]}_test.rego", ".x~"]
)
def test_what_has_none_does_not(folder: Path, name: str) -> None:
    before = read_content(folder).digest
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("changed")

    assert read_content(folder).digest == before


def test_a_mounted_config_map_reads_as_the_folder_that_it_was_made_from(folder: Path) -> None:
    plain = read_content(folder)
    revision = read_policies(folder).revision

    mount = mounted(folder)

    assert read_content(mount).digest == plain.digest
    assert read_policies(mount).revision == revision


def test_links_that_lead_back_up_are_walked_once(folder: Path) -> None:
    before = read_content(folder).digest
    (folder / "tallygate" / "again").symlink_to(folder)

    assert read_content(folder).digest == before
    assert len(list(files_below(folder))) == len(read_content(folder).files)


@pytest.mark.parametrize(
    ("put", "said"),
    [
        pytest.param(lambda p: p.symlink_to(p.name), "symbolic links", id="a link to itself"),
        pytest.param(lambda p: p.symlink_to("nowhere"), "No such file", id="a link to nothing"),
        pytest.param(os.mkfifo, "not a regular file", id="a named pipe"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_problem_with_its_name(
    folder: Path, put: Callable[[Path], None], said: str
) -> None:
    (folder / CONTRACT).unlink()
    put(folder / CONTRACT)

    (problem,) = read_content(folder).problems

    assert problem.file == str(folder / CONTRACT)
    assert said in problem.message


def test_a_folder_that_is_not_there_is_another_content_than_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    absent, empty = read_content(tmp_path / "absent"), read_content(tmp_path / "empty")

    assert absent.digest != empty.digest
    assert [problem.code for problem in absent.problems] == ["missing"]
    assert empty.problems == ()


def test_a_copy_has_no_links_and_the_same_digest(folder: Path, tmp_path: Path) -> None:
    content = read_content(mounted(folder))
    content.copy_to(tmp_path / "copy")

    assert read_content(tmp_path / "copy").digest == content.digest
    assert not [path for path in files_below(tmp_path / "copy") if path.is_symlink()]


def test_a_swapped_link_counts_as_a_change_though_the_files_are_old(tmp_path: Path) -> None:
    for name in ("41", "42"):
        os.utime(small_policies(tmp_path / "releases" / name) / CONTRACT, (1, 1))
    link = tmp_path / "policies"
    link.symlink_to(tmp_path / "releases" / "41")
    before = read_content(link).changed_at_ns
    time.sleep(0.02)

    (tmp_path / "next").symlink_to(tmp_path / "releases" / "42")
    (tmp_path / "next").rename(link)

    assert read_content(link).changed_at_ns > before


def test_a_folder_is_never_read_in_the_middle_of_a_change(folder: Path) -> None:
    """A writer keeps both files at one number; a reading that mixes numbers would be seen."""
    done = threading.Event()
    places = [folder / "contract" / "data.yaml", folder / "registry" / "data.yaml"]

    def write() -> None:
        number = 0
        while not done.is_set():
            number += 1
            for place in places:
                place.with_suffix(".new").write_text(f"number: {number}\n" + "#" * 20_000)
            for place in places:  # as near together as two files can change
                place.with_suffix(".new").replace(place)
            time.sleep(0.08)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        read = []
        for _ in range(20):
            files = read_content(folder).files
            read.append({files[f"{place.parent.name}/data.yaml"][:20] for place in places})
    finally:
        done.set()
        writer.join()

    assert all(len(numbers) == 1 for numbers in read), read


def test_a_folder_that_never_holds_still_is_said_to(folder: Path) -> None:
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            number += 1
            (folder / CONTRACT).write_text("x" * (number % 50))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(PoliciesUnsettled, match="go on changing"):
            read_content(folder)
    finally:
        done.set()
        writer.join()
