"""
Clients that go on through every fault: half streams, retries, embeddings, messages, pass-through.

Shapes  Each call carries a trace id of its own, by which the stand-in's book and the ledger are
        joined. What is asked, and in which order, follows from the seed.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx

from e2e.gated import OWNED

SPOOL_FULL: Final = "spool_full"
_KEY: Final = "sk-demo-support"
_PAUSE_S: Final = 0.02
_PATIENCE_S: Final = 60.0
_SLOWLY: Final = "delay=0.05 chunks=8 interval=0.03"


@dataclass(frozen=True, slots=True)
class Ask:
    """One call, and when its client leaves."""

    path: str
    body: Mapping[str, Any]
    stream: bool = False
    leaves_after_chunks: int | None = None
    leaves_after_s: float | None = None


def _chat(wish: str, *, stream: bool = False, **options: Any) -> Ask:
    return Ask("/v1/chat/completions", _spoken("gpt-5.4-mini", wish, stream), stream, **options)


def _spoken(model: str, wish: str, stream: bool) -> dict[str, Any]:
    content = f"[[standin: {wish}]] hello"
    return {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 40,
        "stream": stream,
    }


def _messages(wish: str, *, stream: bool, path: str = "/v1/messages") -> Ask:
    return Ask(path, _spoken("claude-sonnet-5-5", wish, stream), stream)


def _responses(wish: str) -> Ask:
    body = {"model": "gpt-5.4-mini", "input": f"[[standin: {wish}]] hello", "stream": True}
    return Ask("/v1/responses", body, stream=True)


def _embeddings(_wish: str) -> Ask:
    return Ask("/v1/embeddings", {"model": "text-embedding-3-small", "input": "one two"})


def _passed(wish: str, *, stream: bool) -> Ask:
    return Ask("/openai/chat/completions", _spoken("gpt-5.4-mini", wish, stream), stream)


_KINDS: Final[tuple[tuple[int, Callable[[str, str], Ask]], ...]] = (
    (4, lambda wish, _: _chat(wish)),
    (5, lambda wish, _: _chat(wish, stream=True)),
    (2, lambda wish, key: _chat(f"{wish} status=500 fail=1 key={key}")),
    (1, lambda wish, key: _chat(f"{wish} status=500 fail=1 key={key}", stream=True)),
    (1, lambda wish, _: _chat(f"{wish} status=400")),
    (1, lambda wish, _: _chat(f"{wish} cut=3", stream=True)),
    (3, lambda wish, _: _embeddings(wish)),
    (2, lambda wish, _: _messages(wish, stream=False)),
    (2, lambda wish, _: _messages(wish, stream=True)),
    (2, lambda wish, _: _responses(wish)),
    (1, lambda wish, _: _passed(wish, stream=False)),
    (1, lambda wish, _: _passed(wish, stream=True)),
    (1, lambda wish, _: _messages(wish, stream=True, path="/anthropic/v1/messages")),
    (2, lambda wish, _: _chat(wish, stream=True, leaves_after_chunks=2)),
    (1, lambda _, __: _chat("delay=5", leaves_after_s=0.3)),
)


class MixedLoad:
    """Some clients, each in a thread, until the block is left; none of them minds an error."""

    def __init__(self, url: str, seed: str, *, clients: int = 6) -> None:
        self._url = url
        self._seed = seed
        self._stop = threading.Event()
        self._counted = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(clients)]
        self.answers: Counter[str] = Counter()
        """By status, by the gate's own code where it refused, and by what ended them else."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def answered(self) -> int:
        with self._counted:
            return self.answers["200"]

    def _run(self, number: int) -> None:
        chance = random.Random(f"{self._seed}/{number}")
        kinds = [kind for _, kind in _KINDS]
        weights = [weight for weight, _ in _KINDS]
        limits = httpx.Limits(max_keepalive_connections=2)
        with httpx.Client(
            base_url=self._url, trust_env=False, timeout=_PATIENCE_S, limits=limits
        ) as client:
            while not self._stop.is_set():
                trace = f"{chance.getrandbits(128) | 1:032x}"
                (kind,) = chance.choices(kinds, weights)
                ended = _asked(client, kind(_SLOWLY, trace), trace)
                with self._counted:
                    self.answers[ended] += 1
                is_down = ended in {"ConnectError", SPOOL_FULL}
                self._stop.wait(0.1 if is_down else _PAUSE_S)


def _asked(client: httpx.Client, ask: Ask, trace: str) -> str:
    headers = {
        **OWNED,
        "authorization": f"Bearer {_KEY}",
        "anthropic-version": "2023-06-01",
        "traceparent": f"00-{trace}-{trace[:16]}-01",
    }
    patience = httpx.Timeout(_PATIENCE_S, read=ask.leaves_after_s or _PATIENCE_S)
    try:
        with client.stream(
            "POST", ask.path, json=dict(ask.body), headers=headers, timeout=patience
        ) as response:
            if response.status_code != httpx.codes.OK:
                return _refused(response)
            for number, _ in enumerate(response.iter_raw(), start=1):
                if number == ask.leaves_after_chunks:
                    return "left"
    except httpx.HTTPError as error:
        return "left" if ask.leaves_after_s else type(error).__name__
    return "200"


def _refused(response: httpx.Response) -> str:
    """Name the gate's own code, else the status."""
    response.read()
    return SPOOL_FULL if f'"{SPOOL_FULL}"' in response.text else str(response.status_code)
