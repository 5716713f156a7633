"""The route and call type tables, held to the LiteLLM that is installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from litellm.proxy._types import LiteLLMRoutes
from litellm.proxy.auth.route_checks import RouteChecks
from litellm.types.utils import CallTypes

from litellm_release import IS_LOCKED
from tallygate.proxy.call_types import CALL_TYPES, Metering
from tallygate.proxy.route_table import WEBSOCKET
from tallygate.proxy.routes import RULES, UNKNOWN, rule_of

ROOT: Final = Path(__file__).resolve().parent.parent.parent
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", WEBSOCKET)
NEWER_CALL_TYPES: Final = {
    *("aextraction", "extraction"),
    *("aget_responses", "adelete_responses", "acancel_responses"),
    *("get_responses", "delete_responses", "cancel_responses"),
}
"""Of releases after the locked one."""
LISTS: Final = (
    "openai_routes",
    "anthropic_routes",
    "google_routes",
    "mapped_pass_through_routes",
    "passthrough_routes_wildcard",
    "mcp_inference_routes",
    "agent_inference_routes",
    "litellm_native_routes",
    "llm_api_routes",
)

MCP_SPELLINGS: Final = {
    "/mcp",
    "/mcp/",
    "/mcp/{subpath:path}",
    "/toolset/{toolset_name}/mcp",
    "/{mcp_server_name}/mcp",
}
"""Their messages are governed, whatever else comes by them is not."""


def example_of(route: str) -> str:
    """Return a path that LiteLLM's spelling of a route stands for."""
    return re.sub(r"\{[^}]*\}|\*", "x", route.partition("?")[0])


@cache
def served() -> list[dict[str, Any]]:
    listing = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("served_routes.py"))],
        check=True,
        capture_output=True,
        text=True,
    )
    return list(json.loads(listing.stdout.splitlines()[-1]))


def test_every_call_type_of_litellm_is_placed() -> None:
    theirs, ours = {member.value for member in CallTypes}, set(CALL_TYPES)

    assert not theirs - ours, f"LiteLLM has call types that call_types.py lacks: {theirs - ours}"
    gone = ours - theirs - NEWER_CALL_TYPES
    assert not IS_LOCKED or not gone, f"call_types.py has what LiteLLM no longer has: {gone}"


def test_every_synchronous_twin_has_the_call_that_the_proxy_makes_beside_it() -> None:
    twins = [name for name, kind in CALL_TYPES.items() if kind is Metering.INTERNAL]

    alone = [name for name in twins if not {f"a{name}", f"a_{name}"} & set(CALL_TYPES)]

    assert not alone


@pytest.mark.parametrize("name", LISTS)
def test_every_route_that_litellm_lists_has_a_rule(name: str) -> None:
    listed = [example_of(route) for route in getattr(LiteLLMRoutes, name).value]

    strangers = [path for path in listed if not any(rule_of(path, m).known for m in METHODS)]

    assert not strangers, f"LiteLLM lists routes that routes.py lacks: {strangers}"


def test_litellm_decides_what_an_llm_route_is_from_the_lists_that_we_read() -> None:
    source = Path(sys.modules[RouteChecks.__module__].__file__ or "").read_text(encoding="utf-8")
    body = source.partition("def is_llm_api_route(")[2].partition("@staticmethod")[0]

    assert set(re.findall(r"LiteLLMRoutes\.(\w+)", body)) <= set(LISTS)


def test_every_llm_route_that_litellm_serves_has_a_rule_for_its_methods() -> None:
    strangers = [
        f"{method} {route['path']}"
        for route in served()
        if route["is_llm"]
        for method in route["methods"]
        if not rule_of(example_of(route["path"]), method).known
    ]

    assert len(served()) > (900 if IS_LOCKED else 800), (
        "the listing has shrunk: does served_routes.py still read it?"
    )
    assert not strangers, f"LiteLLM serves routes that routes.py lacks: {strangers}"


def test_what_is_decided_after_authentication_is_authenticated_where_we_see_it() -> None:
    out_of_sight = [
        f"{method} {route['path']}"
        for route in served()
        for method in route["methods"]
        for rule in [rule_of(example_of(route["path"]), method)]
        if rule.known and rule.governed and rule.decided_in == "auth" and not route["wrapped"]
    ]

    assert not out_of_sight, f"LiteLLM does not run our wrapper on {out_of_sight}"


