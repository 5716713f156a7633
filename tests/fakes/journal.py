"""One call through the journal, told as LiteLLM's hooks tell it, with what they hand over."""

from __future__ import annotations

from typing import Any, Final

import litellm
from litellm.types.utils import ModelResponse, Usage

from fakes.entries import NOON_NS
from fakes.lines import a_line, clock_of, decided
from fakes.spool import FakeSpool
from tallygate.application.flow import RequestLine
from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.ledger.events import Event, Outcome, Stage
from tallygate.proxy.journal import Journal
from tallygate.proxy.sending import Target
from tallygate.proxy.state import Attempt, CallState

GRACE_S: Final = 30.0
PROVIDER: Final = Target("POST", "api.openai.com", "/v1/chat/completions")
DETAILS: Final[dict[str, Any]] = {
    "model": "gpt-5.4",
    "custom_llm_provider": "openai",
    "litellm_params": {"metadata": {"model_group": "frontier", "model_info": {"id": "dep-1"}}},
}
SECRET: Final = "the prompt of a person"


class Call:
    """One call through the journal, driven as LiteLLM's hooks drive it."""

    def __init__(self, line: RequestLine | None = None, journal: Journal | None = None) -> None:
        self.line = line or a_line()
        self.journal = journal or Journal(self.line, GRACE_S)
        self.state = CallState("call-1", NOON_NS, (), Trace("tr", "received", "1" * 32))
        self.state.admission = decided(self.line)

    def begin(self, deployment: str = "dep-1", **kwargs: Any) -> Attempt:
        info = {"model_info": {"id": deployment}}
        return self.journal.begin(self.state, {**info, **kwargs}, "acompletion")

    def ready(self, **details: Any) -> None:
        """LiteLLM says that it is about to send."""
        assert self.state.admission is not None
        self.journal.on_wire(self.state, self.state.admission, {**DETAILS, **details})

    def on_wire(self, **details: Any) -> None:
        """LiteLLM says so, and sends."""
        self.ready(**details)
        self.send()

    def send(self, target: Target = PROVIDER) -> None:
        self.journal.sends.on_send(target)

    def answer(self, response: object) -> None:
        self.journal.answered(self.state, response)

    def fail(self, exception: BaseException) -> None:
        self.journal.failed(self.state, exception)

    def log(self, result: object = None, **details: Any) -> None:
        self.journal.logged(self.state, {**DETAILS, **details}, result)

    def log_failed(self, exception: object, result: object = None, **details: Any) -> None:
        told = {**DETAILS, "exception": exception, **details}
        self.journal.log_failed(self.state, told, result)

    def end(self) -> None:
        self.journal.end_call(self.state)

    def sweep_after(self, seconds: float) -> None:
        clock_of(self.line).go_on(seconds=seconds)
        self.journal.sweep()

    @property
    def settled(self) -> list[Event]:
        assert isinstance(self.line.spool, FakeSpool)
        records = self.line.spool.records
        return [record.event for record in records if record.stage is Stage.SETTLED]

    @property
    def outcomes(self) -> list[Outcome]:
        return [event.outcome for event in self.settled if event.outcome is not None]

    @property
    def only_outcome(self) -> Outcome:
        (outcome,) = self.outcomes
        return outcome


def a_response(tokens: int = 12) -> ModelResponse:
    usage = Usage(
        prompt_tokens=tokens,
        completion_tokens=3,
        total_tokens=tokens + 3,
        prompt_tokens_details={"cached_tokens": 4},
    )
    return ModelResponse(id="chatcmpl-1", model="gpt-5.4", usage=usage)


def a_failure(kind: type[Exception] = litellm.RateLimitError) -> Exception:
    facts = {"message": SECRET, "model": "m", "llm_provider": "openai"}
    return kind(**facts)
