from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from tallygate.client import extract, inject, outgoing_headers, ownership
from tallygate.domain.attribution.propagation import read_trace

pytestmark = pytest.mark.usefixtures("kept")

FIELDS = {"owner_team": "team-support", "workflow_id": "wf-17", "initiator": "queue:tickets"}
PARENT = "0197a5b0-0000-7000-8000-000000000001"
TRACEPARENT = f"00-{'c' * 32}-{'d' * 16}-01"


def celery_message() -> Any:
    headers: dict[str, Any] = {"id": "task-1", "retries": 0}
    inject(headers)
    assert headers["id"] == "task-1"
    assert isinstance(headers["baggage"], str)
    return headers


def sqs_message() -> Any:
    attributes: dict[str, Any] = {"kind": {"StringValue": "ticket", "DataType": "String"}}
    inject(attributes, values="sqs")
    assert attributes["traceparent"].keys() == {"StringValue", "DataType"}
    assert len(attributes) <= 10
    return attributes


def lambda_event() -> Any:
    return {
        name: {"stringValue": value["StringValue"], "dataType": "String"}
        for name, value in sqs_message().items()
    }


def sns_notification() -> Any:
    return {
        name: {"Type": "String", "Value": value["StringValue"]}
        for name, value in sqs_message().items()
    }


def kafka_message() -> Any:
    headers: list[tuple[str, bytes]] = [("kind", b"ticket"), ("traceparent", b"stale")]
    inject(headers)
    assert headers[0] == ("kind", b"ticket")
    assert [name for name, _ in headers].count("traceparent") == 1
    return headers


def bytes_message() -> Any:
    headers: dict[str, bytes] = {}
    inject(headers, values="bytes")
    return headers


def http_request() -> Any:
    return outgoing_headers()


def asgi_request() -> Any:
    return [(name.encode(), value.encode()) for name, value in outgoing_headers().items()]


EVERY_SHAPE = pytest.mark.parametrize(
    "message",
    [
        celery_message,
        sqs_message,
        lambda_event,
        sns_notification,
        kafka_message,
        bytes_message,
        http_request,
        asgi_request,
    ],
)


@EVERY_SHAPE
def test_who_takes_a_message_continues_the_work(message: Any, resolved: Any) -> None:
    with ownership(**FIELDS, parent_call_id=PARENT, region="eu-west") as sender:
        sent = message()
    with extract(sent) as receiver:
        headers = outgoing_headers()

    assert outgoing_headers() == {}
    assert receiver.fields == sender.fields
    assert receiver.trace_id == sender.trace_id
    assert headers["x-tallygate-region"] == "eu-west"
    arrived = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert resolved(arrived).values == {**FIELDS, "parent_call_id": PARENT}
    found = read_trace(arrived, "f" * 32)
    assert (found.source, found.trace_id) == ("received", sender.trace_id)


def test_a_service_in_between_keeps_the_trace_and_says_its_own_name() -> None:
    with ownership(**FIELDS, service="support-assistant") as first:
        sent = celery_message()
    with extract(sent), ownership(service="batch-summaries") as second:
        sent_on = kafka_message()
    with extract(sent_on) as third:
        pass

    assert first.trace_id == second.trace_id == third.trace_id
    assert third.fields == {**FIELDS, "service": "batch-summaries"}


def test_a_message_that_says_nothing_leaves_the_workers_own_fields() -> None:
    with ownership(service="batch-summaries", parent_call_id=PARENT) as worker:
        with extract(None) as first:
            pass
        with extract({}) as second:
            pass

    assert first.fields == {"service": "batch-summaries"}, "what caused the worker caused not this"
    assert len({worker.trace_id, first.trace_id, second.trace_id}) == 3


def test_a_message_outranks_the_block_of_the_worker() -> None:
    with ownership(owner_team="team-platform"), extract({"x-tallygate-owner-team": "team-support"}):
        assert outgoing_headers()["x-tallygate-owner-team"] == "team-support"


