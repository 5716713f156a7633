"""Servers that a command starts beside itself: the provider stand-in and a LiteLLM proxy."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import click
import httpx

_STOP_GRACE_S = 20.0


class Server:
    """A process in a group of its own, with its output in a file; stopped when the block ends."""

    def __init__(
        self, command: Sequence[str], *, url: str, log_file: Path, environment: Mapping[str, str]
    ) -> None:
        self._command = list(command)
        self._log_file = log_file
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self.url = url

    def __enter__(self) -> Self:
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own commands
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def wait_until_ready(self, path: str, timeout_s: float) -> None:
        """Poll until the server answers; a clear error with the end of its log otherwise."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise self._failure("it ended while starting")
            try:
                if httpx.get(self.url + path, trust_env=False, timeout=2).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise self._failure(f"it did not answer within {timeout_s:.0f} s")

    def wait(self) -> None:
        """Wait until the process ends by itself or the user presses Ctrl-C."""
        if self._process is not None:
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM to the group, then SIGKILL. Idempotent."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=_STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _failure(self, reason: str) -> click.ClickException:
        tail = self._log_file.read_text(errors="replace")[-2000:]
        return click.ClickException(
            f"{self._command[0]}: {reason}. Its output is in {self._log_file}; it ends:\n{tail}"
        )


def free_port() -> int:
    """Find a port on the loopback interface that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
