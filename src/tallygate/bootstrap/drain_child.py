"""
The drain as a child of the proxy: one per spool folder, in a session of its own.

It prices and writes outside the proxy's interpreter, outlives a proxy that is killed, and leaves by
itself when every spool is closed and empty. Any worker restarts it; the spool's lock keeps it one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

log = logging.getLogger("tallygate.drain")

LOCK_NAME: Final = "drain.lock"
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
INHERITED: Final = (
    "PATH",
    "PYTHONPATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "VIRTUAL_ENV",
)
"""What a child gets of the proxy's environment: no provider's credentials are among it."""


class DrainChild:
    """Keeps one drain alive. `keep_alive` is cheap enough to be called every second."""

    def __init__(
        self, *, spool_folder: Path, ledger_url: str, policies_folder: Path, log_file: Path
    ) -> None:
        self._spool_folder = spool_folder
        self._environment = {
            # No provider credentials: the drain talks to the ledger only. The ledger's address may
            # hold a password, so it goes by the environment and not on the command line.
            **{name: value for name in INHERITED if (value := os.environ.get(name))},
            **{name: value for name, value in os.environ.items() if name.startswith("PG")},
            "TALLYGATE_SPOOL": str(spool_folder),
            "TALLYGATE_LEDGER_URL": ledger_url,
            "TALLYGATE_POLICIES": str(policies_folder),
        }
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._next_try_s = 0.0

    def keep_alive(self) -> None:
        """Start a drain unless one runs; after a failure wait longer each time."""
        now_s = time.monotonic()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._process = None
            if code == 0:
                self._pause_s = _FIRST_PAUSE_S
            else:
                log.error(
                    "drain_ended exit_code=%s log=%s next_try_in_s=%.0f",
                    code,
                    self._log_file,
                    self._pause_s,
                )
                self._next_try_s = now_s + self._pause_s
                self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        if now_s < self._next_try_s or self._is_running_elsewhere():
            return
        self._start()

    def _is_running_elsewhere(self) -> bool:
        """Whether another worker's drain holds the folder."""
        try:
            handle = os.open(self._spool_folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(handle)
        return False

    def _start(self) -> None:
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tallygate", "drain", "--follow", "--until-idle"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                start_new_session=True,
            )
        log.info("drain_started pid=%s", self._process.pid)
