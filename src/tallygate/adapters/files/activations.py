"""
What was activated on this machine: `<state>/activations/<id>.json`, one file for each entry.

Every worker of the machine's proxies reads the folder, and asks for its time stamp at most once a
second. That a reading is old never makes an activation longer: its end stands in it.

Shapes  A file is written whole under another name, synced, and moved into place.
Errors  ActivationsUnusable names the folder. A file that cannot be read as an activation is none:
        it is said once in the log, and excuses nothing.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Final

import orjson

from tallygate.domain.policy.break_glass import Activation
from tallygate.errors import ActivationsUnusable

log = logging.getLogger("tallygate.activations")

_LOOK_INTERVAL_S: Final = 1.0
_SETTLED_NS: Final = 2_000_000_000
"""A folder whose stamp is younger than this may change again under the same stamp."""
_TYPES: Final = {
    field.name: int if field.name.endswith("_ns") else str for field in fields(Activation)
}


class ActivationFolder:
    """The `Activations` port on a local folder."""

    def __init__(
        self,
        folder: Path,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._current: tuple[Activation, ...] = ()
        self._looked_at = float("-inf")
        self._stamp: int | None = None
        self._told: frozenset[str] = frozenset()

    def current(self) -> Sequence[Activation]:
        if self._monotonic() - self._looked_at >= _LOOK_INTERVAL_S:
            self._look()
        return self._current

    @contextmanager
    def one_at_a_time(self) -> Generator[None]:
        with self._told_of_failure():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with self._told_of_failure():
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def read(self) -> Sequence[Activation]:
        with self._told_of_failure():
            return self._read()

    def keep(self, activation: Activation) -> None:
        path = self._path(activation.override_id)
        with self._told_of_failure():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}.tmp")
            try:
                with temporary.open("wb") as file:
                    os.fchmod(file.fileno(), 0o600)
                    file.write(orjson.dumps(asdict(activation), option=orjson.OPT_INDENT_2))
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            try:
                self._sync_folder()
            except OSError:
                path.unlink(missing_ok=True)  # the caller hears that it is not kept
                self._look()
                raise
        self._look()

    def let_go(self, override_id: str) -> None:
        with self._told_of_failure():
            self._path(override_id).unlink(missing_ok=True)
        try:
            self._sync_folder()
        except FileNotFoundError:
            pass  # there was no folder, so nothing was kept
        except OSError as error:
            # It is gone for everybody who reads; only a power cut could bring it back.
            log.warning(
                "activations_not_synced folder=%s error=%s", self._folder, type(error).__name__
            )
        self._look()

    def _look(self) -> None:
        """Read the folder again where it has changed; one that cannot be read has nothing."""
        with self._lock:
            self._looked_at = self._monotonic()
            try:
                stamp = self._folder.stat().st_mtime_ns
                if stamp != self._stamp:
                    self._current = tuple(self._read())
                    is_settled = time.time_ns() - stamp > _SETTLED_NS
                    self._stamp = stamp if is_settled else None
            except FileNotFoundError:
                self._current, self._stamp = (), None
            except OSError as error:
                self._current, self._stamp = (), None
                self._tell({str(self._folder)}, type(error).__name__)

    def _read(self) -> list[Activation]:
        found, faulty = [], {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                found.append(_activation_from(path.read_bytes(), path.stem))
            except FileNotFoundError:
                continue  # ended a moment ago
            except (OSError, ValueError, TypeError) as error:
                faulty[str(path)] = type(error).__name__
        self._tell(set(faulty), ", ".join(sorted(set(faulty.values()))))
        return found

    def _tell(self, faulty: set[str], error: str) -> None:
        for path in sorted(faulty - self._told):
            log.error("activation_unreadable file=%s error=%s", path, error)
        self._told = frozenset(faulty)

    def _path(self, override_id: str) -> Path:
        assert "/" not in override_id, "the id of an entry, which its schema holds to a pattern"
        return self._folder / f"{override_id}.json"

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def _told_of_failure(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise ActivationsUnusable(
                f"the folder of activations {self._folder} cannot be used ({error.strerror}); "
                "it lies in the state folder (TALLYGATE_STATE) and must be writable"
            ) from error


def _activation_from(content: bytes, name: str) -> Activation:
    value = orjson.loads(content)
    if not isinstance(value, dict) or {key: type(each) for key, each in value.items()} != _TYPES:
        raise TypeError("an activation has exactly its keys, each of its type")
    activation = Activation(**value)
    if activation.override_id != name:
        raise ValueError("the file of another entry")
    return activation
