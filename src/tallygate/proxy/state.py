"""
What the gate holds of a call while it runs: one `CallState` per request, one `Attempt` per try.

The tap puts the state into a ContextVar before LiteLLM sees the request, so every hook finds it,
also those that LiteLLM runs in tasks and threads of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from tallygate.application.flow import Admission
from tallygate.domain.attribution.contract import Principal
from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.ledger.events import AttemptFacts, Event, Outcome
from tallygate.proxy.answers import Reader
from tallygate.proxy.routes import UNKNOWN, RouteRule
from tallygate.proxy.sending import Target


@dataclass(slots=True, eq=False)
class Attempt:
    """One try at a provider, from LiteLLM's deployment hook on."""

    number: int
    began_ns: int
    call_type: str
    sent_with: Attempt | None = None
    """The one before this, where LiteLLM sends several requests for one answer."""
    parent: Attempt | None = None
    """The wrapper around this one, where LiteLLM bridges one call type into another."""
    span_id: str = ""
    deployment_id: str | None = None
    request_service_tier: str | None = None
    asked_model: str | None = None
    """The model as the router chose it, with its provider's prefix."""
    asked_provider: str | None = None
    file_id: str | None = None
    """The file that LiteLLM reads, where it reads one: the output of a batch, say."""
    counted: dict[str, Any] | None = None
    """What the request says will be used, for providers that do not report it."""
    declared_price: str | None = None
    """Per request, as the proxy's own config says of a pass-through endpoint."""
    is_mocked: bool = False
    """LiteLLM answers by itself (`mock_response`); no provider is called."""
    failed: bool = False
    facts: AttemptFacts | None = None
    """Set when LiteLLM is about to send it; a wrapper is never sent."""
    call: CallState | None = None
    admission: Admission | None = None
    event: Event | None = None
    """Set when it is opened in the spool: as its first byte leaves, or before."""
    sent_to: Target | None = None
    is_recognised: bool = False
    """Known by what was sent alone: no hook of LiteLLM's has spoken of it."""
    provider_status: int | None = None
    """The status that the provider itself answered, where the HTTP client was watched."""
    provider_request_id: str | None = None
    """From the same answer's headers."""
    answered: Outcome | None = None
    """Seen, but not yet written: the gate waits for LiteLLM's own cost, at most until the
    first byte of the response leaves."""
    answer: Any = None
    """The response object that `answered` was read from; let go when it is written."""
    settled: bool = False
    given_up: bool = False
    """Written as unknown; what comes after all is a correction."""

    @property
    def is_pending(self) -> bool:
        return self.event is not None and not self.settled

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is written about it."""
        return self.settled and not self.given_up


@dataclass(slots=True, eq=False)
class CallState:
    """One client request."""

    call_id: str
    started_at_ns: int
    headers: Sequence[tuple[bytes, bytes]]
    trace: Trace
    query: bytes = b""
    principal: Principal = field(default_factory=Principal)
    rule: RouteRule = UNKNOWN
    """How the gate treats the route that was called."""
    admission: Admission | None = None
    deciding: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while it is decided: of two hooks that ask at once, the second finds the decision."""
    observe: Callable[[CallState], Admission] | None = None
    """Finds out who pays for a call that nobody had to decide on."""
    attempts: list[Attempt] = field(default_factory=list)
    client_retry_count: int | None = None
    """None where the client is none that counts its retries."""
    answer: Reader | None = None
    """What is read of the response on its way to the client, where its body is the provider's."""
    overheard: Reader | None = None
    """The same, asked only where LiteLLM says nothing of how an attempt ended."""
    batch: Batch | None = None
    """A finished batch that this call has looked at."""
    session: Session | None = None
    """Set where the connection is a WebSocket."""
    hides_usage: bool = False
    """The gate asked for the usage of a stream whose client did not."""
    held_details: Any = None
    """What LiteLLM said of a request on the wire before it asked whether it may go there."""
    has_forged_disconnect: bool = False
    """The body claims what LiteLLM notes of a client that went away."""
    sends: int = 0
    """How many tries went on the wire, resends included; numbers the next one."""
    asked: bytes | None = None
    """Digest of who asked what, for calls of a client that repeats them."""
    answered_status: int = 0
    """Of the response to the client; 0 before it begins."""
    client_gone: bool = False
    ended_at_ns: int | None = None

    def admitted(self) -> Admission | None:
        """Return the decision; where nobody has to decide, find out who pays."""
        if self.admission is None and not self.rule.governed and self.observe is not None:
            self.admission = self.observe(self)
        return self.admission

    def readers(self) -> tuple[Reader, ...]:
        """List what reads the response as it goes by."""
        return tuple(reader for reader in (self.answer, self.overheard) if reader is not None)

    def has_sums(self) -> bool:
        """Whether a batch is still to be written by its sum."""
        return self.batch is not None and self.batch.sum_of_litellm is not None

    def is_over(self) -> bool:
        """Whether there were attempts and all of them have ended."""
        return bool(self.attempts) and all(attempt.is_closed for attempt in self.attempts)

    def pending(self) -> list[Attempt]:
        """List attempts that went on the wire and have no outcome in the spool yet."""
        return [attempt for attempt in self.attempts if attempt.is_pending]


@dataclass(slots=True)
class Batch:
    """A finished batch, as the call that looked at it found it."""

    batch_id: str
    output_file_id: str | None
    at_ns: int
    """When the provider says that it was done."""
    polled: Event
    """The attempt that looked."""
    sum_of_litellm: Outcome | None = None
    """What to bill by where nobody shows the records."""


@dataclass(slots=True)
class Session:
    """A conversation over a WebSocket: one provider call of many turns."""

    turns: int = 0
    close_code: int | None = None


current_call: ContextVar[CallState | None] = ContextVar("tallygate_call", default=None)
current_attempt: ContextVar[Attempt | None] = ContextVar("tallygate_attempt", default=None)
"""The attempt that runs in this context now; the wrapper around it once it is over."""
begun_attempt: ContextVar[Attempt | None] = ContextVar("tallygate_begun", default=None)
"""The attempt that this context began last; what LiteLLM logs later is about it."""
