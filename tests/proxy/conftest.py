"""What calls through the real LiteLLM need: a gate, and a provider behind its HTTP client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import litellm
import pytest
from pytest_httpx import HTTPXMock

from proxy.provider_calls import GatedCall, Provider
from proxy.watched_sends import sends_watched_by

CALLBACKS: Final = (
    "callbacks",
    "input_callback",
    "success_callback",
    "failure_callback",
    "_async_success_callback",
    "_async_failure_callback",
)


@pytest.fixture
def gated(httpx_mock: HTTPXMock, monkeypatch: pytest.MonkeyPatch) -> Iterator[GatedCall]:
    """Register the gate as the proxy does, alone, and watch what httpx sends."""
    made = GatedCall()
    for name in CALLBACKS:
        monkeypatch.setattr(litellm, name, [])
    litellm.callbacks.append(made.gate)
    monkeypatch.setattr(litellm, "disable_aiohttp_transport", True)
    monkeypatch.setattr(litellm, "suppress_debug_info", True)
    litellm.in_memory_llm_clients_cache.flush_cache()  # its clients belong to another loop
    with sends_watched_by(made.journal.sends):
        yield made


@pytest.fixture
def provider(httpx_mock: HTTPXMock) -> Provider:
    return Provider(httpx_mock)
