"""
What lies in a policies folder at one moment: the bytes of every file that has a part in decisions.

A folder can change while it is read (a checkout, an editor, a link that is swapped), and half of
two versions would be a policy that nobody reviewed. So the files are taken at once, and taken again
when one of them changed meanwhile.

Shapes  Names are relative to the folder, with `/`. Links are followed, also where they lead out;
        Kubernetes' own `..data` and `..2026_…` are left out, because the links beside them lead in.
Exact   Two folders with the same files have the same digest, whatever their dates and links.
Errors  Unsettled when the folder does not hold still. A file that cannot be read is a problem.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tallygate.errors import PoliciesUnsettled, Problem

_DATA_NAMES: Final = frozenset({"data.yaml", "data.yml", "data.json"})
_ROOT_NAMES: Final = frozenset({"policy.wasm", "policy.lock"})
_MAX_BYTES: Final = 64 * 1024 * 1024
_TRIES: Final = 20
_PAUSE_S: Final = 0.05
_QUIET_NS: Final = 20_000_000
"""Dates of files are only so fine: what was written just now may be written again unseen."""

_Stamp = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FolderContent:
    """One consistent reading of a policies folder."""

    folder: Path
    files: Mapping[str, bytes]
    digest: str
    changed_at_ns: int
    """The latest change of a file, a folder or a link, by the file system's clock."""
    problems: tuple[Problem, ...] = ()
    """Files that are there and cannot be read."""

    def copy_to(self, target: Path) -> None:
        """Write the files below another folder, which has neither links nor anything else."""
        for name, content in self.files.items():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def files_below(folder: Path) -> Iterator[Path]:
    """Walk everything below a folder that is no folder, in order, through links and past loops."""
    return (Path(entry) for entry, is_folder in _walk(folder) if not is_folder)


def folders_in(folder: Path) -> Iterator[Path]:
    """Walk the folder itself and every folder below it, in the same way."""
    return (Path(entry) for entry, is_folder in _walk(folder) if is_folder)


def read_content(folder: Path) -> FolderContent:
    """Take all files at one moment; PoliciesUnsettled when they go on changing for a second."""
    before = _stamps(folder)
    for _ in range(_TRIES):
        files, problems = _taken(folder, before)
        after = _stamps(folder)
        if after == before and not _is_fresh(after):
            return FolderContent(
                folder=folder,
                files=files,
                digest=_digest_of(files, problems),
                changed_at_ns=_changed_at_ns(folder),
                problems=tuple(problems.values()),
            )
        before = after
        time.sleep(_PAUSE_S)
    raise PoliciesUnsettled(f"the files in {folder} go on changing while they are read")


def _walk(folder: Path) -> Iterator[tuple[str, bool]]:
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [(str(folder), frozenset())]
    while waiting:
        place, above = waiting.pop()
        try:
            own = os.stat(place)  # noqa: PTH116 - pathlib is slower, and this is walked often
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError:
            continue  # what should lie there is missed by whoever needs it
        identity = (own.st_dev, own.st_ino)
        if identity in above:
            continue  # a link that leads back up
        yield place, True
        for entry in entries:
            if entry.name.startswith("..") or entry.name == ".git":
                continue
            if _is_folder(entry):
                waiting.append((entry.path, above | {identity}))
            else:
                yield entry.path, False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links that lead to each other
        return False


def _has_part(name: str) -> bool:
    parts = name.split("/")
    last = parts[-1]
    if last in _DATA_NAMES or (last.endswith(".rego") and not last.endswith("_test.rego")):
        return True
    return name in _ROOT_NAMES or (parts[0] in {"schemas", "cases"} and last.endswith(".json"))


def _stamps(folder: Path) -> dict[str, _Stamp]:
    stamps: dict[str, _Stamp] = {}
    for path in files_below(folder):
        name = path.relative_to(folder).as_posix()
        if not _has_part(name):
            continue
        try:
            found = path.stat()
            stamps[name] = (
                *(found.st_dev, found.st_ino, found.st_mode, found.st_size),
                *(found.st_mtime_ns, found.st_ctime_ns),
            )
        except OSError as error:
            stamps[name] = (error.errno or -1,)
    return stamps


def _is_fresh(stamps: Mapping[str, _Stamp]) -> bool:
    now_ns = time.time_ns()
    dates = (date for stamp in stamps.values() for date in stamp[4:])
    return any(0 <= now_ns - date < _QUIET_NS for date in dates)


def _taken(
    folder: Path, stamps: Mapping[str, _Stamp]
) -> tuple[dict[str, bytes], dict[str, Problem]]:
    files: dict[str, bytes] = {}
    problems: dict[str, Problem] = {}
    if not folder.is_dir():
        problems[""] = Problem(
            code="missing", message="the policies folder does not exist.", file=str(folder)
        )
    for name, stamp in sorted(stamps.items()):
        path = folder / name
        fault = _fault_in(stamp)
        if fault is None:
            try:
                files[name] = path.read_bytes()
                continue
            except OSError as error:
                fault = f"cannot be read: {error.strerror}."
        problems[name] = Problem(code="file_unreadable", message=fault, file=str(path))
    return files, problems


def _fault_in(stamp: _Stamp) -> str | None:
    if len(stamp) == 1:
        return f"cannot be read: {os.strerror(stamp[0])}."
    if not stat.S_ISREG(stamp[2]):
        return "is not a regular file."  # opening a named pipe would wait for ever
    if stamp[3] > _MAX_BYTES:
        return f"is larger than {_MAX_BYTES} bytes."
    return None


def _digest_of(files: Mapping[str, bytes], problems: Mapping[str, Problem]) -> str:
    whole = hashlib.sha256()
    parts = {name: hashlib.sha256(content).digest() for name, content in files.items()}
    parts |= {name: problem.message.encode() for name, problem in problems.items()}
    for name, part in sorted(parts.items()):
        whole.update(name.encode("utf-8", "surrogateescape") + b"\0" + part + b"\0")
    return f"sha256:{whole.hexdigest()}"


def _changed_at_ns(folder: Path) -> int:
    latest = 0
    for path in (*folders_in(folder), *files_below(folder)):
        try:
            # Of the entry itself, so that a link which is swapped counts, and of what it leads to.
            latest = max(latest, path.lstat().st_ctime_ns, path.stat().st_ctime_ns)
        except OSError:
            continue
    return latest
