"""
One proxy after another on the same state folder, the faults that happen to them, the books.

Shapes  Whatever dies, the same stand-in and the same ledger go on, so that each comparison is of
        what came since the one before.
Errors  Deadlines are generous, for the machine may be slow; nothing is asserted about time.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from e2e.faults.books import Books, Compared
from e2e.faults.disk import ShiftedClock, SpoolLimit, processes_of
from e2e.faults.load import MixedLoad
from e2e.gated import REPOSITORY, copy_policies
from e2e.proxy_process import NotReady, RunningProxy, RunningStandin

_CONFIG: Final = REPOSITORY / "litellm_config.yaml"
_PATIENCE_S: Final = 120.0
_ALARMS: Final = (
    "event_conflict",
    "entry_rejected",
    "segment_corrupt",
    "record_invalid",
    "Traceback",
)


@dataclass(frozen=True, slots=True)
class Setup:
    """What a rig is made of; the defaults are one worker, SQLite, and a folder on this disk."""

    ledger_url: str | None = None
    spool: Path | None = None
    workers: int = 1
    spool_full: str = "refuse"


class Rig:
    """A stand-in, policies, a state folder, and the proxies that come and go on them."""

    def __init__(self, folder: Path, standin: RunningStandin, setup: Setup | None = None) -> None:
        self.setup = setup or Setup()
        self.folder = folder
        self.standin = standin
        self.state = folder / "state"
        self.spool = self.setup.spool or self.state / "spool"
        self.ledger_url = self.setup.ledger_url or f"sqlite:///{folder / 'books' / 'ledger.db'}"
        self.policies = copy_policies(folder)
        contract = self.policies / "contract" / "data.yaml"
        written = contract.read_text()
        assert "spool_full: refuse" in written
        chosen = written.replace("spool_full: refuse", f"spool_full: {self.setup.spool_full}")
        contract.write_text(chosen)
        self.clock = ShiftedClock(folder)
        self.limit = SpoolLimit(self.spool)
        self._books = Books(self.ledger_url)
        self._seen_calls = _last_call(standin)
        self._log_read = 0
        self.proxy: RunningProxy

    # Proxies

    def start(self, workers: int | None = None) -> RunningProxy:
        """Start a proxy; the one before has to be gone."""
        workers = workers or self.setup.workers
        self.proxy = RunningProxy(
            _CONFIG,
            self.folder,
            standin_url=self.standin.url,
            environment={
                **self.clock.environment,
                **self.limit.environment,
                **self._places(),
                "NUM_WORKERS": str(workers),
                # uvicorn kills a worker that is silent for 5 s, as on a busy machine all are.
                "TIMEOUT_WORKER_HEALTHCHECK": "25",
                "TALLYGATE_SETTLE_GRACE_S": "3",
            },
        )
        self.proxy.start(240)
        wait_for(lambda: len(self.workers()) == workers, "every worker to be there")
        return self.proxy

    def _places(self) -> dict[str, str]:
        return {
            "TALLYGATE_POLICIES": str(self.policies),
            "TALLYGATE_SPOOL": str(self.spool),
            "TALLYGATE_LEDGER_URL": self.ledger_url,
        }

    def load(self, seed: str, clients: int = 6) -> MixedLoad:
        return MixedLoad(self.proxy.url, seed, clients=clients)

    def end(self, how: signal.Signals) -> int | None:
        """Send a signal to the whole group, as a terminal or an init does, and wait."""
        process = self.proxy.process
        process.signal(how)
        ended = wait_until(lambda: not process.alive, _PATIENCE_S)
        code = process.kill9()  # none of its workers may stay behind, whatever became of it
        assert ended, f"the proxy has not left after {how.name}"
        return code

    def workers(self) -> dict[int, dict[str, Any]]:
        """Read what each living worker says of itself, by its pid."""
        found = {}
        for path in (self.state / "gates").glob("*.json"):
            with suppress(OSError, ValueError):
                said = json.loads(path.read_bytes())
                if _is_in_group(said["pid"], self.proxy.process.pid):
                    found[said["pid"]] = said
        return found

    # Drains

    def drains(self) -> list[int]:
        return processes_of(self.spool)

    def kill_drains(self) -> int:
        """Kill -9 every drain of this spool; returns how many there were."""
        killed = 0
        for pid in self.drains():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        return killed

    def drain_by_hand(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tallygate", "drain"],
            env={"PATH": "/usr/bin:/bin", **self._places()},
            check=False,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
        )

    def is_drained_by_somebody(self) -> bool:
        """Whether a drain has the folder's lock."""
        return self._is_locked()

    def booked_writers(self) -> set[str]:
        """Name the writers of everything that was booked."""
        return self._books.writers

    def drained(self) -> None:
        """Wait for the drain that outlives its proxy; where none does, drain by hand."""
        deadline = time.monotonic() + _PATIENCE_S
        said = ""
        while self._is_locked() or not self._is_empty():
            assert time.monotonic() < deadline, f"the spool is not drained: {self._left()} {said}"
            if not self._is_locked():
                by_hand = self.drain_by_hand()
                said = by_hand.stderr
            time.sleep(0.1)

    def _is_locked(self) -> bool:
        try:
            handle = os.open(self.spool / "drain.lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def _left(self) -> list[str]:
        return sorted(path.name for path in self.spool.iterdir())

    def _is_empty(self) -> bool:
        return not any(
            name.endswith((".seg", ".offset", ".lock")) for name in self._left_of_writers()
        )

    def _left_of_writers(self) -> list[str]:
        return [name for name in self._left() if not name.startswith("drain.")]

    # The books

    def compare(self) -> Compared:
        """Drain, then hold the provider's book against the ledger; the proxy has ended."""
        calls = self._calls_since()
        self.drained()
        compared = self._books.compare(calls, self._alarms())
        self._seen_calls = max((call["seq"] for call in calls), default=self._seen_calls)
        return compared

    def _alarms(self) -> list[str]:
        """Find what the drain says, since the last time, that no fault of ours can explain."""
        log = self.drain_log()
        new, self._log_read = log[self._log_read :], len(log)
        return [line for line in new.splitlines() if any(word in line for word in _ALARMS)]

    def _calls_since(self) -> list[dict[str, Any]]:
        """Read the stand-in's book once it has noticed every connection that was cut."""
        before: list[dict[str, Any]] = []
        while True:
            calls = self.standin.calls(self._seen_calls)
            if calls == before and all(call["ended"] != "open" for call in calls):
                return calls
            before = calls
            time.sleep(0.3)

    def leave_nothing(self) -> None:
        """End what may still run, after a failure too."""
        if hasattr(self, "proxy"):
            self.proxy.kill9()
        self.kill_drains()

    def proxy_log(self) -> str:
        return self.proxy.log()

    def drain_log(self) -> str:
        path = self.state / "drain.log"
        return path.read_text(errors="replace") if path.exists() else ""


def wait_until(true: Callable[[], bool], patience_s: float = _PATIENCE_S) -> bool:
    deadline = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def wait_for(true: Callable[[], bool], what: str, patience_s: float = _PATIENCE_S) -> None:
    assert wait_until(true, patience_s), f"waited {patience_s:.0f} s for {what}"


def _last_call(standin: RunningStandin) -> int:
    return max((call["seq"] for call in standin.calls()), default=0)


def _is_in_group(pid: int, group: int) -> bool:
    try:
        return os.getpgid(pid) == group
    except ProcessLookupError:
        return False


__all__ = ["NotReady", "Rig", "Setup", "wait_for", "wait_until"]
