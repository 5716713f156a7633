"""OpenAI's older text completions: POST /v1/completions, whole or streamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from secrets import token_hex
from typing import Any

import orjson

from tallygate.standin.answers import (
    Answer,
    Asked,
    Frame,
    RequestUnacceptable,
    model_in,
    whole_number,
)
from tallygate.standin.directives import without_directives
from tallygate.standin.openai_wire import served_tier, usage_of


class Completions:
    """Every prompt gets the same text; the directives may stand in any of them."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        given = body.get("prompt")
        if not isinstance(given, str | list) or not given:
            raise RequestUnacceptable("Missing required parameter: 'prompt'.", "prompt")
        prompts = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
        options = body.get("stream_options")
        texts = [prompt for prompt in prompts if isinstance(prompt, str)]
        numbers = sum(len(prompt) for prompt in prompts if isinstance(prompt, list))
        return Asked(
            model=model_in(body, "you must provide a model parameter"),
            stream=body.get("stream") is True,
            reports_usage=body.get("stream") is not True
            or (isinstance(options, dict) and options.get("include_usage") is True),
            tier=str(body.get("service_tier") or ""),
            input_tokens=numbers + sum(len(without_directives(text).split()) for text in texts),
            most_output_tokens=whole_number(body.get("max_tokens")),
            directive_text=" ".join(texts),
            extra={"prompts": len(prompts)},
        )

    def new_response_id(self) -> str:
        return f"cmpl-{token_hex(15)[:29]}"

    def served_tier(self, asked: str) -> str:
        return served_tier(asked)

    def whole(self, answer: Answer) -> dict[str, Any]:
        ended = "length" if answer.ended_by_limit else "stop"
        prompts = range(answer.asked.extra["prompts"])
        body = _completion(answer, [_choice(i, answer.text, ended) for i in prompts])
        if answer.reports_usage:
            body["usage"] = usage_of(answer.counts)
        return body

    def frames(self, answer: Answer) -> Iterator[Frame]:
        def frame(choices: list[dict[str, Any]], *, is_chunk: bool = False) -> Frame:
            body = _completion(answer, choices)
            if answer.reports_usage:
                body["usage"] = None
            return Frame(data=b"data: %b\n\n" % orjson.dumps(body), is_chunk=is_chunk)

        for word in answer.words:
            yield frame([_choice(0, word)], is_chunk=True)
        yield frame([_choice(0, "", "length" if answer.ended_by_limit else "stop")])
        if answer.reports_usage:
            usage = usage_of(answer.counts)
            last = {**_completion(answer, []), "usage": usage}
            yield Frame(data=b"data: %b\n\n" % orjson.dumps(last), usage=usage)
        yield Frame(data=b"data: [DONE]\n\n")


def _completion(answer: Answer, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": answer.response_id,
        "object": "text_completion",
        "created": answer.created_s,
        "model": answer.model,
        "choices": choices,
        "service_tier": answer.tier,
        "system_fingerprint": "fp_5ca1ab1e01",
    }


def _choice(index: int, text: str, ended: str | None = None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": ended}
