"""LiteLLM as a client: what reads these formats in production reads the stand-in's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import litellm
import pytest
import pytest_asyncio

pytestmark = [
    # LiteLLM keeps its connections for a loop, and closes them for the newest one only.
    pytest.mark.asyncio(loop_scope="module"),
    # It looks at every attribute of a chunk, and two of pydantic's own are on their way out.
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
]

OWNED = {"owner_team": "search", "feature": "ranking"}
CLAUDE = "us.anthropic.claude-sonnet-5-5-v1:0"
BEDROCK_KEYS = {
    "aws_access_key_id": "AKIAEXAMPLE",
    "aws_secret_access_key": "not-a-secret",
    "aws_region_name": "eu-west-1",
}


@pytest_asyncio.fixture(autouse=True, scope="module", loop_scope="module")
async def _leaves_nothing_open() -> AsyncIterator[None]:
    yield
    await litellm.close_litellm_async_clients()


def _asked(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


async def _streamed(**asked: Any) -> list[Any]:
    stream = await litellm.acompletion(stream=True, stream_options={"include_usage": True}, **asked)
    return [chunk async for chunk in stream]


def _calls(standin_url: str) -> list[dict[str, Any]]:
    return httpx.get(f"{standin_url}/standin/calls").json()


async def test_bedrock_s_converse_and_invoke(
    standin_url: str, book: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litellm, "bedrock_request_metadata_fields", ["spend_logs_metadata"])
    asked = {
        "aws_bedrock_runtime_endpoint": standin_url,
        "messages": _asked("[[standin: input=1000 cached=600 output=9 chunks=3]]"),
        "metadata": {"spend_logs_metadata": OWNED},
        "max_tokens": 50,
        **BEDROCK_KEYS,
    }

    for model in (f"bedrock/converse/{CLAUDE}", f"bedrock/invoke/{CLAUDE}"):
        whole = await litellm.acompletion(model=model, **asked)
        last = (await _streamed(model=model, **asked))[-1]
        for usage in (whole.usage, last.usage):
            assert (usage.prompt_tokens, usage.completion_tokens) == (1000, 9)
            assert usage.prompt_tokens_details.cached_tokens == 600

    calls = _calls(standin_url)
    assert [call["path"].rpartition("/")[2] for call in calls] == [
        "converse",
        "converse-stream",
        "invoke",
        "invoke-with-response-stream",
    ]
    assert {json.dumps(call["request_metadata"]) for call in calls} == {json.dumps(OWNED)}


async def test_gemini_whole_streamed_and_embedded(standin_url: str, book: httpx.Client) -> None:
    where = {"api_base": f"{standin_url}/v1beta", "api_key": "sk-any-key"}
    asked = {
        "model": "gemini/gemini-2.5-flash",
        "messages": _asked("[[standin: input=1000 cached=600 output=20 reasoning=8 chunks=4]]"),
        **where,
    }

    whole = await litellm.acompletion(**asked)
    last = (await _streamed(**asked))[-1]
    embedded = await litellm.aembedding(
        model="gemini/gemini-embedding-001", input=["one two", "three"], **where
    )

    for usage in (whole.usage, last.usage):
        assert (usage.prompt_tokens, usage.completion_tokens) == (1000, 20)
        assert usage.prompt_tokens_details.cached_tokens == 600
        assert usage.completion_tokens_details.reasoning_tokens == 8
    assert whole.service_tier == "default"
    assert len(embedded.data) == 2
    chat, stream, embeddings = _calls(standin_url)
    assert chat["response_id"] == whole.id
    assert (stream["stream"], stream["chunks_sent"]) == (True, 4)
    assert (embeddings["operation"], embeddings["billed"]["input"]) == ("embeddings", 3)


async def test_an_error_inside_a_gemini_stream_raises(standin_url: str, book: httpx.Client) -> None:
    with pytest.raises(Exception, match="UNAVAILABLE"):
        await _streamed(
            model="gemini/gemini-2.5-flash",
            messages=_asked("[[standin: error_after=2]]"),
            api_base=f"{standin_url}/v1beta",
            api_key="sk-any-key",
        )

    assert _calls(standin_url)[-1]["ended"] == "error"


async def test_cohere_reranks_and_chats(standin_url: str, book: httpx.Client) -> None:
    key = {"api_key": "sk-any-key"}
    ranked = await litellm.arerank(
        model="cohere/rerank-v3.5",
        query="which one",
        documents=[f"document {number}" for number in range(101)],
        top_n=3,
        api_base=standin_url,
        **key,
    )
    chat = {
        "model": "cohere_chat/command-a-03-2025",
        "messages": _asked("[[standin: input=50 output=6]]"),
        "api_base": f"{standin_url}/v2/chat",
        **key,
    }
    whole = await litellm.acompletion(**chat)
    await _streamed(**chat)

    assert ranked.meta["billed_units"]["search_units"] == 2
    assert [result["index"] for result in ranked.results] == [0, 1, 2]
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (50, 6)
    rerank, _, stream = _calls(standin_url)
    assert rerank["billed"] == {"search_units": 2}
    assert stream["usage"]["tokens"] == {"input_tokens": 50, "output_tokens": 6}
