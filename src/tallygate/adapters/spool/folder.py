"""
The spool folder: what may hold a spool, the names in it, and its locks.

Shapes  `<writer>.lock`, `.reserve`, `.offset`, `<writer>.<8 digits>.seg`, and `.bad` beside a
        damaged stretch's segment number and offset; `drain.lock` for the one reader.
Errors  SpoolUnusable, whose message names the folder and the remedy.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from pathlib import Path
from typing import Final

from tallygate.errors import SpoolUnusable

MOUNTS: Final = Path("/proc/self/mountinfo")
"""Linux's table of mounts; on a platform without it the file system is not looked at."""

NETWORK_FILE_SYSTEMS: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "fuse.smbnetfs", "ncpfs", "afs", "coda"),
        *("ceph", "fuse.ceph", "glusterfs", "fuse.glusterfs", "lustre", "beegfs", "gpfs"),
        *("orangefs", "pvfs2", "davfs", "fuse.davfs", "fuse.davfs2", "fuse.sshfs", "fuse.rclone"),
        *("fuse.s3fs", "fuse.mount-s3", "fuse.goofys", "fuse.gcsfuse", "fuse.blobfuse"),
        *("fuse.blobfuse2", "fuse.juicefs", "fuse.mfs", "fuse.hdfs"),
    }
)
"""As Linux names them. Shares of a hypervisor (9p, virtiofs) are left to the probe of locks."""

NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says when there is no room: disk, quota, or the limit on a file's size."""

_WRITER: Final = r"(?P<writer>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_WRITER_FILE: Final = re.compile(_WRITER + r"\.(?:lock|offset|reserve|\d{8}\.seg)")
_SEGMENT_FILE: Final = re.compile(_WRITER + r"\.(?P<number>\d{8})\.seg")


def prepared_folder(folder: Path) -> Path:
    """Make the folder if need be, and refuse one that cannot hold a spool."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise SpoolUnusable(
            f"the spool folder {folder} is, or lies below, a file; "
            "remove it or set TALLYGATE_SPOOL to another folder"
        ) from error
    except OSError as error:
        raise SpoolUnusable(
            f"the spool folder {folder} cannot be made ({error.strerror}); "
            "make it, owned by the user that runs the proxy, with mode 0700"
        ) from error
    resolved = folder.resolve()
    _refuse_network(resolved)
    _probe(resolved)
    return resolved


def _refuse_network(folder: Path) -> None:
    try:
        mounts = MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return
    file_system = file_system_of(folder, mounts)
    if file_system in NETWORK_FILE_SYSTEMS:
        raise SpoolUnusable(
            f"the spool folder {folder} lies on a network file system ({file_system}), where locks "
            "and syncing do not hold; set TALLYGATE_SPOOL to a folder on a local disk"
        )


def file_system_of(folder: Path, mounts: str) -> str:
    """Return the type of the mount that holds an absolute path, from the text of `mountinfo`."""
    longest, found = -1, ""
    for line in mounts.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if not dash or len(fields) < 5:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[4]))
        # A later mount on the same point hides the earlier one.
        if len(point.parts) >= longest and folder.is_relative_to(point):
            longest, found = len(point.parts), after.split(" ", 1)[0]
    return found


def _probe(folder: Path) -> None:
    """Create, lock and remove a file: root may do what the mode forbids, but not what fails."""
    path = folder / f"probe.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        first = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in NO_SPACE:
            return
        raise SpoolUnusable(
            f"the spool folder {folder} is not writable ({error.strerror}); "
            "give it to the user that runs the proxy, with mode 0700"
        ) from error
    try:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        second = taken_lock(path)
    except OSError as error:
        raise SpoolUnusable(
            f"the spool folder {folder} lies on a file system without locks ({error.strerror}); "
            "set TALLYGATE_SPOOL to a folder on a local disk"
        ) from error
    finally:
        path.unlink(missing_ok=True)
        os.close(first)
    if second is not None:
        os.close(second)
        raise SpoolUnusable(
            f"the spool folder {folder} lies on a file system that grants one lock twice; "
            "set TALLYGATE_SPOOL to a folder on a local disk"
        )


def taken_lock(path: Path, *, create: bool = False) -> int | None:
    """Take a file's lock and return its descriptor; None when somebody else has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def is_in_place(descriptor: int, path: Path) -> bool:
    """Whether the path still leads to the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def segment_path(folder: Path, writer_id: str, number: int) -> Path:
    """Name a writer's segment."""
    return folder / f"{writer_id}.{number:08}.seg"


