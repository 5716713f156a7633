"""A real `opa run --server` on loopback, and the HTTP server that it gets its bundle from."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from e2e.proxy_process import free_port
from fakes.policy_folders import real_opa
from tallygate.adapters.engines.opa_bundle import bundle_content, packed
from tallygate.adapters.files.policies import PolicySet
from tallygate.application.ports import PolicyServer

DECISION = "/v1/data/tallygate/admission/decision"


class RunningOpa:
    """OPA on a free port, in the foreground of a process group of its own."""

    def __init__(
        self,
        folder: Path,
        *words: str,
        environment: Mapping[str, str] | None = None,
        trusted: Path | None = None,
    ) -> None:
        self.port = free_port()
        self.url = f"http{'s' if trusted else ''}://127.0.0.1:{self.port}"
        self._trust = ssl.create_default_context(cafile=trusted) if trusted else True
        self._log = folder / "opa.log"
        address = ("--addr", f"127.0.0.1:{self.port}", "--log-level", "info")
        self._command = [str(real_opa().path), "run", "--server", *address, *words]
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, ready: str = "/health?bundles&plugins") -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        wait_until(lambda: self._has_ended() or self.answers(ready), lambda: self.log()[-3000:])
        assert not self._has_ended(), self.log()[-3000:]
        return self

    def configure(self, *words: str) -> None:
        """Add to its command line, for the next start."""
        self._command += words

    def _has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def answers(self, path: str) -> bool:
        try:
            answer = httpx.get(f"{self.url}{path}", trust_env=False, timeout=2, verify=self._trust)
        except httpx.TransportError:
            return False
        return answer.status_code == 200

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def kill9(self) -> None:
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop it as a debugger does: it takes connections and says nothing."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and not self._has_ended():
            os.killpg(self._process.pid, number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(signal.SIGCONT)
        self._signal(number)
        if self._process is not None:
            self._process.wait(timeout=15)


class BundleServer:
    """Serves one bundle with its ETag, and keeps the decision logs and statuses that it is sent."""

    def __init__(self) -> None:
        self.bundle = b""
        self.decisions: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def status_of(self, bundle: str = "tallygate") -> dict[str, Any]:
        """Return the newest status of a bundle; empty before the first."""
        newest = self.statuses[-1] if self.statuses else {}
        return newest.get("bundles", {}).get(bundle, {})


def _handler_for(server: BundleServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.tokens.add(self.headers["authorization"])
            etag = f'"{hash(server.bundle)}"'
            if self.headers["if-none-match"] == etag:
                self._answer(304, b"", etag)
            else:
                self._answer(200, server.bundle, etag)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers["content-encoding"] == "gzip":
                body = gzip.decompress(body)
            said = json.loads(body)
            if isinstance(said, list):
                server.decisions.extend(said)
            else:
                server.statuses.append(said)
            self._answer(200, b"{}", "")

        def _answer(self, status: int, body: bytes, etag: str) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.send_header("content-type", "application/gzip")
            if etag:
                self.send_header("etag", etag)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its parent's name
            """Say nothing: the parent writes each request to stderr."""

    return Handler


class AskedHere:
    """An OPA server behind the port of an engine in this process, for suites that take both."""

    def __init__(self, server: PolicyServer) -> None:
        self._server = server
        self._runner = asyncio.Runner()

    @property
    def revision(self) -> str:
        return self._server.revision or ""

    def decide(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._runner.run(self._server.ask(question, "call-1")).decision

    def decide_all(self, questions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Ask them as a proxy does under load, sixteen at a time."""
        answers: list[Mapping[str, Any]] = [{}] * len(questions)
        waiting = iter(enumerate(questions))

        async def ask_in_turn() -> None:
            for index, question in waiting:
                answers[index] = (await self._server.ask(question, "call-1")).decision

        async def ask_all() -> None:
            await asyncio.gather(*(ask_in_turn() for _ in range(16)))

        self._runner.run(ask_all())
        return answers

    def close(self) -> None:
        self._runner.run(self._server.close())
        self._runner.close()


def write_bundle(folder: Path, policies: PolicySet) -> Path:
    """Write the unsigned bundle of these policies, as `policy bundle` does."""
    path = folder / "bundle.tar.gz"
    path.write_bytes(packed(bundle_content(policies.data, policies.rego, policies.revision)))
    return path


def wait_until(
    ready: Callable[[], object], about: Callable[[], object] = lambda: "", patience_s: float = 20
) -> None:
    deadline = time.monotonic() + patience_s
    while not ready():
        assert time.monotonic() < deadline, about()
        time.sleep(0.02)
