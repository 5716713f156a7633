"""
Real processes for end-to-end tests and benches: a LiteLLM proxy, the provider stand-in.

Shapes: each runs in a process group of its own, on a free port, with its output in a log file.
Errors: `NotReady` carries the end of that log.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tallygate.standin.environment import STANDIN_KEY, provider_environment

_POLL_S = 0.1
_TAIL = 4000
_KEPT = ("PATH", "PYTHONPATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE")
"""What a child gets of our own environment; keys and settings of the caller's are not among it."""

PROXY_ENVIRONMENT: Mapping[str, str] = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "INITIAL_RETRY_DELAY": "0.02",
    "MAX_RETRY_DELAY": "0.1",
    "NO_PROXY": "127.0.0.1,localhost",
    "PYTHONUNBUFFERED": "1",
    "NO_COLOR": "1",
}


class NotReady(Exception):
    """The process ended, or did not answer in time."""


class ChildProcess:
    """A command in a process group of its own, with its output in a file."""

    def __init__(self, command: list[str], log_path: Path, environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.log_path = log_path

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def spawn(self) -> None:
        assert not self.alive, "already running"
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**kept, **self._environment},
                start_new_session=True,
            )

    def wait_until(self, ready: Any, timeout_s: float) -> None:
        """Poll until `ready()` is true; a dead process or a late one is `NotReady`."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            late = time.monotonic() > deadline
            if not self.alive or late:
                why = f"not ready after {timeout_s:.0f} s" if late else "it ended"
                self.kill9()
                raise NotReady(f"{self._command[0]}: {why}; its log ends:\n{self.log()[-_TAIL:]}")
            time.sleep(_POLL_S)

    def signal(self, number: signal.Signals) -> None:
        """To the whole group; who is in a session of its own (the drain) is not in it."""
        if self.alive:
            os.killpg(self.pid, number)

    def stop(self, grace_s: float = 15.0) -> int | None:
        """SIGTERM and wait, then SIGKILL; the exit code."""
        self.signal(signal.SIGTERM)
        return self._reap(grace_s)

    def kill9(self) -> int | None:
        self.signal(signal.SIGKILL)
        return self._reap(grace_s=15.0)

    def _reap(self, grace_s: float) -> int | None:
        if self._process is None:
            return None
        try:
            return self._process.wait(timeout=grace_s)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            return self._process.wait(timeout=15)


class RunningStandin:
    """`python -m tallygate.standin` on a free port, and its book."""

    def __init__(self, folder: Path, *, prefix: tuple[str, ...] = ()) -> None:
        command = [*prefix, sys.executable, "-m", "tallygate.standin", "--port", "0"]
        self.process = ChildProcess(command, folder / "standin.log", PROXY_ENVIRONMENT)
        self.url = ""
        self._client = httpx.Client(trust_env=False, timeout=30)

    def start(self, timeout_s: float = 30.0) -> Self:
        self.process.spawn()
        self.process.wait_until(lambda: "\n" in self.process.log(), timeout_s)
        self.url = self.process.log().splitlines()[0].rsplit(" ", 1)[-1]
        return self

    def calls(self, after: int = 0) -> list[dict[str, Any]]:
        """Read the book, oldest first; `seq` goes on when it is emptied."""
        return self._ask("GET", f"/calls?after={after}")

    def count(self) -> dict[str, Any]:
        """Compare the ledger with `generating`: LiteLLM also lists models, on its own account."""
        return self._ask("GET", "/count")

    def forget(self) -> None:
        self._ask("DELETE", "/calls")

    def stop(self) -> None:
        self._client.close()
        self.process.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _ask(self, method: str, path: str) -> Any:
        answer = self._client.request(method, f"{self.url}/standin{path}")
        return answer.raise_for_status().json()


class RunningProxy:
    """
    A real `litellm --config …` on 127.0.0.1.

    `environment` is added last. Without a `policies` entry in it (TALLYGATE_POLICIES) the plugin
    looks beside the config, as it does for users. State goes to `<folder>/state`.
    """

    def __init__(
        self,
        config: Path,
        folder: Path,
        *,
        standin_url: str,
        environment: Mapping[str, str] | None = None,
        prefix: tuple[str, ...] = (),
        port: int | None = None,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.state = folder / "state"
        litellm = Path(sys.executable).with_name("litellm")
        command = [*prefix, str(litellm), "--config", str(config.absolute())]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        self.process = ChildProcess(
            command,
            folder / "proxy.log",
            {
                **PROXY_ENVIRONMENT,
                **provider_environment({}, standin_url),
                "TALLYGATE_STATE": str(self.state),
                **(environment or {}),
            },
        )

    def start(self, timeout_s: float = 120.0) -> Self:
        """Start and wait until it answers; may be called again after `stop` or `kill9`."""
        self.process.spawn()
        self.process.wait_until(self._answers, timeout_s)
        return self

    def stop(self, grace_s: float = 30.0) -> int | None:
        return self.process.stop(grace_s)

    def kill9(self) -> int | None:
        """As the kernel does when memory runs out: the whole group, at once."""
        return self.process.kill9()

    def log(self) -> str:
        return self.process.log()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _answers(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/health/liveliness", trust_env=False, timeout=2)
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


__all__ = ["STANDIN_KEY", "ChildProcess", "NotReady", "RunningProxy", "RunningStandin", "free_port"]
