"""
Watching a policies folder: tells when something in it, or a link on the way to it, has changed.

The kernel's notifications come through the library watchfiles. Where a file system has none (some
network mounts), WATCHFILES_FORCE_POLLING=true makes the same library look every 300 ms, or as
often as WATCHFILES_POLL_DELAY_MS says.

Shapes  Watched are the folder and every folder below it; the folders that hold links which lead
        there or out of there (`policies -> releases/42`, `..data -> ..2026_…`); and the folder's
        parent, because a watch on a folder that is replaced stays with the old one. What happens
        beside is waited out apart: somebody's log there must not hold a reload up.
Exact   It tells once all has been quiet for QUIET_S, or after LONGEST_S of going on. It also tells
        when it begins to watch, since nobody saw what came before, and where it polls once more a
        little later, since polling sees whole seconds only: compare contents.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watchfiles import watch

from tallygate.adapters.files.folder_content import files_below, folders_in

log = logging.getLogger("tallygate.policies")

QUIET_S: Final = 0.2
LONGEST_S: Final = 3.0
_SWAP_S: Final = 0.05
"""A link is swapped in one step; there is no more to wait for."""
_LOOK_S: Final = 0.5
_LOOKS_AGAIN: Final = 3
"""More than a second of looks."""
_PAUSE_S: Final = 1.0
_MOST_LINKS: Final = 40
"""As many as the kernel follows on one path."""


@dataclass(frozen=True, slots=True)
class _Places:
    """What is watched, and which folders they are: others may stand under their names tomorrow."""

    identities: frozenset[tuple[str, int, int]]
    inside: frozenset[str]
    """Folders in which everything matters."""
    beside: frozenset[str]
    """Folders in which only what is `named` does."""
    named: frozenset[str]

    def is_one(self, path: str) -> bool:
        return path in self.inside or path in self.named

    def has_part(self, path: str) -> bool:
        return self.is_one(path) or path.rpartition("/")[0] in self.inside


class FolderWatch:
    """
    Watches from `start` to `stop`, on threads of its own, on which it calls `told`.

    `told(True)` is a change; `told(False)` says that it begins to watch or looks once more.
    """

    def __init__(self, folder: Path, told: Callable[[bool], None]) -> None:
        self._folder = folder.absolute()
        self._told = told
        self._stop = threading.Event()
        self._round_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tallygate-watch", daemon=True)
        self.fault: str | None = None
        """Why nothing is watched just now."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the threads, which takes at most QUIET_S."""
        self._stop.set()
        self._round_over.set()
        if self._thread.is_alive():
            self._thread.join(timeout=3 * QUIET_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._watch_a_round()
            except Exception as error:  # noqa: BLE001 - whatever fails, the watch goes on
                self._round_over.set()  # for a thread that did start
                self._failed(error)
            if self.fault is not None:
                self._stop.wait(_PAUSE_S)

    def _watch_a_round(self) -> None:
        places, over = _places_of(self._folder), threading.Event()
        self._round_over = over
        rounds = [
            threading.Thread(target=self._watch, args=(places, part, over), daemon=True)
            for part in (places.beside, places.inside)
            if part
        ]
        for each in rounds:
            each.start()
        if self._stop.is_set():
            over.set()
        for each in rounds:
            each.join()

    def _failed(self, error: Exception) -> None:
        if self.fault is None:
            log.warning("policies_not_watched folder=%s error=%s", self._folder, error)
        self.fault = str(error) or type(error).__name__

    def _watch(self, places: _Places, folders: frozenset[str], over: threading.Event) -> None:
        """Watch some of the places until they are others."""
        try:
            self._watch_on(places, folders, over)
        except Exception as error:  # noqa: BLE001 - no watches left, or watchfiles' RuntimeError
            self._failed(error)
        finally:
            over.set()

    def _watch_on(self, places: _Places, folders: frozenset[str], over: threading.Event) -> None:
        is_inside = folders is places.inside
        is_new, looks_left = True, 0
        for seen in watch(
            *sorted(folders),
            watch_filter=None,
            step=int((QUIET_S if is_inside else _SWAP_S) * 1000),
            debounce=int((LONGEST_S if is_inside else QUIET_S) * 1000),
            rust_timeout=int(_LOOK_S * 1000),
            yield_on_timeout=True,
            stop_event=over,
            recursive=False,
            raise_interrupt=False,
        ):
            if not over.is_set():  # else the other part may have failed just now
                self.fault = None
            is_change = any(places.has_part(path) for _, path in seen)
            looks_left -= 1
            if not (is_new or is_change or looks_left == 0):
                continue
            if looks_left != 0 and _is_polled():
                looks_left = _LOOKS_AGAIN
            is_new = False
            self._told(is_change)
            # A folder that was removed and made again may have its old inode, and no watch.
            # Also when it is new: a folder made before the watch began would never be watched.
            if any(places.is_one(path) for _, path in seen) or _places_of(self._folder) != places:
                return


def _is_polled() -> bool:
    """Whether the library polls; as it finds out itself."""
    chosen = os.environ.get("WATCHFILES_FORCE_POLLING", "").lower()
    if chosen:
        return chosen not in {"false", "disable", "disabled"}
    return "microsoft-standard" in platform.uname().release.lower()


def _places_of(folder: Path) -> _Places:
    inside = set(folders_in(folder))
    named = {folder, _end_of(folder)}
    links = [path for path in (*inside, *files_below(folder)) if _target_of(path) is not None]
    for path in (folder, *links):
        named |= {*_links_to(path), _end_of(path)}
    beside = {_nearest(path) for path in named}
    return _Places(
        identities=frozenset(_identified({*inside, *(place for place, _ in beside)})),
        inside=frozenset(map(str, inside)),
        beside=frozenset(str(place) for place, _ in beside if place not in inside),
        named=frozenset(map(str, (*named, *(child for _, child in beside)))),
    )


def _nearest(path: Path) -> tuple[Path, Path]:
    """Find the nearest folder above that exists, and what would have to appear in it."""
    while not _is_folder(path.parent) and path.parent != path:
        path = path.parent
    return path.parent, path


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # not to be reached, or too long for a name
        return False


def _identified(folders: Iterable[Path]) -> Iterable[tuple[str, int, int]]:
    for path in folders:
        try:
            found = path.stat()
        except OSError:
            continue
        yield str(path), found.st_dev, found.st_ino


def _end_of(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # links that lead to each other
        return path


def _links_to(path: Path) -> list[Path]:
    """List every link on the way to a path: swapping any one of them leads elsewhere."""
    found: list[Path] = []
    place, waiting = Path(path.anchor), list(reversed(path.parts[1:]))
    while waiting and len(found) < _MOST_LINKS:
        part = waiting.pop()
        if part == "..":
            place = place.parent
            continue
        step = place / part
        target = _target_of(step)
        if target is None:
            place = step
            continue
        found.append(step)
        if target.is_absolute():
            place = Path(target.anchor)
        waiting.extend(reversed([part for part in target.parts if part != target.anchor]))
    return found


def _target_of(path: Path) -> Path | None:
    """Read a link; None for what is none, has just gone or cannot be reached."""
    try:
        return path.readlink()
    except OSError:
        return None
