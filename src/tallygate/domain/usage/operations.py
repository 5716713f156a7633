"""
What an attempt does: the values of `AttemptFacts.operation`, and which of them bill nothing.

Shapes  Names follow OpenTelemetry's `gen_ai.operation.name` where it has one; the others are
        LiteLLM's call types without the leading `a`.
"""

from __future__ import annotations

from typing import Final

CHAT: Final = "chat"
TEXT_COMPLETION: Final = "text_completion"
GENERATE_CONTENT: Final = "generate_content"
EMBEDDINGS: Final = "embeddings"
IMAGE_GENERATION: Final = "image_generation"
SPEECH: Final = "speech"
TRANSCRIPTION: Final = "transcription"
MODERATION: Final = "moderation"
RERANK: Final = "rerank"
REALTIME: Final = "realtime"
BATCH: Final = "batch"
"""Usage of a completed batch, at batch prices; making and reading a batch are `create_batch`, …"""
EXECUTE_TOOL: Final = "execute_tool"
SEARCH: Final = "search"
OCR: Final = "ocr"
VIDEO_GENERATION: Final = "video_generation"
FINE_TUNING: Final = "fine_tuning"
INVOKE_AGENT: Final = "invoke_agent"
"""A run of an assistant or an agent at the provider."""
FORWARDED: Final = "pass_through"
"""A request that the gate forwards and whose meaning it does not know."""

BILLED_OPERATIONS: Final = frozenset(
    {CHAT, TEXT_COMPLETION, GENERATE_CONTENT, EMBEDDINGS, IMAGE_GENERATION, SPEECH, TRANSCRIPTION}
    | {MODERATION, RERANK, REALTIME, BATCH, EXECUTE_TOOL, SEARCH, OCR, VIDEO_GENERATION}
    | {FINE_TUNING, INVOKE_AGENT, FORWARDED}
    | {"predict", "create_container", "vector_store_create", "vector_store_search"}
    | {"vector_store_file_create"}
)
"""What may cost something, so that without a price it is unpriced. An unknown name is one too."""

FREE_OPERATIONS: Final = frozenset(
    {"count_tokens", "models", "list_models", "retrieve_model"}
    | {"create_batch", "retrieve_batch", "list_batches", "cancel_batch"}
    | {"create_file", "retrieve_file", "file_content", "list_files", "delete_file"}
    | {"retrieve_response", "delete_response", "cancel_response", "list_input_items"}
    | {"create_realtime_client_secret"}
    | {"create_assistant", "get_assistants", "delete_assistant"}
    | {"create_thread", "get_thread", "add_message", "get_messages", "delete_thread"}
    | {"retrieve_run", "update_run"}
    | {"update_vector_store", "retrieve_container", "delete_container", "upload_container_file"}
    | {"retrieve_fine_tuning_job", "list_fine_tuning_jobs", "cancel_fine_tuning_job"}
    | {"retrieve_vector_store", "list_vector_stores", "delete_vector_store"}
    | {"list_tools", "video_status", "video_content", "list_videos", "delete_video"}
)
"""
What generates nothing and bills nothing, however it ends: it keeps, lists, reads back or cancels.

Absent on purpose: a batch's usage (`batch`), files in a vector store (storage and embedding are
billed), a compaction of a response (a model writes it).
"""

USAGE_APART: Final = "usage_apart"
"""
Detail of an outcome whose usage stands on events of its own.

The turns of a realtime session are one case, a completed batch another.
"""
