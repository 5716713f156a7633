"""
The two books of a scenario, compared call by call: the provider's own, and the ledger's.

Shapes  `calls` are the stand-in's records, `rows` the ledger's; both as dictionaries. The answer
        is a list of sentences, one for each difference; none means that the books agree.
Method  Joined by the provider's request id. Where the provider never answered, on WebSockets and
        at MCP servers there is none: those are held to each other by number and operation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from e2e.routes.caller import Caller
from e2e.routes.scenario import Scenario, line_of

Book = list[dict[str, Any]]

_UNANSWERED = frozenset({0, 101})
_SAID = ("call-id", "decision-id", "trace-id", "mode", "action")
_UNSENT_STATUSES = frozenset({"cache_hit", "refused"})
_ESTIMATE_SLACK = 40
"""How far LiteLLM's own tokeniser may be off: the directive's text is counted as a prompt."""


def differences(scenario: Scenario, caller: Caller, calls: Book, rows: Book) -> list[str]:
    """Say where the books differ, from each other or from what the scenario expects."""
    found = [*_open(calls), *_lines(scenario, calls, rows), *ids_apart(calls, rows)]
    found += _costs(scenario, rows)
    found += _answers(calls, rows)
    if not scenario.is_usage_lost:
        found += [*_usage(calls, rows), *_token_sums(calls, rows)]
    found += _facts(scenario, caller, rows)
    if scenario.answers:
        found += _headers(scenario, caller, rows)
    if scenario.traceparent:
        found += _traces(scenario, caller, calls)
    return found


def is_sent(row: Mapping[str, Any]) -> bool:
    """Whether a provider call stands behind the row."""
    return (
        row["kind"] == "attempt"
        and row["status"] not in _UNSENT_STATUSES
        and row["detail"] != "not_sent"
    )


def without_handshakes(calls: Iterable[dict[str, Any]]) -> Book:
    """Leave out how LiteLLM greets an MCP server: no tool runs, nobody charges."""
    return [call for call in calls if call["operation"] != "mcp"]


def ids_apart(calls: Book, rows: Book) -> Iterator[str]:
    """Say which provider calls are not in the ledger exactly once, and the other way round."""
    sent = [row for row in rows if is_sent(row)]
    if len(sent) != len(calls):
        yield f"the provider has {len(calls)} calls, the ledger {len(sent)} attempts"
    answered = Counter(call["provider_request_id"] for call in calls if _has_id(call))
    booked = Counter(row["provider_request_id"] for row in sent if row["provider_request_id"])
    for missing in answered - booked:
        yield f"provider call {missing} is not in the ledger"
    for extra in booked - answered:
        yield f"the ledger has {extra} once more than the provider"


def _has_id(call: Mapping[str, Any]) -> bool:
    return call["status"] not in _UNANSWERED and call["operation"] != "execute_tool"


def _open(calls: Book) -> Iterator[str]:
    for call in calls:
        if call["ended"] == "open":
            yield f"{call['path']} has not ended yet"


def _lines(scenario: Scenario, calls: Book, rows: Book) -> Iterator[str]:
    compared = (
        (
            "provider calls",
            Counter(attempt.asked for attempt in scenario.attempts),
            Counter(call["operation"] for call in calls),
        ),
        (
            "attempts",
            Counter(attempt.line for attempt in scenario.attempts),
            Counter(_line(row) for row in rows if is_sent(row)),
        ),
        (
            "usage events",
            Counter(scenario.usage),
            Counter(
                (row["operation"], row["input_tokens"], row["output_tokens"])
                for row in rows
                if row["kind"] == "usage"
            ),
        ),
        (
            "rows that no provider saw",
            Counter(scenario.beside),
            Counter(
                (row["kind"], row["status"])
                for row in rows
                if row["kind"] != "usage" and not is_sent(row)
            ),
        ),
    )
    for what, expected, found in compared:
        if expected != found:
            missing, extra = dict(expected - found), dict(found - expected)
            yield f"{what}: missing {missing}, unexpected {extra}"


def _line(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return line_of(row["operation"], row["status"], row["usage_source"], row["price_status"])


def _pairs(calls: Book, rows: Book) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    by_id = {row["provider_request_id"]: row for row in rows if row["provider_request_id"]}
    for call in calls:
        row = by_id.get(call["provider_request_id"])
        if row is not None and _has_id(call):
            yield f"{call['operation']} {call['provider_request_id']}", call, row


def _answers(calls: Book, rows: Book) -> Iterator[str]:
    for name, call, row in _pairs(calls, rows):
        if row["http_status"] != call["status"]:
            yield f"{name}: HTTP {call['status']} is booked as {row['http_status']}"
        if call["model"] and row["request_model"] not in {call["model"], "unknown"}:
            yield f"{name}: {call['model']} is booked as {row['request_model']}"


def _usage(calls: Book, rows: Book) -> Iterator[str]:
    for name, call, row in _pairs(calls, rows):
        reported = tokens_reported(call)
        if reported is not None and not call["parts"] and row["detail"] != "usage_apart":
            yield from _tokens(name, call, row, reported)


def _tokens(
    name: str, call: Mapping[str, Any], row: Mapping[str, Any], reported: Counter[str]
) -> Iterator[str]:
    booked = tokens_booked(row)
    if call["ended"] == "complete" and row["status"] == "ok":
        if row["usage_source"] != "reported" or booked != reported:
            yield f"{name}: {dict(reported)} booked as {row['usage_source']} {dict(booked)}"
        return
    if row["usage_source"] == "reported":
        yield f"{name}: ended {call['ended']}, and yet its usage is taken for the provider's word"
    if booked["input"] > reported["input"] + _ESTIMATE_SLACK:
        yield f"{name}: {booked['input']} input tokens estimated, {reported['input']} billed"
    if booked["output"] > reported["output"] + _ESTIMATE_SLACK:
        yield f"{name}: {booked['output']} output tokens estimated, {reported['output']} billed"


def tokens_reported(call: Mapping[str, Any]) -> Counter[str] | None:
    """Count the tokens that a provider would bill for a call; None where it counts no tokens."""
    if call["parts"]:
        parts = [part["billed"] for part in call["parts"] if part["usage"] is not None]
        return sum((_counts(billed) for billed in parts), Counter())
    billed, usage = call["billed"], call["usage"]
    cut = call["ended"] in {"cut", "client_gone", "error"}
    if billed is None or "input" not in billed or not (usage or cut):
        return None
    if usage and (usage.get("type") == "duration" or "search_units" in usage):
        return None
    counts = _counts(billed)
    if call["operation"] == "embeddings":
        del counts["output"]
    return counts


def _counts(billed: Mapping[str, Any]) -> Counter[str]:
    return +Counter(
        {
            "input": int(billed["input"]),
            "output": int(billed["output"]),
            "cached": int(billed["cached"]),
            "written": int(billed["cache_write_5m"]) + int(billed["cache_write_1h"]),
            "reasoning": int(billed["reasoning"]),
        }
    )


def tokens_booked(row: Mapping[str, Any]) -> Counter[str]:
    return +Counter(
        {
            "input": row["input_tokens"] or 0,
            "output": row["output_tokens"] or 0,
            "cached": row["cache_read_input_tokens"] or 0,
            "written": row["cache_creation_input_tokens"] or 0,
            "reasoning": row["reasoning_output_tokens"] or 0,
        }
    )


def _costs(scenario: Scenario, rows: Book) -> Iterator[str]:
    costs = [row["cost"] for row in rows if row["kind"] in {"attempt", "usage"} and row["cost"]]
    if scenario.cost is not None and sum(costs, Decimal()) != Decimal(scenario.cost):
        yield f"cost: {scenario.cost} expected, {sum(costs, Decimal())} booked"


def _token_sums(calls: Book, rows: Book) -> Iterator[str]:
    whole = [call for call in calls if call["ended"] == "complete" and call["status"] < 400]
    is_read = all(row["status"] == "ok" for row in rows if is_sent(row))
    if len(whole) != len(calls) or not is_read:
        return
    reported = sum((tokens_reported(call) or Counter() for call in whole), Counter[str]())
    counted = (row for row in rows if row["status"] == "ok" and row["detail"] != "not_sent")
    booked = sum((tokens_booked(row) for row in counted), Counter[str]())
    if reported and reported != booked:
        yield f"tokens: {dict(reported)} billed, {dict(booked)} booked"


def _facts(scenario: Scenario, caller: Caller, rows: Book) -> Iterator[str]:
    for row in rows:
        is_usage = row["kind"] == "usage"
        expected = {
            "owner_team": (scenario.usage_owner if is_usage else "") or scenario.owner,
            "trace_id": caller.trace_id,
            "action": scenario.action,
        }
        for name, value in expected.items():
            if row[name] != value:
                yield f"{row['operation'] or row['kind']}: {name} is {row[name]}, not {value}"
        for name in ("decision_id", "policy_revision", "route", "call_id", "mode"):
            if not row[name]:
                yield f"{row['operation'] or row['kind']}: has no {name}"


def _headers(scenario: Scenario, caller: Caller, rows: Book) -> Iterator[str]:
    if not caller.answers:
        yield "no response was seen"
    decided = {}
    for headers in caller.answers:
        said = {name: headers.get(f"x-tallygate-{name}") for name in _SAID}
        silent = [name for name, value in said.items() if not value]
        if silent:
            yield f"a response lacks x-tallygate-{', x-tallygate-'.join(silent)}"
        if said["trace-id"] not in {None, caller.trace_id}:
            yield f"a response names the trace {said['trace-id']}"
        if said["action"] not in {None, scenario.action}:
            yield f"a response names the action {said['action']}"
        decided[said["call-id"]] = said["decision-id"]
    for row in rows:
        if row["call_id"] not in decided:
            yield f"{row['operation'] or row['kind']}: no response named its call {row['call_id']}"
        elif decided[row["call_id"]] != row["decision_id"]:
            yield f"{row['operation'] or row['kind']}: its response named another decision"


def _traces(scenario: Scenario, caller: Caller, calls: Book) -> Iterator[str]:
    spans = []
    for call in calls:
        _, trace, span, *_ = f"{call['headers'].get('traceparent', '')}---".split("-")
        spans.append(span)
        if trace != caller.trace_id:
            yield f"{call['path']}: the provider got the trace {trace or 'none'}"
    if scenario.traceparent == "minted" and (
        len(set(spans)) != len(spans) or caller.span_id in spans
    ):
        yield f"spans that the provider got: {spans}"
