"""What the calls take over from LiteLLM: whose key it is, and which headers a provider gets."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any, Final

import pytest

from fakes.engines import ADMIT
from fakes.lines import a_line
from tallygate.proxy.calls import Calls
from tallygate.proxy.journal import Journal
from tallygate.proxy.routes import rule_of
from tallygate.proxy.state import CallState, current_attempt, current_call

HEX: Final = "5ec7e7" * 10 + "5ec7"
PLAIN: Final = "a-key-of-our-own"


@pytest.fixture
def calls() -> Calls:
    line = a_line(lambda _: ADMIT)
    return Calls(line, Journal(line, 30.0))


def opened(calls: Calls, *headers: tuple[bytes, bytes]) -> CallState:
    return calls.open_call({"headers": headers}, rule_of("/v1/chat/completions", "POST"))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("api_key", "sent", "expected"),
    [
        pytest.param(HEX, "sk-x", HEX, id="hashed by LiteLLM"),
        pytest.param(f"hashed-jwt-{HEX}", "ey.x.y", f"hashed-jwt-{HEX}", id="a JWT's hash"),
        pytest.param(PLAIN, PLAIN, sha256(PLAIN), id="a custom_auth's own key"),
        pytest.param(HEX, HEX, sha256(HEX), id="a key that only looks like a hash"),
        pytest.param("", "x", None, id="no key"),
    ],
)
def test_a_key_is_kept_as_a_hash_only(
    calls: Calls, api_key: str, sent: str, expected: str | None
) -> None:
    state = opened(calls, (b"authorization", b"Bearer " + sent.encode()))

    calls.know_principal(state, SimpleNamespace(api_key=api_key))

    assert state.principal.key_hash == expected


def headers_sent(calls: Calls, extra_headers: object) -> Any:
    state = opened(calls)
    call, attempt = current_call.set(state), current_attempt.set(None)
    try:
        kwargs = calls.begin_attempt({"extra_headers": extra_headers}, "acompletion")
        return None if kwargs is None else kwargs["extra_headers"]
    finally:
        current_attempt.reset(attempt)
        current_call.reset(call)


@pytest.mark.parametrize("name", ["traceparent", "Traceparent", "TRACEPARENT"])
def test_a_caller_cannot_put_a_trace_of_its_own_beside_the_gates(calls: Calls, name: str) -> None:
    sent = headers_sent(calls, {name: "00-spoof", "X-Tallygate-Trace-Id": "spoof", "x-own": "1"})

    assert sorted(sent) == ["traceparent", "x-own"]
    assert "spoof" not in sent["traceparent"]


def test_what_is_no_map_of_headers_is_left_to_litellm(calls: Calls) -> None:
    assert headers_sent(calls, ["x-own: 1"]) == ["x-own: 1"]
    assert list(headers_sent(calls, None)) == ["traceparent"]
