"""The call that an official client repeats is found again; another body or caller is not."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.entries import NOON_NS
from tallygate.domain.attribution.contract import Principal
from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.kernel.instants import NS_PER_SECOND
from tallygate.proxy.client_retries import ClientRetries
from tallygate.proxy.state import CallState

BODY = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def a_call(
    number: int, *, retry: int = 0, status: int = 500, key: str = "key-1", after_s: int = 0
) -> CallState:
    state = CallState(
        f"call-{number}",
        NOON_NS + after_s * NS_PER_SECOND,
        (),
        Trace("tr", "received", "1" * 32),
        principal=Principal(key_hash=key),
        client_retry_count=retry,
    )
    state.answered_status = status
    return state


def end(retries: ClientRetries, state: CallState, body: Any = BODY) -> None:
    retries.call_before(state, body)
    retries.ended(state)


@pytest.mark.parametrize("status", [0, 408, 409, 429, 500, 503])
def test_a_repeated_call_names_the_one_before(status: int) -> None:
    retries = ClientRetries()
    end(retries, a_call(1, status=status))

    assert retries.call_before(a_call(2, retry=1), dict(reversed(BODY.items()))) == "call-1"


def test_a_second_repetition_names_the_first() -> None:
    retries = ClientRetries()
    end(retries, a_call(1))
    end(retries, a_call(2, retry=1))

    assert retries.call_before(a_call(3, retry=2), BODY) == "call-2"


@pytest.mark.parametrize(
    ("call", "body"),
    [
        pytest.param(a_call(2, retry=0), BODY, id="no repetition"),
        pytest.param(a_call(2, retry=1, key="key-2"), BODY, id="another caller"),
        pytest.param(a_call(2, retry=1), {**BODY, "model": "n"}, id="another body"),
        pytest.param(a_call(2, retry=1, after_s=301), BODY, id="long after"),
    ],
)
def test_nothing_else_is_linked(call: CallState, body: Any) -> None:
    retries = ClientRetries()
    end(retries, a_call(1))

    assert retries.call_before(call, body) is None


@pytest.mark.parametrize("status", [200, 400, 403])
def test_what_no_client_repeats_is_not_remembered(status: int) -> None:
    retries = ClientRetries()
    end(retries, a_call(1, status=status))

    assert retries.call_before(a_call(2, retry=1), BODY) is None


def test_the_memory_is_bounded() -> None:
    retries = ClientRetries()
    for number in range(1_002):
        end(retries, a_call(number), {"input": number})

    assert retries.call_before(a_call(2_000, retry=1), {"input": 0}) is None
    assert retries.call_before(a_call(2_000, retry=1), {"input": 1_001}) == "call-1001"
