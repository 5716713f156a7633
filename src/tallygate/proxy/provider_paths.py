"""
What a provider is asked for, told by the path of the request that goes to it.

Some calls meet none of LiteLLM's hooks on their way out: files, batches, threads, token counts,
further rounds of a client library. What their requests look like is public, so an attempt is
recognised there. What no line knows is somebody else's traffic: a log store, a cache, a login.

Shapes  (method, path) -> `gen_ai.operation.name`, the provider whose format it is, and the model
        where the path names it. A prefix before the resource is the provider's own business.
Source  The API references of OpenAI, Anthropic, Google, AWS and Cohere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request to a provider asks for."""

    operation: str
    dialect: str
    """Whose format it is; another provider may speak it too."""
    model: str | None = None


_OPENAI: Final = r"""
POST    /chat/completions                          chat
POST    /completions                               text_completion
POST    /embeddings                                embeddings
POST    /images/(generations|edits|variations)     image_generation
POST    /audio/speech                              speech
POST    /audio/(transcriptions|translations)       transcription
POST    /moderations                               moderation
POST    /responses                                 chat
POST    /responses/compact                         chat
POST    /responses/input_tokens                    count_tokens
GET     /responses/[^/]+                           retrieve_response
GET     /responses/[^/]+/input_items               list_input_items
POST    /responses/[^/]+/cancel                    cancel_response
DELETE  /responses/[^/]+                           delete_response
POST    /vector_stores                             vector_store_create
POST    /vector_stores/[^/]+/search                vector_store_search
POST    /vector_stores/[^/]+/(files|file_batches)  vector_store_file_create
GET     /vector_stores                             list_vector_stores
GET     /vector_stores/.+                          retrieve_vector_store
POST    /vector_stores/[^/]+(/files/[^/]+)?        update_vector_store
DELETE  /vector_stores/.+                          delete_vector_store
POST    /containers                                create_container
GET     /containers(/.+)?                          retrieve_container
POST    /containers/[^/]+/files                    upload_container_file
DELETE  /containers/.+                             delete_container
POST    /files                                     create_file
GET     /files                                     list_files
GET     /files/[^/]+/content                       file_content
GET     /files/[^/]+                               retrieve_file
DELETE  /files/[^/]+                               delete_file
POST    /batches                                   create_batch
GET     /batches                                   list_batches
GET     /batches/[^/]+                             retrieve_batch
POST    /batches/[^/]+/cancel                      cancel_batch
POST    /fine_tuning/jobs                          fine_tuning
GET     /fine_tuning/jobs                          list_fine_tuning_jobs
GET     /fine_tuning/jobs/[^/]+(/[a-z]+)?          retrieve_fine_tuning_job
POST    /fine_tuning/jobs/[^/]+/[a-z]+             cancel_fine_tuning_job
POST    /videos(/[^/]+/remix|/edits|/extensions|/characters)?   video_generation
GET     /videos                                    list_videos
GET     /videos/[^/]+/content                      video_content
GET     /videos/.+                                 video_status
DELETE  /videos/.+                                 delete_video
POST    /realtime/(client_secrets|sessions|transcription_sessions)   create_realtime_client_secret
POST    /realtime/calls                            realtime
GET     /v\d+/models(/[^/]+)?                      list_models
"""
"""Stores and containers stand before files: theirs end in `/files` too."""

_THREADS: Final = """
POST    /assistants(/[^/]+)?                       create_assistant
GET     /assistants(/[^/]+)?                       get_assistants
DELETE  /assistants/[^/]+                          delete_assistant
POST    /threads/runs                              invoke_agent
POST    /threads/[^/]+/runs                        invoke_agent
POST    /threads/[^/]+/runs/[^/]+/submit_tool_outputs   invoke_agent
POST    /threads/[^/]+/runs/[^/]+(/cancel)?        update_run
GET     /threads/[^/]+/runs(/.+)?                  retrieve_run
POST    /threads(/[^/]+)?                          create_thread
POST    /threads/[^/]+/messages(/[^/]+)?           add_message
GET     /threads/[^/]+                             get_thread
GET     /threads/[^/]+/messages(/[^/]+)?           get_messages
DELETE  /threads/[^/]+(/messages/[^/]+)?           delete_thread
"""
"""OpenAI's too; looked up before Anthropic's, whose resources have the same names."""

