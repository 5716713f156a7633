"""
The table itself: routes that are treated alike, group by group; proxy/routes.py reads it.

Shapes  A line is one rule: its spellings, the first of which names it, then a note after a bar.
        `[/v1|/v2]/rerank` spells `/v1/rerank`, `/v2/rerank` and `/rerank`; `{x}` is one part of a
        path, `{x:path}` one or more.
Source  Read in the endpoints of LiteLLM 1.106.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tallygate.proxy.call_types import Metering

DecidedIn = Literal["pre_call", "auth"]
WEBSOCKET: Final = "WEBSOCKET"
"""Stands for the method where the connection is a WebSocket."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that share everything but their spellings and notes."""

    decided_in: DecidedIn | None
    metering: Metering
    methods: tuple[str, ...]
    note: str
    lines: str
    is_passed: bool = False
    is_own: bool = False


POST: Final = ("POST",)
EVERY: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")

PROVIDERS: Final = """
    anthropic assemblyai azure azure_ai azure_speech bedrock bespoke cohere comprehendmedical cursor
    deepgram eu.assemblyai eu_jev fal_ai gigachat laya milvus mistral nvidia_nim openai
    openai_passthrough openrouter tinyfish transcribe typesafe vertex-ai vertex_ai vllm watsonx
"""
"""Whose own APIs LiteLLM passes through, behind its usual authentication."""

