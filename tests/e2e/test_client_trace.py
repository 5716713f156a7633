"""
One piece of work over three services and a queue, as `tallygate.client` carries it, in the ledger.

Method: services are blocks in this process, each with clients of its own; a real proxy stands
between them and the stand-in, and the drained ledger is read as `tallygate trace show` reads it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest

from e2e.conftest import StartProxy
from e2e.gated import REPOSITORY, copy_policies, settled_rows
from e2e.proxy_process import RunningProxy
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.application.traces import Trace, trace_in
from tallygate.client import extract, inject, ownership, ownership_hooks
from tallygate.client.blocks import Scope

TENANT = "hk1_0123456789abcdef0123456789abcdef"
SUPPORT = {"owner_team": "team-support", "environment": "prod", "service": "support-assistant"}


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_policies(tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def proxy(start_proxy: StartProxy, policies: Path) -> RunningProxy:
    environment = {"TALLYGATE_POLICIES": str(policies), "TALLYGATE_DRAIN": "off"}
    return start_proxy(REPOSITORY / "litellm_config.yaml", environment)


@pytest.fixture
def gpt(proxy: RunningProxy) -> Iterator[openai.OpenAI]:
    hooked = openai.DefaultHttpxClient(event_hooks=ownership_hooks())
    with openai.OpenAI(
        api_key="sk-demo-platform", base_url=f"{proxy.url}/v1", http_client=hooked, max_retries=0
    ) as client:
        yield client


@pytest.fixture
def claude(proxy: RunningProxy) -> Iterator[anthropic.Anthropic]:
    hooked = anthropic.DefaultHttpxClient(event_hooks=ownership_hooks())
    with anthropic.Anthropic(
        api_key="sk-demo-platform", base_url=proxy.url, http_client=hooked, max_retries=0
    ) as client:
        yield client


def ask(client: openai.OpenAI) -> None:
    client.chat.completions.create(
        model="gpt-5.4-mini", messages=[{"role": "user", "content": "hi"}]
    )


def booked(
    proxy: RunningProxy, policies: Path, scope: Scope, calls: int, patience_s: float = 20
) -> Trace:
    """Drain until the tree has as many calls as expected."""
    deadline = time.monotonic() + patience_s
    while True:
        settled_rows(proxy, policies, 1, scope.trace_id)
        ledger = SqliteLedger(proxy.state / "ledger.db", create=False)
        try:
            trace = trace_in(ledger, scope.trace_id)
        finally:
            ledger.close()
        if trace is not None and len(trace.tree) >= calls:
            return trace
        assert time.monotonic() < deadline, trace


def test_work_of_three_services_is_one_tree_with_its_owner_on_every_call(
    proxy: RunningProxy,
    policies: Path,
    gpt: openai.OpenAI,
    claude: anthropic.Anthropic,
) -> None:
    message: dict[str, str] = {}
    work = ownership(
        **SUPPORT, workflow_id="refund-triage", feature="ticket-triage", tenant_id_hash=TENANT
    )
    with work as scope:
        ask(gpt)
        with scope.child():
            inject(message)
            with ownership(service="knowledge-search"):
                claude.messages.create(
                    model="claude-sonnet-5-5",
                    max_tokens=16,
                    messages=[{"role": "user", "content": "hi"}],
                )
    with extract(message), ownership(service="batch-summaries", initiator="queue:tickets"):
        ask(gpt)

    trace = booked(proxy, policies, scope, 3)

    plan, *effects = trace.tree
    assert plan.call_id == scope.last_call_id
    assert [call.parent for call in trace.tree] == [None, plan.call_id, plan.call_id]
    assert [call.service for call in trace.tree] == [
        "support-assistant",
        "knowledge-search",
        "batch-summaries",
    ]
    assert {call.trace_source for call in trace.tree} == {"received"}
    assert not any(call.is_broken_hop for call in effects)
    for call in trace.tree:
        (attempt,) = call.attempts
        assert attempt.row["workflow_id"] == "refund-triage"
        assert attempt.row["tenant_id_hash"] == TENANT


def test_a_service_that_loses_the_trace_is_found_by_the_cause_that_it_names(
    proxy: RunningProxy, policies: Path, gpt: openai.OpenAI
) -> None:
    with ownership(
        **SUPPORT, workflow_id="refund-triage", feature="ticket-triage", tenant_id_hash=TENANT
    ) as scope:
        ask(gpt)
        with scope.child() as child:
            fields = {f"x-tallygate-{k.replace('_', '-')}": v for k, v in child.fields.items()}
    with openai.OpenAI(
        api_key="sk-demo-platform", base_url=f"{proxy.url}/v1", default_headers=fields
    ) as without_hooks:
        ask(without_hooks)

    trace = booked(proxy, policies, scope, 2)

    assert [(call.parent, call.is_broken_hop) for call in trace.tree] == [
        (None, False),
        (scope.last_call_id, True),
    ]
    (lost,) = trace.beyond
    assert (lost.trace_source, lost.trace_id == scope.trace_id) == ("minted", False)
