"""What every place for activations promises: the folder on disk and the fake in memory alike."""

from __future__ import annotations

import errno
import json
import logging
import multiprocessing
import os
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.activations import FakeActivations
from fakes.entries import NOON_NS, SECOND_NS
from tallygate.adapters.files.activations import ActivationFolder
from tallygate.application.ports import Activations
from tallygate.domain.policy.break_glass import Activation
from tallygate.errors import ActivationsUnusable

NIGHT = Activation(
    override_id="bg-support-outage",
    role="incident-commander",
    activated_by="a" * 64,
    reason="the flag service is down",
    ticket="INC-7",
    from_ns=NOON_NS,
    until_ns=NOON_NS + 8 * 3600 * SECOND_NS,
)
OTHER = replace(NIGHT, override_id="bg-other")


class Turned:
    """A monotonic clock that is turned by hand."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def __call__(self) -> float:
        return self.at_s


@pytest.fixture(params=["folder", "fake"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Activations:
    return FakeActivations() if request.param == "fake" else ActivationFolder(tmp_path / "state")


def test_nothing_is_activated_at_first(place: Activations) -> None:
    assert list(place.current()) == []
    assert list(place.read()) == []


def test_what_is_kept_is_read_back_whole_and_at_once(place: Activations) -> None:
    place.current()

    with place.one_at_a_time():
        place.keep(OTHER)
        place.keep(NIGHT)

    assert sorted(place.current(), key=lambda each: each.override_id) == [OTHER, NIGHT]
    assert list(place.read()) == [OTHER, NIGHT]


def test_an_entry_has_one_activation_the_newest(place: Activations) -> None:
    later = replace(NIGHT, reason="again", until_ns=NIGHT.until_ns + SECOND_NS)

    place.keep(NIGHT)
    place.keep(later)

    assert list(place.read()) == list(place.current()) == [later]


def test_what_is_let_go_is_gone(place: Activations) -> None:
    place.keep(NIGHT)
    place.keep(OTHER)

    place.let_go(NIGHT.override_id)
    place.let_go("bg-never-there")

    assert list(place.read()) == list(place.current()) == [OTHER]


# What the folder alone promises


def test_another_process_sees_it_within_a_second(tmp_path: Path) -> None:
    clock = Turned()
    here, there = ActivationFolder(tmp_path, monotonic=clock), ActivationFolder(tmp_path)
    assert list(here.current()) == []

    there.keep(NIGHT)

    assert list(here.current()) == []
    clock.at_s += 1.0
    assert list(here.current()) == [NIGHT]
    there.let_go(NIGHT.override_id)
    clock.at_s += 1.0
    assert list(here.current()) == []


def test_two_changes_within_one_time_stamp_are_both_seen(tmp_path: Path) -> None:
    clock = Turned()
    here, there = ActivationFolder(tmp_path, monotonic=clock), ActivationFolder(tmp_path)
    there.keep(NIGHT)
    stamp = tmp_path.stat()
    assert list(here.current()) == [NIGHT]

    there.keep(OTHER)
    os.utime(tmp_path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    clock.at_s += 1.0

    assert len(here.current()) == 2


def test_a_folder_that_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    clock = Turned()
    folder = ActivationFolder(tmp_path, monotonic=clock)
    folder.keep(NIGHT)
    long_ago = time.time_ns() - 60 * SECOND_NS
    os.utime(tmp_path, ns=(long_ago, long_ago))
    clock.at_s += 1.0
    folder.current()
    (tmp_path / "bg-support-outage.json").write_text("changed in place, as nobody of ours does")

    clock.at_s += 1.0

    assert list(folder.current()) == [NIGHT]


BROKEN: dict[str, Callable[[dict[str, object]], object]] = {
    "not JSON": lambda _: "no",
    "a list": lambda _: [1],
    "a key too many": lambda good: {**good, "more": 1},
    "a key too few": lambda good: {key: value for key, value in good.items() if key != "role"},
    "an end as text": lambda good: {**good, "until_ns": "2027-01-01T00:00:00Z"},
    "an end as truth": lambda good: {**good, "until_ns": True},
    "of another entry": lambda good: {**good, "override_id": "bg-other"},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_activation_is_none_and_is_said_once(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Turned()
    folder = ActivationFolder(tmp_path, monotonic=clock)
    folder.keep(NIGHT)
    path = tmp_path / "bg-support-outage.json"
    broken = BROKEN[name](json.loads(path.read_bytes()))
    path.write_text(broken if isinstance(broken, str) else json.dumps(broken))

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            clock.at_s += 1.0
            assert list(folder.current()) == []

    assert [str(path) in record.getMessage() for record in caplog.records] == [True]


def test_only_the_owner_can_read_who_did_it(tmp_path: Path) -> None:
    folder = ActivationFolder(tmp_path / "activations")

    folder.keep(NIGHT)

    (file,) = (tmp_path / "activations").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "activations").stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = ActivationFolder(tmp_path / "file" / "activations")

    assert list(folder.current()) == []
    for attempt in (lambda: folder.keep(NIGHT), lambda: folder.one_at_a_time().__enter__()):
        with pytest.raises(ActivationsUnusable, match=str(tmp_path)):
            attempt()


def _fail_to_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the disk fail when a folder is synced; files are still written."""
    sync = os.fsync

    def sync_files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync_files_only)


def test_what_could_not_be_kept_for_good_is_not_kept_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ActivationFolder(tmp_path)
    _fail_to_sync(monkeypatch)

    with pytest.raises(ActivationsUnusable, match="Input/output error"):
        folder.keep(NIGHT)

    assert list(folder.read()) == list(folder.current()) == []
    assert list(tmp_path.iterdir()) == []


def test_what_is_gone_is_let_go_though_the_disk_may_forget_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = ActivationFolder(tmp_path)
    folder.keep(NIGHT)
    _fail_to_sync(monkeypatch)

    folder.let_go(NIGHT.override_id)

    assert list(folder.read()) == list(folder.current()) == []
    assert str(tmp_path) in caplog.text


def _hold(folder: Path, order: Path, name: str) -> None:
    with ActivationFolder(folder).one_at_a_time(), order.open("a") as file:
        file.write(f"{name} in\n")
        file.flush()
        time.sleep(0.2)
        file.write(f"{name} out\n")


def test_processes_change_it_one_after_the_other(tmp_path: Path) -> None:
    spawn, order = multiprocessing.get_context("spawn"), tmp_path / "order"
    both = [spawn.Process(target=_hold, args=(tmp_path / "a", order, name)) for name in "xy"]

    for process in both:
        process.start()
    for process in both:
        process.join(30)

    lines = order.read_text().splitlines()
    assert [line[0] for line in lines] in (["x", "x", "y", "y"], ["y", "y", "x", "x"])
