"""Folders that cannot hold a spool are refused before the first call, in a clear sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tallygate.adapters.spool import SegmentReader, SegmentSpool
from tallygate.adapters.spool import folder as places
from tallygate.errors import DrainRunning, SpoolUnusable

BOTH = pytest.mark.parametrize("made_on", [SegmentSpool, SegmentReader])
MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:26 / /srv rw - nfs4 server:/export rw
31 30 0:27 / /srv/local\\040disk rw shared:7 - xfs /dev/vdb rw
32 22 0:28 / /mnt rw - ext4 /dev/vdc rw
33 32 0:29 / /mnt rw master:1 - fuse.sshfs someone@host: rw
34 22 0:30 / /srvother rw - tmpfs tmpfs rw
half a line
"""


@BOTH
def test_a_file_in_place_of_the_folder_is_refused(
    tmp_path: Path, made_on: Callable[[Path], object]
) -> None:
    place = tmp_path / "spool"
    place.write_text("not a folder")

    with pytest.raises(SpoolUnusable, match=rf"{place} is, or lies below, a file; remove it"):
        made_on(place)
    with pytest.raises(SpoolUnusable, match="is, or lies below, a file"):
        made_on(place / "below")


READ_ONLY = """
import os, pathlib, sys
from tallygate.adapters.spool import SegmentReader, SegmentSpool
from tallygate.errors import SpoolUnusable
folder = pathlib.Path(sys.argv[1])
os.chdir("/")
if os.geteuid() == 0:
    os.seteuid(65534)
made = ((SegmentSpool, folder), (SegmentReader, folder), (SegmentSpool, folder / "x"))
for made_on, place in made:
    try:
        made_on(place)
    except SpoolUnusable as error:
        print(error)
"""


def test_a_folder_without_the_right_to_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o555)
    for parent in folder.parents:
        if parent.stat().st_uid == os.geteuid() and parent.is_relative_to(tmp_path.parent.parent):
            parent.chmod(0o755)

    said = subprocess.run(
        [sys.executable, "-c", READ_ONLY, str(folder)], capture_output=True, text=True, check=True
    ).stdout.splitlines()

    not_writable = (
        f"the spool folder {folder} is not writable (Permission denied); "
        "give it to the user that runs the proxy, with mode 0700"
    )
    not_made = (
        f"the spool folder {folder / 'x'} cannot be made (Permission denied); "
        "make it, owned by the user that runs the proxy, with mode 0700"
    )
    assert said == [not_writable, not_writable, not_made]


@pytest.mark.parametrize(
    ("folder", "file_system"),
    [
        ("/var/spool", "ext4"),
        ("/srv", "nfs4"),
        ("/srv/spool", "nfs4"),
        ("/srv/local disk/spool", "xfs"),
        ("/srvother/spool", "tmpfs"),
        ("/mnt/a", "fuse.sshfs"),
    ],
)
def test_the_longest_and_newest_mount_decides(folder: str, file_system: str) -> None:
    assert places.file_system_of(Path(folder), MOUNTS) == file_system


@BOTH
@pytest.mark.parametrize("file_system", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "lustre"])
def test_a_network_file_system_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    made_on: Callable[[Path], object],
    file_system: str,
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"22 1 254:0 / / rw - ext4 a rw\n23 22 0:1 / {tmp_path} rw - {file_system} b rw\n"
    )
    monkeypatch.setattr(places, "MOUNTS", mounts)

    with pytest.raises(SpoolUnusable, match=rf"network file system \({file_system}\).*local disk"):
        made_on(tmp_path / "spool")


def test_a_platform_without_a_table_of_mounts_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "MOUNTS", tmp_path / "absent")

    SegmentSpool(tmp_path / "spool").close()


def test_nobody_else_may_read_what_is_spooled(tmp_path: Path) -> None:
    spool = SegmentSpool(tmp_path / "deep" / "spool")
    reader = SegmentReader(tmp_path / "deep" / "spool")

    modes = {path.suffix: path.stat().st_mode & 0o777 for path in spool._folder.iterdir()}
    folder_mode = spool._folder.stat().st_mode & 0o777
    reader.close()
    spool.close()

    assert folder_mode == 0o700
    assert set(modes.values()) == {0o600}


def test_a_second_drain_is_sent_away(tmp_path: Path) -> None:
    first = SegmentReader(tmp_path)

    with pytest.raises(DrainRunning, match=r"another drain reads .*; let it"):
        SegmentReader(tmp_path)
    second = SegmentReader.try_open(tmp_path)
    first.close()
    first.close()
    third = SegmentReader.try_open(tmp_path)

    assert second is None
    assert third is not None
    third.close()


def test_a_limit_too_small_for_two_segments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpoolUnusable, match="raise the limit"):
        SegmentSpool(tmp_path, limit_bytes=1000, segment_bytes=500, reserved_bytes=10)


def test_sizes_follow_a_small_limit(tmp_path: Path) -> None:
    spool = SegmentSpool(tmp_path, limit_bytes=1024 * 1024)

    room = spool.has_room()
    spool.close()

    assert room
