"""OpenAI's moderation, which is free: POST /v1/moderations; nothing is ever flagged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from secrets import token_hex
from typing import Any

from tallygate.standin.answers import Answer, Asked, Frame, RequestUnacceptable, texts_of

_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


class Moderations:
    """One result for each text; a list of typed parts is one text."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        given = body.get("input")
        if not isinstance(given, str | list) or not given:
            raise RequestUnacceptable("Missing required parameter: 'input'.", "input")
        model = body.get("model")
        texts = [given] if isinstance(given, str) else [t for t in given if isinstance(t, str)]
        return Asked(
            model=model if isinstance(model, str) and model else "omni-moderation-latest",
            reports_usage=False,
            directive_text=" ".join(texts) or texts_of(given),
            extra={"results": max(len(texts), 1)},
        )

    def new_response_id(self) -> str:
        return f"modr-{token_hex(12)}"

    def served_tier(self, asked: str) -> str:
        del asked
        return ""

    def whole(self, answer: Answer) -> dict[str, Any]:
        result = {
            "flagged": False,
            "categories": dict.fromkeys(_CATEGORIES, False),
            "category_scores": dict.fromkeys(_CATEGORIES, 0.001),
            "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
        }
        results = [result] * answer.asked.extra["results"]
        return {"id": answer.response_id, "model": answer.model, "results": results}

    def frames(self, answer: Answer) -> Iterator[Frame]:
        del answer  # never streamed
        return iter(())
