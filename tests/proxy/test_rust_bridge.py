"""Which calls leave from LiteLLM's Rust part, held to the catalog of the LiteLLM that is there."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tallygate.proxy.rust_bridge import leaves_unseen

CATALOG = "litellm.rust_bridge.catalog"


def rule(route: str, rollout: str, *providers: str) -> Any:
    return SimpleNamespace(
        route=SimpleNamespace(value=route),
        rollout=SimpleNamespace(name=rollout),
        providers=frozenset(providers) or None,
    )


@pytest.fixture(autouse=True)
def nobody_asked_for_rust(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LITELLM_RUST", raising=False)


@pytest.mark.parametrize(
    ("call_type", "provider", "unseen"),
    [
        ("aocr", "mistral", True),
        ("atranscription", "bedrock", True),
        ("atranscription", "openai", False),
        ("acompletion", "openai", False),
        ("anthropic_messages", "anthropic", False),
        ("asearch", "tavily", False),
    ],
)
def test_what_litellm_always_sends_from_rust_is_known(
    call_type: str, provider: str, *, unseen: bool
) -> None:
    pytest.importorskip(CATALOG, reason="this LiteLLM has no catalog")

    assert leaves_unseen(call_type, provider) is unseen


def test_what_litellm_sends_from_rust_when_asked_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(CATALOG, reason="this LiteLLM has no catalog")

    monkeypatch.setenv("LITELLM_RUST", "true")

    assert leaves_unseen("anthropic_messages", "anthropic")
    assert not leaves_unseen("acompletion", "openai")


def test_a_route_that_a_later_litellm_moves_to_rust_is_seen_in_its_catalog(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = [rule("embeddings", "PYTHON_ONLY"), rule("chat_completions", "RUST_OPT_OUT", "openai")]
    monkeypatch.setitem(sys.modules, CATALOG, SimpleNamespace(RULES=rules))  # type: ignore[arg-type]  # a stranger's module

    assert leaves_unseen("acompletion", "openai")
    assert not leaves_unseen("acompletion", "anthropic")
    assert not leaves_unseen("aembedding", "openai")


def test_without_a_catalog_what_older_releases_may_send_is_taken_for_unseen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, CATALOG, None)  # type: ignore[arg-type]  # how Python says: absent

    assert leaves_unseen("aocr", "mistral")
    assert leaves_unseen("atranscription", "bedrock")
    assert not leaves_unseen("atranscription", "openai")
    assert not leaves_unseen("anthropic_messages", "anthropic")


def test_a_catalog_of_another_shape_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, CATALOG, SimpleNamespace())  # type: ignore[arg-type]  # as above

    assert not leaves_unseen("acompletion", "openai")