@pytest.mark.parametrize(
    ("method", "path", "pattern", "governed", "decided_in", "metering"),
    [
        ("POST", "/v1/chat/completions", "/v1/chat/completions", True, "pre_call", "metered"),
        ("POST", "/chat/completions", "/v1/chat/completions", True, "pre_call", "metered"),
        (
            "POST",
            "/openai/deployments/vertex_ai/gemini/chat/completions",
            "/v1/chat/completions",
            True,
            "pre_call",
            "metered",
        ),
        ("POST", "/engines/gpt-5.4/embeddings", "/v1/embeddings", True, "pre_call", "metered"),
        ("POST", "/v1/messages", "/v1/messages", True, "pre_call", "metered"),
        ("POST", "/v1/responses", "/v1/responses", True, "pre_call", "metered"),
        (WEBSOCKET, "/v1/responses", "/v1/responses", True, "pre_call", "metered"),
        ("GET", "/v1/responses/resp_1", "/v1/responses/{response_id}", False, "auth", "free"),
        ("GET", "/v1/models", "/v1/models", False, "auth", "free"),
        ("HEAD", "/v1/models", "/v1/models", False, "auth", "free"),
        ("GET", "/v1/models/gpt-5.4", "/v1/models", False, "auth", "free"),
        ("POST", "/v1/files", "/v1/files", True, "pre_call", "free"),
        ("DELETE", "/v1/files/file_1", "/v1/files", False, "auth", "free"),
        ("POST", "/v1/batches", "/v1/batches", True, "pre_call", "metered"),
        ("POST", "/openai/v1/batches", "/v1/batches", True, "pre_call", "metered"),
        (WEBSOCKET, "/v1/realtime?model=gpt", "/v1/realtime", True, "pre_call", "metered"),
        (
            "POST",
            "/v1beta/models/gemini/pro:generateContent",
            "/v1beta/models/{model_name:path}:generateContent",
            True,
            "pre_call",
            "metered",
        ),
        (
            "POST",
            "/bedrock/model/anthropic.claude/converse",
            "/bedrock/model/{model:path}/converse",
            True,
            "pre_call",
            "metered",
        ),
        ("POST", "/bedrock/knowledgebases/x/retrieve", "/bedrock", True, "auth", "metered"),
        ("POST", "/anthropic/v1/messages", "/anthropic", True, "auth", "metered"),
        ("GET", "/anthropic/v1/models", "/anthropic/v1/models", False, "auth", "free"),
        ("POST", "/gemini/v1beta/models/g:embed", "/gemini", True, "pre_call", "metered"),
        (
            "POST",
            "/threads/thread_1/runs",
            "/v1/threads/{thread_id}/runs",
            True,
            "auth",
            "metered",
        ),
        ("GET", "/threads/thread_1", "/v1/threads/{thread_id}", False, "auth", "free"),
        (
            "POST",
            "/v1/messages/count_tokens",
            "/v1/messages/count_tokens",
            True,
            "auth",
            "free",
        ),
        ("POST", "/mcp/zapier", "/mcp", True, "pre_call", "counted"),
        ("GET", "/mcp/zapier", "/mcp", False, "auth", "free"),
        ("GET", "/health", "/health", False, "auth", "metered"),
        ("OPTIONS", "/v1/chat/completions", "preflight", False, "auth", "free"),
    ],
)
def test_a_path_gets_the_rule_of_its_endpoint(
    method: str, path: str, pattern: str, governed: bool, decided_in: str, metering: str
) -> None:
    rule = rule_of(path, method)

    assert (rule.pattern, rule.governed, rule.decided_in, rule.metering) == (
        pattern,
        governed,
        decided_in,
        metering,
    )
    assert rule.known


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/telepathy"),
        ("POST", "/v1/chat/completions/again"),
        ("PUT", "/v1/chat/completions"),
        ("BREW", "/v1/chat/completions"),
        ("GET", "/v1/chat/completions"),
        ("POST", ""),
        ("POST", "/v1/threads/a\nb/c/runs"),
    ],
)
def test_what_no_rule_knows_is_governed(method: str, path: str) -> None:
    rule = rule_of(path, method)

    assert rule is UNKNOWN
    assert rule.governed
    assert not rule.known


def test_no_governed_spelling_is_found_by_a_rule_that_does_not_decide() -> None:
    undecided = {
        f"{method} {spelling}"
        for rule in RULES
        if rule.governed
        for spelling in rule.spellings
        for method in rule.methods
        if not rule_of(example_of(spelling), method).governed
    }

    assert not undecided


def test_no_spelling_is_in_two_rules_for_one_method() -> None:
    places = Counter(
        (method, spelling)
        for rule in RULES
        for method in rule.methods
        for spelling in rule.spellings
    )

    twice = {place for place, count in places.items() if count > 1}

    assert {spelling for _, spelling in twice} <= MCP_SPELLINGS


@pytest.mark.skipif(not IS_LOCKED, reason="the page is about the locked release")
def test_docs_routes_md_is_what_the_tables_and_litellm_say() -> None:
    check = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "write-routes-doc"), "--check"],
        check=False,
        capture_output=True,
        text=True,
    )

    assert check.returncode == 0, check.stderr
