"""
Usage that comes apart from its attempt: batches, answers made in the background, sessions.

Each becomes a usage event of its own, which names its attempt. A batch or an answer can be looked
at by anybody, at any proxy, any number of times; the event's id follows from the provider's own id
and instant, so that the ledger takes it once.

Shapes  A batch is read record by record from its output, where LiteLLM fetches that; the records
        are added up by model and by the length of their prompts, which prices may depend on. Where
        no output came within the grace period, LiteLLM's sum over all of it stands in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from tallygate.application.initiators import CREATES_BATCH, READ_BACK
from tallygate.domain.kernel.ids import uuid7_named
from tallygate.domain.kernel.instants import NS_PER_SECOND
from tallygate.domain.ledger.events import (
    AttemptFacts,
    Event,
    EventKind,
    Outcome,
    Status,
    UsageSource,
)
from tallygate.domain.usage.normalisers import LONGEST, RECORDS, SHORTEST
from tallygate.domain.usage.operations import BATCH, FREE_OPERATIONS
from tallygate.proxy import wire
from tallygate.proxy.recorder import Recorder
from tallygate.proxy.state import Attempt, Batch, CallState
from tallygate.proxy.usage import counts_in, part_of, usage_format_of, usage_of

UNNAMED_MODEL: Final = "input_audio_transcription"
"""Stands for the model that writes down what a session hears; no price list has it."""
_KEPT: Final = 10_000
_ENDED_BADLY: Final = frozenset({"failed", "cancelled", "expired", "incomplete"})
_UNDER_WAY: Final = frozenset({"queued", "in_progress"})
_LENGTHS: Final = (100_000, 128_000, 200_000, 256_000, 272_000, 512_000, 1_000_000)
"""Prompt lengths at which a provider's price may change: records are added up between them, each
length with those below it, as the steps of a book have it."""
_PRICED_WORDS: Final = ("inference_geo", "speed")
"""Words in a record's usage that its price may depend on too."""
_ROUNDS: Final = "iterations"
"""Anthropic's list of an answer's rounds; where it is there, it counts instead of the rest."""


@dataclass(slots=True)
class _Group:
    """Records of one model and of one range of lengths."""

    usage: dict[str, Any] = field(default_factory=dict)
    usage_format: str = "openai_chat"
    records: int = 0
    lengths: list[int] = field(default_factory=list)


