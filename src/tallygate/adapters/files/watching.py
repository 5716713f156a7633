"""
Watching a policies folder: tells when something in it, or a link on the way to it, has changed.

The kernel's notifications come through the library watchfiles. Where a file system has none (some
network mounts), WATCHFILES_FORCE_POLLING=true makes the same library look every 300 ms, or as
often as WATCHFILES_POLL_DELAY_MS says.

Shapes  Watched are the folder and every folder below it; the folders that hold links which lead
        there or out of there (`policies -> releases/42`, `..data -> ..2026_…`); and the folder's
        parent, because a watch on a folder that is replaced stays with the old one.
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
    named: frozenset[str]
    """What matters in the others."""

    def has_part(self, path: str) -> bool:
        return {path, path.rpartition("/")[0]} & self.inside != set() or path in self.named


class FolderWatch:
    """One thread that watches, from `start` to `stop`; `changed` is called on that thread."""

    def __init__(self, folder: Path, changed: Callable[[], None]) -> None:
        self._folder = folder.absolute()
        self._changed = changed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tallygate-watch", daemon=True)
        self.fault: str | None = None
        """Why nothing is watched just now."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread, which takes at most QUIET_S."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2 * QUIET_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._watch(_places_of(self._folder))
            except OSError as error:  # a folder that has just gone, or no watches left
                if self.fault is None:
                    log.warning("policies_not_watched folder=%s error=%s", self._folder, error)
                self.fault = str(error)
                self._stop.wait(_PAUSE_S)

    def _watch(self, places: _Places) -> None:
        """Watch these places until they are others."""
        is_new, looks_left = True, 0
        for seen in watch(
            *sorted(path for path, _, _ in places.identities),
            watch_filter=None,
            step=int(QUIET_S * 1000),
            debounce=int(LONGEST_S * 1000),
            rust_timeout=int(_LOOK_S * 1000),
            yield_on_timeout=True,
            stop_event=self._stop,
            recursive=False,
            raise_interrupt=False,
        ):
            self.fault = None
            is_change = any(places.has_part(path) for _, path in seen)
            looks_left -= 1
            if is_new or is_change or looks_left == 0:
                if looks_left != 0 and _is_polled():
                    looks_left = _LOOKS_AGAIN
                is_new = False
                self._changed()
            if is_change and _places_of(self._folder) != places:
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
    links = [path for path in (*inside, *files_below(folder)) if path.is_symlink()]
    for path in (folder, *links):
        named |= {*_links_to(path), _end_of(path)}
    beside = {_nearest(path) for path in named}
    return _Places(
        identities=frozenset(_identified({*inside, *(place for place, _ in beside)})),
        inside=frozenset(map(str, inside)),
        named=frozenset(map(str, (*named, *(child for _, child in beside)))),
    )


def _nearest(path: Path) -> tuple[Path, Path]:
    """Find the nearest folder above that exists, and what would have to appear in it."""
    while not path.parent.is_dir() and path.parent != path:
        path = path.parent
    return path.parent, path


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
        if not step.is_symlink():
            place = step
            continue
        found.append(step)
        target = step.readlink()
        if target.is_absolute():
            place = Path(target.anchor)
        waiting.extend(reversed([part for part in target.parts if part != target.anchor]))
    return found