TABLE: Final = (
    Group(
        "pre_call",
        Metering.METERED,
        POST,
        "",
        """
        [/v1|/engines/{model:path}|/openai/deployments/{model:path}]/chat/completions
        [/v1|/engines/{model:path}|/openai/deployments/{model:path}]/completions
        [/v1|/engines/{model:path}|/openai/deployments/{model:path}]/embeddings
        [/v1|/openai/v1]/responses
        /v1/messages /claude_code_gateway/v1/messages
        [/v1|/openai/deployments/{model:path}]/images/generations
        [/v1|/openai/deployments/{model:path}]/images/edits
        [/v1]/audio/speech | the characters of the request, where the answer says no tokens
        [/v1]/audio/transcriptions | by the second or by tokens, as the provider says
        [/v1]/moderations | free at OpenAI, not everywhere
        [/v1|/v2]/rerank
        [/v1]/batches /{provider}/v1/batches | usage comes once, when the batch is read back
        [/v1|/openai/v1]/responses/compact
        /cursor/chat/completions | goes to the provider as responses
        /prompts/test | LiteLLM does not list it as an LLM route
        /lens/worker/{lens_id}/{job_id}/model | LiteLLM's own worker, on the key that it bills
        """,
    ),
    Group(
        "pre_call",
        Metering.COUNTED,
        POST,
        "",
        """
        [/v1]/ocr
        [/v1]/search
        [/v1]/search/{search_tool_name}
        [/v1]/decisions
        [/v1]/systemone
        [/v1]/extraction
        [/v1]/videos
        [/v1]/videos/{video_id}/remix
        [/v1]/videos/characters
        [/v1]/videos/edits
        [/v1]/videos/extensions
        [/v1]/containers | charged by the session
        [/v1]/fine_tuning/jobs | the bill comes with the finished job
        [/v1]/vector_stores | charged by storage
        [/v1]/vector_stores/{vector_store_id:path}/search
        [/v1]/vector_stores/{vector_store_id}/files
        [/v1beta]/interactions
        [/v1|/openai/v1]/realtime/client_secrets | the session itself runs past the proxy
        [/v1|/openai/v1]/realtime/transcription_sessions | the session itself runs past the proxy
        [/v1|/openai/v1]/realtime/calls | a short-lived token instead of a key: team only
        /v1/evals/{eval_id}/runs
        [/guardrails]/apply_guardrail | what a guardrail costs is not seen
        /a2a/{agent_id} [/v1]/a2a/{agent_id}/message/send [/v1]/a2a/{agent_id}/message/stream
        /mcp-rest/tools/call /mcp/tools/call
        /mcp /mcp/ /mcp/{subpath:path} /toolset/{toolset_name}/mcp /{mcp_server_name}/mcp | \
tools/call is decided, the other messages are not; the hook sees headers only
        """,
    ),
    Group(
        "pre_call",
        Metering.METERED,
        POST,
        "",
        """
        [/v1beta]/models/{model_name:path}:generateContent
        [/v1beta]/models/{model_name:path}:streamGenerateContent
        /bedrock/model/{model:path}/converse /bedrock/model/{model:path}/converse-stream
        /bedrock/model/{model:path}/invoke /bedrock/model/{model:path}/invoke-with-response-stream
        """,
        is_passed=True,
    ),
    Group(
        "pre_call",
        Metering.METERED,
        (WEBSOCKET,),
        "decided once, when the session opens; each turn is metered as it ends",
        """
        [/v1|/openai/v1]/realtime
        [/v1]/responses
        /openai/{endpoint:path} /openai_passthrough/{endpoint:path}
        /deepgram/listen /deepgram/v1/listen /deepgram/speak /deepgram/v1/speak
        [/v1|/openai/v1]/live/sessions
        /vertex_ai/live
        """,
    ),
    Group(
        "pre_call",
        Metering.FREE,
        POST,
        "content goes to a provider, which does not charge for it",
        """
        [/v1]/files /{provider}/v1/files
        [/v1]/containers/{container_id}/files
        [/v1]/vector_stores/{vector_store_id}
        [/v1]/vector_stores/{vector_store_id}/files/{file_id}
        /v1/skills
        /v1/evals
        /v1/evals/{eval_id}
        /v1beta/agents
        """,
    ),
    Group(
        "auth",
        Metering.METERED,
        POST,
        "LiteLLM does not list it as an LLM route",
        """
        /queue/chat/completions
        /usage/ai/chat
        /policy/templates/enrich
        /policy/templates/enrich/stream
        /policy/templates/suggest
        """,
    ),
    Group(
        "auth",
        Metering.METERED,
        POST,
        "",
        """
        [/v1]/rag/ingest | each call that it makes is an attempt of its own
        [/v1]/rag/query
        """,
    ),
    Group(
        "auth",
        Metering.METERED,
        POST,
        "",
        """
        [/v1]/threads/{thread_id}/runs
        """,
        is_passed=True,
    ),
    Group(
        "auth",
        Metering.FREE,
        POST,
        "content goes to a provider, which does not charge for it",
        """
        /v1/messages/count_tokens /claude_code_gateway/v1/messages/count_tokens
        [/v1|/openai/v1]/responses/input_tokens
        [/v1beta]/models/{model_name:path}:countTokens
        /bedrock/model/{model:path}/count-tokens
        /utils/token_counter
        [/v1]/assistants
        [/v1]/threads
        [/v1]/threads/{thread_id}/messages
        """,
    ),
    Group(
        None,
        Metering.FREE,
        ("GET", "DELETE"),
        "",
        """
        [/v1|/cursor|/cursor/v1|/claude_code_gateway/v1]/models [/v1]/models/{model_id}
        [/v1|/v2]/model/info /model_group/info /utils/model_info /utils/supported_openai_params
        [/v1]/files [/v1]/files/{file_id:path}
        /{provider}/v1/files /{provider}/v1/files/{file_id:path}
        [/v1]/batches [/v1]/batches/{batch_id:path} | a finished batch is billed once, by its id
        /{provider}/v1/batches /{provider}/v1/batches/{batch_id:path}
        [/v1]/fine_tuning/jobs [/v1]/fine_tuning/jobs/{fine_tuning_job_id:path}
        [/v1]/assistants [/v1]/assistants/{assistant_id:path}
        [/v1]/threads/{thread_id} [/v1]/threads/{thread_id}/messages
        [/v1|/openai/v1]/responses/{response_id} | one made in the background is billed then
        [/v1|/openai/v1]/responses/{response_id}/input_items
        [/v1]/videos [/v1]/videos/{video_id} [/v1]/videos/{video_id}/content
        [/v1]/videos/characters/{character_id}
        [/v1]/containers [/v1]/containers/{container_id} [/v1]/containers/{container_id}/files
        [/v1]/containers/{container_id}/files/{file_id}
        [/v1]/containers/{container_id}/files/{file_id}/content
        [/v1]/vector_stores [/v1]/vector_stores/{vector_store_id} [/v1]/vector_store/list
        [/v1]/vector_stores/{vector_store_id}/files
        [/v1]/vector_stores/{vector_store_id}/files/{file_id}
        [/v1]/vector_stores/{vector_store_id}/files/{file_id}/content
        [/v1]/search/tools
        [/v1beta]/interactions/{interaction_id}
        /v1beta/agents /v1beta/agents/{name} /v1beta/agents/{name}/versions
        /v1/skills /v1/skills/{skill_id}
        /v1/evals /v1/evals/{eval_id} /v1/evals/{eval_id}/runs /v1/evals/{eval_id}/runs/{run_id}
        /agents /a2a/{agent_id}/.well-known/agent-card.json /a2a/{agent_id}/.well-known/agent.json
        /v1/mcp/tools /mcp-rest/tools/list /mcp/tools /mcp/tools/list
        """,
    ),
    Group(
        None,
        Metering.FREE,
        ("GET", "DELETE"),
        "of the provider, passed through",
        """
        /anthropic/v1/models /anthropic/v1/models/{model_id}
        /openai/v1/models /openai/v1/models/{model_id}
        /openai_passthrough/v1/models /openai_passthrough/v1/models/{model_id}
        /gemini/v1beta/models /gemini/v1beta/models/{model_id}
        /mistral/v1/models /mistral/v1/models/{model_id}
        """,
        is_passed=True,
    ),
    Group(
        None,
        Metering.FREE,
        POST,
        "",
        """
        [/v1]/batches/{batch_id:path}/cancel /{provider}/v1/batches/{batch_id:path}/cancel
        [/v1]/fine_tuning/jobs/{fine_tuning_job_id:path}/cancel
        [/v1|/openai/v1]/responses/{response_id}/cancel
        [/v1beta]/interactions/{interaction_id}/cancel
        /v1/evals/{eval_id}/cancel /v1/evals/{eval_id}/runs/{run_id}
        /utils/transform_request | reaches no provider
        /introspect /token
        """,
    ),
    Group(
        None,
        Metering.METERED,
        ("GET", "POST"),
        "LiteLLM's own probing: real spend, of whom the registry names in own_calls",
        """
        /health /health/test_connection
        """,
        is_own=True,
    ),
    Group(
        None,
        Metering.FREE,
        EVERY,
        "no model behind it",
        """
        /v1/traces /v1/traces/{rest:path} /v1/logs
        /lens /lens/{rest:path} | its spend comes in at /lens/worker/{lens_id}/{job_id}/model
        /claude-code/marketplace.json /claude-code/plugins /claude-code/plugins/{rest:path}
        /langfuse /langfuse/{endpoint:path}
        /mcp /mcp/ /mcp/{subpath:path} /toolset/{toolset_name}/mcp /{mcp_server_name}/mcp
        """,
    ),
    Group(
        "pre_call",
        Metering.METERED,
        EVERY,
        "passed through, authenticated out of the wrapper's sight; the hook is blind",
        """
        /gemini /gemini/{endpoint:path}
        /vertex_ai/discovery/{endpoint:path}
        """,
        is_passed=True,
    ),
    Group(
        "auth",
        Metering.METERED,
        EVERY,
        "passed through; the hook is blind or never fires",
        "\n".join(f"/{provider} /{provider}/{{endpoint:path}}" for provider in PROVIDERS.split())
        + "\n/backend-api/codex /backend-api/codex/{endpoint:path}"
        " | paid by the caller's ChatGPT plan",
        is_passed=True,
    ),
)
