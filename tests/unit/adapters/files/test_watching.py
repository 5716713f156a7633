"""The folder's watch on real files: what people and machines do to a folder is seen, once."""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from fakes.policy_folders import REGO_PATH, small_policies
from tallygate.adapters.files import watching as watching_module
from tallygate.adapters.files.folder_content import read_content
from tallygate.adapters.files.watching import LONGEST_S, QUIET_S, FolderWatch

CONTRACT = Path("contract") / "data.yaml"


@pytest.fixture(params=[pytest.param(False, id="notified"), pytest.param(True, id="polling")])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "true" if request.param else "false")
    monkeypatch.setenv("WATCHFILES_POLL_DELAY_MS", "50")


class Seen:
    """What the watch told, as the contents that a reader then finds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._times: queue.Queue[float] = queue.Queue()
        self.told = 0

    def __call__(self, is_change: bool) -> None:
        self.told += 1
        self._times.put(time.monotonic())

    def until(self, digest: str, patience_s: float = 8.0) -> None:
        """Wait for a telling after which the folder has this content."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                self._times.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail("the change was not told")
            if read_content(self._folder).digest == digest:
                return

    def first(self) -> None:
        """Wait until the watch has begun, which it tells."""
        self._times.get(timeout=8)

    def quiet(self) -> None:
        """Wait until nothing more is told."""
        with suppress(queue.Empty):
            while True:
                self._times.get(timeout=0.7)


@contextmanager
def watched(folder: Path) -> Iterator[Seen]:
    seen = Seen(folder)
    watch = FolderWatch(folder, seen)
    watch.start()
    try:
        seen.first()
        seen.quiet()
        yield seen
    finally:
        watch.stop()


def changed_copy(folder: Path, target: Path, text: str = "# changed\n") -> str:
    shutil.copytree(folder, target)
    path = target / CONTRACT
    path.write_text(path.read_text() + text)
    return read_content(target).digest


def write_in_place(folder: Path) -> None:
    with (folder / CONTRACT).open("a") as file:
        file.write("# changed\n")


def save_by_rename(folder: Path) -> None:
    """Save as vim, sed -i and most editors do."""
    path = folder / CONTRACT
    temporary = path.with_name(".data.yaml.swp")
    temporary.write_text(path.read_text() + "# changed\n")
    temporary.rename(path)


def move_away_and_back(folder: Path) -> None:
    """Keep a backup, as other editors do: the name is gone for a moment."""
    path = folder / CONTRACT
    backup = path.with_name("data.yaml~")
    path.rename(backup)
    path.write_text(backup.read_text() + "# changed\n")