_ANTHROPIC: Final = """
POST    /v1/messages                               chat
POST    /v1/messages/count_tokens                   count_tokens
POST    /messages/batches                          create_batch
GET     /messages/batches                          list_batches
GET     /messages/batches/[^/]+                    retrieve_batch
GET     /messages/batches/[^/]+/results            file_content
POST    /messages/batches/[^/]+/cancel             cancel_batch
"""

_GOOGLE: Final = """
POST    /models/(?P<model>[^/:]+):generateContent             generate_content
POST    /models/(?P<model>[^/:]+):streamGenerateContent       generate_content
POST    /models/(?P<model>[^/:]+):countTokens                 count_tokens
POST    /models/(?P<model>[^/:]+):(batchE|e)mbedContents?     embeddings
POST    /models/(?P<model>[^/:]+):predict                     predict
POST    /models/(?P<model>[^/:]+):predictLongRunning          video_generation
"""

_BEDROCK: Final = """
POST    /model/(?P<model>[^/]+)/converse(-stream)?                      chat
POST    /model/(?P<model>[^/]+)/invoke(-with-response-stream)?          chat
POST    /model/(?P<model>[^/]+)/count-tokens                            count_tokens
POST    /model-invocation-job                                           create_batch
GET     /model-invocation-job/.+                                        retrieve_batch
"""

_COHERE: Final = """
POST    /v[12]/rerank                              rerank
POST    /rerank                                    rerank
POST    /v2/chat                                   chat
POST    /v[12]/embed                               embeddings
"""


def _lines(dialect: str, table: str) -> list[tuple[str, re.Pattern[str], str, str]]:
    found = []
    for line in filter(None, map(str.strip, table.splitlines())):
        method, path, operation = line.split()
        # Behind whatever prefix; the resource itself must stand at the end of the path.
        found.append((method, re.compile(rf"(?:.*/)?{path.lstrip('/')}/?"), operation, dialect))
    return found


_TABLE: Final = (
    *_lines("openai", _THREADS),
    *_lines("anthropic", _ANTHROPIC),
    *_lines("gemini", _GOOGLE),
    *_lines("bedrock", _BEDROCK),
    *_lines("cohere", _COHERE),
    *_lines("openai", _OPENAI),
)


@lru_cache(maxsize=4096)
def asked_of(method: str, path: str) -> Asked | None:
    """Tell what a request asks a provider for; None when it is none that a provider serves."""
    for wanted, pattern, operation, dialect in _TABLE:
        if method == wanted and (found := pattern.fullmatch(path)) is not None:
            model = found.groupdict().get("model")
            return Asked(operation, dialect, unquote(model) if model else None)
    return None


_HOSTS: Final = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gemini",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.mistral.ai": "mistral",
    "openrouter.ai": "openrouter",
}
_HOST_ENDINGS: Final = (
    (".openai.azure.com", "azure"),
    (".services.ai.azure.com", "azure_ai"),
    ("aiplatform.googleapis.com", "vertex_ai"),
)
_BEDROCK_HOST: Final = re.compile(r"bedrock-(runtime|agent-runtime)\.[a-z0-9-]+\.amazonaws\.com.*")


def provider_of_host(host: str) -> str | None:
    """Name the provider that serves a host; None for a gateway of somebody's own."""
    if host in _HOSTS:
        return _HOSTS[host]
    if _BEDROCK_HOST.fullmatch(host):
        return "bedrock"
    return next((name for ending, name in _HOST_ENDINGS if host.endswith(ending)), None)
