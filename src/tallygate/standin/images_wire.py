"""
OpenAI's images: generations, edits and variations; every image is the same point of grey.

Units: tokens, with text and image parts, for the gpt-image models; the dall-e models report
    nothing and are billed by the image. An image that comes in counts 200 tokens, one that goes out
    as OpenAI's price page has it by quality and size.
Source: the fields of `ImagesResponse` and of the stream's events in the official client.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from tallygate.standin.answers import (
    Counts,
    Frame,
    RequestUnacceptable,
    counts_for,
    model_for,
)
from tallygate.standin.book import Ending
from tallygate.standin.directives import without_directives
from tallygate.standin.routing import Call, Provider, Route

_POINT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_TOKENS_IN = 200
_TOKENS_OUT: Mapping[tuple[str, str], int] = {
    ("low", "1024x1024"): 272,
    ("medium", "1024x1024"): 1056,
    ("high", "1024x1024"): 4160,
    ("low", "1024x1536"): 408,
    ("medium", "1024x1536"): 1584,
    ("high", "1024x1536"): 6240,
    ("low", "1536x1024"): 400,
    ("medium", "1536x1024"): 1568,
    ("high", "1536x1024"): 6208,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What was asked for; what was left to the provider is settled."""

    wanted: int
    size: str
    quality: str
    form: str
    tokens_in_images: int


def table(openai: Provider) -> Iterator[Route]:
    """List the routes for images."""
    for name, operation in (
        ("generations", "image_generation"),
        ("edits", "image_edit"),
        ("variations", "image_variation"),
    ):
        yield Route(
            method="POST",
            pattern=f"/v1/images/{name}",
            provider=openai,
            operation=operation,
            answer=_answer,
        )


async def _answer(call: Call) -> Ending:
    fields, record = call.asked.extra, call.record
    prompt = fields.get("prompt")
    if record.operation != "image_variation" and not (isinstance(prompt, str) and prompt):
        raise RequestUnacceptable("Missing required parameter: 'prompt'.", "prompt")
    if record.operation != "image_generation":
        call.part("image")
    picture = _picture(fields)
    words = len(without_directives(prompt or "").split())
    made = _TOKENS_OUT.get((picture.quality, picture.size), 1056) * picture.wanted
    counts = counts_for(call.wishes, words + picture.tokens_in_images, made)
    if call.wishes.input is None:
        counts = replace(counts, image_input=picture.tokens_in_images)
    counts = replace(counts, image_output=counts.image_output or counts.output)
    record.response_model = model_for(call.asked, call.wishes)
    record.billed = {**asdict(counts), "images": picture.wanted}
    reports = call.asked.model.startswith(("gpt-image", "chatgpt-image"))
    usage = _usage(counts) if reports and not call.wishes.no_usage else None
    if call.asked.stream:
        return await call.stream(_frames(call, picture, usage))
    image = {"b64_json": _POINT}
    if not reports:
        image["revised_prompt"] = "A point of grey."
        if fields.get("response_format") != "b64_json":
            image = {
                "url": "https://images.invalid/point.png",
                "revised_prompt": "A point of grey.",
            }
    body: dict[str, Any] = {"created": call.created_s, "data": [image] * picture.wanted}
    if reports:
        body |= {"background": "opaque", "output_format": picture.form}
        body |= {"quality": picture.quality, "size": picture.size}
    if usage is not None:
        body["usage"] = usage
    return await call.json(body, usage)


def _picture(fields: Mapping[str, Any]) -> Picture:
    asked_n = str(fields.get("n"))
    given = fields.get("image")
    images = given if isinstance(given, list) else [given] if given else []
    size, quality = fields.get("size"), fields.get("quality")
    return Picture(
        wanted=max(int(asked_n), 1) if asked_n.isdecimal() else 1,
        size=size if isinstance(size, str) and size != "auto" else "1024x1024",
        quality=quality if quality in {"low", "medium", "high"} else "medium",
        form=str(fields.get("output_format") or "png"),
        tokens_in_images=_TOKENS_IN * len(images),
    )


def _usage(counts: Counts) -> dict[str, Any]:
    return {
        "input_tokens": counts.input,
        "input_tokens_details": {
            "text_tokens": counts.input - counts.image_input,
            "image_tokens": counts.image_input,
        },
        "output_tokens": counts.output,
        "output_tokens_details": {
            "text_tokens": counts.output - counts.image_output,
            "image_tokens": counts.image_output,
        },
        "total_tokens": counts.input + counts.output,
    }


def _frames(call: Call, picture: Picture, usage: dict[str, Any] | None) -> Iterator[Frame]:
    kind = "image_edit" if call.record.operation == "image_edit" else "image_generation"
    image = {
        "b64_json": _POINT,
        "created_at": call.created_s,
        "size": picture.size,
        "quality": picture.quality,
        "background": "opaque",
        "output_format": picture.form,
    }
    partial = {"type": f"{kind}.partial_image", "partial_image_index": 0, **image}
    yield _event(partial, is_chunk=True)
    last = {"type": f"{kind}.completed", **image}
    if usage is not None:
        last["usage"] = usage
    yield _event(last, usage=usage)


def _event(
    body: dict[str, Any], *, is_chunk: bool = False, usage: dict[str, Any] | None = None
) -> Frame:
    data = b"event: %b\ndata: %b\n\n" % (body["type"].encode(), orjson.dumps(body))
    return Frame(data=data, is_chunk=is_chunk, usage=usage)
