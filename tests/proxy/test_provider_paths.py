"""What is asked of a provider, told by a path; and what is somebody else's traffic."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallygate.domain.usage.operations import BILLED_OPERATIONS, FREE_OPERATIONS
from tallygate.proxy.provider_paths import _TABLE, Asked, asked_of, provider_of_host


def test_whatever_a_path_asks_for_is_known_to_cost_or_to_be_free() -> None:
    operations = {operation for _, _, operation, _ in _TABLE}

    assert operations - BILLED_OPERATIONS - FREE_OPERATIONS == set()
    assert not BILLED_OPERATIONS & FREE_OPERATIONS
    assert len(operations) > 40


@pytest.mark.parametrize("line", _TABLE, ids=lambda line: f"{line[0]} {line[1].pattern[8:]}")
def test_no_line_of_the_table_is_covered_by_one_before_it(
    line: tuple[str, re.Pattern[str], str, str],
) -> None:
    method, pattern, operation, dialect = line
    path = _a_path_of(pattern.pattern)
    assert pattern.fullmatch(path), path

    found = asked_of(method, path)

    assert found is not None
    assert (found.operation, found.dialect) == (operation, dialect)


def _a_path_of(pattern: str) -> str:
    """Fill in what a pattern leaves open."""
    for written, filled in (
        ("(?:.*/)?", "/v1/"),
        ("(?P<model>[^/:]+)", "some-model"),
        ("(?P<model>[^/]+)", "some-model"),
        ("(generations|edits|variations)", "generations"),
        ("(transcriptions|translations)", "translations"),
        ("(client_secrets|sessions|transcription_sessions)", "sessions"),
        ("(files|file_batches)", "file_batches"),
        ("(/[^/]+/remix|/edits|/extensions|/characters)?", "/edits"),
        ("(batchE|e)mbedContents?", "batchEmbedContents"),
        (r"v\d+/models", "v1/models"),
        ("v[12]", "v2"),
        ("(/[^/]+)?", ""),
        ("(/[a-z]+)?", ""),
        ("(/messages/[^/]+)?", ""),
        ("(/files/[^/]+)?", ""),
        ("(/cancel)?", ""),
        ("(-stream)?", ""),
        ("(-with-response-stream)?", ""),
        ("(/.+)?", ""),
        ("[^/]+", "some-1"),
        ("[a-z]+", "cancel"),
        (".+", "some-1"),
        ("/?", ""),
    ):
        pattern = pattern.replace(written, filled)
    return pattern


@pytest.mark.parametrize(
    ("method", "path", "operation", "dialect"),
    [
        ("POST", "/v1/chat/completions", "chat", "openai"),
        ("POST", "/openai/deployments/gpt/chat/completions", "chat", "openai"),
        ("POST", "/v1/completions", "text_completion", "openai"),
        ("POST", "/v1/responses", "chat", "openai"),
        ("GET", "/v1/responses/resp_1", "retrieve_response", "openai"),
        ("POST", "/v1/responses/resp_1/cancel", "cancel_response", "openai"),
        ("GET", "/v1/files/file-1/content", "file_content", "openai"),
        ("POST", "/v1/batches", "create_batch", "openai"),
        ("GET", "/v1/batches/batch_1", "retrieve_batch", "openai"),
        ("GET", "/v1/models", "list_models", "openai"),
        ("POST", "/v1/vector_stores/vs_1/files", "vector_store_file_create", "openai"),
        ("POST", "/v1/containers/c_1/files", "upload_container_file", "openai"),
        ("POST", "/v1/messages", "chat", "anthropic"),
        ("POST", "/v1/messages/count_tokens", "count_tokens", "anthropic"),
        ("POST", "/v1/messages/batches", "create_batch", "anthropic"),
        ("GET", "/v1/messages/batches/b_1/results", "file_content", "anthropic"),
        ("POST", "/v2/rerank", "rerank", "cohere"),
        ("POST", "/v1/rerank", "rerank", "cohere"),
        ("POST", "/v2/chat", "chat", "cohere"),
        ("POST", "/v1/chat/completions/", "chat", "openai"),
    ],
)
def test_a_path_tells_what_is_asked(method: str, path: str, operation: str, dialect: str) -> None:
    assert asked_of(method, path) == Asked(operation, dialect)


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("POST", "/v1/threads", "create_thread"),
        ("GET", "/v1/threads/th_1", "get_thread"),
        ("POST", "/v1/threads/th_1/messages", "add_message"),
        ("GET", "/v1/threads/th_1/messages", "get_messages"),
        ("POST", "/v1/threads/th_1/runs", "invoke_agent"),
        ("POST", "/v1/threads/runs", "invoke_agent"),
        ("POST", "/v1/threads/th_1/runs/run_1/submit_tool_outputs", "invoke_agent"),
        ("GET", "/v1/threads/th_1/runs/run_1", "retrieve_run"),
        ("POST", "/v1/threads/th_1/runs/run_1/cancel", "update_run"),
        ("DELETE", "/v1/threads/th_1", "delete_thread"),
    ],
)
def test_a_threads_messages_are_no_calls_of_anthropics(
    method: str, path: str, operation: str
) -> None:
    assert asked_of(method, path) == Asked(operation, "openai")


@pytest.mark.parametrize(
    ("path", "operation", "dialect", "model"),
    [
        (
            "/v1beta/models/gemini-3-pro:generateContent",
            "generate_content",
            "gemini",
            "gemini-3-pro",
        ),
        (
            "/v1/projects/p/locations/l/publishers/google/models/gemini-3:streamGenerateContent",
            "generate_content",
            "gemini",
            "gemini-3",
        ),
        ("/v1beta/models/gemini-3:countTokens", "count_tokens", "gemini", "gemini-3"),
        ("/v1beta/models/e-1:batchEmbedContents", "embeddings", "gemini", "e-1"),
        ("/v1beta/models/e-1:embedContent", "embeddings", "gemini", "e-1"),
        ("/model/anthropic.claude-v1%3A0/converse-stream", "chat", "bedrock", None),
        ("/model/amazon.nova/invoke", "chat", "bedrock", "amazon.nova"),
        ("/model/amazon.nova/count-tokens", "count_tokens", "bedrock", "amazon.nova"),
    ],
)
def test_a_path_that_names_the_model_tells_it(
    path: str, operation: str, dialect: str, model: str | None
) -> None:
    assert asked_of("POST", path) == Asked(operation, dialect, model or "anthropic.claude-v1:0")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("POST", "/api/public/ingestion", id="Langfuse takes logs"),
        pytest.param("POST", "/api/public/otel/v1/traces", id="Langfuse takes traces"),
        pytest.param("POST", "/v1/traces", id="a collector"),
        pytest.param("POST", "/v1/logs", id="another"),
        pytest.param("POST", "/", id="prisma's engine"),
        pytest.param("GET", "/status", id="its health"),
        pytest.param("POST", "/token", id="Google's login"),
        pytest.param("POST", "/tenant/oauth2/v2.0/token", id="Entra's login"),
        pytest.param("GET", "/.well-known/jwks.json", id="an issuer's keys"),
        pytest.param("GET", "/discovery/v2.0/keys", id="Entra's keys"),
        pytest.param("PUT", "/bucket/2026/11/21/log.json", id="S3 takes a log"),
        pytest.param("GET", "/latest/meta-data/iam/security-credentials/role", id="AWS's role"),
        pytest.param("GET", "/berriai/litellm/model_prices.json", id="LiteLLM's price map"),
        pytest.param("POST", "/services/T0/B0/x", id="a chat room's hook"),
        pytest.param("GET", "/v1/chat/completions", id="another method"),
        pytest.param("POST", "/v1/xchat/completionsx", id="only alike"),
        pytest.param("POST", "/v1/chat/completions/extra", id="below"),
        pytest.param("GET", "/computeMetadata/v1/instance", id="Google's metadata"),
    ],
)
def test_what_is_no_providers_is_nobodys(method: str, path: str) -> None:
    assert asked_of(method, path) is None


@given(method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "", "post"]), path=st.text())
def test_no_path_is_too_odd(method: str, path: str) -> None:
    found = asked_of(method, path)

    assert found is None or found.operation in BILLED_OPERATIONS | FREE_OPERATIONS


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("api.anthropic.com", "anthropic"),
        ("generativelanguage.googleapis.com", "gemini"),
        ("mine.openai.azure.com", "azure"),
        ("mine.services.ai.azure.com", "azure_ai"),
        ("us-central1-aiplatform.googleapis.com", "vertex_ai"),
        ("bedrock-runtime.eu-west-1.amazonaws.com", "bedrock"),
        ("bedrock-agent-runtime.eu-west-1.amazonaws.com", "bedrock"),
        ("s3.eu-west-1.amazonaws.com", None),
        ("gateway.example.com", None),
        ("api.openai.com.example.com", None),
        ("", None),
    ],
)
def test_a_host_names_its_provider(host: str, provider: str | None) -> None:
    assert provider_of_host(host) == provider