def bad_path(folder: Path, writer_id: str, number: int, offset: int) -> Path:
    """Name what is kept of a damaged stretch, so that keeping it twice is keeping it once."""
    return folder / f"{writer_id}.{number:08}.{offset}.bad"


def lock_path(folder: Path, writer_id: str) -> Path:
    """Name the file that a living writer has locked."""
    return folder / f"{writer_id}.lock"


def reserve_path(folder: Path, writer_id: str) -> Path:
    """Name the bytes that a writer took from the disk in advance."""
    return folder / f"{writer_id}.reserve"


def offset_path(folder: Path, writer_id: str) -> Path:
    """Name the file that says how far a writer was read."""
    return folder / f"{writer_id}.offset"


def writers_in(folder: Path) -> list[str]:
    """Return all writers of which any file is left, oldest first (ids sort by time)."""
    found = (_WRITER_FILE.fullmatch(entry.name) for entry in folder.iterdir())
    return sorted({match["writer"] for match in found if match})


def segment_numbers(folder: Path, writer_id: str) -> list[int]:
    """Return the numbers of a writer's segments that exist, in order."""
    found = (_SEGMENT_FILE.fullmatch(entry.name) for entry in folder.iterdir())
    return sorted(int(match["number"]) for match in found if match and match["writer"] == writer_id)


def sizes_in(folder: Path) -> dict[str, int]:
    """Size in bytes of every file in the folder, by name."""
    sizes: dict[str, int] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(status.st_mode):
                sizes[entry.name] = status.st_size
    return sizes


def sync_folder(folder: Path) -> None:
    """Make names that were created, replaced or removed survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file so that after a crash it is there whole, old or new."""
    beside = path.with_name(path.name + ".tmp")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    except OSError:
        beside.unlink(missing_ok=True)  # half of it would take room on a disk that has none
        raise
    finally:
        os.close(descriptor)
    beside.replace(path)
    sync_folder(path.parent)


class Reserve:
    """Bytes taken from the disk in advance, to be given back when it is full."""

    def __init__(self, path: Path, size: int, *, least: int | None = None) -> None:
        """Take `size`, or where that is not to be had half of it, and so on down to `least`."""
        self._path = path
        self._size = size
        self._least = size if least is None else least
        self.held_bytes = 0

    @property
    def held(self) -> bool:
        return self.held_bytes > 0

    def take(self) -> bool:
        """Allocate the bytes; False when the disk has no room for them."""
        if self.held or not self._size:
            return True
        size = self._size
        while size >= self._least:
            if self._allocated(size):
                self.held_bytes = size
                return True
            size //= 2
        return False

    def _allocated(self, size: int) -> bool:
        descriptor = os.open(
            self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
        )
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, size)
            else:  # macOS
                for _ in range(0, size, 65536):
                    os.write(descriptor, bytes(65536))
        except OSError as error:
            self._path.unlink(missing_ok=True)
            if error.errno in NO_SPACE:
                return False
            raise
        finally:
            os.close(descriptor)
        return True

    def release(self) -> bool:
        """Give the bytes back to the disk; False when they were not held."""
        held, self.held_bytes = self.held, 0
        if held:
            self._path.unlink(missing_ok=True)
        return held
