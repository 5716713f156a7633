"""
A trace as a tree for people, and as the complete-trace document for programs.

Exact   Money is decimal text. `total_estimated_cost_usd` is the exact sum of the members that have
        an `estimated_cost_usd`; those without one are counted in `unpriced_calls`, never as 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from tallygate.application.traces import CURRENCY, Trace, TracedAttempt, TracedCall, total_of
from tallygate.domain.kernel.instants import iso_from_ns
from tallygate.domain.kernel.money import text_from_amount
from tallygate.domain.ledger.events import Status
from tallygate.reports.events import cost_text, latency_ms, plain_text

Row = Mapping[str, Any]


def trace_document(trace: Trace) -> dict[str, Any]:
    """Build the document; a field of the head is null where the calls differ in it."""
    return {
        "trace_id": trace.trace_id,
        **trace.shared,
        "differing_fields": list(trace.differing),
        "provider_calls": [
            _provider_call(call, attempt) for call in trace.calls for attempt in call.attempts
        ],
        "total_estimated_cost_usd": text_from_amount(trace.total),
        "unpriced_calls": trace.unpriced,
        "refusals": [_refusal(row) for row in trace.refusals],
    }


def _provider_call(call: TracedCall, attempt: TracedAttempt) -> dict[str, Any]:
    row = attempt.row
    return {
        "event_id": attempt.event_id,
        "call_id": call.call_id,
        "parent_call_id": row["parent_call_id"],
        "attempt": row["attempt_number"],
        "retry_of_event_id": row["retry_of_event_id"],
        "parent_event_id": row["parent_event_id"],
        "client_retry_count": row["client_retry_count"],
        "started_at": iso_from_ns(row["occurred_at_ns"]),
        "owner_team": row["owner_team"],
        "service": row["service"],
        "environment": row["environment"],
        "workflow_id": row["workflow_id"],
        "feature": row["feature"],
        "provider": row["provider"],
        "model": row["response_model"] or row["request_model"],
        "request_model": row["request_model"],
        "service_tier": row["service_tier"],
        "status": row["status"],
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
        "cache_read_input_tokens": row["cache_read_input_tokens"],
        "cache_creation_input_tokens": row["cache_creation_input_tokens"],
        "reasoning_output_tokens": row["reasoning_output_tokens"],
        "billed_quantities": row["meters"],
        "usage_source": row["usage_source"],
        "latency_ms": latency_ms(row),
        "cache_hit": row["status"] == Status.CACHE_HIT,
        "provider_request_id": row["provider_request_id"],
        "billing_rule_version": row["billing_rule_version"],
        "estimated_cost_usd": None if attempt.cost is None else text_from_amount(attempt.cost),
        "unpriced_reason": attempt.unpriced_reason,
        "corrected_by": list(attempt.corrections),
    }


def _refusal(row: Row) -> dict[str, Any]:
    return {
        "event_id": row["event_id"],
        "call_id": row["call_id"],
        "call_count": row["call_count"],
        "refused_at": iso_from_ns(row["occurred_at_ns"]),
        "service": row["service"],
        "environment": row["environment"],
        "model_group": row["model_group"],
        "http_status": row["http_status"],
        "violations": row["violations"],
        "decision_id": row["decision_id"],
    }


def trace_tree(trace: Trace) -> RenderableType:
    """Draw calls below the calls that caused them, attempts below their call."""
    root = Tree(Text("trace ").append_text(plain_text(trace.trace_id)), guide_style="dim")
    branches: dict[str, Tree] = {}
    for call in trace.calls:
        above = root if call.parent is None else branches[call.parent]
        branch = branches[call.call_id] = above.add(_call_text(call))
        numbers = {attempt.event_id: attempt.row["attempt_number"] for attempt in call.attempts}
        for attempt in call.attempts:
            branch.add(_attempt_text(attempt, numbers))
        for row in call.refusals:
            branch.add(_refusal_text(row))
    return Group(_head_text(trace), root, _total_text(trace))


def _head_text(trace: Trace) -> Text:
    lines = [
        f"{name}: {'differs between calls' if name in trace.differing else value}"
        for name, value in trace.shared.items()
        if value is not None or name in trace.differing
    ]
    return Text("\n").join(plain_text(line) for line in lines)


def _call_text(call: TracedCall) -> Text:
    row = call.attempts[0].row if call.attempts else call.refusals[0]
    text = Text("call ").append_text(plain_text(call.call_id))
    text.append("  ").append_text(plain_text(row["service"]))
    text.append(f"  {iso_from_ns(call.started_at_ns)[:19]}Z", style="dim")
    if len(call.attempts) > 1:
        text.append(f"  {len(call.attempts)} attempts: ")
        text.append_text(cost_text(total_of(call.attempts), CURRENCY))
    return text


def _attempt_text(attempt: TracedAttempt, numbers: Mapping[str, int | None]) -> Text:
    row = attempt.row
    text = Text(f"#{row['attempt_number'] or '-'} ")
    good = row["status"] in (Status.OK, Status.CACHE_HIT)
    text.append(row["status"], style="green" if good else "red")
    text.append("  ").append_text(plain_text(row["provider"])).append("/")
    text.append_text(plain_text(row["response_model"] or row["request_model"]))
    if row["input_tokens"] is not None:
        text.append(f"  {row['input_tokens']:,} in")
        if row["cache_read_input_tokens"]:
            text.append(f" ({row['cache_read_input_tokens']:,} cached)")
        text.append(f", {row['output_tokens']:,} out")
    if row["latency_us"] is not None:
        text.append(f"  {row['latency_us'] / 1000:,.0f} ms")
    text.append("  ").append_text(cost_text(attempt.cost, CURRENCY))
    notes = [attempt.unpriced_reason or "", "corrected" if attempt.corrections else ""]
    if row["retry_of_event_id"]:
        before = numbers.get(row["retry_of_event_id"])
        notes.append(f"retry of #{before}" if before else "a retry")
    if noted := ", ".join(note for note in notes if note):
        text.append(f"  ({noted})", style="dim")
    return text


def _refusal_text(row: Row) -> Text:
    text = Text("refused", style="red")
    text.append(f" {row['http_status'] or ''}  ", style="default")
    found = " ".join(f"{one['code']}:{one['field']}" for one in row["violations"])
    text.append_text(plain_text(found))
    return text


def _total_text(trace: Trace) -> Text:
    attempts = len(list(trace.attempts))
    text = Text(f"{attempts} attempts, ").append_text(cost_text(trace.total, CURRENCY))
    if trace.unpriced:
        text.append(f", {trace.unpriced} unpriced", style="yellow")
    if refusals := sum(row["call_count"] for row in trace.refusals):
        text.append(f", {refusals} refused")
    return text
