"""A server that keeps the headers it was sent and answers as the gate does, and both contexts."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from tallygate.adapters.files.strict_yaml import read_yaml
from tallygate.client import current
from tallygate.client.keeping import PlainKeeping
from tallygate.client.otel import OtelKeeping
from tallygate.domain.attribution.contract import (
    Principal,
    contract_from_data,
    registry_from_data,
)
from tallygate.domain.attribution.ownership import Claims, Ownership, resolve_ownership

Resolver = Callable[[Sequence[tuple[bytes, bytes]]], Ownership]
CALL: Final = "0197a5b0-0000-7000-8000-{:012x}"
MOVES: Final = {
    "/moved": ("localhost", "/"),
    "/near": ("127.0.0.1", "/"),
    "/far": ("127.0.0.1", "/moved"),
    "/round": ("localhost", "/back"),
    "/back": ("127.0.0.1", "/"),
}
"""Where a path redirects to: its host is 127.0.0.1, and localhost is a stranger's."""
COMPLETION: Final = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-5.4",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
    ],
}
MESSAGE: Final = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5-5",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


@dataclass
class HeaderBook:
    """What arrived, in order, as ASGI would show it: lower-case names, bytes."""

    url: str = ""
    requests: list[list[tuple[bytes, bytes]]] = field(default_factory=list)
    status: int = 200

    @property
    def last(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.requests[-1]}

    def call_id(self, number: int) -> str:
        """Give the call id that the answer to a request (from 1) bore."""
        return CALL.format(number)


class _Answers(BaseHTTPRequestHandler):
    book: HeaderBook

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.book.requests.append(
            [
                (name.lower().encode(), value.encode("latin-1"))
                for name, value in self.headers.items()
            ]
        )
        if self.path in MOVES:
            host, path = MOVES[self.path]
            self.send_response(307)
            self.send_header("location", self.book.url.replace("127.0.0.1", host) + path)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        number = len(self.book.requests)
        body = json.dumps(MESSAGE if self.path.endswith("messages") else COMPLETION).encode()
        self.send_response(self.book.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-tallygate-call-id", self.book.call_id(number))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any, **_kwargs: Any) -> None:
        """Say nothing."""


@pytest.fixture
def gate() -> Iterator[HeaderBook]:
    book = HeaderBook()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"book": book}))
    server.daemon_threads = True
    book.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield book
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=["otel", "plain"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with the values in OpenTelemetry's baggage, and without OpenTelemetry."""
    place = OtelKeeping() if request.param == "otel" else PlainKeeping()
    monkeypatch.setattr(current, "KEEPING", place)
    return str(request.param)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture(scope="session")
def resolved() -> Resolver:
    """Resolve headers as the gate does, by the contract that tallygate ships."""
    policies = Path(__file__).resolve().parents[2] / "policies"
    read = read_yaml(policies / "contract" / "data.yaml").value
    contract = contract_from_data(read)

    def resolve(headers: Sequence[tuple[bytes, bytes]]) -> Ownership:
        return resolve_ownership(
            Claims(headers), contract, registry_from_data({}), Principal(), None
        )

    return resolve
