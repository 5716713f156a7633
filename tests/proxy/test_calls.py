"""What the calls take over from LiteLLM: whose key it is, and which headers a provider gets."""

from __future__ import annotations

import asyncio
import hashlib
from types import SimpleNamespace
from typing import Any, Final

import pytest

from fakes.engines import ADMIT, FakeServer
from fakes.lines import REJECT, a_line, events_in
from fakes.metrics import FakeMetrics
from tallygate.domain.ledger.events import DecisionFacts
from tallygate.proxy.calls import Calls
from tallygate.proxy.journal import Journal
from tallygate.proxy.refused import RefusedByPolicy
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


# Decided once.


async def test_of_two_hooks_that_ask_at_once_only_one_asks_the_server() -> None:
    answers_when = asyncio.Event()
    server = FakeServer(answers_when=answers_when)
    line = a_line()
    line.server = server
    calls = Calls(line, Journal(line, 30.0))
    state = opened(calls)
    hooks = [
        asyncio.create_task(calls.admit(state, {"model": "gpt-5.4"}, call_type))
        for call_type in ("acompletion", "unknown")
    ]
    await asyncio.sleep(0)

    answers_when.set()
    await asyncio.gather(*hooks)

    assert server.asked == [state.call_id]
    assert state.admission is not None
    assert state.admission.call.call_type == "acompletion"


async def test_when_the_first_hook_is_cancelled_the_second_asks_for_itself() -> None:
    answers_when = asyncio.Event()
    server = FakeServer(answers_when=answers_when)
    line = a_line()
    line.server = server
    calls = Calls(line, Journal(line, 30.0))
    state = opened(calls)
    first = asyncio.create_task(calls.admit(state, {}, "acompletion"))
    await asyncio.sleep(0)
    second = asyncio.create_task(calls.admit(state, {}, "acompletion"))
    await asyncio.sleep(0)

    first.cancel()
    answers_when.set()
    await second

    assert len(server.asked) == 2
    assert state.admission is not None


async def test_a_refusal_by_the_server_reaches_every_hook_of_the_call() -> None:
    line = a_line()
    line.server = FakeServer(lambda _: REJECT)
    calls = Calls(line, Journal(line, 30.0))
    state = opened(calls)

    for _ in range(2):
        with pytest.raises(RefusedByPolicy) as refused:
            await calls.admit(state, {}, "acompletion")
        assert refused.value.refusal.decision_id == "opa-1"

    assert len(events_in(line)) == 1


class Counts(FakeMetrics):
    """Keeps what it is told of decisions, or fails as a number that cannot be kept."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__()
        self.told: list[tuple[list[str], str | None]] = []
        self._fails = fails

    def decided(self, decision: DecisionFacts, service: str | None) -> None:
        self.told.append(([each["override"] for each in decision.waived], service))
        if self._fails:
            raise OSError("no room")


WAIVED: Final = {"code": "ownership_missing", "field": "feature", "override": "ovr-1"}


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        pytest.param(b"support-assistant", "support-assistant", id="a registered service"),
        pytest.param(b"whatever-a-caller-writes", None, id="one that nobody knows"),
    ],
)
async def test_each_call_is_counted_once_by_what_excused_it(
    service: bytes, expected: str | None
) -> None:
    line = a_line(lambda _: {**ADMIT, "waived": [WAIVED]})
    counts = Counts()
    calls = Calls(line, Journal(line, 30.0), counts)
    state = opened(calls, (b"x-tallygate-service", service))

    await calls.admit(state, {}, "acompletion")
    await calls.admit(state, {}, "acompletion")

    assert counts.told == [(["ovr-1"], expected)]


async def test_a_number_that_cannot_be_kept_fails_no_call() -> None:
    line = a_line(lambda _: ADMIT)
    counts = Counts(fails=True)
    calls = Calls(line, Journal(line, 30.0), counts)

    for _ in range(2):
        await calls.admit(opened(calls), {}, "acompletion")

    assert len(counts.told) == 1
