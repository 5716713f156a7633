"""
Google's embeddings: one, several, and Vertex AI's `predict`. Every vector is of length one.

Units: `promptTokenCount`, and on Vertex AI `token_count` beside each vector.
Source: what LiteLLM reads (tests/standin).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tallygate.standin.answers import Answer, Asked, Frame, RequestUnacceptable, whole_number
from tallygate.standin.directives import without_directives
from tallygate.standin.gemini_wire import text_of_content

_DIMENSIONS = 768


class _Embedding:
    """What the three share."""

    def new_response_id(self) -> str:
        return ""

    def served_tier(self, asked: str) -> str:
        del asked
        return ""

    def frames(self, answer: Answer) -> Iterator[Frame]:
        del answer  # never streamed
        return iter(())


class EmbedContent(_Embedding):
    """POST …:embedContent."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        return _asked(body, [text_of_content(body.get("content"))], body)

    def whole(self, answer: Answer) -> dict[str, Any]:
        return {"embedding": {"values": _vector(answer)}, **_usage(answer)}


class BatchEmbedContents(_Embedding):
    """POST …:batchEmbedContents."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        given = body.get("requests")
        requests = [r for r in given if isinstance(r, dict)] if isinstance(given, list) else []
        first = requests[0] if requests else {}
        return _asked(body, [text_of_content(r.get("content")) for r in requests], first)

    def whole(self, answer: Answer) -> dict[str, Any]:
        vector = {"values": _vector(answer)}
        return {"embeddings": [vector] * len(answer.asked.extra["words"]), **_usage(answer)}


class Predict(_Embedding):
    """POST …:predict of a text embedding model on Vertex AI."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        given = body.get("instances")
        instances = [i for i in given if isinstance(i, dict)] if isinstance(given, list) else []
        settings = body.get("parameters")
        texts = [str(instance.get("content") or "") for instance in instances]
        return _asked(body, texts, settings if isinstance(settings, dict) else {})

    def whole(self, answer: Answer) -> dict[str, Any]:
        extra = answer.asked.extra
        told = answer.counts.input - sum(extra["words"])
        predictions = []
        for number, words in enumerate(extra["words"]):
            embeddings: dict[str, Any] = {"values": _vector(answer)}
            if answer.reports_usage:
                # A count that was told on demand goes with the first vector.
                tokens = words + told if number == 0 else words
                embeddings["statistics"] = {"truncated": False, "token_count": tokens}
            predictions.append({"embeddings": embeddings})
        return {"predictions": predictions, "metadata": {"billableCharacterCount": 0}}


def _asked(body: Mapping[str, Any], texts: list[str], settings: Mapping[str, Any]) -> Asked:
    if not texts:
        raise RequestUnacceptable("* EmbedContentRequest.content: contents is not specified")
    words = [len(without_directives(text).split()) for text in texts]
    return Asked(
        model=str(body["model"]).removeprefix("models/"),
        input_tokens=sum(words),
        directive_text=" ".join(texts),
        extra={
            "words": words,
            "dimensions": whole_number(settings.get("outputDimensionality")) or _DIMENSIONS,
        },
    )


def _vector(answer: Answer) -> list[float]:
    dimensions: int = answer.asked.extra["dimensions"]
    return [float(dimensions**-0.5)] * min(dimensions, 4096)


def _usage(answer: Answer) -> dict[str, Any]:
    if not answer.reports_usage:
        return {}
    tokens = answer.counts.input
    details = [{"modality": "TEXT", "tokenCount": tokens}]
    usage = {"promptTokenCount": tokens, "totalTokenCount": tokens, "promptTokensDetails": details}
    return {"usageMetadata": usage}
