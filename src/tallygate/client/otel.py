"""
Values in OpenTelemetry's context, and the trace of its active span. The API alone is needed.

Baggage mirrors the values, for the service's own propagators. It is not read back: they also put
there what anybody's request claims, and a header of ours would lend that the highest rank.
"""

from __future__ import annotations

from typing import Final

from opentelemetry import baggage, context, trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from tallygate.client.fields import BAGGAGE_ALIASES
from tallygate.client.keeping import Held
from tallygate.client.tracing import Trace

_HELD: Final = context.create_key("tallygate-held")


class OtelKeeping:
    """OpenTelemetry's context, under a key of our own beside the baggage."""

    def held(self) -> Held | None:
        held = context.get_value(_HELD)
        return held if isinstance(held, Held) else None

    def traceparent(self) -> str | None:
        span = trace.get_current_span().get_span_context()
        if not span.is_valid:
            return None
        ids = f"{trace.format_trace_id(span.trace_id)}-{trace.format_span_id(span.span_id)}"
        return f"00-{ids}-{span.trace_flags:02x}"

    def put(self, held: Held, received: Trace | None) -> Context:
        before = context.get_current()
        outer = self.held()
        inside = context.set_value(_HELD, held, before)
        for alias, name in BAGGAGE_ALIASES.items():
            if name in held.fields:
                inside = baggage.remove_baggage(alias, inside)
        for name, value in held.fields.items():
            inside = baggage.set_baggage(name, value, inside)
        for name in (outer.fields.keys() if outer else set()) - held.fields.keys():
            inside = baggage.remove_baggage(name, inside)
        context.attach(_with_remote_span(inside, received))
        return before

    def restore(self, before: Context) -> None:
        # Not detach: its token is bound to one context, and a block may be left in another.
        context.attach(before)


def _with_remote_span(inside: Context, received: Trace | None) -> Context:
    """Continue a received trace, unless instrumentation has already begun a span in it."""
    if received is None or received.traceparent is None:
        return inside
    _, trace_id, span_id, flags = received.traceparent.split("-")[:4]
    active = trace.get_current_span(inside).get_span_context()
    if active.is_valid and trace.format_trace_id(active.trace_id) == trace_id:
        return inside
    remote = SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
    return trace.set_span_in_context(NonRecordingSpan(remote), inside)
