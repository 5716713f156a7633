"""Baggage that OpenTelemetry's instrumentation took from a request: anybody can have sent it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx
import pytest
from opentelemetry import baggage, context
from opentelemetry.baggage.propagation import W3CBaggagePropagator

from tallygate.client import (
    current_scope,
    default_headers,
    extract,
    inject,
    outgoing_headers,
    ownership,
    ownership_hooks,
)
from tallygate.domain.attribution.ownership import Source

PARENT: Final = "0197a5b0-0000-7000-8000-000000000001"
CLAIMED: Final = {
    "baggage": f"owner_team=team-victim,service=evil,parent_call_id={PARENT},region=r,user=u"
}
STATIC: Final = default_headers(owner_team="team-support", service="support-assistant")


@contextmanager
def instrumented(request: dict[str, str]) -> Iterator[None]:
    """Do what the instrumentation of a web server does around a handler."""
    token = context.attach(W3CBaggagePropagator().extract(request))
    try:
        yield
    finally:
        context.detach(token)


def propagated() -> dict[str, str]:
    """Give what the service's own propagator sends on."""
    carrier: dict[str, str] = {}
    W3CBaggagePropagator().inject(carrier)
    return carrier


def call(gate: Any, headers: dict[str, str] | None = None) -> None:
    with httpx.Client(event_hooks=ownership_hooks(), headers=headers) as client:
        client.post(gate.url).raise_for_status()


def test_a_strangers_baggage_is_raised_to_no_header_outside_of_a_block(
    gate: Any, resolved: Any
) -> None:
    with instrumented(CLAIMED):
        call(gate)
        call(gate, STATIC)
        message: dict[str, str] = {}
        inject(message)
        assert (outgoing_headers(), message) == ({}, {})

    bare, static = (resolved(request).values for request in gate.requests)
    assert bare == {}
    assert static == {"owner_team": "team-support", "service": "support-assistant"}


def test_a_strangers_baggage_is_raised_to_no_header_in_a_block(gate: Any, resolved: Any) -> None:
    with instrumented(CLAIMED), ownership(feature="ticket-triage", region="eu-west") as scope:
        call(gate, STATIC)
        with ownership(workflow_id="wf-17") as inner, inner.child() as child:
            message: dict[str, str] = {}
            inject(message)

    assert scope.fields == {"feature": "ticket-triage", "region": "eu-west"}
    assert child.fields == {**scope.fields, "workflow_id": "wf-17"}
    found = resolved(gate.requests[0])
    assert found.values == {
        "owner_team": "team-support",
        "service": "support-assistant",
        "feature": "ticket-triage",
    }
    assert set(found.sources.values()) == {Source.HEADER}
    assert message["baggage"] == "feature=ticket-triage,region=eu-west,workflow_id=wf-17"


def test_what_a_block_says_stands_when_a_request_is_taken_inside_of_it(
    gate: Any, resolved: Any
) -> None:
    with ownership(owner_team="team-support", service="support-assistant") as outer:
        with instrumented(CLAIMED):
            call(gate)
            with ownership(feature="ticket-triage") as inner:
                call(gate)
                assert baggage.get_baggage("owner_team") == "team-support"
        assert current_scope() is outer

    assert inner.fields == {**outer.fields, "feature": "ticket-triage"}
    first, second = (resolved(request).values for request in gate.requests)
    assert (first, second) == (outer.fields, inner.fields)


def test_other_baggage_goes_on_by_the_services_own_propagator_unchanged() -> None:
    with instrumented(CLAIMED):
        assert propagated() == CLAIMED
        with ownership(service="support-assistant"):
            assert propagated() == {
                "baggage": CLAIMED["baggage"].replace("evil", "support-assistant")
            }
        assert propagated() == CLAIMED


def test_baggage_that_stands_on_the_request_stays_on_it(gate: Any, resolved: Any) -> None:
    with instrumented(CLAIMED):
        carried = propagated()
        call(gate, {**STATIC, **carried})
        assert gate.last["baggage"] == CLAIMED["baggage"]

    assert resolved(gate.requests[0]).values == {
        "owner_team": "team-support",
        "service": "support-assistant",
        "parent_call_id": PARENT,
    }


def test_extract_raises_what_it_was_given(gate: Any, resolved: Any) -> None:
    request = {"baggage": "owner_team=team-search,user=u"}
    with instrumented(request), extract(request) as scope:
        call(gate, STATIC)
        assert propagated() == request

    assert scope.fields == {"owner_team": "team-search"}
    found = resolved(gate.requests[0])
    assert found.values == {"owner_team": "team-search", "service": "support-assistant"}


def test_what_caused_the_worker_is_no_baggage_of_what_it_extracts() -> None:
    with ownership(service="batch-summaries", parent_call_id=PARENT):
        with extract({"baggage": "feature=ticket-triage"}):
            assert propagated() == {"baggage": "service=batch-summaries,feature=ticket-triage"}
        assert "parent_call_id" in propagated()["baggage"]


@pytest.mark.parametrize("request_", [{}, {"baggage": "feature=ticket-triage"}])
def test_extract_trusts_its_carrier_and_not_what_else_arrived(request_: dict[str, str]) -> None:
    with instrumented(CLAIMED), extract(request_) as scope:
        assert scope.fields == {
            name: "ticket-triage" for name in ("feature",) if "baggage" in request_
        }
