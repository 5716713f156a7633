from __future__ import annotations

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fakes.policy_folders import ADMISSION, REGO_PATH, real_opa
from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.opa import compile_policy
from tallygate.errors import EngineFailed, EngineSlow

DATA = {"contract": {"required": {"default": ["owner_team", "service"]}}}
SECRET = "sk-very-secret"


@pytest.fixture(scope="module")
def wasm() -> bytes:
    return compile_policy({REGO_PATH: ADMISSION}, real_opa())


@pytest.fixture(scope="module")
def engine(wasm: bytes) -> EmbeddedEngine:
    return EmbeddedEngine(wasm, DATA, "sha256:1")


def compiled(rego: str) -> bytes:
    return compile_policy({REGO_PATH: f"package tallygate.admission\n\n{rego}\n"}, real_opa())


def test_it_answers_over_rego_and_data(engine: EmbeddedEngine) -> None:
    answer = engine.decide({"ownership": {"owner_team": "a", "service": "b"}})

    assert answer["action"] == "admit"
    assert engine.revision == "sha256:1"


def test_sets_come_sorted_as_opa_gives_them(engine: EmbeddedEngine) -> None:
    assert [v["field"] for v in engine.decide({})["violations"]] == ["owner_team", "service"]


def test_threads_get_answers_of_their_own(engine: EmbeddedEngine) -> None:
    def ask(number: int) -> bool:
        service = "b" if number % 2 else ""
        answer = engine.decide({"ownership": {"owner_team": "a", "service": service}})
        return (answer["action"] == "admit") == bool(number % 2)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(200)))


@pytest.mark.parametrize(
    "question",
    [
        pytest.param({"ownership": SECRET + "\ud800"}, id="not UTF-8"),
        pytest.param({"ownership": {SECRET}}, id="not JSON"),
        pytest.param({SECRET: 2**80}, id="a number past 64 bits"),
        pytest.param({"ownership": SECRET * 100_000}, id="too large"),
    ],
)
def test_what_cannot_be_asked_is_an_engine_failure_that_quotes_nothing(
    engine: EmbeddedEngine, question: dict[str, Any]
) -> None:
    with pytest.raises(EngineFailed) as caught:
        engine.decide(question)

    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__
    assert engine.decide({})["action"] == "reject"


def test_deep_nesting_does_not_take_the_process_down(engine: EmbeddedEngine) -> None:
    deep: dict[str, Any] = {}
    for _ in range(10_000):
        deep = {"a": deep}

    with pytest.raises(EngineFailed):
        engine.decide({"ownership": deep})


@pytest.mark.parametrize(
    ("rego", "message"),
    [
        pytest.param("decision := {} if input.x", "undefined", id="undefined"),
        pytest.param("decision := 7", "not an object", id="not an object"),
        pytest.param("decision := {}", "cannot be read", id="no sets"),
        pytest.param(
            'decision := {"violations": [1], "waived": [], "notices": []}', "cannot be read",
            id="wrong items",
        ),
    ],
)  # fmt: skip
def test_a_policy_that_gives_no_decision_does_not_load(rego: str, message: str) -> None:
    with pytest.raises(EngineFailed, match=message):
        EmbeddedEngine(compiled(rego), {}, "r")


def test_another_entrypoint_does_not_load(wasm: bytes) -> None:
    renamed = wasm.replace(b"tallygate/admission/decision", b"tallygate/admission/decisioM")

    with pytest.raises(EngineFailed, match="no entrypoint tallygate/admission/decision"):
        EmbeddedEngine(renamed, DATA, "r")


@pytest.mark.parametrize("wasm", [b"", b"\0asm", b"not wasm"])
def test_what_is_no_compiled_policy_does_not_load(wasm: bytes) -> None:
    with pytest.raises(EngineFailed, match="could not be loaded"):
        EmbeddedEngine(wasm, DATA, "r")


def test_data_that_is_not_json_does_not_load(wasm: bytes) -> None:
    with pytest.raises(EngineFailed, match="could not take the data"):
        EmbeddedEngine(wasm, {"contract": {SECRET}}, "r")


def test_data_past_the_memory_cap_does_not_load(wasm: bytes) -> None:
    with pytest.raises(EngineFailed):
        EmbeddedEngine(wasm, {"x": ["y" * 1000] * 3000}, "r", memory_pages=16)


def test_a_runaway_is_stopped_and_the_next_question_is_answered() -> None:
    rego = (
        'decision := {"violations": slow, "waived": [], "notices": []}\n\n'
        "default slow := []\n\n"
        "slow := [] if {\n\tinput.slow\n\tsome a in data.n\n\tsome b in data.n\n"
        "\tsome c in data.n\n\ta + b + c < 0\n}"
    )
    engine = EmbeddedEngine(compiled(rego), {"n": list(range(2000))}, "r", deadline_s=0.05)

    with pytest.raises(EngineSlow, match="deadline"):
        engine.decide({"slow": True})
    assert engine.decide({})["violations"] == []


def test_a_closed_engine_gives_no_answer(wasm: bytes) -> None:
    engine = EmbeddedEngine(wasm, DATA, "r")
    engine.close()
    engine.close()

    with pytest.raises(EngineFailed):
        engine.decide({})


def test_an_engine_that_was_replaced_answers_the_calls_that_still_hold_it(wasm: bytes) -> None:
    engine = EmbeddedEngine(wasm, DATA, "r")
    call = engine.decide
    policy = engine._policy
    del engine
    gc.collect()

    assert call({})["action"] == "reject"

    del call
    gc.collect()
    deadline = time.monotonic() + 5
    while not policy._closed:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_engines_that_nobody_holds_leave_no_thread_behind(wasm: bytes) -> None:
    def tickers() -> int:
        return sum("epoch" in thread.name for thread in threading.enumerate())

    gc.collect()
    time.sleep(0.1)
    before = tickers()
    for number in range(20):
        EmbeddedEngine(wasm, DATA, f"r{number}").decide({})
    gc.collect()
    deadline = time.monotonic() + 5
    while tickers() > before:
        assert time.monotonic() < deadline, tickers()
        time.sleep(0.01)
