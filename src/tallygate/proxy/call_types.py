"""
Every call type of LiteLLM, and what is recorded of it.

Source  LiteLLM's `CallTypes` in 1.106.2, to which `tests/proxy/test_routes.py` holds the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Metering(StrEnum):
    """What is recorded of a provider call."""

    METERED = "metered"
    """Attempts are opened and settled, their usage is read and priced."""
    COUNTED = "counted"
    """Attempts are opened and settled; what they cost no answer says, the event says unpriced."""
    FREE = "free"
    """What reaches a provider is recorded at no cost: none charges for it."""
    INTERNAL = "internal"
    """LiteLLM's own synchronous twin: the proxy calls the asynchronous one."""


_CALL_TYPES_BY_METERING: Final[Mapping[Metering, str]] = {
    Metering.METERED: """
        completion acompletion text_completion atext_completion embedding aembedding
        responses aresponses anthropic_messages aanthropic_messages
        aimage_generation aimage_edit amoderation atranscription aspeech arerank _arealtime
        _aresponses_websocket acreate_batch pass_through_endpoint allm_passthrough_route
        agenerate_content agenerate_content_stream arun_thread arun_thread_stream
    """,
    Metering.COUNTED: """
        asearch aocr adecisions asystemone acreate_fine_tuning_job acreate_interaction aingest
        aquery acreate_video avideo_generation avideo_remix avideo_edit avideo_extension
        avideo_create_character avector_store_create avector_store_search
        avector_store_file_create acreate_container acreate_sandbox arun_code
        acode_interpreter_tool call_mcp_tool asend_message aextraction
    """,
    Metering.FREE: """
        aretrieve_batch acancel_batch acreate_file afile_retrieve afile_delete afile_list
        afile_content acancel_fine_tuning_job alist_fine_tuning_jobs aretrieve_fine_tuning_job
        alist_input_items aget_assistants acreate_assistants adelete_assistant acreate_thread
        aget_thread a_add_message aget_messages avideo_retrieve avideo_retrieve_job avideo_content
        avideo_list avideo_delete avideo_get_character avector_store_file_list
        avector_store_file_retrieve avector_store_file_content avector_store_file_update
        avector_store_file_delete alist_containers aretrieve_container adelete_container
        alist_container_files aupload_container_file adelete_sandbox list_mcp_tools acreate_skill
        aget_responses adelete_responses acancel_responses
    """,
    Metering.INTERNAL: """
        image_generation image_edit moderation transcription speech rerank search ocr decisions
        systemone create_batch retrieve_batch cancel_batch create_file file_retrieve file_delete
        file_list file_content create_fine_tuning_job cancel_fine_tuning_job list_fine_tuning_jobs
        retrieve_fine_tuning_job llm_passthrough_route generate_content generate_content_stream
        create_interaction get_assistants create_assistants delete_assistant create_thread
        get_thread add_message get_messages run_thread run_thread_stream ingest query create_video
        video_generation video_remix video_edit video_extension video_create_character
        video_retrieve video_retrieve_job video_content video_list video_delete
        video_get_character vector_store_create vector_store_search vector_store_file_create
        vector_store_file_list vector_store_file_retrieve vector_store_file_content
        vector_store_file_update vector_store_file_delete create_container list_containers
        retrieve_container delete_container list_container_files upload_container_file
        create_sandbox delete_sandbox run_code code_interpreter_tool send_message
        extraction get_responses delete_responses cancel_responses
    """,
}

CALL_TYPES: Final[Mapping[str, Metering]] = MappingProxyType(
    {name: kind for kind, names in _CALL_TYPES_BY_METERING.items() for name in names.split()}
)
"""Every member of LiteLLM's `CallTypes` in the releases that we know, by value."""


MCP_TOOL: Final = "call_mcp_tool"

UNWATCHED: Final = frozenset({"_arealtime", "_aresponses_websocket"})
"""What goes out over a WebSocket, where no HTTP client is seen sending."""

_OPERATIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "aget_responses": "retrieve_response",
        "adelete_responses": "delete_response",
        "acancel_responses": "cancel_response",
        "anthropic_messages": "chat",
        "aanthropic_messages": "chat",
        "acompletion": "chat",
        "completion": "chat",
        "aresponses": "chat",
        "responses": "chat",
        "_aresponses_websocket": "chat",
        "allm_passthrough_route": "chat",
        "atext_completion": "text_completion",
        "text_completion": "text_completion",
        "aembedding": "embeddings",
        "embedding": "embeddings",
        "agenerate_content": "generate_content",
        "agenerate_content_stream": "generate_content",
        "aimage_edit": "image_generation",
        "acreate_video": "video_generation",
        "acreate_fine_tuning_job": "fine_tuning",
        "arun_thread": "invoke_agent",
        "arun_thread_stream": "invoke_agent",
        "asend_message": "invoke_agent",
        "call_mcp_tool": "execute_tool",
        "list_mcp_tools": "list_tools",
        "pass_through_endpoint": "pass_through",
    }
)


def operation_of(call_type: str) -> str:
    """Return `gen_ai.operation.name` of a call type; others are called what LiteLLM calls them."""
    named = _OPERATIONS.get(call_type)
    if named is not None:
        return named
    bare = call_type.removeprefix("_")
    return bare[1:] if bare.startswith("a") and call_type in CALL_TYPES else bare
