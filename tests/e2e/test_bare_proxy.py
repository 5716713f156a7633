"""The harness itself: a real LiteLLM without the plugin, against the stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest

from e2e.proxy_process import NotReady, RunningProxy, RunningStandin

KEY = "sk-demo-support"


@pytest.fixture
def client(bare_proxy: RunningProxy) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=KEY, base_url=f"{bare_proxy.url}/v1", max_retries=0) as made:
        yield made


def _ask(
    client: openai.OpenAI, text: str, model: str = "gpt-5.4"
) -> openai.types.chat.ChatCompletion:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])


def test_a_chat_goes_through_the_real_proxy_to_the_stand_in(
    client: openai.OpenAI, standin: RunningStandin
) -> None:
    answer = _ask(client, "[[standin: usage input=3400 cached=1200 output=620]] hi")

    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 3400
    (call,) = standin.calls()
    assert (call["path"], call["model"]) == ("/v1/chat/completions", "gpt-5.4")
    assert (call["response_id"], call["ended"]) == (answer.id, "complete")


def test_a_stream_goes_through_and_the_proxy_asks_for_usage(
    client: openai.OpenAI, standin: RunningStandin
) -> None:
    chunks = list(
        client.chat.completions.create(
            model="gpt-5.4", messages=[{"role": "user", "content": "hi"}], stream=True
        )
    )

    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    (call,) = standin.calls()
    assert call["stream"]
    assert call["usage"] is not None


def test_embeddings_go_through(client: openai.OpenAI, standin: RunningStandin) -> None:
    made = client.embeddings.create(model="text-embedding-3-small", input=["one two", "three"])

    assert made.usage.prompt_tokens == 3
    assert standin.count()["by_path"] == {"/v1/embeddings": 1}


def test_a_claude_model_is_asked_in_anthropic_s_words(
    client: openai.OpenAI, standin: RunningStandin
) -> None:
    answer = _ask(client, "[[standin: input=100 cached=40 output=9]] hi", "claude-sonnet-5-5")

    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 100
    assert standin.count()["by_path"] == {"/v1/messages": 1}


def test_the_anthropic_client_goes_through(
    bare_proxy: RunningProxy, standin: RunningStandin
) -> None:
    with anthropic.Anthropic(api_key=KEY, base_url=bare_proxy.url, max_retries=0) as client:
        message = client.messages.create(
            model="claude-sonnet-5-5",
            max_tokens=50,
            messages=[{"role": "user", "content": "[[standin: input=30 cached=10]]"}],
        )

    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (20, 10)
    assert standin.count()["generating"] == 1


def test_retries_and_the_fallback_are_provider_calls_of_their_own(
    client: openai.OpenAI, standin: RunningStandin
) -> None:
    answer = _ask(client, "[[standin: status=503 only=gpt-5.4]] hi")

    assert answer.model.startswith("gpt-5.4-mini")
    models = [call["model"] for call in standin.calls()]
    assert models == ["gpt-5.4", "gpt-5.4", "gpt-5.4", "gpt-5.4-mini"]


def test_an_unknown_key_is_refused_with_401_and_nothing_is_asked(
    bare_proxy: RunningProxy, standin: RunningStandin
) -> None:
    with (
        openai.OpenAI(api_key="sk-not-known", base_url=f"{bare_proxy.url}/v1") as client,
        pytest.raises(openai.AuthenticationError, match="sk-demo-support"),
    ):
        _ask(client, "hi")

    assert standin.count()["generating"] == 0


def test_a_proxy_that_cannot_start_says_why(shared_standin: RunningStandin, tmp_path: Path) -> None:
    config = tmp_path / "litellm_config.yaml"
    config.write_text('litellm_settings:\n  callbacks: ["no.such.module"]\n')
    proxy = RunningProxy(config, tmp_path, standin_url=shared_standin.url)

    with pytest.raises(NotReady, match=r"no\.such"):
        proxy.start()

    assert not proxy.process.alive
