"""
A trace as a tree for people, and as the complete-trace document for programs.

Shapes  `hops` are the calls as a tree: parents first, each with its cause and whether the trace was
        received or minted there. Hops with another `trace_id` were caused by this trace and lost it
        on the way; they are in no other part of the document and in none of its sums.
Exact   Money is decimal text. `total_estimated_cost_usd` is the exact sum of those `provider_calls`
        and `usage_lines` that have an `estimated_cost_usd`; those without one are counted in
        `unpriced_calls`, never as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, assert_never

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from tallygate.application.traces import (
    CURRENCY,
    MOST_BEYOND,
    Cause,
    Trace,
    TracedAttempt,
    TracedCall,
    total_of,
    unpriced_in,
)
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
        "usage_lines": [_usage_line(call, line) for call in trace.calls for line in call.usage],
        "total_estimated_cost_usd": text_from_amount(trace.total),
        "unpriced_calls": trace.unpriced,
        "refusals": [_refusal(row) for row in trace.refusals],
        "hops": [_hop(call) for call in trace.tree],
        "hops_incomplete": trace.is_cut,
        "services": [
            {"service": service, **_sums(calls)} for service, calls in _by_service(trace.calls)
        ],
    }


def _hop(call: TracedCall) -> dict[str, Any]:
    return {
        "call_id": call.call_id,
        "parent_call_id": call.named_parent,
        "parent": call.cause.value,
        "parent_trace_id": call.parent_trace_id,
        "service": call.service,
        "environment": call.environment,
        "trace_id": call.trace_id,
        "trace_source": call.trace_source,
        "is_broken_hop": call.is_broken_hop,
        "started_at": iso_from_ns(call.started_at_ns),
        **_sums([call]),
    }


def _sums(calls: Sequence[TracedCall]) -> dict[str, Any]:
    charges = [charge for call in calls for charge in call.charges]
    unknown = _is_unknown(charges)
    return {
        "calls": len(calls),
        "attempts": sum(len(call.attempts) for call in calls),
        "refused": sum(row["call_count"] for call in calls for row in call.refusals),
        "minted": sum(call.trace_source == "minted" for call in calls),
        "estimated_cost_usd": None if unknown else text_from_amount(total_of(charges)),
        "unpriced_calls": unpriced_in(charges),
    }


def _is_unknown(charges: Sequence[TracedAttempt]) -> bool:
    """Whether a sum would be 0 only because nothing of it is known."""
    return bool(charges) and unpriced_in(charges) == len(charges)


def _by_service(calls: Iterable[TracedCall]) -> list[tuple[str | None, list[TracedCall]]]:
    found: dict[str | None, list[TracedCall]] = {}
    for call in calls:
        found.setdefault(call.service, []).append(call)
    return list(found.items())


def _usage_line(call: TracedCall, line: TracedAttempt) -> dict[str, Any]:
    row = line.row
    return {
        "event_id": line.event_id,
        "call_id": call.call_id,
        "parent_event_id": row["parent_event_id"],
        "settled_at": iso_from_ns(row["occurred_at_ns"]),
        "model": row["response_model"] or row["request_model"],
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
        "billed_quantities": row["meters"],
        "billing_rule_version": row["billing_rule_version"],
        "estimated_cost_usd": None if line.cost is None else text_from_amount(line.cost),
        "unpriced_reason": line.unpriced_reason,
        "corrected_by": list(line.corrections),
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
    for call in trace.tree:
        above = root if call.parent is None else branches[call.parent]
        branch = branches[call.call_id] = above.add(_call_text(call, trace.trace_id))
        numbers = {attempt.event_id: attempt.row["attempt_number"] for attempt in call.attempts}
        for attempt in call.attempts:
            branch.add(_attempt_text(attempt, numbers))
        for line in call.usage:
            branch.add(_usage_text(line))
        for row in call.refusals:
            branch.add(_refusal_text(row))
    below = [*_service_texts(trace), _total_text(trace), *_beyond_texts(trace)]
    return Group(_head_text(trace), root, *below)


def _head_text(trace: Trace) -> Text:
    lines = [
        f"{name}: {'differs between calls' if name in trace.differing else value}"
        for name, value in trace.shared.items()
        if value is not None or name in trace.differing
    ]
    return Text("\n").join(plain_text(line) for line in lines)


def _call_text(call: TracedCall, trace_id: str) -> Text:
    text = Text("call ").append_text(plain_text(call.call_id))
    text.append("  ").append_text(plain_text(call.service))
    text.append(f"  {iso_from_ns(call.started_at_ns)[:19]}Z", style="dim")
    if call.usage:
        text.append(f"  {_counted(len(call.attempts), 'attempt')}, ")
        text.append_text(_sum_text(call.charges)).append(" with its usage")
    elif len(call.attempts) > 1:
        text.append(f"  {len(call.attempts)} attempts: ").append_text(_sum_text(call.charges))
    text.append("  trace ").append_text(_source_text(call))
    if call.trace_id != trace_id:
        text.append(" as ").append_text(plain_text(call.trace_id))
    return text.append_text(_cause_text(call))


def _sum_text(charges: Sequence[TracedAttempt]) -> Text:
    return cost_text(None if _is_unknown(charges) else total_of(charges), CURRENCY)


def _source_text(call: TracedCall) -> Text:
    if call.is_broken_hop:
        return Text("minted here: broken hop", style="red")
    return Text(call.trace_source, style="" if call.trace_source == "minted" else "dim")


def _cause_text(call: TracedCall) -> Text:
    """Say where the parent is when it does not stand above."""
    parent = plain_text(call.named_parent)
    match call.cause:
        case Cause.NONE | Cause.CALL:
            return Text()
        case Cause.UNKNOWN:
            told = Text("  orphan: its parent ").append_text(parent)
            told.append(" is not in the ledger")
        case Cause.ELSEWHERE:
            told = Text("  its parent ").append_text(parent).append(" is in trace ")
            told.append_text(plain_text(call.parent_trace_id))
        case Cause.CIRCLE:
            told = Text("  circle: its parent ").append_text(parent).append(" stands below it")
        case _:
            assert_never(call.cause)
    told.stylize("yellow")
    return told


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


def _usage_text(line: TracedAttempt) -> Text:
    row = line.row
    text = Text("usage  ").append_text(plain_text(row["response_model"] or row["request_model"]))
    if row["input_tokens"] is not None:
        text.append(f"  {row['input_tokens']:,} in, {row['output_tokens']:,} out")
    text.append("  ").append_text(cost_text(line.cost, CURRENCY))
    if line.unpriced_reason:
        text.append(f"  ({line.unpriced_reason})", style="dim")
    return text


def _service_texts(trace: Trace) -> Iterator[Text]:
    """Say what each service had of it, when there are several."""
    by_service = _by_service(trace.calls)
    for service, calls in by_service if len(by_service) > 1 else ():
        sums = _sums(calls)
        text = plain_text(service).append(f": {_counted(sums['calls'], 'call')}, ")
        text.append(f"{_counted(sums['attempts'], 'attempt')}, ")
        text.append_text(_sum_text([charge for call in calls for charge in call.charges]))
        for name in ("unpriced_calls", "refused", "minted"):
            if sums[name]:
                text.append(f", {sums[name]} {name.removesuffix('_calls')}")
        yield text


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _total_text(trace: Trace) -> Text:
    attempts = len(list(trace.attempts))
    text = Text(f"{attempts} attempts, ").append_text(cost_text(trace.total, CURRENCY))
    if trace.unpriced:
        text.append(f", {trace.unpriced} unpriced", style="yellow")
    if refusals := sum(row["call_count"] for row in trace.refusals):
        text.append(f", {refusals} refused")
    return text


def _beyond_texts(trace: Trace) -> Iterator[Text]:
    """Say what is in the tree and not in the sum."""
    if trace.beyond:
        sums = _sums(trace.beyond)
        text = Text(
            f"not in the sum: {_counted(sums['calls'], 'call')} in other traces, ", style="yellow"
        )
        charges = [charge for call in trace.beyond for charge in call.charges]
        yield text.append_text(_sum_text(charges))
    if trace.is_cut:
        yield Text(f"not shown: calls in other traces beyond {MOST_BEYOND}", style="yellow")