class Later:
    """What is written when usage turns up by itself."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._written: OrderedDict[str, None] = OrderedDict()
        """Ids that this process has written; polls are many."""
        self._made: OrderedDict[str, Event] = OrderedDict()
        """Attempts that began an answer in the background, by the provider's id of it."""

    def polled(self, state: CallState, attempt: Attempt, response: object) -> None:
        """Look at a batch as the provider describes it now."""
        batch_id, status = part_of(response, "id"), part_of(response, "status")
        at_s = part_of(response, "completed_at") or part_of(response, "created_at")
        if attempt.event is None or not isinstance(batch_id, str) or not isinstance(at_s, int):
            return
        if status == "completed" or status in _ENDED_BADLY:
            output = part_of(response, "output_file_id")
            output_id = output if isinstance(output, str) else None
            state.batch = Batch(batch_id, output_id, at_s * NS_PER_SECOND, attempt.event)

    def output_read(self, state: CallState, file_id: str | None, result: object) -> None:
        """Bill a batch by the records of its output, which LiteLLM has fetched to price it."""
        batch = state.batch
        if batch is None or batch.output_file_id is None:
            return
        if file_id is not None and file_id != batch.output_file_id:
            return
        content = part_of(result, "content")
        if not isinstance(content, bytes):
            return
        groups = _groups_of(content)
        for (model, length, words), group in groups.items():
            usage = {
                **group.usage,
                RECORDS: group.records,
                SHORTEST: min(group.lengths),
                LONGEST: max(group.lengths),
            }
            outcome = self._reported(batch.batch_id, model, usage, group.usage_format)
            key = "\n".join((batch.batch_id, model, str(length), *words))
            self._write_batch(batch, key, outcome)
        if groups:
            batch.sum_of_litellm = None
            self._remember(batch.batch_id)

    def summed(self, state: CallState, result: object, models: object) -> None:
        """Keep LiteLLM's own sum, for when nobody shows the records."""
        batch, usage = state.batch, usage_of(result)
        if batch is None or usage is None or batch.batch_id in self._written:
            return
        names = models if isinstance(models, list) else []
        model = names[0] if len(names) == 1 and isinstance(names[0], str) else None
        sums = {**usage, RECORDS: 0, SHORTEST: 0, LONGEST: 0}
        counts = part_of(part_of(result, "request_counts"), "completed")
        sums[RECORDS] = counts if isinstance(counts, int) else 0
        # How long each was is not known; the two ends of the range are then far apart.
        sums[LONGEST] = int(usage.get("prompt_tokens") or usage.get("input_tokens") or 0)
        batch.sum_of_litellm = self._reported(batch.batch_id, model, sums, usage_format_of(usage))
        self._recorder.lingering.add(state)

    def write_sums(self, state: CallState) -> None:
        """Write the sum of a batch whose records nobody showed in time."""
        batch = state.batch
        if batch is not None and batch.sum_of_litellm is not None:
            outcome, batch.sum_of_litellm = batch.sum_of_litellm, None
            self._write_batch(batch, f"{batch.batch_id}\n", outcome)

    def background(self, attempt: Attempt, response: object) -> bool:
        """
        Bill an answer that was made in the background, when it is first seen whole.

        That may be in a stream of it, or when it is read back; returns whether it is such a one.
        """
        response_id, usage = _id_of(attempt, response), usage_of(response)
        at_s = part_of(response, "created_at")  # the one instant that every look at it shows
        if part_of(response, "background") is not True or usage is None or attempt.event is None:
            return False
        if response_id is None or not isinstance(at_s, (int, float)):
            return False
        given = part_of(response, "model")
        model = given if isinstance(given, str) else None
        outcome = self._reported(response_id, model, usage, usage_format_of(usage))
        at_ns = int(at_s) * NS_PER_SECOND
        began, call_type = self._made.get(response_id), None  # who asked for it pays for it
        if began is None and attempt.facts is not None:
            is_read_back = attempt.facts.operation in FREE_OPERATIONS
            began, call_type = attempt.event, READ_BACK if is_read_back else None
        key = f"response\n{response_id}"
        self._write(began or attempt.event, at_ns, key, outcome, "chat", call_type)
        return True

    def under_way(self, attempt: Attempt, response: object) -> bool:
        """Remember who asked for an answer that is still being made; whether it is such a one."""
        if not is_under_way(response):
            return False
        response_id = _id_of(attempt, response)
        if response_id is not None and attempt.event is not None:
            self._made[response_id] = attempt.event
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return True

    def turn(self, attempt: Attempt, usage: Mapping[str, Any], usage_format: str) -> None:
        """Write what one turn of a session used, as soon as the provider says it."""
        counts = counts_in(usage)
        if attempt.event is None or attempt.event.attempt is None or counts is None:
            return
        # What is heard is written down by a model that the session names, the turn does not.
        model = UNNAMED_MODEL if usage_format == "openai_audio" else None
        outcome = self._reported(None, model, counts, usage_format)
        event_id, at_ns = self._recorder.line.new_id(), outcome.settled_at_ns
        event = _usage_event(attempt.event, event_id, at_ns, outcome)
        self._recorder.write(lambda: self._recorder.line.record_usage(event))

    def _reported(
        self,
        response_id: str | None,
        model: str | None,
        usage: Mapping[str, Any],
        usage_format: str,
    ) -> Outcome:
        return Outcome(
            status=Status.OK,
            settled_at_ns=self._recorder.now_ns(),
            response_model=model,
            response_id=response_id,
            usage_source=UsageSource.REPORTED,
            usage=usage,
            usage_format=usage_format,
        )

    def _write_batch(self, batch: Batch, key: str, outcome: Outcome) -> None:
        self._write(batch.polled, batch.at_ns, key, outcome, BATCH, CREATES_BATCH)

    def _write(
        self,
        caused_by: Event,
        at_ns: int,
        key: str,
        outcome: Outcome,
        operation: str,
        call_type: str | None = None,
    ) -> None:
        if key in self._written:
            return
        event_id = uuid7_named(at_ns, key)
        event = _usage_event(caused_by, event_id, at_ns, outcome, operation, call_type)
        if self._recorder.write(lambda: self._recorder.line.record_usage(event)):
            self._remember(key)

    def _remember(self, key: str) -> None:
        self._written[key] = None
        while len(self._written) > _KEPT:
            self._written.popitem(last=False)


