"""
The embedded engine: the policy that OPA compiled to WebAssembly, run in this process.

Shapes  One engine is one bundle: compiled Rego, data, revision. New data makes a new engine.
Units   The deadline is in seconds and at ten milliseconds' grain; a memory page is 64 KiB.
Exact   Evaluation is inline and holds the interpreter between guest calls: ask it on the event
        loop, not in an executor. It may be asked from several threads; each has an instance of
        its own, the first is made at load, further ones when two threads ask at once.
Errors  EngineFailed names the kind of failure and nothing of the question or the data; EngineSlow
        is the one that says nothing about the policy.
"""

from __future__ import annotations

import _thread
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import orjson
from opapywasm import OpaWasmPolicy, PolicyConfig
from opapywasm.errors import OpaEntrypointError, OpaWasmError

from tallygate.adapters.engines.opa import ENTRYPOINT
from tallygate.errors import EngineFailed, EngineSlow

DEADLINE_S: Final = 0.25
"""Stops runaways only: a garbage collection or a busy host may well take 50 ms."""
MEMORY_PAGES: Final = 4096
_SETS: Final = ("violations", "waived", "notices")
_INSTANCES: Final = 2
_MAX_QUESTION_BYTES: Final = 256 * 1024
_MAX_DATA_BYTES: Final = 64 * 1024 * 1024
_MAX_ANSWER_BYTES: Final = 1024 * 1024


class EmbeddedEngine:
    """Answers `tallygate/admission/decision` in process, until nobody holds it any more."""

    def __init__(
        self,
        wasm: bytes,
        data: Mapping[str, Any],
        revision: str,
        deadline_s: float = DEADLINE_S,
        memory_pages: int = MEMORY_PAGES,
    ) -> None:
        self._revision = revision
        limits = PolicyConfig(
            pool_size=_INSTANCES,
            borrow_timeout_seconds=deadline_s,
            eval_timeout_seconds=deadline_s,
            max_memory_pages=memory_pages,
            max_input_bytes=_MAX_QUESTION_BYTES,
            max_data_bytes=_MAX_DATA_BYTES,
            max_result_bytes=_MAX_ANSWER_BYTES,
            parse_raw_json_input=False,  # it is what orjson has just written
        )
        try:
            self._policy = OpaWasmPolicy.from_wasm_bytes(wasm, limits)
        except OpaWasmError as error:
            raise _failed("could not be loaded", error) from None
        try:
            self._policy.set_data(orjson.dumps(data))
            self.decide(
                {}
            )  # an instance with the data in it, and proof that the entrypoint answers
        except (OpaWasmError, TypeError) as error:
            self.close()
            raise _failed("could not take the data", error) from None
        except EngineFailed:
            self.close()
            raise
        # Calls that began under this engine finish with it, so it closes when the last one lets go.
        weakref.finalize(self, _close_apart, self._policy).atexit = False

    @property
    def revision(self) -> str:
        return self._revision

    def decide(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            answer = self._policy.evaluate(orjson.dumps(question), ENTRYPOINT)
        except OpaEntrypointError as error:
            raise _failed(f"has no entrypoint {ENTRYPOINT}", error) from None
        except OpaWasmError as error:
            raise _failed("gave no answer", error) from None
        except (TypeError, RecursionError) as error:
            raise _failed("was asked something that is not JSON", error) from None
        if not isinstance(answer, dict):
            raise EngineFailed("the policy engine's decision is undefined or not an object.")
        try:
            for name in _SETS:
                answer[name] = sorted(answer[name], key=_order_of)
        except (KeyError, TypeError, AttributeError) as error:
            raise _failed("gave a decision that cannot be read", error) from None
        return answer

    def put_data(self, data: Mapping[str, Any]) -> None:
        """Answer from other data from now on, to try it; the revision is still the old one's."""
        try:
            self._policy.set_data(orjson.dumps(data))
        except (OpaWasmError, TypeError) as error:
            raise _failed("could not take the data", error) from None

    def close(self) -> None:
        """Free the instances; a question after this is EngineFailed. Idempotent."""
        self._policy.close()


def _close_apart(policy: OpaWasmPolicy) -> None:
    """
    Close on a thread of its own: the garbage collector calls this, and may do so anywhere.

    Also where opa-py-wasm holds the lock that closing takes; `threading` would wait for a start.
    """
    with suppress(RuntimeError):  # the interpreter is ending
        _thread.start_new_thread(policy.close, ())


def _order_of(item: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Order as OPA does, which gives sets sorted; WebAssembly gives them as they lie in memory."""
    return sorted(item.items())


def _failed(what: str, error: Exception) -> EngineFailed:
    # The text of an engine error can quote the question; only its class is passed on.
    if "time limit" in str(error):
        return EngineSlow(f"the policy engine {what} (deadline).")
    return EngineFailed(f"the policy engine {what} ({type(error).__name__}).")
