from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from opentelemetry import baggage, context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from tallygate.client import current, current_scope, outgoing_headers, ownership
from tallygate.client.blocks import Block
from tallygate.client.otel import OtelKeeping


def said(name: str) -> str | None:
    return outgoing_headers().get(f"x-tallygate-{name}")


def a_span(trace_id: int = 0xA, span_id: int = 0xB) -> context.Context:
    flags = TraceFlags(TraceFlags.SAMPLED)
    return trace.set_span_in_context(
        NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=False, trace_flags=flags))
    )


def test_opentelemetry_is_used_where_it_is_installed() -> None:
    assert isinstance(current.KEEPING, OtelKeeping)


def test_the_values_are_baggage_under_the_names_of_the_contract() -> None:
    with ownership(owner_team="team-support", region="eu-west"):
        assert baggage.get_all() == {"owner_team": "team-support", "region": "eu-west"}
    assert baggage.get_all() == {}


def test_baggage_of_others_stays_beside_the_values() -> None:
    arrived = baggage.set_baggage("team_id", "team-support")
    arrived = baggage.set_baggage("user", "somebody else's", arrived)
    token = context.attach(arrived)
    try:
        with ownership(feature="ticket-triage") as scope:
            assert scope.fields == {"feature": "ticket-triage"}
            assert baggage.get_all() == {
                "feature": "ticket-triage",
                "team_id": "team-support",
                "user": "somebody else's",
            }
        with ownership(owner_team="team-search"):
            assert said("owner-team") == "team-search"
            assert "team_id" not in baggage.get_all(), "two names for one field are a conflict"
    finally:
        context.detach(token)


def test_the_active_span_is_the_trace() -> None:
    token = context.attach(a_span())
    try:
        with ownership(feature="ticket-triage") as scope:
            assert outgoing_headers()["traceparent"] == f"00-{0xA:032x}-{0xB:016x}-01"
            assert scope.trace_id == f"{0xA:032x}"
    finally:
        context.detach(token)


def test_a_span_without_a_block_is_carried_too() -> None:
    token = context.attach(a_span())
    try:
        assert outgoing_headers() == {"traceparent": f"00-{0xA:032x}-{0xB:016x}-01"}
    finally:
        context.detach(token)


def test_a_context_that_is_carried_by_hand_has_everything() -> None:
    def there(carried: context.Context) -> tuple[str | None, Block | None]:
        context.attach(carried)
        scope = current_scope()
        return said("region"), scope.child() if scope else None

    with ownership(region="eu-west"), ThreadPoolExecutor(1) as pool:
        region, child = pool.submit(there, context.get_current()).result()

    assert region == "eu-west"
    assert child is not None
