"""
What a batch does with each record of its input file: OpenAI's lines in, OpenAI's lines out.

A record is answered by the wire of its `url`, directives in its text included; one that asks for an
error status goes to the error file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from secrets import token_hex
from typing import Any

import orjson

from tallygate.standin.answers import Counts, RequestUnacceptable, Wire, answer_for
from tallygate.standin.completions_wire import Completions
from tallygate.standin.directives import DirectiveUnreadable, for_model, parse
from tallygate.standin.moderations_wire import Moderations
from tallygate.standin.openai_wire import ChatCompletions, Embeddings, OpenAI
from tallygate.standin.responses_wire import Responses

WIRES: Mapping[str, Wire] = {
    "/v1/chat/completions": ChatCompletions(),
    "/v1/completions": Completions(),
    "/v1/embeddings": Embeddings(),
    "/v1/responses": Responses(),
    "/v1/moderations": Moderations(),
}
_LONGEST_CUSTOM_ID = 128
_OPENAI = OpenAI()


class LineUnreadable(ValueError):
    """A line of the input file that is no request; a batch fails for it as a whole."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One record, answered or refused."""

    line: Mapping[str, Any]
    """As it stands in the output or error file."""
    counts: Counts | None
    """None where it was refused."""
    usage: Mapping[str, Any] | None

    @property
    def model(self) -> str:
        return str(self._body().get("model") or "")

    def noted(self) -> dict[str, object]:
        """Give what the book keeps of it."""
        response = self.line["response"] or {}
        return {
            "custom_id": str(self.line["custom_id"])[:_LONGEST_CUSTOM_ID],
            "provider_request_id": response.get("request_id", ""),
            "response_id": self._body().get("id", ""),
            "response_model": self.model,
            "status": response.get("status_code", 0),
            "usage": self.usage,
            "billed": None if self.counts is None else asdict(self.counts),
        }

    def _body(self) -> Mapping[str, Any]:
        body: Mapping[str, Any] = (self.line["response"] or {}).get("body") or {}
        return body


def records_of(data: bytes, endpoint: str) -> list[dict[str, Any]]:
    """Read the input file, or name the first line that is no request for the endpoint."""
    records: list[dict[str, Any]] = []
    seen: set[str] = set()
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise LineUnreadable(number, "This line is not parseable as valid JSON.") from None
        if not isinstance(record, dict) or not isinstance(record.get("body"), dict):
            raise LineUnreadable(number, "Missing required parameter: 'body'.")
        if not isinstance(record.get("custom_id"), str) or record["custom_id"] in seen:
            raise LineUnreadable(number, "The custom_id is missing, or not unique.")
        if record.get("url") != endpoint:
            raise LineUnreadable(number, "The URL does not match the batch's endpoint.")
        seen.add(record["custom_id"])
        records.append(record)
    if not records:
        raise LineUnreadable(1, "The input file is empty.")
    return records


def answered(record: Mapping[str, Any], created_s: int) -> Answered:
    """Answer one record."""
    request_id = _OPENAI.new_request_id()
    wire = WIRES[record["url"]]
    try:
        asked = wire.read({**record["body"], "stream": False})
        wishes = for_model(parse(asked.directive_text), asked.model)
        if wishes.status is not None:
            return _refused(record, request_id, wishes.status)
    except (RequestUnacceptable, DirectiveUnreadable) as refused:
        return _refused(record, request_id, getattr(refused, "status", 400), str(refused))
    answer = answer_for(asked, wishes, wire, created_s)
    body = wire.whole(answer)
    free = isinstance(wire, Moderations)
    return Answered(
        line=_line(record, request_id, 200, body),
        counts=Counts(input=0, output=0) if free else answer.counts,
        usage=body.get("usage"),
    )


def _refused(
    record: Mapping[str, Any], request_id: str, status: int, message: str = ""
) -> Answered:
    body = _OPENAI.error_body(status, request_id, message)
    return Answered(line=_line(record, request_id, status, body), counts=None, usage=None)


def unanswered(record: Mapping[str, Any], code: str) -> Answered:
    """Leave a record that a batch did not come to."""
    line = {
        "id": f"batch_req_{token_hex(16)}",
        "custom_id": record["custom_id"],
        "response": None,
        "error": {"code": code, "message": "This request could not be executed in time."},
    }
    return Answered(line=line, counts=None, usage=None)


def _line(
    record: Mapping[str, Any], request_id: str, status: int, body: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "id": f"batch_req_{token_hex(16)}",
        "custom_id": record["custom_id"],
        "response": {"status_code": status, "request_id": request_id, "body": body},
        "error": None,
    }


def billed_sum(records: Sequence[Answered]) -> dict[str, float]:
    """Sum what the answered records are billed."""
    total: dict[str, float] = dict.fromkeys(asdict(Counts(input=0, output=0)), 0)
    for record in records:
        if record.counts is not None:
            for name, count in asdict(record.counts).items():
                total[name] += count
    return total


def lines(records: Sequence[Answered]) -> bytes:
    """Write an output or error file."""
    return b"".join(orjson.dumps(record.line) + b"\n" for record in records)