@pytest.mark.parametrize(
    "carrier",
    [
        pytest.param({"baggage": "owner_team=jane%40example.com"}, id="address"),
        pytest.param({"baggage": "owner_team=%ff"}, id="no utf-8"),
        pytest.param({"baggage": "owner_team"}, id="no value"),
        pytest.param({"baggage": "owner_team=" + "a" * 9000}, id="too long"),
        pytest.param({"x-tallygate-owner-team": "a\r\nx-admin: 1"}, id="line break"),
        pytest.param({"x-tallygate-trace-id": "t r", "traceparent": "00-0-0-0"}, id="traces"),
        pytest.param([("baggage", b"\xff"), (b"\xff", b"x"), ("kind", None)], id="bytes"),
        pytest.param({"baggage": {"BinaryValue": b"x", "DataType": "Binary"}}, id="binary"),
        pytest.param({"baggage": "user=somebody,__proto__=x", 7: "seven"}, id="strangers"),
        pytest.param({"x-tallygate-mode": "enforce", "x-tallygate-Call-Id": "x"}, id="answers"),
    ],
)
def test_what_cannot_be_read_is_left_out_and_stops_no_consumer(carrier: Any) -> None:
    with extract(carrier) as scope:
        assert scope.fields == {}
        assert outgoing_headers().keys() == {"traceparent"}


def test_names_that_organisations_have_always_sent_are_read() -> None:
    with extract([("X-Team-Id", b"team-support"), ("baggage", b"customer_id_hash=hk1_a")]) as scope:
        assert scope.fields == {"owner_team": "team-support", "tenant_id_hash": "hk1_a"}

    both = {"x-tallygate-owner-team": "team-support", "x-team-id": "team-search"}
    with extract(both) as scope:
        assert scope.fields == {"owner_team": "team-support"}


def test_a_message_with_too_many_fields_keeps_the_known_ones() -> None:
    many = {f"x-tallygate-field-{number}": "v" * 128 for number in range(70)}

    with extract({**many, "x-tallygate-owner-team": "team-support"}) as scope:
        assert scope.fields == {"owner_team": "team-support"}


@pytest.mark.parametrize("traceparent", [None, TRACEPARENT])
def test_an_opaque_trace_id_is_carried_unchanged(traceparent: str | None) -> None:
    carrier = {"x-tallygate-trace-id": "tr_9f4c", "traceparent": traceparent}

    with extract(carrier) as scope, ownership(feature="ticket-triage"):
        headers = outgoing_headers()
        message: dict[str, str] = {}
        inject(message)

    assert scope.trace_id == "tr_9f4c"
    assert headers["x-tallygate-trace-id"] == message["x-tallygate-trace-id"] == "tr_9f4c"
    assert headers.get("traceparent") == traceparent
    arrived = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert read_trace(arrived, "f" * 32).trace_id == "tr_9f4c"


def test_extract_is_a_decorator_too() -> None:
    @extract({"baggage": "feature=ticket-triage"})
    def work() -> str:
        return outgoing_headers()["x-tallygate-feature"]

    assert work() == "ticket-triage"


def test_a_shape_that_nobody_knows_is_named() -> None:
    with ownership(**FIELDS), pytest.raises(ValueError, match="'text', 'bytes' or 'sqs'"):
        inject({}, values="json")  # type: ignore[arg-type]  # the mistake that is meant


def test_opentelemetry_sees_a_received_trace_as_the_remote_parent(kept: str) -> None:
    with extract({"traceparent": TRACEPARENT}):
        span = trace.get_current_span().get_span_context()

    assert span.is_valid is (kept == "otel")
    if span.is_valid:
        assert (span.is_remote, span.trace_flags) == (True, TraceFlags.SAMPLED)
        assert trace.format_trace_id(span.trace_id) == "c" * 32


@pytest.mark.parametrize(
    ("own", "sent"),
    [
        pytest.param(int("c" * 32, 16), f"00-{'c' * 32}-{'e' * 16}-00", id="in the same trace"),
        pytest.param(int("a" * 32, 16), TRACEPARENT, id="in one of the worker's own"),
    ],
)
def test_a_span_that_instrumentation_has_begun_for_the_message_stays(
    kept: str, own: int, sent: str
) -> None:
    span = NonRecordingSpan(SpanContext(own, int("e" * 16, 16), is_remote=False))
    token = context.attach(trace.set_span_in_context(span))
    try:
        with extract({"traceparent": TRACEPARENT}):
            found = outgoing_headers()["traceparent"]
    finally:
        context.detach(token)

    assert found == (sent if kept == "otel" else TRACEPARENT)