def _id_of(attempt: Attempt, response: object) -> str | None:
    """Return the provider's id of an answer: LiteLLM writes one of its own into it."""
    if attempt.sent_to is not None and attempt.sent_to.method == "GET":
        return attempt.sent_to.path.rpartition("/")[2]
    return wire.provider_response_id(part_of(response, "id"))


def is_under_way(response: object) -> bool:
    """Whether an answer is still being made, so that its usage comes with a later look at it."""
    return part_of(response, "background") is True and part_of(response, "status") in _UNDER_WAY


def _usage_event(
    caused_by: Event,
    event_id: str,
    at_ns: int,
    outcome: Outcome,
    operation: str | None = None,
    call_type: str | None = None,
) -> Event:
    attempt = caused_by.attempt
    assert attempt is not None, "usage belongs to an attempt"
    facts: AttemptFacts = replace(
        attempt,
        opened_at_ns=at_ns,
        operation=operation or attempt.operation,
        request_model=outcome.response_model or attempt.request_model,
        parent_event_id=caused_by.event_id,
        retry_of_event_id=None,
    )
    call = caused_by.call
    return replace(
        caused_by,
        event_id=event_id,
        kind=EventKind.USAGE,
        call=replace(call, call_type=call_type) if call_type else call,
        attempt=facts,
        outcome=outcome,
    )


def _groups_of(content: bytes) -> dict[tuple[str, int, tuple[str, ...]], _Group]:
    groups: dict[tuple[str, int, tuple[str, ...]], _Group] = {}
    for answer in _answers_in(content):
        model, usage = answer.get("model"), counts_in(answer.get("usage"))
        if not isinstance(model, str) or usage is None:
            continue
        usage_format = usage_format_of(usage)
        usage_format = "openai_chat" if usage_format == "litellm" else usage_format
        length = _input_of(usage, usage_format)
        words: dict[str, Any] = {name: usage[name] for name in _PRICED_WORDS if name in usage}
        written = [f"{name}={word}" for name, word in words.items()]
        written += [_ROUNDS] if _ROUNDS in usage else []
        key = (model, bisect_left(_LENGTHS, length), tuple(written))
        group = groups.setdefault(key, _Group())
        group.usage_format = usage_format
        group.usage = {**_added(group.usage, usage), **words}
        group.records += 1
        group.lengths.append(length)
    return groups


def _answers_in(content: bytes) -> Iterator[Mapping[str, Any]]:
    """Yield the answers in a batch's output, as OpenAI and as Anthropic write it."""
    for line in content.splitlines():
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if not isinstance(record, Mapping):
            continue
        body = part_of(record.get("response"), "body") or part_of(record.get("result"), "message")
        if isinstance(body, Mapping):
            yield body


def _input_of(usage: Mapping[str, Any], usage_format: str) -> int:
    """Add up the prompt's tokens: Anthropic counts what it read from a cache apart."""
    names = ["prompt_tokens", "input_tokens"]
    if usage_format == "anthropic":
        names += ["cache_read_input_tokens", "cache_creation_input_tokens"]
    return sum(value for name in names if isinstance(value := usage.get(name), int))


def _added(total: Mapping[str, Any], usage: Mapping[str, Any]) -> dict[str, Any]:
    added = dict(total)
    for name, value in usage.items():
        if isinstance(value, Mapping):
            added[name] = _added(added.get(name) or {}, value)
        elif isinstance(value, list):
            added[name] = [*added.get(name, ()), *value]
        elif isinstance(value, int):
            added[name] = added.get(name, 0) + value
    return added