def replace_the_folder(folder: Path) -> None:
    whole = folder.with_name("incoming")
    changed_copy(folder, whole)
    shutil.rmtree(folder)
    whole.rename(folder)


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize(
    "change", [write_in_place, save_by_rename, move_away_and_back, replace_the_folder]
)
def test_a_changed_file_is_told(tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder = small_policies(tmp_path / "policies")
    expected = changed_copy(folder, tmp_path / "expected")
    with watched(folder) as seen:
        change(folder)

        seen.until(expected)


@pytest.mark.usefixtures("_both_ways")
def test_a_config_map_that_is_swapped_again_and_again_is_told_each_time(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    small_policies(mount / "..2026_1")
    (mount / "..data").symlink_to("..2026_1")
    for entry in (mount / "..2026_1").iterdir():
        (mount / entry.name).symlink_to(Path("..data") / entry.name)
    with watched(mount) as seen:
        for number in (2, 3, 4):
            expected = changed_copy(
                mount / f"..2026_{number - 1}", mount / f"..2026_{number}", f"# {number}\n"
            )
            (mount / "..data_tmp").symlink_to(f"..2026_{number}")
            (mount / "..data_tmp").rename(mount / "..data")
            shutil.rmtree(mount / f"..2026_{number - 1}")

            seen.until(expected)


@pytest.mark.usefixtures("_both_ways")
def test_a_link_to_a_release_is_followed_when_it_is_swapped_and_when_its_files_change(
    tmp_path: Path,
) -> None:
    releases = tmp_path / "srv" / "releases"
    small_policies(releases / "41" / "policies")
    (tmp_path / "srv" / "current").symlink_to("releases/41")
    folder = tmp_path / "srv" / "current" / "policies"
    with watched(folder) as seen:
        for number in (42, 43):
            expected = changed_copy(
                releases / f"{number - 1}" / "policies", releases / f"{number}" / "policies"
            )
            (tmp_path / "srv" / "next").symlink_to(f"releases/{number}")
            (tmp_path / "srv" / "next").rename(tmp_path / "srv" / "current")

            seen.until(expected)
        seen.quiet()
        expected = changed_copy(folder, tmp_path / "expected")
        write_in_place(folder)

        seen.until(expected)


def test_what_a_link_leads_out_to_is_watched_too(tmp_path: Path) -> None:
    folder = small_policies(tmp_path / "policies")
    shared = tmp_path / "shared" / "contract.yaml"
    shared.parent.mkdir()
    (folder / CONTRACT).rename(shared)
    (folder / CONTRACT).symlink_to(shared)
    expected = changed_copy(folder, tmp_path / "expected")
    with watched(folder) as seen:
        write_in_place(folder)

        seen.until(expected)


def test_a_new_folder_and_what_is_written_into_it_later_are_told(tmp_path: Path) -> None:
    folder = small_policies(tmp_path / "policies")
    with watched(folder) as seen:
        added = folder / "tallygate" / "more"
        added.mkdir()
        seen.quiet()
        (added / "more.rego").write_text("package tallygate.more\n")

        seen.until(read_content(folder).digest)


def test_a_folder_that_is_replaced_again_and_again_stays_watched(tmp_path: Path) -> None:
    """File systems give a new folder the inode of one that has just gone."""
    folder = small_policies(tmp_path / "policies")
    with watched(folder) as seen:
        for number in range(4):
            text = (folder / CONTRACT).read_text()
            shutil.rmtree(folder)
            small_policies(folder, contract=f"{text}# {number}\n")
            seen.until(read_content(folder).digest)
            seen.quiet()
            write_in_place(folder)

            seen.until(read_content(folder).digest)


def test_a_folder_that_appears_only_later_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet" / "policies"
    with watched(folder) as seen:
        small_policies(folder)

        seen.until(read_content(folder).digest)


def test_a_checkout_of_many_files_is_told_when_it_is_done(tmp_path: Path) -> None:
    folder = small_policies(tmp_path / "policies")
    with watched(folder) as seen:
        before = seen.told
        for number in range(200):
            case = folder / "cases" / f"case-{number}"
            case.mkdir(parents=True)
            (case / "input.json").write_text("{}")
            (case / "decision.json").write_text("{}")
            time.sleep(0.002)

        seen.until(read_content(folder).digest)

        seen.quiet()
        assert seen.told - before <= 6  # and not 400; both parts of the watch begin anew each time


def test_constant_writing_is_told_every_few_seconds_all_the_same(tmp_path: Path) -> None:
    folder = small_policies(tmp_path / "policies")
    with watched(folder) as seen:
        done = threading.Event()

        def write() -> None:
            while not done.wait(QUIET_S / 4):
                write_in_place(folder)

        writer, before = threading.Thread(target=write), seen.told
        writer.start()
        time.sleep(LONGEST_S + 1.5)
        told = seen.told - before
        done.set()
        writer.join()

        assert told >= 1
        seen.until(read_content(folder).digest)


def test_what_happens_beside_the_folder_and_reading_it_are_not_told(tmp_path: Path) -> None:
    folder = small_policies(tmp_path / "policies")
    with watched(folder) as seen:
        before = seen.told
        for number in range(20):
            time.sleep(0.02)
            (tmp_path / f"other-{number}.log").write_text("x")
            (folder / REGO_PATH).read_text()
        time.sleep(1.0)

        assert seen.told == before


def test_a_log_that_grows_beside_the_folder_holds_nothing_up(tmp_path: Path) -> None:
    folder = small_policies(tmp_path / "policies")
    expected = changed_copy(folder, tmp_path / "expected")
    done = threading.Event()

    def write() -> None:
        with (tmp_path / "proxy.log").open("a") as log:
            while not done.wait(0.01):
                log.write("a line\n")
                log.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with watched(folder) as seen:
            began = time.monotonic()
            write_in_place(folder)

            seen.until(expected)
            assert time.monotonic() - began < LONGEST_S / 2
    finally:
        done.set()
        writer.join()


def test_the_thread_ends_with_the_watch(tmp_path: Path) -> None:
    folder = small_policies(tmp_path / "policies")
    with watched(folder):
        assert [t for t in threading.enumerate() if t.name == "tallygate-watch"]
        began = time.monotonic()

    assert time.monotonic() - began < 2 * QUIET_S + 0.2
    assert not [t for t in threading.enumerate() if t.name == "tallygate-watch"]


@pytest.mark.parametrize("target", ["x" * 300, f"{'x' * 300}/y"])
def test_a_link_that_cannot_be_followed_does_not_end_the_watch(tmp_path: Path, target: str) -> None:
    folder = small_policies(tmp_path / "policies")
    (folder / "notes").symlink_to(target)
    with watched(folder) as seen:
        write_in_place(folder)

        seen.until(read_content(folder).digest)


@pytest.mark.parametrize("failing", ["_places_of", "watch"])
@pytest.mark.parametrize("error", [OSError(116, "Stale file handle"), RuntimeError("internal")])
def test_a_watch_that_fails_says_so_once_and_goes_on_when_it_can(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failing: str,
    error: Exception,
) -> None:
    monkeypatch.setattr(watching_module, "_PAUSE_S", 0.05)
    folder, times = small_policies(tmp_path / "policies"), 0

    def fail(*_: Any, **__: Any) -> Any:
        nonlocal times
        times += 1
        raise error

    seen = Seen(folder)
    watch = FolderWatch(folder, seen)
    with monkeypatch.context() as broken:
        broken.setattr(watching_module, failing, fail)
        watch.start()
        deadline = time.monotonic() + 5
        while times < 5:
            assert time.monotonic() < deadline, "it was not tried again"
            time.sleep(0.01)
        assert watch.fault == str(error)
    try:
        seen.first()
        write_in_place(folder)
        seen.until(read_content(folder).digest)

        assert watch.fault is None
        said = [r for r in caplog.records if "policies_not_watched" in r.msg]
        assert 1 <= len(said) <= 2  # the two parts of a round may fail at once
    finally:
        watch.stop()
